"""What several test files share: servers, stores, builders. Imported as `support.<module>`."""
