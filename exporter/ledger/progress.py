"""How far each sink is with each unit, and the counters that say so without counting.

Everything here works inside a caller's transaction.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sqlalchemy import and_, bindparam, delete, func, select, text, true, update
from sqlalchemy.dialects import postgresql, sqlite

from exporter.errors import StateError
from exporter.ledger.schema import counters, letters, unit_sinks, units

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

T = TypeVar("T")
CHUNK = 500
"""How many values go into one IN list; databases limit the parameters of a statement."""

# Spelled as the partial indexes spell them, or SQLite would not use these.
IS_PENDING = text("unit_sinks.progress = 'pending'")
IS_WAITING = text("units.waiting")


class Standing(NamedTuple):
    """A unit and where one sink is with it; `progress` is None for a sink new to the unit."""

    unit_id: int
    stack: str
    fingerprint: str
    gone: bool
    progress: str | None
    attempts: int


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Cut values into lists short enough for one statement."""
    whole = list(values)
    for start in range(0, len(whole), CHUNK):
        yield whole[start : start + CHUNK]


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows; where the primary key is there, the other columns given are overwritten."""
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    names = [column.name for column in table.primary_key]
    rest = {name: statement.excluded[name] for name in rows[0] if name not in names}
    connection.execute(
        statement.on_conflict_do_update(index_elements=names, set_=rest),
        [dict(row) for row in rows],
    )


def count(connection: Connection, scope: str, deltas: Mapping[str, int]) -> None:
    """Add to the counters of a scope."""
    rows = [
        {"scope": scope, "name": name, "value": value} for name, value in deltas.items() if value
    ]
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(counters)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["scope", "name"],
            set_={"value": counters.c.value + statement.excluded.value},
        ),
        rows,
    )


def counted(connection: Connection, scope: str) -> dict[str, int]:
    """Give all counters of a scope."""
    rows = connection.execute(
        select(counters.c.name, counters.c.value).where(counters.c.scope == scope)
    )
    return {row.name: row.value for row in rows}


def stack_scope(stack: str) -> str:
    """Name a stack's counters."""
    return f"stack/{stack}"


def outbox_scope(destination: str) -> str:
    """Name a destination's counters."""
    return f"outbox/{destination}"


def standings(connection: Connection, sink: str, keys: Iterable[str]) -> dict[str, Standing]:
    """Give where the sink is with each unit.

    Raises: StateError for a key that was never recorded.
    """
    wanted = list(dict.fromkeys(keys))
    found: dict[str, Standing] = {}
    for part in chunks(wanted):
        rows = connection.execute(
            select(
                units.c.key,
                units.c.id,
                units.c.stack,
                units.c.fingerprint,
                units.c.gone,
                unit_sinks.c.progress,
                func.coalesce(unit_sinks.c.attempts, 0),
            )
            .select_from(
                units.outerjoin(
                    unit_sinks, (unit_sinks.c.unit_id == units.c.id) & (unit_sinks.c.sink == sink)
                )
            )
            .where(units.c.key.in_(part))
        )
        found.update((key, Standing(*rest)) for key, *rest in rows)
    missing = [key for key in wanted if key not in found]
    if missing:
        raise StateError(f"The ledger does not know the unit {missing[0]}.", unit=missing[0])
    return found


def new_rows(stack: str, unit_ids: Sequence[int], sinks: Sequence[str]) -> list[dict[str, object]]:
    """Build the rows of units that a sink has not looked at yet."""
    return [
        {
            "sink": sink,
            "unit_id": unit_id,
            "stack": stack,
            "progress": "pending",
            "fingerprint": None,
            "attempts": 0,
            "next_at": None,
        }
        for unit_id in unit_ids
        for sink in sinks
    ]


def mark_done(connection: Connection, sink: str, marks: Iterable[tuple[str, str]]) -> None:
    """Note what the sink holds now: units by key, each with the fingerprint it was written from.

    A unit whose fingerprint has moved on meanwhile stays pending; of one that
    is gone nothing more can come.
    """
    holds = dict(marks)
    where = standings(connection, sink, holds)
    rows = []
    deltas: dict[str, Counter[str]] = {}
    revived = []
    for key, fingerprint in holds.items():
        unit = where[key]
        progress = "done" if unit.gone or unit.fingerprint == fingerprint else "pending"
        if unit.progress == "dead":
            revived.append(unit.unit_id)
        rows.append(
            {
                "sink": sink,
                "unit_id": unit.unit_id,
                "stack": unit.stack,
                "progress": progress,
                "fingerprint": fingerprint,
                "attempts": 0,
                "next_at": None,
            }
        )
        delta = deltas.setdefault(unit.stack, Counter())
        delta[f"{progress}/{sink}"] += 1
        if unit.progress is not None:
            delta[f"{unit.progress}/{sink}"] -= 1
    upsert(connection, unit_sinks, rows)
    for stack, delta in deltas.items():
        count(connection, stack_scope(stack), delta)
    forget_letters(connection, revived, sink=sink)


def make_pending(
    connection: Connection, stack: str, unit_ids: Sequence[int], *, sink: str = ""
) -> None:
    """Ask one sink, or every one, to look at the units afresh.

    Attempts count from zero, dead letters are withdrawn.
    """
    delta: Counter[str] = Counter()
    for part in chunks(unit_ids):
        meant = and_(unit_sinks.c.unit_id.in_(part), unit_sinks.c.sink == sink if sink else true())
        rows = connection.execute(
            select(unit_sinks.c.sink, unit_sinks.c.progress, func.count())
            .where(meant)
            .group_by(unit_sinks.c.sink, unit_sinks.c.progress)
        )
        for name, progress, number in rows:
            delta[f"{progress}/{name}"] -= number
            delta[f"pending/{name}"] += number
        connection.execute(
            update(unit_sinks).where(meant).values(progress="pending", attempts=0, next_at=None)
        )
    count(connection, stack_scope(stack), delta)
    forget_letters(connection, unit_ids, sink=sink)


def move(
    connection: Connection, sink: str, unit: Standing, progress: str, **values: int | None
) -> None:
    """Set one unit's progress for one sink, counters included."""
    connection.execute(
        update(unit_sinks)
        .where(unit_sinks.c.sink == sink, unit_sinks.c.unit_id == bindparam("unit"))
        .values(progress=progress, **values),
        {"unit": unit.unit_id},
    )
    delta = Counter({f"{progress}/{sink}": 1})
    delta[f"{unit.progress}/{sink}"] -= 1
    count(connection, stack_scope(unit.stack), delta)


def forget_letters(connection: Connection, unit_ids: Sequence[int], *, sink: str = "") -> None:
    """Withdraw the dead letters of units, of one sink or of all."""
    for part in chunks(unit_ids):
        statement = delete(letters).where(letters.c.what == "unit", letters.c.subject.in_(part))
        if sink:
            statement = statement.where(letters.c.sink == sink)
        connection.execute(statement)
