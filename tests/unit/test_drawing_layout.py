"""The layout of step graphs: every box has its place, every edge its ends."""

from __future__ import annotations

import time
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.drawing.layers import acyclic, ranks
from exporter.drawing.layout import BOX_HEIGHT, PAGE_WIDTH, Layout, lay_out

WIDTH = 150


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(0, 25))
    node = st.integers(0, max(count - 1, 0))
    pairs = draw(st.lists(st.tuples(node, node), max_size=60 if count else 0, unique=True))
    return count, [(a, b) for a, b in pairs if a != b]


def check(layout: Layout, count: int, pairs: list[tuple[int, int]]) -> None:
    assert len(layout.boxes) == count
    for one, other in combinations(layout.boxes, 2):
        apart = abs(one.x - other.x) >= layout.box_width or abs(one.y - other.y) >= BOX_HEIGHT
        assert apart, (one, other)
    for box in layout.boxes:
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + layout.box_width <= layout.width
        assert box.y + BOX_HEIGHT <= layout.height
    assert [route.pair for route in layout.routes] == pairs
    for route in layout.routes:
        for (x, y), end in zip((route.points[0], route.points[-1]), route.pair, strict=True):
            box = layout.boxes[end]
            assert x in range(box.x, box.x + layout.box_width + 1)
            assert y in range(box.y, box.y + BOX_HEIGHT + 1)
        for x, y in route.points:
            assert 0 <= x <= layout.width
            assert 0 <= y <= layout.height


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_boxes_never_overlap_and_edges_join_the_boxes_they_name(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    count, pairs = graph
    layout = lay_out(count, pairs, WIDTH)
    check(layout, count, pairs)
    assert layout == lay_out(count, pairs, WIDTH)


@given(graphs())
@settings(deadline=None)
def test_with_the_turned_edges_turned_every_edge_goes_to_a_later_layer(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    count, pairs = graph
    straight, turned = acyclic(count, pairs)
    rank = ranks(count, straight)
    assert all(rank[source] < rank[target] for source, target in straight)
    assert turned <= set(pairs)
    assert {frozenset(pair) for pair in straight} == {frozenset(pair) for pair in pairs}


@given(graphs())
@settings(deadline=None)
def test_a_graph_without_cycles_keeps_all_its_edges_as_they_are(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    count, pairs = graph
    forward = [(min(pair), max(pair)) for pair in pairs]
    assert acyclic(count, forward)[1] == set()
    assert not any(route.back for route in lay_out(count, forward, WIDTH).routes)


def test_a_chain_goes_right_while_it_fits_a_page_and_down_beyond() -> None:
    short = lay_out(4, [(0, 1), (1, 2), (2, 3)], WIDTH)
    assert short.direction == "right"
    assert len({box.y for box in short.boxes}) == 1
    long = lay_out(50, [(at, at + 1) for at in range(49)], WIDTH)
    assert long.direction == "down"
    assert len({box.x for box in long.boxes}) == 1


def test_a_wide_fan_is_a_column_no_wider_than_a_page() -> None:
    pairs = [(0, at) for at in range(1, 199)] + [(at, 199) for at in range(1, 199)]
    layout = lay_out(200, pairs, WIDTH)
    check(layout, 200, pairs)
    assert layout.width <= PAGE_WIDTH


def test_steps_without_edges_stand_in_rows_in_their_order() -> None:
    layout = lay_out(200, [], WIDTH)
    check(layout, 200, [])
    assert layout.width <= PAGE_WIDTH
    assert sorted(layout.boxes, key=lambda box: (box.y, box.x)) == list(layout.boxes)


def test_an_edge_over_several_layers_passes_beside_the_boxes_between() -> None:
    pairs = [(0, 1), (1, 2), (2, 3), (0, 3)]
    layout = lay_out(4, pairs, WIDTH)
    passing = layout.routes[3].points[1:-1]
    for x, y in passing:
        for box in layout.boxes[1:3]:
            inside = box.x <= x <= box.x + WIDTH and box.y <= y <= box.y + BOX_HEIGHT
            assert not inside


def test_two_hundred_steps_that_all_know_each_other_are_laid_out_in_seconds() -> None:
    pairs = [(a, b) for a in range(200) for b in range(200) if a != b][:10_000]
    began = time.monotonic()
    check(lay_out(200, pairs, WIDTH), 200, pairs)
    assert time.monotonic() - began < 20
