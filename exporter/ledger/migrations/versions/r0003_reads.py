"""Runs whose readers wait for them, and the repository whose state a ledger is.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Remember what runs that are still to be told read of others, and the repository."""
    op.create_table(
        "properties",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_properties"),
    )
    op.add_column(
        "makers", sa.Column("exact", sa.Boolean(), server_default=sa.true(), nullable=False)
    )
    op.create_table(
        "newest",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("dataset_hash", sa.String(length=64), nullable=False),
        sa.Column("unit_key", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination", "dataset_hash", name="pk_newest"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_newest_run", "newest", ["destination", "run_id"], unique=False)
    op.create_table(
        "reads",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("unit_key", sa.String(length=64), nullable=False),
        sa.Column("dataset_hash", sa.String(length=64), nullable=False),
        sa.Column("artifact_hash", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "destination", "unit_key", "dataset_hash", "artifact_hash", name="pk_reads"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_reads_dataset",
        "reads",
        ["destination", "dataset_hash", "artifact_hash"],
        unique=False,
    )
