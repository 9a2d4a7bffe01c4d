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

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from exporter.ledger import exact_links, lanes, reading, versions
from exporter.ledger.lanes import Pipeline
from exporter.ledger.newest_runs import newest_runs
from exporter.ledger.outbox_rows import OPEN, RUN_END, leave, queue_again, row_of
from exporter.ledger.progress import chunks, count, outbox_scope, upsert
from exporter.ledger.recording import name_hash
from exporter.ledger.schema import heads, outbox, units

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.engine import Connection

    from exporter.ledger.records import OutboxEvent, OutboxMark

    AnyRow = Row[*tuple[Any, ...]]  # Any: columns are read by name

WITHHELD = "withheld"
_START = "START"


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
    newest = newest_runs(connection, destination)
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
        head = newest_runs(connection, destination, pipeline).get(pipeline)
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
