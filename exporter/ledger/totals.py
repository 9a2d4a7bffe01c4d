"""Adding up a stack: from counters, except for what waits and what is dead, which is little."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, literal, select

from exporter.ledger.progress import IS_PENDING, IS_WAITING, counted, stack_scope
from exporter.ledger.records import Totals, stands_still
from exporter.ledger.schema import letters, stack_sinks, unit_sinks, units

if TYPE_CHECKING:
    from sqlalchemy import Exists
    from sqlalchemy.engine import Connection


def totals(connection: Connection, stack: str) -> Totals:
    """Give the totals of a stack; see `Units.totals`."""
    dead_runs = select(func.count(letters.c.source_id.distinct())).where(
        letters.c.stack == stack,
        letters.c.state == "open",
        letters.c.what != "event",
        ~select(literal(1)).where(units.c.id == letters.c.subject, units.c.gone.is_(True)).exists(),
    )
    waiting_runs = (
        select(func.count())
        .select_from(units)
        .where(units.c.stack == stack, IS_WAITING, ~_is_dead())
    )
    have = counted(connection, stack_scope(stack))
    return Totals(
        pipelines=have.get("pipelines", 0),
        runs=have.get("runs", 0),
        steps=have.get("steps", 0),
        artifacts=have.get("artifacts", 0),
        waiting=connection.execute(waiting_runs).scalar_one(),
        dead=connection.execute(dead_runs).scalar_one(),
        done=_per_sink(have, "done/"),
        pending=_per_sink(have, "pending/"),
    )


def count_pending(connection: Connection, stack: str) -> int:
    """Count the runs that sinks have yet to take; see `Units.count_pending`."""
    per_sink = stack_sinks.join(
        unit_sinks,
        (unit_sinks.c.stack == stack_sinks.c.stack) & (unit_sinks.c.sink == stack_sinks.c.sink),
    )
    query = (
        select(func.count(unit_sinks.c.unit_id.distinct()))
        .select_from(per_sink.join(units, units.c.id == unit_sinks.c.unit_id))
        .where(
            stack_sinks.c.stack == stack,
            stack_sinks.c.active.is_(True),
            IS_PENDING,
            units.c.waiting.is_(False),
            units.c.gone.is_(False),
            ~_is_dead(),
        )
    )
    return connection.execute(query).scalar_one()


def count_stale(connection: Connection, stack: str, before_ms: int) -> int:
    """Count unfinished runs that nothing has changed for long; see `Units.count_stale`."""
    query = select(units.c.changed_ms, units.c.start_ms).where(
        units.c.stack == stack, IS_WAITING, units.c.unfinished.is_(True)
    )
    return sum(stands_still(*times, before_ms) for times in connection.execute(query))


def _is_dead() -> Exists:
    """Say in SQL that a unit's run is an open dead letter."""
    return (
        select(literal(1))
        .where(
            letters.c.stack == units.c.stack,
            letters.c.source_id == units.c.source_id,
            letters.c.state == "open",
            letters.c.what != "event",
        )
        .exists()
    )


def _per_sink(counters: dict[str, int], prefix: str) -> dict[str, int]:
    return {name[len(prefix) :]: n for name, n in counters.items() if name.startswith(prefix)}
