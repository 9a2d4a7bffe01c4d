"""Whole runs to catalogs that depend on the order of events.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let events stand together by run, and remember which pipelines share datasets."""
    for column in (
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("corrects", sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column("outbox", column)
    op.create_index("ix_outbox_unit", "outbox", ["destination", "unit_key"], unique=False)
    op.create_index(
        "ix_outbox_parked",
        "outbox",
        ["destination"],
        unique=False,
        sqlite_where=sa.text("state = 'parked'"),
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.create_table(
        "flows",
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("name_hash", sa.String(length=64), nullable=False),
        sa.Column("dataset_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("stack", "name_hash", "dataset_hash", name="pk_flows"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "heads",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("name_hash", sa.String(length=64), nullable=False),
        sa.Column("unit_key", sa.String(length=64), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "stack", "name_hash", name="pk_heads"),
        sqlite_with_rowid=False,
    )
