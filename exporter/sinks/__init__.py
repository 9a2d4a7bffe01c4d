"""Where plans and events are applied, idempotently; it never knows where they came from."""
