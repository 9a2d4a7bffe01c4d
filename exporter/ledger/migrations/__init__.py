"""The ledger's schema, step by step; run by `exporter.ledger.migrate` inside its transaction."""
