"""Pipelines that share datasets, directly or through others: their runs leave one after the other.

All but the disjoint-set forest works inside a caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import insert, select

from exporter.ledger.progress import chunks
from exporter.ledger.recording import name_hash
from exporter.ledger.schema import flows, units

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from exporter.ledger.records import OutboxMark


class Pipeline(NamedTuple):
    """A pipeline of a stack, its name shortened."""

    stack: str
    name_hash: str


class Lanes:
    """Pipelines tied by datasets, directly or through others; a disjoint-set forest."""

    def __init__(self) -> None:
        self._above: dict[object, object] = {}

    def tie(self, one: object, other: object) -> None:
        """Put both into one set."""
        self._above[self._root(one)] = self._root(other)

    def __call__(self, pipeline: Pipeline) -> str:
        """Name the lane of a pipeline; one that shares nothing has its own."""
        root = self._root(pipeline)
        return "/".join(root) if isinstance(root, tuple) else str(root)

    def knows(self, pipeline: Pipeline) -> bool:
        """Tell whether it is known what a pipeline reads and writes."""
        return pipeline in self._above

    def _root(self, one: object) -> object:
        path = []
        while (above := self._above.get(one, one)) != one:
            path.append(one)
            one = above
        for passed in path:
            self._above[passed] = one
        return one


def components(connection: Connection) -> Lanes:
    """Give the lanes of all pipelines whose datasets are known."""
    lanes = Lanes()
    for row in connection.execute(select(flows.c.stack, flows.c.name_hash, flows.c.dataset_hash)):
        lanes.tie(Pipeline(row.stack, row.name_hash), row.dataset_hash)
    return lanes


def remember_flows(
    connection: Connection, marks: Sequence[OutboxMark], pipelines: Mapping[str, Pipeline]
) -> None:
    """Note what the runs of pipelines read and write."""
    wanted = {
        (pipelines[mark.unit_key], name_hash(dataset))
        for mark in marks
        for dataset in mark.datasets
    }
    known: set[tuple[Pipeline, str]] = set()
    for part in chunks({dataset for _, dataset in wanted}):
        rows = connection.execute(
            select(flows.c.stack, flows.c.name_hash, flows.c.dataset_hash).where(
                flows.c.dataset_hash.in_(part)
            )
        )
        known |= {(Pipeline(row.stack, row.name_hash), row.dataset_hash) for row in rows}
    new = [
        {**pipeline._asdict(), "dataset_hash": dataset}
        for pipeline, dataset in sorted(wanted - known)
    ]
    if new:
        connection.execute(insert(flows), new)


def pipelines_of(connection: Connection, unit_keys: Iterable[str]) -> dict[str, Pipeline]:
    """Say of runs which pipeline each is of."""
    found: dict[str, Pipeline] = {}
    for part in chunks(unit_keys):
        rows = connection.execute(
            select(units.c.key, units.c.stack, units.c.pipeline).where(units.c.key.in_(part))
        )
        found.update((row.key, Pipeline(row.stack, name_hash(row.pipeline))) for row in rows)
    return found
