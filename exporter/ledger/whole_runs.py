"""Events that leave run by run, for a catalog that builds its graph in the order of arrival.

Such a catalog is harmed by one old event sent alone, by two runs interleaved, and by an older run
that comes after a newer one. So a run's events keep their bodies until the catalog holds all of
them, and are sent again from the first one where that was interrupted; the bodies of each
pipeline's newest run are kept for good, and follow whatever had to be sent late.

All but the reads work inside a caller's writing transaction.
Source: https://github.com/MarquezProject/marquez/issues/2733 (a reader is linked to the newest
version), https://github.com/MarquezProject/marquez/issues/2264 (a late START opens a run again).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, insert, select, text, update

from exporter.ledger import exact_links, lanes, reading, versions
from exporter.ledger.lanes import Pipeline
from exporter.ledger.outbox_rows import OPEN, RUN_END, leave, queue_again, row_of
from exporter.ledger.progress import IS_PENDING, chunks, count, outbox_scope, upsert
from exporter.ledger.recording import name_hash
from exporter.ledger.records import OutboxRow
from exporter.ledger.schema import heads, letters, outbox, unit_sinks, units

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Row
    from sqlalchemy.engine import Connection

    from exporter.ledger.records import OutboxEvent, OutboxMark

    AnyRow = Row[*tuple[Any, ...]]  # Any: columns are read by name

WITHHELD = "withheld"
_NO_BOUND = 2**63 - 1
_START = "START"
_IS_QUEUED = text("outbox.state = 'queued'")


class _Head(NamedTuple):
    unit_key: str
    end_ms: int


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


def enter(connection: Connection, destination: str, marks: Sequence[OutboxMark], now: int) -> int:
    """Take in the events of runs; give how many entered.

    Repeat: a run that says the same as before has none. One that differs and is not held whole yet,
        or whose steps did not end as was told, is sent anew. Of one that is held whole only what
        its ends say otherwise is sent, and that only while it is its pipeline's newest; otherwise
        it is counted as withheld.
    """
    pipelines = lanes.pipelines_of(connection, [mark.unit_key for mark in marks])
    lanes.remember_flows(connection, marks, pipelines)
    exact_links.remember(connection, destination, marks)
    had = _had(connection, destination, [mark.unit_key for mark in marks])
    newest = _heads(connection, destination)
    entering: list[dict[str, object]] = []
    leaving: list[AnyRow] = []
    withheld = 0
    for mark in marks:
        before = had.get(mark.unit_key, [])
        known = {(row.run_id, row.event_type): row.content_hash for row in before}
        changed = [
            (position, event)
            for position, event in enumerate(mark.events)
            if known.get((event.run_id, event.event_type)) != event.content_hash
        ]
        if not changed:
            continue
        if _is_held(before) and _ends_alike(mark, before):
            head = newest.get(pipelines[mark.unit_key])
            last = _last_told(connection, destination, mark.unit_key) if head is None else head[0]
            if last != mark.unit_key:
                withheld += len(changed)
                continue
            rows, replaced = _corrections(destination, mark, changed, before, now)
            entering += rows
            leaving += replaced
        else:
            leaving += before
            reading.remember(connection, destination, mark)
            entering += _anew(destination, mark, before, now)
    leave(connection, destination, [(row.seq, row.state) for row in leaving])
    if entering:
        connection.execute(insert(outbox), entering)
    count(connection, outbox_scope(destination), {"pending": len(entering), WITHHELD: withheld})
    return len(entering)


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
    newest = _heads(connection, destination)
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


def park(connection: Connection, destination: str, unit_key: str) -> None:
    """Keep back the rest of a run of which an event was refused, but for its last event."""
    reading.park(connection, destination, {unit_key: 0})


def unpark(connection: Connection, seqs: Iterable[int]) -> None:
    """Queue again what was kept back behind these events, once none of its run is dead.

    A run of which nothing is left to send, since its last events were given up, is held whole.
    """
    for part in chunks(seqs):
        behind = connection.execute(
            select(outbox.c.destination, outbox.c.unit_key).where(outbox.c.seq.in_(part)).distinct()
        ).all()
        for destination, unit_key in behind:
            dead = select(func.count()).where(
                outbox.c.destination == destination,
                outbox.c.unit_key == unit_key,
                outbox.c.state == "dead",
            )
            if not connection.execute(dead).scalar_one():
                reading.unpark(connection, destination, [unit_key])
                if _leaves_whole(connection, destination, unit_key):
                    settle(connection, destination, [unit_key])


def reopen(connection: Connection, destination: str, unit_keys: Iterable[str]) -> None:
    """Queue again what was delivered of these runs: they are sent from their first event on."""
    for part in chunks(unit_keys):
        queue_again(
            connection,
            destination,
            outbox.c.unit_key.in_(part) & outbox.c.body.is_not(None),
        )


def settle(connection: Connection, destination: str, unit_keys: Iterable[str]) -> None:
    """See which of these runs the catalog holds whole now, and drop the bodies not needed again."""
    for unit_key in dict.fromkeys(unit_keys):
        if _is_open(connection, destination, unit_key):
            continue
        reading.settle(connection, destination, unit_key)
        row = connection.execute(
            select(units.c.stack, units.c.pipeline, RUN_END.label("end_ms")).where(
                units.c.key == unit_key
            )
        ).one()
        pipeline = Pipeline(row.stack, name_hash(row.pipeline))
        head = _heads(connection, destination, pipeline).get(pipeline)
        overtaken = versions.settle(connection, destination, unit_key, row.end_ms)
        if head is None or head.unit_key == unit_key or head.end_ms <= row.end_ms:
            key = {"destination": destination, **pipeline._asdict()}
            upsert(connection, heads, [{**key, "unit_key": unit_key, "end_ms": row.end_ms}])
            overtaken += [head.unit_key] if head is not None else []
        for other in dict.fromkeys((*overtaken, unit_key)):
            _drop_bodies(connection, destination, other)


def _corrections(
    destination: str,
    mark: OutboxMark,
    changed: Sequence[tuple[int, OutboxEvent]],
    before: Sequence[AnyRow],
    now: int,
) -> tuple[list[dict[str, object]], list[AnyRow]]:
    """Give the events that correct a run held whole, and the rows they take the place of.

    A run that ended is not begun again: of it only the end is sent.
    """
    ended = {row.run_id: row for row in before if row.event_type != _START}
    entering, leaving = [], []
    for position, event in changed:
        old = ended.get(event.run_id)
        if old is None:
            entering.append(row_of(destination, mark.unit_key, event, now, position))
        elif event.event_type != _START:
            row = row_of(destination, mark.unit_key, event, now, position)
            entering.append({**row, "revision": old.revision + 1, "corrects": True})
            leaving.append(old)
    return entering, leaving


def _is_held(before: Sequence[AnyRow]) -> bool:
    """Tell whether a destination holds all of a run, but for corrections on their way."""
    return bool(before) and all(
        row.state in ("delivered", "dropped") or row.corrects for row in before
    )


def _ends_alike(mark: OutboxMark, before: Sequence[AnyRow]) -> bool:
    """Tell whether everything that ended before has ended in the same way now.

    A run that was given up as stale has not, once it really ends.
    """
    ended = {row.run_id: row.event_type for row in before if row.event_type != _START}
    return all(
        ended.get(event.run_id, event.event_type) == event.event_type
        for event in mark.events
        if event.event_type != _START
    )


def _anew(
    destination: str, mark: OutboxMark, before: Sequence[AnyRow], now: int
) -> list[dict[str, object]]:
    """Give all events of a run; an end that may have been told otherwise is the newer word."""
    told = {
        (row.run_id, row.event_type): (row.revision, row.content_hash)
        for row in before
        if row.event_type != _START
    }
    rows = []
    for position, event in enumerate(mark.events):
        row = row_of(destination, mark.unit_key, event, now, position)
        if (event.run_id, event.event_type) in told:
            revision, content = told[event.run_id, event.event_type]
            row["revision"] = revision + (content != event.content_hash)
        rows.append(row)
    return rows


def _had(
    connection: Connection, destination: str, unit_keys: Sequence[str]
) -> dict[str, list[AnyRow]]:
    had: dict[str, list[AnyRow]] = {}
    for part in chunks(unit_keys):
        rows = connection.execute(
            select(
                outbox.c.unit_key,
                outbox.c.seq,
                outbox.c.run_id,
                outbox.c.event_type,
                outbox.c.content_hash,
                outbox.c.state,
                outbox.c.revision,
                outbox.c.corrects,
            )
            .where(outbox.c.destination == destination, outbox.c.unit_key.in_(part))
            .order_by(outbox.c.seq)
        )
        for row in rows:
            had.setdefault(row.unit_key, []).append(row)
    return had


def _heads(
    connection: Connection, destination: str, pipeline: Pipeline | None = None
) -> dict[Pipeline, _Head]:
    query = select(heads.c.stack, heads.c.name_hash, heads.c.unit_key, heads.c.end_ms).where(
        heads.c.destination == destination
    )
    if pipeline is not None:
        query = query.where(
            heads.c.stack == pipeline.stack, heads.c.name_hash == pipeline.name_hash
        )
    rows = connection.execute(query)
    return {Pipeline(row.stack, row.name_hash): _Head(row.unit_key, row.end_ms) for row in rows}


def _last_told(connection: Connection, destination: str, unit_key: str) -> str:
    """Name the newest run of a run's pipeline that the destination was told of.

    For runs that were delivered one event at a time, before they left run by run.
    """
    of = units.alias("of")
    told = (
        select(units.c.key)
        .select_from(
            units.join(of, (of.c.stack == units.c.stack) & (of.c.pipeline == units.c.pipeline))
        )
        .where(
            of.c.key == unit_key,
            select(outbox.c.seq)
            .where(outbox.c.destination == destination, outbox.c.unit_key == units.c.key)
            .exists(),
        )
        .order_by(RUN_END.desc(), units.c.id.desc())
        .limit(1)
    )
    return str(connection.execute(told).scalar_one())


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


def _leaves_whole(connection: Connection, destination: str, unit_key: str) -> bool:
    """Tell whether the events of a run have places in it: those sent singly have none."""
    last = select(func.max(outbox.c.position)).where(
        outbox.c.destination == destination, outbox.c.unit_key == unit_key
    )
    return bool(connection.execute(last).scalar_one())


def _is_open(connection: Connection, destination: str, unit_key: str) -> bool:
    """Tell whether a run has events that the destination still lacks."""
    open_rows = select(func.count()).where(
        outbox.c.destination == destination,
        outbox.c.unit_key == unit_key,
        outbox.c.state.in_(OPEN),
    )
    return bool(connection.execute(open_rows).scalar_one())


def _drop_bodies(connection: Connection, destination: str, unit_key: str) -> None:
    """Drop the bodies of a run, unless it is its pipeline's newest, or open and comes again."""
    is_head = select(heads.c.unit_key).where(
        heads.c.destination == destination, heads.c.unit_key == unit_key
    )
    if connection.execute(is_head).first() or _is_open(connection, destination, unit_key):
        return
    connection.execute(
        update(outbox)
        .where(
            outbox.c.destination == destination,
            outbox.c.unit_key == unit_key,
            ~reading.shall_be_shown_again(destination),
        )
        .values(body=None)
    )
