"""The ledger as it first was released.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create all tables and the lease's one row."""
    op.create_table(
        "artifacts",
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("artifact_id", sa.Text(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stack", "artifact_id", name="pk_artifacts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "bindings",
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("unit_key", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sink", "unit_key", "key", name="pk_bindings"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "contents",
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("artifact_id", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stack", "artifact_id", name="pk_contents"),
    )
    op.create_table(
        "counters",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", name="pk_counters"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cycles",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cycles"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "experiments",
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("experiment_id", sa.Text(), nullable=False),
        sa.Column("artifact_location", sa.Text(), nullable=False),
        sa.Column("scanned", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sink", "key", name="pk_experiments"),
    )
    op.create_table(
        "homes",
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("artifact_id", sa.Text(), nullable=False),
        sa.Column("step_key", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sink", "stack", "artifact_id", name="pk_homes"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "intents",
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("unit_key", sa.String(length=64), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("written_ms", sa.BigInteger(), nullable=False),
        sa.Column("recheck", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sink", "unit_key", name="pk_intents"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "letters",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("what", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_letters"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_letters_run", "letters", ["stack", "source_id"], unique=False)
    op.create_index("ix_letters_subject", "letters", ["what", "subject"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("seq", _BIG, autoincrement=True, nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("unit_key", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.String(length=16), nullable=False),
        sa.Column("event_time", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("entered_ms", sa.BigInteger(), nullable=False),
        sa.Column("left_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_event", "outbox", ["destination", "run_id", "event_type", "seq"], unique=False
    )
    op.create_index(
        "ix_outbox_held",
        "outbox",
        ["destination", "next_at"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND next_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND next_at IS NOT NULL"),
    )
    op.create_index(
        "ix_outbox_queued",
        "outbox",
        ["destination", "seq"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_table(
        "pipelines",
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("name_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("stack", "name_hash", name="pk_pipelines"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stack_sinks",
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("stack", "sink", name="pk_stack_sinks"),
    )
    op.create_table(
        "stacks",
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("policy", sa.Text(), nullable=True),
        sa.Column("rescan_after", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("turn_began_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_turn_began_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_turn_ended_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("stack", name="pk_stacks"),
    )
    op.create_table(
        "unit_sinks",
        sa.Column("unit_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("progress", sa.String(length=8), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("unit_id", "sink", name="pk_unit_sinks"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_unit_sinks_pending",
        "unit_sinks",
        ["stack", "sink", "unit_id"],
        unique=False,
        sqlite_where=sa.text("progress = 'pending'"),
        postgresql_where=sa.text("progress = 'pending'"),
    )
    op.create_table(
        "units",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("unfinished", sa.Boolean(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=True),
        sa.Column("start_ms", sa.BigInteger(), nullable=True),
        sa.Column("end_ms", sa.BigInteger(), nullable=True),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("artifact_ids", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_units"),
        sa.UniqueConstraint("key", name="uq_units_key"),
        sa.UniqueConstraint("stack", "source_id", name="uq_units_stack_source_id"),
    )
    op.create_index("ix_units_stack_id", "units", ["stack", "id"], unique=False)
    op.create_index(
        "ix_units_waiting",
        "units",
        ["stack", "id"],
        unique=False,
        sqlite_where=sa.text("waiting"),
        postgresql_where=sa.text("waiting"),
    )
    op.execute("INSERT INTO leases (name, owner, token, expires_ms) VALUES ('leader', '', 0, 0)")
