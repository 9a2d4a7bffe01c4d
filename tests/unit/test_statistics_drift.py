"""Drift: what changed between two tables, and what chance alone explains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.tables import parquet, statistics_of

from exporter.statistics.drift import ColumnDrift, TableDrift, drift

RANDOM = np.random.default_rng(7)


def compared(now: dict[str, Any], before: dict[str, Any]) -> TableDrift:
    return drift(
        statistics_of(parquet(pd.DataFrame(now))), statistics_of(parquet(pd.DataFrame(before)))
    )


def one(now: Any, before: Any) -> ColumnDrift:
    (column,) = compared({"x": now}, {"x": before}).columns
    return column


def normal(shift: float = 0.0, count: int = 20_000, scale: float = 1.0) -> Any:
    return RANDOM.normal(shift, scale, count)


@pytest.mark.parametrize(
    ("now", "level"),
    [
        (normal(), "none"),
        (normal(0.1), "none"),
        (normal(0.4), "some"),
        (normal(1.0), "strong"),
        (normal(0.0, scale=3.0), "strong"),
        (normal(100.0), "strong"),
    ],
    ids=["same", "hardly", "shifted", "far", "wider", "apart"],
)
def test_the_level_follows_how_far_a_distribution_moved(now: Any, level: str) -> None:
    assert one(now, normal()).level == level


def test_distributions_with_nothing_in_common_are_at_distance_one() -> None:
    found = one([1.0] * 100, [9.0] * 100)
    assert (found.distance, found.gap) == (1.0, 1.0)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50))
@settings(max_examples=40)
def test_a_column_does_not_drift_from_itself(values: list[float]) -> None:
    found = one(values, values)
    assert found.level == "none"
    assert found.distance in (0.0, None)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30),
)
@example([0.0], [0.0, 5e-324])  # half of the smallest float is 0
@example([0.0], [-1.7e308, 1.7e308])  # this far apart is infinite
@settings(max_examples=40)
def test_distance_and_gap_are_ratios_and_the_same_both_ways(
    left: list[float], right: list[float]
) -> None:
    there, back = one(left, right), one(right, left)
    for value in (there.distance, there.gap):
        assert value is not None
        assert 0 <= value <= 1
    assert there.distance == pytest.approx(back.distance, abs=1e-6)
    assert there.gap == pytest.approx(back.gap, abs=1e-6)


def test_small_samples_of_one_distribution_raise_no_alarm() -> None:
    levels = [one(normal(count=40), normal(count=60)).level for _ in range(60)]
    assert levels.count("none") >= 57


def test_a_heavy_tail_that_fills_one_bin_still_shows_a_shift() -> None:
    before = np.append(normal(), 1e12)
    now = np.append(normal(1.0), 1e12)
    assert one(now, before).level == "strong"


@pytest.mark.parametrize(
    ("now", "before", "level"),
    [
        (["a"] * 500 + ["b"] * 500, ["a"] * 500 + ["b"] * 500, "none"),
        (["a"] * 900 + ["b"] * 100, ["a"] * 500 + ["b"] * 500, "strong"),
        ([True] * 900 + [False] * 100, [True] * 500 + [False] * 500, "strong"),
        ([True] * 510 + [False] * 490, [True] * 500 + [False] * 500, "none"),
    ],
)
def test_texts_and_truths_drift_by_their_shares(now: Any, before: Any, level: str) -> None:
    assert one(now, before).level == level


def test_a_change_of_what_is_missing_counts() -> None:
    before = [1.0] * 1_000
    assert one([None] * 20 + [1.0] * 980, before).level == "none"
    assert one([None] * 100 + [1.0] * 900, before).level == "some"
    found = one([None] * 300 + [1.0] * 700, before)
    assert found.level == "strong"
    assert (found.missing_before, found.missing_now) == (0.0, 0.3)


def test_new_removed_and_retyped_columns_are_named() -> None:
    found = compared({"a": [1], "new": [1], "t": ["x"]}, {"a": [1], "t": [1], "gone": [2.5]})
    assert [(c.name, c.change) for c in found.columns] == [
        ("a", "compared"),
        ("new", "new"),
        ("t", "retyped"),
        ("gone", "removed"),
    ]
    assert found.count("strong") == 3
    assert one([1, 2], [1.5, 2.5]).change == "compared", "whole numbers are numbers"


def test_empty_tables_are_compared() -> None:
    assert one([], []).level == "none"
    assert one([1.0], []).level == "none"
