"""What alembic runs: our own connection and its open transaction, never one that alembic makes."""

from __future__ import annotations

from alembic import context

from exporter.ledger.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=False,  # the caller's transaction holds all of it
)
context.run_migrations()
