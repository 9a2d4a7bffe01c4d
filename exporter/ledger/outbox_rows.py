"""Rows of the outbox as they come and go, within a caller's writing transaction."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from exporter.errors import StateError
from exporter.ledger.progress import chunks, count, outbox_scope
from exporter.ledger.schema import letters, outbox, units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Connection

    from exporter.ledger.records import OutboxEvent

PARKED = "parked"
"""The state of an event that waits, queued no more, behind a dead letter."""

OPEN = ("queued", "dead", PARKED)
"""The states of events that a destination still lacks."""

RUN_END = func.coalesce(units.c.end_ms, units.c.changed_ms, units.c.start_ms, 0)
"""When a run ended, for the order of runs; of one without an end what comes nearest."""


def row_of(
    destination: str, unit_key: str, event: OutboxEvent, now: int, position: int = 0
) -> dict[str, object]:
    """Spell an event that enters; `position` is its place in its run.

    Raises: StateError for one without a body.
    """
    if not event.body:
        raise StateError("An event without a body cannot enter the outbox.", run_id=event.run_id)
    return {
        "destination": destination,
        "unit_key": unit_key,
        "lane": event.lane,
        "run_id": event.run_id,
        "event_type": event.event_type,
        "event_time": event.event_time,
        "content_hash": event.content_hash,
        "body": event.body,
        "state": "queued",
        "attempts": 0,
        "entered_ms": now,
        "position": position,
        "revision": 0,
        "corrects": False,
    }


def leave(connection: Connection, destination: str, leaving: Sequence[tuple[int, str]]) -> None:
    """Remove rows, each its seq and state, that newer ones replace, and their dead letters."""
    states = Counter(state for _, state in leaving)
    for part in chunks(seq for seq, _ in leaving):
        connection.execute(delete(outbox).where(outbox.c.seq.in_(part)))
        if states["dead"]:
            connection.execute(
                delete(letters).where(letters.c.what == "event", letters.c.subject.in_(part))
            )
    waiting = states["queued"] + states[PARKED]
    count(connection, outbox_scope(destination), {"pending": -waiting, "dead": -states["dead"]})


def queue_again(connection: Connection, destination: str, meant: ColumnElement[bool]) -> None:
    """Queue again what a destination took."""
    taken = (outbox.c.destination == destination, outbox.c.state == "delivered", meant)
    rows = connection.execute(
        select(units.c.stack, func.count().label("number"))
        .select_from(outbox.join(units, units.c.key == outbox.c.unit_key))
        .where(*taken)
        .group_by(units.c.stack)
    )
    changes = {f"delivered/{row.stack}": -row.number for row in rows}
    moved = connection.execute(
        update(outbox)
        .where(*taken)
        .values(state="queued", attempts=0, next_at=None, corrects=False)
    ).rowcount
    scope = outbox_scope(destination)
    count(connection, scope, {**changes, "delivered": -moved, "pending": moved})
