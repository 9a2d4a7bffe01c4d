"""Which runs leave next, for a catalog that builds its graph in the order of arrival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select, text

from exporter.ledger import lanes, reading, versions
from exporter.ledger.lanes import Pipeline
from exporter.ledger.newest_runs import newest_runs
from exporter.ledger.outbox_rows import RUN_END
from exporter.ledger.progress import IS_PENDING, chunks
from exporter.ledger.recording import name_hash
from exporter.ledger.records import OutboxRow
from exporter.ledger.schema import letters, outbox, unit_sinks, units

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.engine import Connection

_NO_BOUND = 2**63 - 1
_IS_QUEUED = text("outbox.state = 'queued'")


class _Run(NamedTuple):
    """A run with events to send; some of a known one were sent before, of a partial one taken."""

    unit_key: str
    pipeline: Pipeline
    end_ms: int
    seq: int
    is_partial: bool
    is_known: bool


@dataclass(frozen=True, slots=True)
class NextRuns:
    """Runs that may leave now, by lane and in order.

    `late` are those of them that were told of before in part, or that are older than what is held
    of their pipeline. Before they leave those in `reopened` are opened again, and events of those
    in `held` kept back from a position on, since they read what the destination lacks.
    """

    lanes: Mapping[str, str]
    late: frozenset[str]
    reopened: tuple[str, ...]
    held: Mapping[str, int]


def next_runs(
    connection: Connection,
    destination: str,
    *,
    limit: int,
    now: int,
    stacks: Collection[str] | None = None,
) -> NextRuns:
    """Choose the runs to send now: of each lane the earliest ends, never past a run still to come.

    A lane is all pipelines that are tied by datasets. It is held as a whole while one of its events
    waits for its next try. `stacks` are those whose pending runs are waited for; None means all.
    """
    waiting, held_pipelines = _waiting(connection, destination, now)
    if not waiting:
        return NextRuns({}, frozenset(), (), {})
    lane_of = lanes.components(connection)
    held = {lane_of(pipeline) for pipeline in held_pipelines}
    bounds: dict[str, int] = {}
    anywhere = _NO_BOUND
    for pipeline, end_ms in _still_to_come(connection, destination, stacks):
        if lane_of.knows(pipeline):
            lane = lane_of(pipeline)
            bounds[lane] = min(end_ms, bounds.get(lane, end_ms))
        else:
            anywhere = min(end_ms, anywhere)  # its datasets may be anybody's
    by_lane: dict[str, list[_Run]] = {}
    for run in sorted(waiting, key=lambda run: (run.end_ms, run.seq)):
        lane = lane_of(run.pipeline)
        if lane not in held and run.end_ms <= min(anywhere, bounds.get(lane, anywhere)):
            by_lane.setdefault(lane, []).append(run)
    share = max(1, limit // max(1, len(by_lane)))
    first = {lane: runs[:share] for lane, runs in by_lane.items()}
    ends = {run.unit_key: run.end_ms for runs in first.values() for run in runs}
    newer = versions.newer_than(connection, destination, ends)
    newest = newest_runs(connection, destination)
    chosen: dict[str, str] = {}
    late: set[str] = set()
    reopened: dict[str, None] = {}
    for lane, runs in first.items():
        for place, run in enumerate(runs):
            touched = newer.get(run.unit_key, set())
            after = [
                head.unit_key
                for pipeline in sorted({run.pipeline, *touched})
                if (head := newest.get(pipeline)) is not None
                and head.unit_key != run.unit_key
                and head.end_ms > run.end_ms
            ]
            is_late = bool(run.is_known or after or touched)
            if is_late and place:
                break
            chosen[run.unit_key] = lane
            if run.is_partial:
                reopened[run.unit_key] = None
            reopened |= dict.fromkeys(after)
            if is_late:
                late.add(run.unit_key)
                break
    lacking = reading.missing(connection, destination, chosen)
    return NextRuns(chosen, frozenset(late), tuple(reopened), lacking)


def rows_of(connection: Connection, destination: str, chosen: NextRuns) -> list[OutboxRow]:
    """Give the events of chosen runs in the order in which they leave."""
    found: dict[str, list[OutboxRow]] = {}
    for part in chunks(chosen.lanes):
        rows = connection.execute(
            select(
                outbox.c.unit_key,
                outbox.c.seq,
                outbox.c.lane,
                outbox.c.run_id,
                outbox.c.event_type,
                outbox.c.event_time,
                outbox.c.content_hash,
                outbox.c.body,
                outbox.c.attempts,
                outbox.c.revision,
                outbox.c.corrects,
            )
            .where(outbox.c.destination == destination, _IS_QUEUED, outbox.c.unit_key.in_(part))
            .order_by(outbox.c.position, outbox.c.seq)
        )
        for unit_key, *rest in rows:
            row = OutboxRow(*rest)._replace(
                lane=chosen.lanes[unit_key], unit=unit_key, is_late=unit_key in chosen.late
            )
            found.setdefault(unit_key, []).append(row)
    for rows_of_unit in found.values():
        rows_of_unit[-1] = rows_of_unit[-1]._replace(ends_unit=True)
    return [row for unit_key in chosen.lanes for row in found.get(unit_key, [])]


def told_by_others(
    connection: Connection, destination: str, rows: Sequence[OutboxRow]
) -> frozenset[int]:
    """Find the events of runs that no unit has for itself and another unit told, or tells before.

    Such are the jobs that announce what came from elsewhere: once is enough.
    """
    told: dict[str, set[str]] = {}
    for part in chunks({row.run_id for row in rows}):
        found = connection.execute(
            select(outbox.c.run_id, outbox.c.unit_key)
            .where(
                outbox.c.destination == destination,
                outbox.c.run_id.in_(part),
                outbox.c.state == "delivered",
            )
            .distinct()
        )
        for run_id, unit_key in found:
            told.setdefault(run_id, set()).add(unit_key)
    doubled: set[int] = set()
    for row in rows:
        tellers = told.setdefault(row.run_id, set())
        if tellers - {row.unit}:
            doubled.add(row.seq)
        tellers.add(row.unit)
    return frozenset(doubled)


def _waiting(
    connection: Connection, destination: str, now: int
) -> tuple[list[_Run], set[Pipeline]]:
    """Give the runs with events to send, and the pipelines of those that are put off."""
    delivered = outbox.alias("delivered")
    has_delivered = (
        select(delivered.c.seq)
        .where(
            delivered.c.destination == destination,
            delivered.c.unit_key == outbox.c.unit_key,
            delivered.c.state == "delivered",
        )
        .exists()
    )
    rows = connection.execute(
        select(
            outbox.c.unit_key,
            units.c.stack,
            units.c.pipeline,
            RUN_END.label("end_ms"),
            func.min(outbox.c.seq).label("seq"),
            func.max(outbox.c.next_at).label("next_at"),
            func.min(outbox.c.revision).label("revision"),
            func.max(outbox.c.left_ms).label("left_ms"),
            has_delivered.label("is_begun"),
        )
        .select_from(outbox.join(units, units.c.key == outbox.c.unit_key))
        .where(outbox.c.destination == destination, _IS_QUEUED)
        .group_by(outbox.c.unit_key, units.c.stack, units.c.pipeline, RUN_END)
    )
    found: list[_Run] = []
    held: set[Pipeline] = set()
    for row in rows:
        pipeline = Pipeline(row.stack, name_hash(row.pipeline))
        if row.next_at is not None and row.next_at > now:
            held.add(pipeline)
        is_partial = bool(row.is_begun) and row.revision == 0
        is_known = is_partial or (row.left_ms is not None and row.revision == 0)
        found.append(_Run(row.unit_key, pipeline, row.end_ms, row.seq, is_partial, is_known))
    return found, held


def _still_to_come(
    connection: Connection, destination: str, stacks: Collection[str] | None
) -> list[tuple[Pipeline, int]]:
    """Give the earliest end, by pipeline, of runs that ended and whose events are not here yet.

    One that cannot be read holds nobody back: nobody knows when it can.
    """
    unreadable = (
        select(letters.c.id)
        .where(
            letters.c.what == "run",
            letters.c.state != "retry",
            letters.c.stack == units.c.stack,
            letters.c.source_id == units.c.source_id,
        )
        .exists()
    )
    query = (
        select(units.c.stack, units.c.pipeline, func.min(units.c.end_ms).label("end_ms"))
        .select_from(unit_sinks.join(units, units.c.id == unit_sinks.c.unit_id))
        .where(
            unit_sinks.c.sink == destination,
            IS_PENDING,
            units.c.unfinished.is_(False),
            units.c.gone.is_(False),
            units.c.end_ms.is_not(None),
            ~unreadable,
        )
        .group_by(units.c.stack, units.c.pipeline)
    )
    rows = [row for row in connection.execute(query) if stacks is None or row.stack in stacks]
    return [(Pipeline(row.stack, name_hash(row.pipeline)), row.end_ms) for row in rows]
