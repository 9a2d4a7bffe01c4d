"""Boxes and routes of a step graph: layers of steps, left to right where that fits, else down."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

from exporter.drawing.layers import acyclic, arranged, ranks
from exporter.drawing.placing import places_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.drawing.layers import Pair

Direction = Literal["right", "down"]
Point = tuple[int, int]

BOX_HEIGHT = 46
PAGE_WIDTH = 1_200
_SPACE_RIGHT, _SPACE_DOWN = 52, 44
_ROOM_RIGHT, _ROOM_DOWN = 16, 22
_ROOM_BEND = 12
_MOST_BENDS = 4_000


class Box(NamedTuple):
    """The top left corner of a node's box; all boxes of a drawing are of one size."""

    x: int
    y: int


class Route(NamedTuple):
    """The points an edge goes through, from its source to its target.

    `back` is for one that goes against the direction, since it closes a cycle.
    """

    pair: tuple[int, int]
    points: tuple[Point, ...]
    back: bool


class Layout(NamedTuple):
    """A drawing without its looks, in pixels; `boxes` are in the order of the nodes."""

    width: int
    height: int
    box_width: int
    direction: Direction
    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]


def lay_out(count: int, pairs: Sequence[Pair], box_width: int) -> Layout:
    """Place `count` nodes and route the edges between them; cycles are no obstacle.

    Nodes without edges stand in rows below the others, in order.
    Repeat: the same arguments give the same layout.
    """
    straight, turned = acyclic(count, pairs)
    linked = {node for pair in straight for node in pair}
    rank = ranks(count, straight)
    layers, before, after, chains = _with_bends(rank, straight, linked)
    direction = _direction(layers, count, box_width)
    right = direction == "right"
    thick, long = (BOX_HEIGHT, box_width) if right else (box_width, BOX_HEIGHT)
    room, space = (_ROOM_RIGHT, _SPACE_RIGHT) if right else (_ROOM_DOWN, _SPACE_DOWN)

    def gap(one: int, other: int) -> float:
        half = sum(thick / 2 if node < count else 0 for node in (one, other))
        return half + (room if one < count or other < count else _ROOM_BEND)

    layers = arranged(layers, before, after)
    centres = places_of(layers, before, after, gap)
    low = min((centres[n] - (thick / 2 if n < count else 0) for n in centres), default=0.0)
    across = {node: round(centre - low) for node, centre in centres.items()}
    along = {node: at * (long + space) for at, layer in enumerate(layers) for node in layer}

    def corner(node: int) -> Box:
        a, c = along[node], across[node] - thick // 2
        return Box(a, c) if right else Box(c, a)

    boxes = {node: corner(node) for node in linked}
    wide = max([b.x + box_width for b in boxes.values()] + [_bend(chains, across, count, right)])
    tall = max(
        [b.y + BOX_HEIGHT for b in boxes.values()] + [_bend(chains, across, count, not right)]
    )
    loose, wide, tall = _rows([n for n in range(count) if n not in linked], box_width, wide, tall)
    boxes |= loose
    routes = []
    for source, target in pairs:
        back = (source, target) in turned
        chain = chains[(target, source) if back else (source, target)]
        points = _points(chain, along, across, long, right=right)
        routes.append(Route((source, target), tuple(points[::-1] if back else points), back))
    ordered = tuple(boxes[node] for node in range(count))
    return Layout(wide, tall, box_width, direction, ordered, tuple(routes))


def _with_bends(
    rank: Sequence[int], pairs: Sequence[Pair], linked: set[int]
) -> tuple[list[list[int]], dict[int, list[int]], dict[int, list[int]], dict[Pair, list[int]]]:
    """Fill the layers; an edge over several of them gets a bend in each that it passes.

    Bends are numbered on from the nodes. Beyond a number of them edges go straight.
    """
    layers: list[list[int]] = [[] for _ in range(max((rank[n] for n in linked), default=-1) + 1)]
    for node in sorted(linked):
        layers[rank[node]].append(node)
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    chains: dict[Pair, list[int]] = {}
    fresh = len(rank)
    bends = sum(rank[target] - rank[source] - 1 for source, target in pairs)
    for source, target in pairs:
        passed = range(rank[source] + 1, rank[target]) if bends <= _MOST_BENDS else range(0)
        chain = [source]
        for at in passed:
            layers[at].append(fresh)
            chain.append(fresh)
            fresh += 1
        chain.append(target)
        chains[source, target] = chain
        if len(passed) == rank[target] - rank[source] - 1:
            for one, other in pairwise(chain):
                after.setdefault(one, []).append(other)
                before.setdefault(other, []).append(one)
    return layers, before, after, chains


def _direction(layers: Sequence[Sequence[int]], count: int, box_width: int) -> Direction:
    if not layers:
        return "right"
    right = len(layers) * (box_width + _SPACE_RIGHT)
    most = max(sum(node < count for node in layer) for layer in layers)
    down = most * (box_width + _ROOM_DOWN)
    return "right" if right <= max(PAGE_WIDTH, down) else "down"


def _bend(chains: dict[Pair, list[int]], across: dict[int, int], count: int, along: bool) -> int:
    """Give how far out bends reach in the direction across the layers."""
    if along:
        return 0
    return max((across[n] for chain in chains.values() for n in chain if n >= count), default=0)


def _rows(
    nodes: Sequence[int], box_width: int, wide: int, tall: int
) -> tuple[dict[int, Box], int, int]:
    """Place nodes in rows below what is there; give the new size too."""
    step_x, step_y = box_width + _ROOM_DOWN, BOX_HEIGHT + _ROOM_RIGHT
    columns = max(1, (max(PAGE_WIDTH, wide) + _ROOM_DOWN) // step_x)
    top = tall + _SPACE_DOWN if tall and nodes else tall
    placed = {
        node: Box(at % columns * step_x, top + at // columns * step_y)
        for at, node in enumerate(nodes)
    }
    wide = max([wide, *(box.x + box_width for box in placed.values())])
    tall = max([tall, *(box.y + BOX_HEIGHT for box in placed.values())])
    return placed, wide, tall


def _points(
    chain: Sequence[int],
    along: dict[int, int],
    across: dict[int, int],
    long: int,
    *,
    right: bool,
) -> list[Point]:
    """Give the points of an edge: from the far side of a box, along each layer it passes."""
    first, *bends, last = chain
    flat = [(along[first] + long, across[first])]
    for bend in bends:
        flat += [(along[bend], across[bend]), (along[bend] + long, across[bend])]
    flat.append((along[last], across[last]))
    return flat if right else [(c, a) for a, c in flat]
