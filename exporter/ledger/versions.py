"""Which run made the version of a dataset that a catalog is to show as the current one.

A catalog that takes the version that arrives last for the current one is told the newest again
after an older one: https://github.com/MarquezProject/marquez/issues/2733. The ends of the runs that
made the newest are kept for that, be they of the newest run of a pipeline or not.

All of it works inside a caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, select

from exporter.ledger.lanes import Pipeline
from exporter.ledger.outbox_rows import RUN_END
from exporter.ledger.progress import chunks, upsert
from exporter.ledger.recording import name_hash
from exporter.ledger.schema import makers, newest, outbox, units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, FromClause
    from sqlalchemy.engine import Connection

COMPLETE = "COMPLETE"


def settle(connection: Connection, destination: str, unit_key: str, end_ms: int) -> list[str]:
    """Note what a run that is held whole made the newest of; give the units that no more did."""
    rows = connection.execute(
        select(makers.c.dataset_hash, makers.c.run_id)
        .select_from(outbox.join(makers, _is_told_by_event()))
        .where(
            outbox.c.destination == destination,
            outbox.c.unit_key == unit_key,
            outbox.c.event_type == COMPLETE,
            outbox.c.state == "delivered",
        )
        .order_by(outbox.c.position)
    )
    made = {row.dataset_hash: row.run_id for row in rows}
    before: dict[str, tuple[str, int]] = {}
    for part in chunks(made):
        held = connection.execute(
            select(newest.c.dataset_hash, newest.c.unit_key, newest.c.end_ms).where(
                newest.c.destination == destination, newest.c.dataset_hash.in_(part)
            )
        )
        before |= {row.dataset_hash: (row.unit_key, row.end_ms) for row in held}
    won = [
        dataset
        for dataset in sorted(made)
        if dataset not in before or before[dataset][0] == unit_key or before[dataset][1] <= end_ms
    ]
    upsert(
        connection,
        newest,
        [
            {
                "destination": destination,
                "dataset_hash": dataset,
                "unit_key": unit_key,
                "run_id": made[dataset],
                "end_ms": end_ms,
            }
            for dataset in won
        ],
    )
    lost = {before[dataset][0] for dataset in won if dataset in before}
    return sorted(lost - {unit_key})


def newer_than(
    connection: Connection, destination: str, ends: Mapping[str, int]
) -> dict[str, set[Pipeline]]:
    """Say by run, given with its end, which pipelines made newer versions of what it makes."""
    found: dict[str, set[Pipeline]] = {}
    for part in chunks(ends):
        rows = connection.execute(
            select(
                outbox.c.unit_key.label("own"),
                newest.c.end_ms,
                units.c.stack,
                units.c.pipeline,
            )
            .select_from(
                outbox.join(makers, _is_told_by_event())
                .join(
                    newest,
                    and_(
                        newest.c.destination == makers.c.destination,
                        newest.c.dataset_hash == makers.c.dataset_hash,
                    ),
                )
                .join(units, units.c.key == newest.c.unit_key)
            )
            .where(
                outbox.c.destination == destination,
                outbox.c.unit_key.in_(part),
                outbox.c.event_type == COMPLETE,
                newest.c.unit_key != outbox.c.unit_key,
            )
            .distinct()
        )
        for own, end_ms, stack, pipeline in rows:
            if end_ms > ends[own]:
                found.setdefault(own, set()).add(Pipeline(stack, name_hash(pipeline)))
    return found


def events_after(connection: Connection, destination: str, unit_key: str) -> list[int]:
    """Give the events that tell again of newer versions of what a run makes, in order.

    They are those of the runs that made the newest, and of who made newer versions of what these
    made beside it.
    """
    end_ms = connection.execute(
        select(RUN_END).select_from(units).where(units.c.key == unit_key)
    ).scalar_one()
    asked: set[str] = set()
    shown: dict[str, int] = {}
    datasets = _datasets(
        connection,
        outbox.join(makers, _is_told_by_event()),
        outbox.c.destination == destination,
        outbox.c.unit_key == unit_key,
        outbox.c.event_type == COMPLETE,
    )
    while datasets:
        asked |= datasets
        more: dict[str, int] = {}
        for part in chunks(sorted(datasets)):
            rows = connection.execute(
                select(newest.c.run_id, newest.c.end_ms).where(
                    newest.c.destination == destination,
                    newest.c.dataset_hash.in_(part),
                    newest.c.unit_key != unit_key,
                    newest.c.end_ms > end_ms,
                )
            )
            more |= {row.run_id: row.end_ms for row in rows if row.run_id not in shown}
        shown |= more
        datasets = set()
        for part in chunks(more):
            datasets |= _datasets(
                connection,
                makers,
                makers.c.destination == destination,
                makers.c.run_id.in_(part),
            )
        datasets -= asked
    found: dict[str, tuple[int, int]] = {}
    for part in chunks(shown):
        rows = connection.execute(
            select(outbox.c.run_id, outbox.c.position, outbox.c.seq).where(
                outbox.c.destination == destination,
                outbox.c.run_id.in_(part),
                outbox.c.event_type == COMPLETE,
                outbox.c.state == "delivered",
                outbox.c.body.is_not(None),
            )
        )
        found |= {row.run_id: (row.position, row.seq) for row in rows}
    order = sorted(found, key=lambda run_id: (shown[run_id], found[run_id]))
    return [found[run_id][1] for run_id in order]


def is_newest(destination: str) -> ColumnElement[bool]:
    """Say of an event of the outbox whether it tells of the newest version of something."""
    runs = select(newest.c.run_id).where(newest.c.destination == destination)
    return (outbox.c.event_type == COMPLETE) & outbox.c.run_id.in_(runs)


def _is_told_by_event() -> ColumnElement[bool]:
    return and_(makers.c.destination == outbox.c.destination, makers.c.run_id == outbox.c.run_id)


def _datasets(
    connection: Connection, source: FromClause, *conditions: ColumnElement[bool]
) -> set[str]:
    query = select(makers.c.dataset_hash).select_from(source).where(*conditions)
    return set(connection.execute(query).scalars())
