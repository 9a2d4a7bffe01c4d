"""The newest run of each pipeline that a destination holds whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from exporter.ledger.lanes import Pipeline
from exporter.ledger.schema import heads

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Head(NamedTuple):
    """The newest run of a pipeline: its key, and when it ended, in UTC milliseconds."""

    unit_key: str
    end_ms: int


def newest_runs(
    connection: Connection, destination: str, pipeline: Pipeline | None = None
) -> dict[Pipeline, Head]:
    """Give the newest run of each pipeline, or of one."""
    query = select(heads.c.stack, heads.c.name_hash, heads.c.unit_key, heads.c.end_ms).where(
        heads.c.destination == destination
    )
    if pipeline is not None:
        query = query.where(
            heads.c.stack == pipeline.stack, heads.c.name_hash == pipeline.name_hash
        )
    rows = connection.execute(query)
    return {Pipeline(row.stack, row.name_hash): Head(row.unit_key, row.end_ms) for row in rows}
