"""Layers of a directed graph: every edge goes to a later layer, those of a cycle turned round."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Pair = tuple[int, int]
_SWEEPS = 8
_MOST_COUNTED = 20_000
_NONE = -1


def acyclic(count: int, pairs: Sequence[Pair]) -> tuple[list[Pair], set[Pair]]:
    """Turn round the pairs that close a cycle; give the pairs without cycles, and those turned.

    A turned pair is given as it was. Nodes are looked at in order, so that an edge back to an
    earlier step is the one that turns.
    """
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in pairs:
        after[source].append(target)
    turned: set[Pair] = set()
    state = [0] * count  # 1: on the path that is walked, 2: done
    for root in range(count):
        if state[root]:
            continue
        state[root] = 1
        path = [(root, iter(after[root]))]
        while path:
            node, targets = path[-1]
            target = next(targets, _NONE)
            if target == _NONE:
                state[node] = 2
                path.pop()
            elif state[target] == 1:
                turned.add((node, target))
            elif not state[target]:
                state[target] = 1
                path.append((target, iter(after[target])))
    straight = {(b, a) if (a, b) in turned else (a, b) for a, b in pairs}
    return sorted(straight), turned


def ranks(count: int, pairs: Sequence[Pair]) -> list[int]:
    """Give each node the length of the longest way to it; a source stands just before its reader.

    `pairs` have no cycle.
    """
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in pairs:
        after[source].append(target)
        waiting[target] += 1
    sources = [node for node in range(count) if not waiting[node]]
    rank = [0] * count
    ready = list(sources)
    for node in ready:
        for target in after[node]:
            rank[target] = max(rank[target], rank[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for node in sources:
        if after[node]:
            rank[node] = min(rank[target] for target in after[node]) - 1
    return rank


def arranged(
    layers: Sequence[Sequence[int]], before: Mapping[int, list[int]], after: Mapping[int, list[int]]
) -> list[list[int]]:
    """Order the nodes of each layer so that few edges cross; neighbours are one layer apart."""
    current = [list(layer) for layer in layers]
    best, fewest = current, _crossings(current, after)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        current = [list(layer) for layer in current]
        places = {node: at for layer in current for at, node in enumerate(layer)}
        for layer in current[1:] if down else current[-2::-1]:
            _sort(layer, before if down else after, places)
        crossings = _crossings(current, after)
        if crossings < fewest:
            best, fewest = current, crossings
    return best


def _sort(layer: list[int], near: Mapping[int, list[int]], places: dict[int, int]) -> None:
    """Sort a layer by the mean place of each node's neighbours; without any it keeps its own."""

    def mean(node: int) -> float:
        found = near.get(node)
        return sum(places[n] for n in found) / len(found) if found else places[node]

    means = {node: mean(node) for node in layer}
    layer.sort(key=lambda node: means[node])
    places.update((node, at) for at, node in enumerate(layer))


def _crossings(layers: Sequence[Sequence[int]], after: Mapping[int, list[int]]) -> int:
    """Count crossing edges between neighbouring layers; of very many edges only a part."""
    total = counted = 0
    for upper, lower in pairwise(layers):
        places = {node: at for at, node in enumerate(lower)}
        seen: list[int] = []
        for node in upper:
            ends = sorted(places[target] for target in after.get(node, ()))
            counted += len(ends)
            if counted > _MOST_COUNTED:
                return total
            total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return total
