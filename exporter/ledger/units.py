"""The units of a stack: what was seen of each, and how far every sink is with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import insert, literal, or_, select

from exporter.ledger import failing, recording, totals
from exporter.ledger.progress import (
    IS_PENDING,
    IS_WAITING,
    chunks,
    count,
    mark_done,
    stack_scope,
    upsert,
)
from exporter.ledger.records import (
    PendingUnit,
    RecordOutcome,
    Rescan,
    RescanTurn,
    SeenUnit,
    SinkState,
    StackCursor,
    Totals,
    UnitState,
)
from exporter.ledger.schema import letters, pipelines, stack_sinks, stacks, unit_sinks, units

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.ledger.database import Database
    from exporter.ledger.records import CursorValue, Lease


class Units:
    """What the source showed, what each sink still lacks. Order of discovery is kept everywhere."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # How far the source was read

    def cursor(self, stack: str) -> StackCursor:
        """Give the cursor and the policy it was saved with; both None for a stack never read."""
        with self._database.read() as connection:
            row = connection.execute(
                select(stacks.c.cursor, stacks.c.policy).where(stacks.c.stack == stack)
            ).one_or_none()
        if row is None:
            return StackCursor(None, None)
        return StackCursor(None if row.cursor is None else json.loads(row.cursor), row.policy)

    def save_cursor(
        self, lease: Lease, stack: str, cursor: CursorValue | None, policy: str
    ) -> None:
        """Store how far the stack was read; call it when all units up to there are recorded."""
        spelled = None if cursor is None else json.dumps(cursor, separators=(",", ":"))
        row = {"stack": stack, "cursor": spelled, "policy": policy}
        with self._database.write(lease) as connection:
            upsert(connection, stacks, [row])

    # What was seen

    def register_sinks(self, lease: Lease, stack: str, sinks: Sequence[str]) -> None:
        """Say which sinks the stack has now: a new one has every known unit to do.

        Repeat: no write when nothing changed. A sink no longer named keeps its rows, and gets no
        new ones until it is named again; then it catches up.
        """
        query = select(stack_sinks.c.sink, stack_sinks.c.active).where(stack_sinks.c.stack == stack)
        with self._database.read() as connection:
            before = {row.sink: row.active for row in connection.execute(query)}
        if {sink for sink, active in before.items() if active} == set(sinks):
            return
        with self._database.write(lease) as connection:
            rows = [
                {"stack": stack, "sink": sink, "active": sink in sinks}
                for sink in dict.fromkeys([*before, *sinks])
            ]
            upsert(connection, stack_sinks, rows)
            for sink in dict.fromkeys(sinks):
                if before.get(sink):
                    continue
                has_row = select(literal(1)).where(
                    unit_sinks.c.unit_id == units.c.id, unit_sinks.c.sink == sink
                )
                lacking = select(
                    literal(sink, unit_sinks.c.sink.type),
                    units.c.id,
                    units.c.stack,
                    literal("pending"),
                    literal(0),
                ).where(units.c.stack == stack, units.c.gone.is_(False), ~has_row.exists())
                added = connection.execute(
                    insert(unit_sinks).from_select(
                        ["sink", "unit_id", "stack", "progress", "attempts"], lacking
                    ),
                    execution_options={"preserve_rowcount": True},
                ).rowcount
                count(connection, stack_scope(stack), {f"pending/{sink}": added})

    def record_pipelines(self, lease: Lease, stack: str, names: Iterable[str]) -> None:
        """Take all pipelines that the source lists, those without runs too, for the totals."""
        with self._database.write(lease) as connection:
            recording.record_pipelines(connection, stack, names)

    def pipeline_names(self, stack: str) -> list[str]:
        """Name all pipelines that were ever seen and are not forgotten."""
        query = select(pipelines.c.name).where(pipelines.c.stack == stack)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(pipelines.c.name)).scalars())

    def known(self, stack: str, source_ids: Iterable[str]) -> dict[str, UnitState]:
        """Give what is known of these runs; those never recorded are left out."""
        found: dict[str, UnitState] = {}
        with self._database.read() as connection:
            for part in chunks(source_ids):
                rows = connection.execute(
                    select(*recording.STATE_COLUMNS).where(
                        units.c.stack == stack, units.c.source_id.in_(part)
                    )
                )
                found.update((row.source_id, recording.unit_state(row)) for row in rows)
        return found

    def of(self, keys: Iterable[str]) -> dict[str, UnitState]:
        """Give what is known of these units, by key; those never recorded are left out."""
        found: dict[str, UnitState] = {}
        with self._database.read() as connection:
            for part in chunks(keys):
                rows = connection.execute(
                    select(*recording.STATE_COLUMNS).where(units.c.key.in_(part))
                )
                found.update((row.key, recording.unit_state(row)) for row in rows)
        return found

    def present(
        self, stack: str, limit: int, *, pipeline: str | None = None, before: int | None = None
    ) -> list[UnitState]:
        """Give the units that were at the source when last looked at, latest discovered first.

        Of one pipeline or of all; the next page comes `before` the last one's position.
        """
        query = (
            select(*recording.STATE_COLUMNS)
            .where(units.c.stack == stack, units.c.gone.is_(False), units.c.source_id.is_not(None))
            .order_by(units.c.id.desc())
            .limit(limit)
        )
        if pipeline is not None:
            query = query.where(units.c.pipeline == pipeline)
        if before is not None:
            query = query.where(units.c.id < before)
        with self._database.read() as connection:
            return [recording.unit_state(row) for row in connection.execute(query)]

    def names(self, stack: str, source_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Give the pipeline and name of runs that were there, those never readable too."""
        wanted = list(source_ids)
        found: dict[str, tuple[str, str]] = {}
        with self._database.read() as connection:
            for part in chunks(wanted):
                never_read = select(letters.c.source_id, letters.c.pipeline, letters.c.run).where(
                    letters.c.stack == stack,
                    letters.c.what == "run",
                    letters.c.source_id.in_(part),
                )
                there = select(units.c.source_id, units.c.pipeline, units.c.run).where(
                    units.c.stack == stack,
                    units.c.gone.is_(False),
                    units.c.source_id.in_(part),
                )
                for query in (never_read, there):
                    found.update((i, (p, run)) for i, p, run in connection.execute(query))
        return found

    def source_ids(self, stack: str, keys: Iterable[str]) -> list[str]:
        """Give the source ids of these units, in order of discovery; some may have none."""
        found: list[tuple[int, str]] = []
        with self._database.read() as connection:
            for part in chunks(keys):
                rows = connection.execute(
                    select(units.c.id, units.c.source_id).where(
                        units.c.key.in_(part),
                        units.c.stack == stack,
                        units.c.source_id.is_not(None),
                    )
                )
                found += [(row.id, row.source_id) for row in rows]
        return [source_id for _, source_id in sorted(found)]

    def record(self, lease: Lease, stack: str, seen: Sequence[SeenUnit], now: int) -> RecordOutcome:
        """Insert or update units by key, all or none of the page.

        A new unit is pending for every sink of the stack. One whose fingerprint changed, or that
        had vanished, is pending again everywhere (attempts from zero, dead letters withdrawn) and
        its `first_seen_ms` is `now`. The totals follow. A run that takes over the source id of
        another makes that one vanish.
        Repeat: the same page again changes nothing.
        """
        if not seen:
            return RecordOutcome((), (), ())
        with self._database.write(lease) as connection:
            return recording.record(connection, stack, seen, now)

    def mark_gone(
        self,
        lease: Lease,
        stack: str,
        source_ids: Sequence[str],
        now: int,  # noqa: ARG002 - every write names its time
    ) -> list[UnitState]:
        """Note that the source no longer has these runs; give those that were there until now.

        They leave the totals and are pending for every sink (`PendingUnit.gone`); `record` brings
        them back. What could not be read of them is withdrawn.
        """
        if not source_ids:
            return []
        with self._database.write(lease) as connection:
            return recording.mark_gone(connection, stack, source_ids)

    def open(self, stack: str) -> list[str]:
        """Give the runs to look at in every cycle: unfinished, unsettled, or to be read anew."""
        with self._database.read() as connection:
            waiting = connection.execute(
                select(units.c.source_id)
                .where(units.c.stack == stack, IS_WAITING)
                .order_by(units.c.id)
            ).scalars()
            again = connection.execute(
                select(letters.c.source_id)
                .where(
                    letters.c.stack == stack, letters.c.what == "run", letters.c.state == "retry"
                )
                .order_by(letters.c.id)
            ).scalars()
            return list(dict.fromkeys(s for s in [*waiting, *again] if s is not None))

    def unread(self, stack: str, source_ids: Iterable[str] | None = None) -> list[str]:
        """Give the runs whose last reading failed, those given up too; of some ids or of all."""
        query = (
            select(letters.c.source_id)
            .where(letters.c.stack == stack, letters.c.what == "run")
            .order_by(letters.c.id)
        )
        with self._database.read() as connection:
            if source_ids is None:
                return list(connection.execute(query).scalars())
            found: list[str] = []
            for part in chunks(source_ids):
                found += connection.execute(query.where(letters.c.source_id.in_(part))).scalars()
            return found

    # What the sinks lack

    def pending(
        self,
        stack: str,
        sink: str,
        *,
        now: int,
        after: int = 0,
        limit: int = 200,
        settled_only: bool = False,
    ) -> list[PendingUnit]:
        """Give the next units the sink has to do and may do now, a page at a time.

        Order: discovery; the next page starts after the last one's `position`.
        """
        query = (
            select(
                units.c.id,
                units.c.source_id,
                units.c.key,
                units.c.fingerprint,
                unit_sinks.c.attempts,
                units.c.gone,
                units.c.pipeline,
                units.c.run,
            )
            .select_from(unit_sinks.join(units, units.c.id == unit_sinks.c.unit_id))
            .where(
                unit_sinks.c.stack == stack,
                unit_sinks.c.sink == sink,
                IS_PENDING,
                unit_sinks.c.unit_id > after,
                or_(unit_sinks.c.next_at.is_(None), unit_sinks.c.next_at <= now),
            )
            .order_by(unit_sinks.c.unit_id)
            .limit(limit)
        )
        if settled_only:
            query = query.where(units.c.waiting.is_(False))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [PendingUnit(i, source or "", *rest) for i, source, *rest in rows]

    def sink_states(self, sink: str, keys: Iterable[str]) -> dict[str, SinkState]:
        """Give how far the sink is with these units; those new to it are left out."""
        found: dict[str, SinkState] = {}
        with self._database.read() as connection:
            for part in chunks(keys):
                rows = connection.execute(
                    select(
                        units.c.key,
                        unit_sinks.c.progress,
                        unit_sinks.c.fingerprint,
                        unit_sinks.c.attempts,
                        unit_sinks.c.next_at,
                    )
                    .select_from(units.join(unit_sinks, unit_sinks.c.unit_id == units.c.id))
                    .where(units.c.key.in_(part), unit_sinks.c.sink == sink)
                )
                found.update((key, SinkState(*rest)) for key, *rest in rows)
        return found

    def skip(
        self,
        lease: Lease,
        sink: str,
        marks: Sequence[tuple[str, str]],
        now: int,  # noqa: ARG002 - every write names its time
    ) -> None:
        """Mark units (key, fingerprint) done for a sink that had nothing to send."""
        if not marks:
            return
        with self._database.write(lease) as connection:
            mark_done(connection, sink, marks)

    def fail(
        self,
        lease: Lease,
        sink: str,
        key: str,
        *,
        error: str,
        kind: str,
        dead: bool,
        next_at: int | None,
        now: int,
    ) -> int:
        """Note that a sink did not take a unit; give how often that happened since it last changed.

        Not before `next_at` it is pending again; `dead` makes it a dead letter instead. Intents
        stay open.
        """
        with self._database.write(lease) as connection:
            return failing.fail_unit(
                connection, sink, key, error=error, kind=kind, dead=dead, next_at=next_at, now=now
            )

    def fail_run(
        self,
        lease: Lease,
        stack: str,
        source_id: str,
        *,
        pipeline: str,
        run: str,
        error: str,
        kind: str,
        now: int,
    ) -> bool:
        """Note that a run cannot be read: a dead letter, a run in the totals; tell if it is news.

        Repeat: the same error again leaves the letter as it is; one that was dropped stays dropped.
        `record` of the same source id withdraws it.
        """
        with self._database.write(lease) as connection:
            return failing.fail_run(
                connection,
                stack,
                source_id,
                pipeline=pipeline,
                run=run,
                error=error,
                kind=kind,
                now=now,
            )

    # The rolling re-scan

    def next_rescan(self, stack: str, limit: int, *, after: int | None = None) -> Rescan:
        """Give the next slice of known runs, vanished ones too, after the last saved slice.

        Runs that could never be read come last in a turn; positions among these are negative.
        `after` is a position to start from instead; 0 is the beginning.
        """
        known = (
            select(units.c.id, units.c.source_id)
            .where(units.c.stack == stack, units.c.source_id.is_not(None))
            .order_by(units.c.id)
        )
        is_known = select(literal(1)).where(
            units.c.stack == letters.c.stack, units.c.source_id == letters.c.source_id
        )
        never_read = (
            select(letters.c.id, letters.c.source_id)
            .where(letters.c.stack == stack, letters.c.what == "run", ~is_known.exists())
            .order_by(letters.c.id)
        )
        with self._database.read() as connection:
            if after is None:
                saved = select(stacks.c.rescan_after).where(stacks.c.stack == stack)
                after = connection.execute(saved).scalar_one_or_none() or 0
            found: list[tuple[int, str]] = []
            if after >= 0:
                rows = connection.execute(known.where(units.c.id > after).limit(limit + 1))
                found += [(row.id, row.source_id) for row in rows]
            rest = never_read.where(letters.c.id > max(-after, 0)).limit(limit + 1 - len(found))
            if len(found) <= limit:
                found += [(-row.id, row.source_id) for row in connection.execute(rest)]
        taken = found[:limit]
        position = taken[-1][0] if taken else after
        return Rescan(tuple(i for _, i in taken), position, len(found) <= limit)

    def save_rescan(self, lease: Lease, stack: str, rescan: Rescan, now: int) -> None:
        """Note that a slice was read and recorded; the last of a turn lets the next turn begin."""
        with self._database.write(lease) as connection:
            began = connection.execute(
                select(stacks.c.turn_began_ms).where(stacks.c.stack == stack)
            ).scalar_one_or_none()
            began = now if began is None else began
            row: dict[str, object] = {"stack": stack}
            if rescan.turn_ends:
                row |= {
                    "rescan_after": 0,
                    "turn_began_ms": None,
                    "last_turn_began_ms": began,
                    "last_turn_ended_ms": now,
                }
            else:
                row |= {"rescan_after": rescan.position, "turn_began_ms": began}
            upsert(connection, stacks, [row])

    def turn(self, stack: str) -> RescanTurn:
        """Tell how long a full turn of the re-scan takes."""
        with self._database.read() as connection:
            row = connection.execute(
                select(
                    stacks.c.turn_began_ms, stacks.c.last_turn_began_ms, stacks.c.last_turn_ended_ms
                ).where(stacks.c.stack == stack)
            ).one_or_none()
        return RescanTurn(*row) if row is not None else RescanTurn(None, None, None)

    # Totals

    def totals(self, stack: str) -> Totals:
        """Add up the stack from counters; only what waits and what is dead is counted anew."""
        with self._database.read() as connection:
            return totals.totals(connection, stack)

    def count_pending(self, stack: str) -> int:
        """Count the runs that an active sink has yet to take, but are neither waiting nor dead."""
        with self._database.read() as connection:
            return totals.count_pending(connection, stack)

    def count_stale(self, stack: str, *, before_ms: int) -> int:
        """Count the unfinished runs that are stale by `SeenUnit.is_stale`."""
        with self._database.read() as connection:
            return totals.count_stale(connection, stack, before_ms)

    def stacks(self) -> list[str]:
        """Name every stack the ledger has ever recorded, sorted."""
        with self._database.read() as connection:
            return sorted(connection.execute(select(stacks.c.stack)).scalars())
