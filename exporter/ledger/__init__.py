"""State: what was read, what each sink holds, what waits to leave, who leads.

It knows units, sinks and events by their keys only; it never learns what a run is, and talks to no
source or sink. SQLite by default, PostgreSQL in production. Every write takes the `Lease` and
checks its token in the same transaction: a stale leader gets `LeaseLost` and changes nothing.
Times are UTC milliseconds from the caller (`now`), but the lease runs by the database's clock. All
methods are thread-safe and raise `StateUnavailable` when the database is out of reach. A sink is
named by a string of the caller's; an OpenLineage sink's name is its destination in the outbox.

::

    Ledger.open(url, *, migrate=True, read_only=False) -> Ledger       a context manager; close()
    Ledger.open_existing(url, repository) -> Ledger | None             to read; None: not there yet
    Ledger.upgrade(url) -> (revision before | None, revision)
    ledger.revision, ledger.url                                        its password masked

    ledger.leases
        acquire(owner, ttl_s) -> Lease               LeaseHeld (context: owner, expires_in_s)
        renew(lease) -> Lease                        LeaseLost
        release(lease)                               no error when it is lost already
        holder() -> LeaseHolder | None

    ledger.claim(lease, repository)                  the first to come; raises for any other
    ledger.check_repository(repository) -> repository | None

    ledger.units
        cursor(stack) -> StackCursor                 (cursor | None, policy | None)
        save_cursor(lease, stack, cursor, policy)
        register_sinks(lease, stack, sinks)
        record_pipelines(lease, stack, names)        all the source lists, those without runs too
        known(stack, source_ids) -> {source_id: UnitState}
        of(keys) -> {key: UnitState}
        present(stack, limit, *, pipeline=None, before=None) -> [UnitState]     latest first
        names(stack, source_ids) -> {source_id: (pipeline, run)}       of those there, unread or not
        source_ids(stack, keys) -> [source_id]
        record(lease, stack, seen: [SeenUnit], now) -> RecordOutcome
        mark_gone(lease, stack, source_ids, now) -> [UnitState]        pending for every sink
        open(stack) -> [source_id]                   unfinished, unsettled, or unread and sent back
        unread(stack, source_ids=None) -> [source_id]                  could not be read
        pending(stack, sink, *, now, after=0, limit=200, settled_only=False) -> [PendingUnit]
        sink_states(sink, keys) -> {key: SinkState}
        skip(lease, sink, [(key, fingerprint)], now)                   done, nothing was to be sent
        fail(lease, sink, key, *, error, kind, dead, next_at, now) -> attempts so far
        fail_run(lease, stack, source_id, *, pipeline, run, error, kind, now) -> is it news
        next_rescan(stack, limit, *, after=None) -> Rescan
        save_rescan(lease, stack, rescan, now)       after its runs were recorded
        turn(stack) -> RescanTurn
        totals(stack) -> Totals
        count_pending(stack) -> int                  runs a sink lacks, neither waiting nor dead
        count_stale(stack, *, before_ms) -> int      unfinished, and nothing has changed since
        stacks() -> [stack]                          every stack ever recorded

    ledger.bindings
        begin(lease, sink, keys, process, now)       intents, before the first create
        intents(sink, keys) -> {key: Intent}
        open_intents(sink) -> {key: Intent}
        finish(lease, sink, [AppliedUnit], now)
        of(sink, keys) -> {unit key: {key: run id}}
        save(lease, sink, {unit key: {key: run id}})                   replaces, per unit
        experiment(sink, key) -> ExperimentRow | None
        save_experiment(lease, sink, key, ExperimentRow)
        homes(sink, stack, artifact_ids) -> {artifact id: HomeRow}
        contents(stack, policy, artifact_ids) -> {artifact id: JSON text}
        save_contents(lease, stack, policy, {artifact id: JSON text})

    ledger.outbox
        enqueue(lease, [OutboxMark], now) -> events that entered
        next_events(destination, *, limit, now) -> [OutboxRow]
        next_runs(lease, destination, *, limit, now, stacks=None) -> [OutboxRow] of whole runs
        acknowledge(lease, destination, seqs, now, *, whole=False)
        retry_event(lease, seq, *, next_at, status, body)
        dead_event(lease, seq, *, status, body, now, whole=False)
        ends_of(destination, dataset, artifacts) -> Ends
        ends_after(destination, unit_key) -> [OutboxRow]
        trouble(destination) -> Trouble | None       of an event that waits for its next try
        counts(destination) -> OutboxCounts
        withheld(destination) -> corrections of older runs that were not sent

    ledger.dead
        letters(*, stack=None) -> [DeadLetter]
        retry(lease, ids=None) -> int                None: all of them
        drop(lease, ids=None) -> int

    ledger.cycles
        record(lease, CycleRecord, *, keep=1000)
        last(limit=1) -> [CycleRecord]               newest first
"""

from exporter.ledger.bindings import Bindings
from exporter.ledger.cycles import Cycles
from exporter.ledger.dead import DeadLetters
from exporter.ledger.leases import Leases
from exporter.ledger.ledger import Ledger
from exporter.ledger.outbox import Outbox
from exporter.ledger.records import (
    AppliedUnit,
    CycleRecord,
    DeadLetter,
    ExperimentRow,
    HomeRow,
    Intent,
    Lease,
    LeaseHolder,
    Made,
    OutboxCounts,
    OutboxEvent,
    OutboxMark,
    OutboxRow,
    PendingUnit,
    Read,
    RecordOutcome,
    Rescan,
    RescanTurn,
    SeenUnit,
    SinkState,
    StackCursor,
    Totals,
    Trouble,
    UnitState,
)
from exporter.ledger.units import Units

__all__ = [
    "AppliedUnit",
    "Bindings",
    "CycleRecord",
    "Cycles",
    "DeadLetter",
    "DeadLetters",
    "ExperimentRow",
    "HomeRow",
    "Intent",
    "Lease",
    "LeaseHolder",
    "Leases",
    "Ledger",
    "Made",
    "Outbox",
    "OutboxCounts",
    "OutboxEvent",
    "OutboxMark",
    "OutboxRow",
    "PendingUnit",
    "Read",
    "RecordOutcome",
    "Rescan",
    "RescanTurn",
    "SeenUnit",
    "SinkState",
    "StackCursor",
    "Totals",
    "Trouble",
    "UnitState",
    "Units",
]
