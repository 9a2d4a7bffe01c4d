"""Which steps of a run stand before which: read from its ports and from what steps waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.hierarchy import RunSnapshot

MOST_EDGES = 4_000


class Edge(NamedTuple):
    """From a step to one that came after it, by their places in the run.

    `names` are the inputs that were handed over; none where a step only waited, or is the next
    attempt.
    """

    source: int
    target: int
    names: tuple[str, ...] = ()


def edges_of(run: RunSnapshot) -> tuple[Edge, ...]:
    """Give the edges between the steps of a run, each pair of steps once.

    Order: by target, then by source. Places that no step has and steps that name themselves are
    passed over.
    """
    count = len(run.steps)
    names: dict[tuple[int, int], dict[str, None]] = {}
    for source, target, name in _links(run):
        if 0 <= source < count and source != target:
            found = names.setdefault((source, target), {})
            if name:
                found[name] = None
    pairs = sorted(names, key=lambda pair: (pair[1], pair[0]))
    return tuple(Edge(source, target, tuple(names[source, target])) for source, target in pairs)


def _links(run: RunSnapshot) -> Iterator[tuple[int, int, str]]:
    tried: dict[str, int] = {}
    for target, step in enumerate(run.steps):
        for port in step.inputs:
            if port.parent is not None:
                yield port.parent, target, port.name
        for parent in step.parents:
            yield parent, target, ""
        if step.name in tried and run.steps[tried[step.name]].attempt < step.attempt:
            yield tried[step.name], target, ""
        tried[step.name] = target
