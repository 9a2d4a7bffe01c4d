"""Dead letters: what is not tried again until a person says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from exporter.ledger import whole_runs
from exporter.ledger.outbox_rows import queue_again
from exporter.ledger.progress import chunks, count, outbox_scope, stack_scope
from exporter.ledger.records import DeadLetter, LetterKind
from exporter.ledger.schema import letters, outbox, unit_sinks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.engine import Connection

    from exporter.ledger.database import Database
    from exporter.ledger.records import Lease

    AnyRow = Row[*tuple[Any, ...]]  # Any: columns are read by name


class DeadLetters:
    """Units, runs and events that were given up, each with its reason."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def letters(self, *, stack: str | None = None) -> list[DeadLetter]:
        """List the open dead letters, oldest first."""
        query = select(*_COLUMNS).where(letters.c.state == "open").order_by(letters.c.id)
        if stack is not None:
            query = query.where(letters.c.stack == stack)
        with self._database.read() as connection:
            return [DeadLetter(*tuple(row)) for row in connection.execute(query)]

    def retry(self, lease: Lease, ids: Iterable[int] | None = None) -> int:
        """Send letters back to be tried in the next cycle; give how many. None means all.

        Attempts begin from zero.
        """
        with self._database.write(lease) as connection:
            rows = _open_letters(connection, ids)
            _move_units(connection, rows, "pending")
            _set_state(connection, [row for row in rows if row.what == "run"], "retry")
            _move_events(connection, rows, "queued", {"attempts": 0, "next_at": None})
        return len(rows)

    def drop(self, lease: Lease, ids: Iterable[int] | None = None) -> int:
        """Give letters up until their run changes at its source; give how many. None means all."""
        with self._database.write(lease) as connection:
            rows = _open_letters(connection, ids)
            _move_units(connection, rows, "dropped")
            _set_state(connection, [row for row in rows if row.what == "run"], "dropped")
            _move_events(connection, rows, "dropped", {"body": None})
        return len(rows)


def write_letter(
    connection: Connection,
    *,
    what: LetterKind,
    stack: str,
    sink: str,
    source_id: str,
    subject: int,
    pipeline: str,
    run: str,
    event: str,
    kind: str,
    error: str,
    attempts: int,
    now: int,
) -> None:
    """Open a dead letter; `subject` is a unit's id, an event's seq, or 0 for a run that is none."""
    connection.execute(
        insert(letters).values(
            what=what,
            state="open",
            stack=stack,
            sink=sink,
            source_id=source_id,
            subject=subject,
            pipeline=pipeline,
            run=run,
            event=event,
            kind=kind,
            error=error,
            attempts=attempts,
            since_ms=now,
        )
    )


_COLUMNS = (
    letters.c.id,
    letters.c.what,
    letters.c.stack,
    letters.c.sink,
    letters.c.source_id,
    letters.c.pipeline,
    letters.c.run,
    letters.c.event,
    letters.c.kind,
    letters.c.error,
    letters.c.attempts,
    letters.c.since_ms,
)


def _open_letters(connection: Connection, ids: Iterable[int] | None) -> list[AnyRow]:
    """Give the open letters among these."""
    query = select(
        letters.c.id, letters.c.what, letters.c.stack, letters.c.sink, letters.c.subject
    ).where(letters.c.state == "open")
    if ids is None:
        return list(connection.execute(query).all())
    rows: list[AnyRow] = []
    for part in chunks(dict.fromkeys(ids)):
        rows += connection.execute(query.where(letters.c.id.in_(part))).all()
    return rows


def _groups(rows: Sequence[AnyRow], what: str) -> dict[tuple[str, str], list[AnyRow]]:
    groups: dict[tuple[str, str], list[AnyRow]] = {}
    for row in rows:
        if row.what == what:
            groups.setdefault((row.stack, row.sink), []).append(row)
    return groups


def _move_units(connection: Connection, rows: Sequence[AnyRow], progress: str) -> None:
    for (stack, sink), group in _groups(rows, "unit").items():
        moved = 0
        for part in chunks(row.subject for row in group):
            moved += connection.execute(
                update(unit_sinks)
                .where(
                    unit_sinks.c.sink == sink,
                    unit_sinks.c.unit_id.in_(part),
                    unit_sinks.c.progress == "dead",
                )
                .values(progress=progress, attempts=0, next_at=None)
            ).rowcount
        count(connection, stack_scope(stack), {f"dead/{sink}": -moved, f"{progress}/{sink}": moved})
        _delete(connection, group)


def _move_events(
    connection: Connection, rows: Sequence[AnyRow], state: str, values: dict[str, int | None]
) -> None:
    for (_, destination), group in _groups(rows, "event").items():
        moved = 0
        for part in chunks(row.subject for row in group):
            moved += connection.execute(
                update(outbox)
                .where(outbox.c.seq.in_(part), outbox.c.state == "dead")
                .values(state=state, **values)
            ).rowcount
        _with_their_ends(connection, destination, group, again=state == "queued")
        queued = moved if state == "queued" else 0
        count(connection, outbox_scope(destination), {"dead": -moved, "pending": queued})
        whole_runs.unpark(connection, [row.subject for row in group])
        _delete(connection, group)


def _with_their_ends(
    connection: Connection, destination: str, rows: Sequence[AnyRow], *, again: bool
) -> None:
    """Send ends that were taken `again` after their START, for alone it would begin the run anew.

    Or let their bodies go, which were kept for that.
    Source: https://github.com/MarquezProject/marquez/issues/2264
    """
    for part in chunks(row.subject for row in rows):
        begun = select(outbox.c.run_id).where(
            outbox.c.seq.in_(part), outbox.c.event_type == "START"
        )
        ends = (
            outbox.c.run_id.in_(begun)
            & (outbox.c.event_type != "START")
            & (outbox.c.position == 0)
            & outbox.c.body.is_not(None)
        )
        if again:
            queue_again(connection, destination, ends)
        else:
            taken = (outbox.c.destination == destination, outbox.c.state == "delivered")
            connection.execute(update(outbox).where(*taken, ends).values(body=None))


def _set_state(connection: Connection, rows: Sequence[AnyRow], state: str) -> None:
    for part in chunks(row.id for row in rows):
        connection.execute(update(letters).where(letters.c.id.in_(part)).values(state=state))


def _delete(connection: Connection, rows: Sequence[AnyRow]) -> None:
    for part in chunks(row.id for row in rows):
        connection.execute(delete(letters).where(letters.c.id.in_(part)))
