"""The ledger's tables, on SQLite and PostgreSQL alike.

Order: `units.id` is the order of discovery, `outbox.seq` the order of entry; both only grow.
Speed: what a cycle asks for is found by an index that holds only what waits (partial indexes), and
what it adds up is kept as counters, so that a cycle without news costs the same whatever the tables
hold.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from exporter.ledger.texts import AnyText

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

VERSION_TABLE = "exporter_ledger_version"
LEADER = "leader"

_BIG = BigInteger().with_variant(
    Integer(), "sqlite"
)  # SQLite numbers rows by itself only for INTEGER
_NAME = AnyText()
_KEY = String(64)

PENDING = text("progress = 'pending'")
DONE = text("progress = 'done'")
QUEUED = text("state = 'queued'")
PARKED = text("state = 'parked'")
OPEN_UNIT = text("waiting")

properties = Table(
    "properties",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", AnyText(), nullable=False),
)
"""What holds for the whole ledger: the repository that it is the state of."""

leases = Table(
    "leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("owner", AnyText(), nullable=False),
    Column("token", BigInteger(), nullable=False),
    Column("expires_ms", BigInteger(), nullable=False),
)

stacks = Table(
    "stacks",
    metadata,
    Column("stack", _NAME, primary_key=True),
    Column("cursor", Text()),
    Column("policy", Text()),
    Column("rescan_after", BigInteger(), nullable=False, server_default="0"),
    Column("turn_began_ms", BigInteger()),
    Column("last_turn_began_ms", BigInteger()),
    Column("last_turn_ended_ms", BigInteger()),
)

stack_sinks = Table(
    "stack_sinks",
    metadata,
    Column("stack", _NAME, primary_key=True),
    Column("sink", _NAME, primary_key=True),
    Column("active", Boolean(), nullable=False),
)

units = Table(
    "units",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("key", _KEY, nullable=False),
    Column("stack", _NAME, nullable=False),
    Column("source_id", AnyText()),  # null: the source gave this id to another run
    Column("pipeline", AnyText(), nullable=False),
    Column("run", AnyText(), nullable=False),
    Column("status", AnyText(), nullable=False),
    Column("unfinished", Boolean(), nullable=False),
    Column("settled", Boolean(), nullable=False),
    Column("gone", Boolean(), nullable=False),
    Column("waiting", Boolean(), nullable=False),
    Column("fingerprint", Text(), nullable=False),
    Column("first_seen_ms", BigInteger(), nullable=False),
    Column("changed_ms", BigInteger()),
    Column("start_ms", BigInteger()),
    Column("end_ms", BigInteger()),
    Column("steps", Integer(), nullable=False),
    Column("artifact_ids", Text(), nullable=False),
    UniqueConstraint("key"),
    UniqueConstraint("stack", "source_id"),
    Index("ix_units_stack_id", "stack", "id"),
    Index(
        "ix_units_waiting",
        "stack",
        "id",
        sqlite_where=OPEN_UNIT,
        postgresql_where=OPEN_UNIT,
    ),
)

unit_sinks = Table(
    "unit_sinks",
    metadata,
    # The unit comes first: a key that began with the sink would draw the planner of SQLite away
    # from the partial index below, and through all the rows that are done.
    Column("unit_id", BigInteger(), primary_key=True, autoincrement=False),
    Column("sink", _NAME, primary_key=True),
    Column("stack", _NAME, nullable=False),
    Column("progress", String(8), nullable=False),
    Column("fingerprint", Text()),
    Column("attempts", Integer(), nullable=False),
    Column("next_at", BigInteger()),
    Index(
        "ix_unit_sinks_pending",
        "stack",
        "sink",
        "unit_id",
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    ),
    sqlite_with_rowid=False,
)

pipelines = Table(
    "pipelines",
    metadata,
    Column("stack", _NAME, primary_key=True),
    Column("name_hash", _KEY, primary_key=True),  # a name may be longer than an index entry
    Column("name", AnyText(), nullable=False),
    Column("runs", BigInteger(), nullable=False),
    Column("listed", Boolean(), nullable=False),
    sqlite_with_rowid=False,
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("stack", _NAME, primary_key=True),
    Column("artifact_id", AnyText(), primary_key=True),
    Column("runs", BigInteger(), nullable=False),
    sqlite_with_rowid=False,
)

counters = Table(
    "counters",
    metadata,
    Column("scope", AnyText(), primary_key=True),
    Column("name", AnyText(), primary_key=True),
    Column("value", BigInteger(), nullable=False),
    sqlite_with_rowid=False,
)

intents = Table(
    "intents",
    metadata,
    Column("sink", _NAME, primary_key=True),
    Column("unit_key", _KEY, primary_key=True),
    Column("process", AnyText(), nullable=False),
    Column("written_ms", BigInteger(), nullable=False),
    Column("recheck", Boolean(), nullable=False),
    sqlite_with_rowid=False,
)

bindings = Table(
    "bindings",
    metadata,
    Column("sink", _NAME, primary_key=True),
    Column("unit_key", _KEY, primary_key=True),
    Column("key", _KEY, primary_key=True),
    Column("run_id", AnyText(), nullable=False),
    sqlite_with_rowid=False,
)

experiments = Table(
    "experiments",
    metadata,
    Column("sink", _NAME, primary_key=True),
    Column("key", _KEY, primary_key=True),
    Column("experiment_id", AnyText(), nullable=False),
    Column("artifact_location", AnyText(), nullable=False),
    Column("scanned", Boolean(), nullable=False),
)

homes = Table(
    "homes",
    metadata,
    Column("sink", _NAME, primary_key=True),
    Column("stack", _NAME, primary_key=True),
    Column("artifact_id", AnyText(), primary_key=True),
    Column("step_key", _KEY, nullable=False),
    Column("path", AnyText(), nullable=False),
    sqlite_with_rowid=False,
)

contents = Table(
    "contents",
    metadata,
    Column("stack", _NAME, primary_key=True),
    Column("artifact_id", AnyText(), primary_key=True),
    Column("policy", Text(), nullable=False),
    Column("content", Text(), nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", _BIG, primary_key=True, autoincrement=True),
    Column("destination", _NAME, nullable=False),
    Column("unit_key", _KEY, nullable=False),
    Column("lane", AnyText(), nullable=False),
    Column("run_id", AnyText(), nullable=False),
    Column("event_type", String(16), nullable=False),
    Column("event_time", Text(), nullable=False),
    Column("content_hash", Text(), nullable=False),
    Column("body", LargeBinary()),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer(), nullable=False),
    Column("next_at", BigInteger()),
    Column("status", Integer()),
    Column("response", AnyText()),
    Column("entered_ms", BigInteger(), nullable=False),
    Column("left_ms", BigInteger()),
    Column("position", Integer(), nullable=False, server_default="0"),
    Column("revision", Integer(), nullable=False, server_default="0"),
    Column("corrects", Boolean(), nullable=False, server_default=false()),
    Index("ix_outbox_event", "destination", "run_id", "event_type", "seq"),
    Index("ix_outbox_unit", "destination", "unit_key"),
    Index(
        "ix_outbox_parked",
        "destination",
        sqlite_where=PARKED,
        postgresql_where=PARKED,
    ),
    Index(
        "ix_outbox_queued",
        "destination",
        "seq",
        sqlite_where=QUEUED,
        postgresql_where=QUEUED,
    ),
    Index(
        "ix_outbox_held",
        "destination",
        "next_at",
        sqlite_where=text("state = 'queued' AND next_at IS NOT NULL"),
        postgresql_where=text("state = 'queued' AND next_at IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

flows = Table(
    "flows",
    metadata,
    Column("stack", _NAME, primary_key=True),
    Column("name_hash", _KEY, primary_key=True),
    Column("dataset_hash", _KEY, primary_key=True),
    sqlite_with_rowid=False,
)
"""Which datasets the runs of a pipeline read or wrote: pipelines that share one go together."""

makers = Table(
    "makers",
    metadata,
    Column("destination", _NAME, primary_key=True),
    Column("dataset_hash", _KEY, primary_key=True),
    Column("artifact_hash", _KEY, primary_key=True),
    Column("run_id", AnyText(), nullable=False),
    Column("exact", Boolean(), nullable=False, server_default=true()),
    Index("ix_makers_run", "destination", "run_id"),
    sqlite_with_rowid=False,
)
"""Which run made which version of a dataset; `exact` where any reader is to be linked to it."""

reads = Table(
    "reads",
    metadata,
    Column("destination", _NAME, primary_key=True),
    Column("unit_key", _KEY, primary_key=True),
    Column("dataset_hash", _KEY, primary_key=True),
    Column("artifact_hash", _KEY, primary_key=True),
    Column("position", Integer(), nullable=False),
    Index("ix_reads_dataset", "destination", "dataset_hash", "artifact_hash"),
    sqlite_with_rowid=False,
)
"""What a run read of others, and its first event that says so, until it is held whole."""

newest = Table(
    "newest",
    metadata,
    Column("destination", _NAME, primary_key=True),
    Column("dataset_hash", _KEY, primary_key=True),
    Column("unit_key", _KEY, nullable=False),
    Column("run_id", AnyText(), nullable=False),
    Column("end_ms", BigInteger(), nullable=False),
    Index("ix_newest_run", "destination", "run_id"),
    sqlite_with_rowid=False,
)
"""Which run that a destination holds whole made the newest version of a dataset."""

heads = Table(
    "heads",
    metadata,
    Column("destination", _NAME, primary_key=True),
    Column("stack", _NAME, primary_key=True),
    Column("name_hash", _KEY, primary_key=True),
    Column("unit_key", _KEY, nullable=False),
    Column("end_ms", BigInteger(), nullable=False),
    sqlite_with_rowid=False,
)
"""The newest run of each pipeline that a destination holds whole; its bodies are kept."""

letters = Table(
    "letters",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("what", String(8), nullable=False),
    Column("state", String(8), nullable=False),
    Column("stack", _NAME, nullable=False),
    Column("sink", _NAME, nullable=False),
    Column("source_id", AnyText(), nullable=False),
    Column("subject", BigInteger(), nullable=False),
    Column("pipeline", AnyText(), nullable=False),
    Column("run", AnyText(), nullable=False),
    Column("event", AnyText(), nullable=False),
    Column("kind", AnyText(), nullable=False),
    Column("error", AnyText(), nullable=False),
    Column("attempts", Integer(), nullable=False),
    Column("since_ms", BigInteger(), nullable=False),
    Index("ix_letters_run", "stack", "source_id"),
    Index("ix_letters_subject", "what", "subject"),
    sqlite_autoincrement=True,
)

cycles = Table(
    "cycles",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("started_ms", BigInteger(), nullable=False),
    Column("ended_ms", BigInteger(), nullable=False),
    Column("ok", Boolean(), nullable=False),
    Column("report", Text(), nullable=False),
    sqlite_autoincrement=True,
)
