"""Taking in what the source shows: units, their artifacts and pipelines, and the totals of them.

Everything here works inside a caller's transaction. The number of statements depends on how many
units of a page changed in kind (new, changed, moved), not on how many units the ledger holds.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, or_, select, update

from exporter.ledger.progress import chunks, count, make_pending, new_rows, stack_scope, upsert
from exporter.ledger.records import RecordOutcome, SeenUnit, UnitState
from exporter.ledger.schema import (
    artifacts,
    letters,
    pipelines,
    stack_sinks,
    unit_sinks,
    units,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.engine import Connection

    AnyRow = Row[*tuple[Any, ...]]  # Any: columns are read by name

STATE_COLUMNS = (
    units.c.id,
    units.c.key,
    units.c.source_id,
    units.c.stack,
    units.c.pipeline,
    units.c.run,
    units.c.status,
    units.c.unfinished,
    units.c.settled,
    units.c.gone,
    units.c.fingerprint,
    units.c.first_seen_ms,
    units.c.changed_ms,
    units.c.start_ms,
    units.c.end_ms,
)
_SIZES = (units.c.steps, units.c.artifact_ids)


class _Sizes:
    """What a page adds to the totals: runs and steps, and who uses which artifact and pipeline."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.artifacts: Counter[str] = Counter()
        self.pipelines: Counter[str] = Counter()

    def add(self, pipeline: str, steps: int, artifact_ids: Iterable[str], sign: int) -> None:
        """Count one run in (sign 1) or out (sign -1)."""
        self.totals["runs"] += sign
        self.totals["steps"] += sign * steps
        self.pipelines[pipeline] += sign
        for artifact_id in artifact_ids:
            self.artifacts[artifact_id] += sign

    def store(self, connection: Connection, stack: str) -> None:
        """Write the changes of all totals."""
        self.totals["artifacts"] += _refer_artifacts(connection, stack, self.artifacts)
        self.totals["pipelines"] += _refer_pipelines(connection, stack, self.pipelines)
        count(connection, stack_scope(stack), self.totals)


def record(connection: Connection, stack: str, seen: Sequence[SeenUnit], now: int) -> RecordOutcome:
    """Insert or update units; see `Units.record`."""
    page = {unit.key: unit for unit in seen}
    by_key, by_source = _find(connection, stack, page.values())
    displaced = _free_source_ids(connection, page, by_source)
    sizes = _Sizes()
    new: list[SeenUnit] = []
    changed: list[int] = []
    updates: list[dict[str, object]] = []
    kinds: dict[str, str] = {}
    for unit in page.values():
        row = by_key.get(unit.key)
        if row is None:
            new.append(unit)
            kinds[unit.source_id] = "new"
            sizes.add(unit.pipeline, unit.steps, set(unit.artifact_ids), 1)
            continue
        moved = row.fingerprint != unit.fingerprint or row.gone
        kinds[unit.source_id] = "changed" if moved else "unchanged"
        if moved:
            changed.append(row.id)
            if not row.gone:
                sizes.add(row.pipeline, row.steps, json.loads(row.artifact_ids), -1)
            sizes.add(unit.pipeline, unit.steps, set(unit.artifact_ids), 1)
        values = _values(stack, unit, now if moved else row.first_seen_ms)
        if any(getattr(row, name) != value for name, value in values.items()):
            updates.append({**values, "unit": row.id})
    _withdraw_runs(connection, stack, [unit.source_id for unit in page.values()], sizes)
    _insert(connection, stack, new, now)
    if updates:
        connection.execute(
            update(units)
            .where(units.c.id == bindparam("unit"))
            .values({name: bindparam(name) for name in updates[0] if name != "unit"}),
            updates,
        )
    make_pending(connection, stack, changed)
    sizes.store(connection, stack)
    if displaced:
        vanish(connection, stack, displaced)
    return RecordOutcome(
        *(tuple(s for s, kind in kinds.items() if kind == k) for k in RecordOutcome._fields)
    )


def mark_gone(connection: Connection, stack: str, source_ids: Sequence[str]) -> list[UnitState]:
    """Note that the source no longer has these units; see `Units.mark_gone`."""
    rows: list[AnyRow] = []
    sizes = _Sizes()
    _withdraw_runs(connection, stack, source_ids, sizes)
    count(connection, stack_scope(stack), sizes.totals)
    for part in chunks(source_ids):
        rows += connection.execute(
            select(*STATE_COLUMNS)
            .where(units.c.stack == stack, units.c.source_id.in_(part), units.c.gone.is_(False))
            .order_by(units.c.id)
        ).all()
    vanish(connection, stack, [row.id for row in rows])
    return [replace(unit_state(row), gone=True) for row in rows]


def vanish(connection: Connection, stack: str, unit_ids: Sequence[int]) -> None:
    """Take units out of the totals and let every sink know."""
    sizes = _Sizes()
    for part in chunks(unit_ids):
        rows = connection.execute(
            select(units.c.pipeline, *_SIZES).where(units.c.id.in_(part), units.c.gone.is_(False))
        )
        for pipeline, steps, artifact_ids in rows:
            sizes.add(pipeline, steps, json.loads(artifact_ids), -1)
        connection.execute(
            update(units).where(units.c.id.in_(part)).values(gone=True, waiting=False)
        )
    sizes.store(connection, stack)
    make_pending(connection, stack, unit_ids)


def record_pipelines(connection: Connection, stack: str, names: Iterable[str]) -> None:
    """Take the source's list of pipelines; see `Units.record_pipelines`."""
    listed = {name_hash(name): name for name in names}
    rows = connection.execute(
        select(pipelines.c.name_hash, pipelines.c.runs, pipelines.c.listed).where(
            pipelines.c.stack == stack
        )
    ).all()
    known = {row.name_hash: row for row in rows}
    added = [
        {"stack": stack, "name_hash": h, "name": name, "runs": 0, "listed": True}
        for h, name in listed.items()
        if h not in known
    ]
    if added:
        connection.execute(insert(pipelines), added)
    flip = [h for h, row in known.items() if row.listed != (h in listed)]
    for part in chunks(flip):
        connection.execute(
            update(pipelines)
            .where(pipelines.c.stack == stack, pipelines.c.name_hash.in_(part))
            .values(listed=~pipelines.c.listed)
        )
    removed = _drop_unused_pipelines(connection, stack) if flip else 0
    count(connection, stack_scope(stack), {"pipelines": len(added) - removed})


def unit_state(row: AnyRow) -> UnitState:
    """Read a row of STATE_COLUMNS."""
    return UnitState(
        position=row.id,
        key=row.key,
        source_id=row.source_id or "",
        stack=row.stack,
        pipeline=row.pipeline,
        run=row.run,
        status=row.status,
        unfinished=row.unfinished,
        settled=row.settled,
        gone=row.gone,
        fingerprint=row.fingerprint,
        first_seen_ms=row.first_seen_ms,
        changed_ms=row.changed_ms,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
    )


def name_hash(name: str) -> str:
    """Shorten a name of any length for an index."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _values(stack: str, unit: SeenUnit, first_seen: int) -> dict[str, object]:
    return {
        "key": unit.key,
        "stack": stack,
        "source_id": unit.source_id,
        "pipeline": unit.pipeline,
        "run": unit.run,
        "status": unit.status,
        "unfinished": unit.unfinished,
        "settled": unit.settled,
        "gone": False,
        "waiting": unit.unfinished or not unit.settled,
        "fingerprint": unit.fingerprint,
        "first_seen_ms": first_seen,
        "changed_ms": unit.changed_ms,
        "start_ms": unit.start_ms,
        "end_ms": unit.end_ms,
        "steps": unit.steps,
        "artifact_ids": json.dumps(sorted(set(unit.artifact_ids)), separators=(",", ":")),
    }


def _find(
    connection: Connection, stack: str, page: Iterable[SeenUnit]
) -> tuple[dict[str, AnyRow], dict[str, AnyRow]]:
    """Give the rows of a page's keys, and the rows that hold its source ids."""
    by_key: dict[str, AnyRow] = {}
    by_source: dict[str, AnyRow] = {}
    for part in chunks(page):
        rows = connection.execute(
            select(*STATE_COLUMNS, units.c.waiting, *_SIZES).where(
                or_(
                    units.c.key.in_([unit.key for unit in part]),
                    (units.c.stack == stack)
                    & units.c.source_id.in_([unit.source_id for unit in part]),
                )
            )
        )
        for row in rows:
            by_key[row.key] = row
            if row.stack == stack and row.source_id is not None:
                by_source[row.source_id] = row
    return by_key, by_source


def _free_source_ids(
    connection: Connection,
    page: dict[str, SeenUnit],
    by_source: dict[str, AnyRow],
) -> list[int]:
    """Take source ids from rows that lose them to another run; give the rows left without one.

    A store that was rebuilt numbers the same runs anew, so rows may swap ids among themselves.
    """
    moving = {
        row.id: row
        for unit in page.values()
        if (row := by_source.get(unit.source_id)) is not None and row.key != unit.key
    }
    for part in chunks(moving):
        connection.execute(update(units).where(units.c.id.in_(part)).values(source_id=None))
    return [row.id for row in moving.values() if row.key not in page and not row.gone]


def _insert(connection: Connection, stack: str, new: Sequence[SeenUnit], now: int) -> None:
    if not new:
        return
    connection.execute(insert(units), [_values(stack, unit, now) for unit in new])
    sinks = connection.execute(
        select(stack_sinks.c.sink).where(stack_sinks.c.stack == stack, stack_sinks.c.active)
    ).scalars()
    names = list(sinks)
    if not names:
        return
    ids: list[int] = []
    for part in chunks(unit.key for unit in new):
        ids += connection.execute(select(units.c.id).where(units.c.key.in_(part))).scalars()
    rows = new_rows(stack, ids, names)
    connection.execute(insert(unit_sinks), rows)
    per_sink = Counter(f"pending/{row['sink']}" for row in rows)
    count(connection, stack_scope(stack), per_sink)


def _withdraw_runs(
    connection: Connection, stack: str, source_ids: Sequence[str], sizes: _Sizes
) -> None:
    """Forget that runs could not be read."""
    for part in chunks(source_ids):
        rows = connection.execute(
            select(letters.c.id, letters.c.subject).where(
                letters.c.stack == stack, letters.c.source_id.in_(part), letters.c.what == "run"
            )
        ).all()
        if not rows:
            continue
        sizes.totals["runs"] -= sum(1 for row in rows if not row.subject)
        connection.execute(delete(letters).where(letters.c.id.in_([row.id for row in rows])))


def _refer_artifacts(connection: Connection, stack: str, delta: Counter[str]) -> int:
    """Change how many runs use each artifact; give by how many the artifacts in use grew."""
    changes = {name: value for name, value in delta.items() if value}
    before: dict[str, int] = {}
    for part in chunks(changes):
        rows = connection.execute(
            select(artifacts.c.artifact_id, artifacts.c.runs).where(
                artifacts.c.stack == stack, artifacts.c.artifact_id.in_(part)
            )
        )
        before.update((name, value) for name, value in rows)
    after = {name: before.get(name, 0) + value for name, value in changes.items()}
    upsert(
        connection,
        artifacts,
        [
            {"stack": stack, "artifact_id": name, "runs": value}
            for name, value in after.items()
            if value > 0
        ],
    )
    unused = [name for name, value in after.items() if value <= 0]
    for part in chunks(unused):
        connection.execute(
            delete(artifacts).where(artifacts.c.stack == stack, artifacts.c.artifact_id.in_(part))
        )
    return sum(1 for name in after if name not in before) - len(unused)


def _refer_pipelines(connection: Connection, stack: str, delta: Counter[str]) -> int:
    """Change how many runs each pipeline has; give by how many the pipelines grew."""
    changes = {name_hash(name): (name, value) for name, value in delta.items() if value}
    before: dict[str, tuple[int, bool]] = {}
    for part in chunks(changes):
        rows = connection.execute(
            select(pipelines.c.name_hash, pipelines.c.runs, pipelines.c.listed).where(
                pipelines.c.stack == stack, pipelines.c.name_hash.in_(part)
            )
        )
        before.update((row.name_hash, (row.runs, row.listed)) for row in rows)
    rows_after = []
    for hashed, (name, value) in changes.items():
        runs, listed = before.get(hashed, (0, False))
        rows_after.append(
            {
                "stack": stack,
                "name_hash": hashed,
                "name": name,
                "runs": runs + value,
                "listed": listed,
            }
        )
    upsert(connection, pipelines, rows_after)
    emptied = any(row["runs"] == 0 and not row["listed"] for row in rows_after)
    removed = _drop_unused_pipelines(connection, stack) if emptied else 0
    return sum(1 for hashed in changes if hashed not in before) - removed


def _drop_unused_pipelines(connection: Connection, stack: str) -> int:
    return connection.execute(
        delete(pipelines).where(
            pipelines.c.stack == stack, pipelines.c.runs == 0, pipelines.c.listed.is_(False)
        )
    ).rowcount
