"""Events on their way out: a row per event and destination, in the order of their marks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import case, func, insert, select, text, update

from exporter.ledger import due_runs, exact_links, reading, whole_runs
from exporter.ledger.dead import write_letter
from exporter.ledger.outbox_rows import leave, row_of
from exporter.ledger.progress import chunks, count, counted, mark_done, outbox_scope
from exporter.ledger.records import OutboxCounts, OutboxRow, Trouble
from exporter.ledger.schema import letters, outbox, units

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.engine import Connection

    from exporter.ledger.database import Database
    from exporter.ledger.exact_links import Ends
    from exporter.ledger.records import Lease, OutboxMark

RESPONSE_LIMIT = 4000
"""How many characters of a destination's answer are kept."""

_PAGE_BYTES = 32 * 2**20
_FETCHED = 200  # rows at a time, so that a page of large bodies is not read whole

# Spelled as the partial indexes spell them, or SQLite would not use these.
_IS_QUEUED = text("outbox.state = 'queued'")
_IS_PARKED = text("outbox.state = 'parked'")
_DELIVERED_OF = "delivered/"
_IS_TRIED = text("outbox.state = 'queued' AND outbox.next_at IS NOT NULL")
_IS_HELD = text("held.state = 'queued' AND held.next_at IS NOT NULL")


class Outbox:
    """What each destination has yet to take; a delivered event leaves only its hash behind."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(self, lease: Lease, marks: Sequence[OutboxMark], now: int) -> int:
        """Mark units done for their sinks and take in their events; give how many entered.

        All of it is one transaction.

        Order: as given; `seq` rises.
        Repeat: an event whose content equals the newest of its destination, run and type does not
            enter again; one
            that differs does, and takes the place of those that were delivered, dropped or dead.
        """
        if not marks:
            return 0
        per_sink: dict[str, list[OutboxMark]] = {}
        for mark in marks:
            per_sink.setdefault(mark.sink, []).append(mark)
        with self._database.write(lease) as connection:
            entered = 0
            for sink, own in per_sink.items():
                mark_done(connection, sink, [(mark.unit_key, mark.fingerprint) for mark in own])
                free = [mark for mark in own if not mark.whole]
                whole = [mark for mark in own if mark.whole]
                entered += _enter(connection, sink, free, now) if free else 0
                entered += whole_runs.enter(connection, sink, whole, now) if whole else 0
            return entered

    def next_events(
        self, destination: str, *, limit: int, now: int, max_bytes: int = _PAGE_BYTES
    ) -> list[OutboxRow]:
        """Give the events that may leave now, oldest first; none of a lane that is held.

        Limits: at most `limit`, and no more once their bodies have `max_bytes`; at least one.
        """
        held = outbox.alias("held")
        held_lanes = select(held.c.lane).where(
            held.c.destination == destination, _IS_HELD, held.c.next_at > now
        )
        query = (
            select(
                outbox.c.seq,
                outbox.c.lane,
                outbox.c.run_id,
                outbox.c.event_type,
                outbox.c.event_time,
                outbox.c.content_hash,
                outbox.c.body,
                outbox.c.attempts,
            )
            .where(
                outbox.c.destination == destination, _IS_QUEUED, outbox.c.lane.not_in(held_lanes)
            )
            .order_by(outbox.c.seq)
            .limit(limit)
        )
        found: list[OutboxRow] = []
        size = 0
        with (
            self._database.read() as connection,
            connection.execute(query, execution_options={"yield_per": _FETCHED}) as rows,
        ):
            for row in rows:
                found.append(OutboxRow(*row))
                size += len(row.body)
                if size >= max_bytes:
                    break
        return found

    def next_runs(
        self,
        lease: Lease,
        destination: str,
        *,
        limit: int,
        now: int,
        stacks: Collection[str] | None = None,
    ) -> list[OutboxRow]:
        """Give the events of whole runs that may leave now, each lane's in order.

        A run of which only a part was taken comes again from its first event; one that is older
        than what the destination holds of its pipeline is followed by the newest. No run leaves
        before one that ended earlier and is still to come, of `stacks` or of all. Steps that read
        what a dead letter holds back wait for it, with all after them but the end of their run.
        """
        with self._database.read() as connection:
            freed = reading.released(connection, destination)
        if freed:
            with self._database.write(lease) as connection:
                reading.unpark(connection, destination, freed)
        with self._database.read() as connection:
            chosen = due_runs.next_runs(
                connection, destination, limit=limit, now=now, stacks=stacks
            )
        if chosen.reopened or chosen.held:
            with self._database.write(lease) as connection:
                whole_runs.reopen(connection, destination, chosen.reopened)
                reading.park(connection, destination, chosen.held)
        with self._database.read() as connection:
            rows = due_runs.rows_of(connection, destination, chosen)
            told = due_runs.told_by_others(connection, destination, rows)
        self.acknowledge(lease, destination, told, now, whole=True)
        return [row for row in rows if row.seq not in told]

    def acknowledge(
        self,
        lease: Lease,
        destination: str,
        seqs: Iterable[int],
        now: int,
        *,
        whole: bool = False,
    ) -> None:
        """Note that a destination took events. Repeat: harmless.

        Their bodies are dropped; of events that leave run by run when the run is taken whole and is
        not the newest of its pipeline, of an end whose START is a dead letter together with that.
        """
        wanted = list(seqs)
        if not wanted:
            return
        with self._database.write(lease) as connection:
            deltas: Counter[str] = Counter()
            kept: dict[str, object] = {"corrects": False}
            if not whole:
                has_dead = counted(connection, outbox_scope(destination)).get("dead", 0)
                kept = {"body": None}
                if has_dead:
                    kept = {"body": case((_has_dead_start(), outbox.c.body), else_=None)}
            for part in chunks(wanted):
                taken = (outbox.c.destination == destination, outbox.c.seq.in_(part), _IS_QUEUED)
                for row in connection.execute(_per_stack().where(*taken)):
                    deltas[_DELIVERED_OF + row.stack] += row.number
                done = connection.execute(
                    update(outbox)
                    .where(*taken)
                    .values(state="delivered", next_at=None, left_ms=now, **kept)
                ).rowcount
                deltas["delivered"] += done
                deltas["pending"] -= done
            count(connection, outbox_scope(destination), deltas)
            if whole:
                for part in chunks(wanted):
                    of_runs = select(outbox.c.unit_key).where(outbox.c.seq.in_(part)).distinct()
                    keys = connection.execute(of_runs).scalars().all()
                    whole_runs.settle(connection, destination, keys)

    def retry_event(
        self, lease: Lease, seq: int, *, next_at: int, status: int | None, body: str | None
    ) -> None:
        """Hold an event, and its lane behind it, until `next_at`; its attempts rise by one."""
        with self._database.write(lease) as connection:
            connection.execute(
                update(outbox)
                .where(outbox.c.seq == seq, _IS_QUEUED)
                .values(
                    attempts=outbox.c.attempts + 1,
                    next_at=next_at,
                    status=status,
                    response=(body or "")[:RESPONSE_LIMIT],
                )
            )

    def dead_event(
        self,
        lease: Lease,
        seq: int,
        *,
        status: int | None,
        body: str | None,
        now: int,
        whole: bool = False,
    ) -> None:
        """Make an event a dead letter, with what the destination answered; its lane goes on.

        Where events leave run by run, the rest of its run waits for the letter to be sent back.
        Repeat: an event that does not wait any more is left alone.
        """
        response = (body or "")[:RESPONSE_LIMIT]
        with self._database.write(lease) as connection:
            row = connection.execute(
                select(
                    outbox.c.destination,
                    outbox.c.run_id,
                    outbox.c.event_type,
                    outbox.c.attempts,
                    outbox.c.unit_key,
                ).where(outbox.c.seq == seq, _IS_QUEUED)
            ).one_or_none()
            if row is None:
                return
            connection.execute(
                update(outbox)
                .where(outbox.c.seq == seq)
                .values(
                    state="dead",
                    attempts=row.attempts + 1,
                    next_at=None,
                    status=status,
                    response=response,
                    left_ms=now,
                )
            )
            unit = connection.execute(
                select(units.c.stack, units.c.source_id, units.c.pipeline, units.c.run).where(
                    units.c.key == row.unit_key
                )
            ).one()
            write_letter(
                connection,
                what="event",
                stack=unit.stack,
                sink=row.destination,
                source_id=unit.source_id or "",
                subject=seq,
                pipeline=unit.pipeline,
                run=unit.run,
                event=f"{row.event_type} {row.run_id}",
                kind="refused" if status is None else f"status_{status}",
                error=response or "The destination refused the event and gave no reason.",
                attempts=row.attempts + 1,
                now=now,
            )
            count(connection, outbox_scope(row.destination), {"pending": -1, "dead": 1})
            if whole:
                whole_runs.park(connection, row.destination, row.unit_key)

    def counts(self, destination: str) -> OutboxCounts:
        """Say how the destination stands, from counters."""
        with self._database.read() as connection:
            have = counted(connection, outbox_scope(destination))
        return OutboxCounts(have.get("pending", 0), have.get("delivered", 0), have.get("dead", 0))

    def trouble(self, destination: str) -> Trouble | None:
        """Say what a destination answered last to an event that waits for its next try."""
        with self._database.read() as connection:
            row = connection.execute(
                select(outbox.c.status, outbox.c.response, outbox.c.attempts, outbox.c.next_at)
                .where(outbox.c.destination == destination, _IS_TRIED)
                .order_by(outbox.c.next_at.desc())
                .limit(1)
            ).one_or_none()
        return None if row is None else Trouble(*row)

    def ends_of(self, destination: str, dataset: str, artifacts: Iterable[str]) -> Ends:
        """Give what to show again so that a reader of a dataset's older version is linked to it.

        That is the end of its maker before, and the end of the newest version's after.
        """
        with self._database.read() as connection:
            return exact_links.ends_of(connection, destination, dataset, artifacts)

    def ends_after(self, destination: str, unit_key: str) -> list[OutboxRow]:
        """Give the ends to tell again after a run that comes late, in order.

        They are of runs that are held and made newer versions of what it makes.
        """
        with self._database.read() as connection:
            return exact_links.ends_after(connection, destination, unit_key)

    def withheld(self, destination: str) -> int:
        """Count the corrections of older runs that were not sent: the catalog cannot take them."""
        with self._database.read() as connection:
            return counted(connection, outbox_scope(destination)).get(whole_runs.WITHHELD, 0)

    def counts_by_stack(self, destination: str) -> dict[str, OutboxCounts]:
        """Say how the destination stands with each stack's events; stacks without any are left out.

        Speed: what was delivered is kept as counters; what waits or is dead is little.
        """
        dead = (
            select(letters.c.stack, func.count().label("number"))
            .where(
                letters.c.what == "event", letters.c.sink == destination, letters.c.state == "open"
            )
            .group_by(letters.c.stack)
        )
        with self._database.read() as connection:
            have = counted(connection, outbox_scope(destination))
            pending: Counter[str] = Counter()
            for waits in (_IS_QUEUED, _IS_PARKED):
                rows = _per_stack().where(outbox.c.destination == destination, waits)
                pending.update({row.stack: row.number for row in connection.execute(rows)})
            lost = {row.stack: row.number for row in connection.execute(dead)}
        delivered = {
            name.removeprefix(_DELIVERED_OF): number
            for name, number in have.items()
            if name.startswith(_DELIVERED_OF)
        }
        return {
            stack: OutboxCounts(pending[stack], delivered.get(stack, 0), lost.get(stack, 0))
            for stack in sorted({*pending, *delivered, *lost})
        }


def _per_stack() -> Select[tuple[str, int]]:
    return (
        select(units.c.stack, func.count().label("number"))
        .select_from(outbox.join(units, units.c.key == outbox.c.unit_key))
        .group_by(units.c.stack)
    )


def _has_dead_start() -> ColumnElement[bool]:
    """Say of an event whether the START of its run is a dead letter, and may be sent again."""
    start = outbox.alias("start")
    return (
        select(start.c.seq)
        .where(
            start.c.destination == outbox.c.destination,
            start.c.run_id == outbox.c.run_id,
            start.c.event_type == "START",
            start.c.state == "dead",
        )
        .exists()
    )


def _enter(connection: Connection, destination: str, marks: Sequence[OutboxMark], now: int) -> int:
    """Insert the events that say something new; give how many."""
    run_ids = dict.fromkeys(event.run_id for mark in marks for event in mark.events)
    newest: dict[tuple[str, str], str] = {}
    replaceable: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for part in chunks(run_ids):
        rows = connection.execute(
            select(
                outbox.c.run_id,
                outbox.c.event_type,
                outbox.c.seq,
                outbox.c.content_hash,
                outbox.c.state,
            )
            .where(outbox.c.destination == destination, outbox.c.run_id.in_(part))
            .order_by(outbox.c.seq)
        )
        for run_id, event_type, seq, content_hash, state in rows:
            newest[run_id, event_type] = content_hash
            if state != "queued":
                replaceable.setdefault((run_id, event_type), []).append((seq, state))
    entering: list[dict[str, object]] = []
    leaving: list[tuple[int, str]] = []
    for mark in marks:
        for event in mark.events:
            name = event.run_id, event.event_type
            if newest.get(name) == event.content_hash:
                continue
            newest[name] = event.content_hash
            leaving += replaceable.pop(name, [])
            entering.append(row_of(destination, mark.unit_key, event, now))
    leave(connection, destination, leaving)
    if entering:
        connection.execute(insert(outbox), entering)
        count(connection, outbox_scope(destination), {"pending": len(entering)})
    return len(entering)
