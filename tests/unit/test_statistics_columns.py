"""Statistics of single columns, beside NumPy and pandas, whole and in batches."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tables import column_of

from exporter.statistics.hashing import hashed_bytes
from exporter.statistics.model import ColumnStatistics, Distinct, StatLimits

CUTS = st.lists(st.integers(0, 60), max_size=4)
SMALL = StatLimits(exact_distinct=8, sample_rows=8, bins=5)


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | values, max_size=60)


TYPED: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.float64(), st.floats()),
    (pa.float32(), st.floats(width=32)),
    (pa.float16(), st.floats(width=16)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(max_size=20)),
    (pa.large_string(), st.sampled_from(["", "a", "b" * 5_000])),
    (pa.string_view(), st.text(max_size=20)),
    (pa.binary(), st.binary(max_size=20)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", "b", "ä"])),
    (pa.dictionary(pa.int8(), pa.int64()), st.integers(0, 3)),
    (pa.timestamp("ns", "Europe/Berlin"), st.integers(-(2**63), 2**63 - 1)),
    (pa.timestamp("s"), st.integers(-(2**55), 2**55)),
    (pa.date32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.date64(), st.integers(-10_000, 10_000).map(lambda day: day * 86_400_000)),
    (pa.time32("s"), st.integers(0, 86_399)),
    (pa.time64("ns"), st.integers(0, 86_399 * 10**9)),
    (pa.duration("us"), st.integers(-(2**63), 2**63 - 1)),
    (pa.decimal128(38, 10), st.decimals(-(10**27), 10**27, places=10)),
    (pa.decimal256(76, 0), st.integers(-(10**70), 10**70).map(Decimal)),
    (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=3)),
    (pa.list_(pa.int64(), 2), st.just([1, 2])),
    (pa.map_(pa.string(), pa.int64()), st.just([("a", 1)])),
    (pa.struct([("a", pa.int64())]), st.just({"a": 1})),
    (pa.month_day_nano_interval(), st.just((1, 2, 3))),
    (pa.null(), st.none()),
]


def made(type_: pa.DataType, values: list[Any]) -> pa.Array:
    """Make an array; times from integers, since Python has no moments that far out."""
    if pa.types.is_temporal(type_) and not pa.types.is_interval(type_):
        width = pa.int32() if type_.bit_width == 32 else pa.int64()
        return pa.array(values, type=width).view(type_)
    return pa.array(values, type=type_)


@pytest.mark.parametrize(("type_", "values"), TYPED, ids=[str(type_) for type_, _ in TYPED])
@given(data=st.data())
def test_how_a_column_is_cut_into_batches_never_shows(
    type_: pa.DataType, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    array = made(type_, data.draw(optional(values)))
    for limits in (StatLimits(), SMALL):
        whole = column_of(array, limits)
        assert column_of(array, limits, data.draw(CUTS)) == whole
        assert column_of(pa.concat_arrays([array[:1], array])[1:], limits) == whole
        assert (whole.rows, whole.nulls) == (len(array), array.null_count)


@given(optional(st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0])))
def test_floats_are_counted_as_numpy_counts_them(values: list[float | None]) -> None:
    column = column_of(pa.array(values, type=pa.float64()))
    known = np.array([value for value in values if value is not None], dtype=float)
    finite = known[np.isfinite(known)]
    assert column.nulls == values.count(None)
    assert column.nans == np.isnan(known).sum()
    assert column.infinities == np.isinf(known).sum()
    assert column.zeros == (known == 0).sum()
    assert column.distinct == Distinct(pd.Series(known).nunique(), "exact")
    assert column.minimum == (finite.min() if len(finite) else None)
    assert column.maximum == (finite.max() if len(finite) else None)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = finite.mean() if len(finite) else None
    if expected is not None and math.isfinite(expected):
        assert column.mean == pytest.approx(
            expected, rel=1e-9, abs=abs(finite).max() * 1e-12 + 1e-300
        )


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=200))
def test_deviation_and_quantiles_are_those_of_pandas(values: list[float]) -> None:
    column = column_of(pa.array(values))
    series = pd.Series(values)
    scale = float(series.abs().max())
    assert column.deviation == pytest.approx(
        float(series.std()), rel=1e-6, abs=scale * 1e-9 + 1e-300
    )
    assert column.quantiles is not None
    assert column.quantiles.how == "exact"
    for ratio, value in column.quantiles.points:
        expected = float(series.quantile(ratio))
        assert value == pytest.approx(expected, rel=1e-9, abs=scale * 1e-12 + 1e-300)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.integers(2, 40))
def test_a_histogram_counts_every_finite_value_in_its_own_bin(
    values: list[float], bins: int
) -> None:
    histogram = column_of(pa.array(values), StatLimits(bins=bins)).histogram
    assert histogram is not None
    assert 1 <= len(histogram.counts) <= bins
    assert sum(histogram.counts) == len(values)
    assert histogram.counts[0]
    assert histogram.counts[-1]
    width = Fraction(2) ** histogram.exponent
    for place, count in enumerate(histogram.counts, histogram.first):
        low, high = place * width, (place + 1) * width
        assert sum(low <= Fraction(value) < high for value in values) == count


@given(optional(st.text(max_size=12)))
def test_texts_have_lengths_and_distinct_values(values: list[str | None]) -> None:
    column = column_of(pa.array(values, type=pa.string()))
    known = [value for value in values if value is not None]
    assert column.distinct == Distinct(len(set(known)), "exact")
    assert column.minimum is None, "values are not shown unless asked for"
    assert column.top is None
    if known:
        lengths = [len(value) for value in known]
        assert column.lengths is not None
        assert (column.lengths.minimum, column.lengths.maximum) == (min(lengths), max(lengths))
        assert column.lengths.mean == pytest.approx(sum(lengths) / len(lengths))
        assert column.empty == lengths.count(0)
        assert column.buckets is not None
        assert sum(column.buckets) == len(known)


@given(optional(st.sampled_from(["a", "b", "c", "", "ä" * 100])))
def test_top_values_come_when_asked_for(values: list[str | None]) -> None:
    column = column_of(pa.array(values, type=pa.string()), StatLimits(values=2, value_length=10))
    counts = pd.Series(values, dtype="str").value_counts()
    if not len(counts):
        assert column.top is None
        return
    assert column.top is not None
    assert column.top.exact
    assert [top.count for top in column.top.values] == counts.iloc[:2].tolist()
    assert all(len(top.text) <= 10 for top in column.top.values)


def test_rare_values_are_forgotten_when_there_are_too_many_and_it_is_said() -> None:
    values = [f"v{i}" for i in range(100)] + ["often"] * 50
    column = column_of(
        pa.array(values), StatLimits(values=1, exact_distinct=10), cuts=range(0, 150, 7)
    )
    assert column.top is not None
    assert not column.top.exact
    assert column.top.values[0].text == "often"
    assert column.top.values[0].count <= 50


@pytest.mark.parametrize("count", [9_999, 10_001, 300_000])
@pytest.mark.parametrize("kind", ["int", "float", "string"])
def test_many_distinct_values_are_estimated_within_a_few_percent(count: int, kind: str) -> None:
    numbers = pa.array(np.arange(count))
    array = {
        "int": numbers,
        "float": pa.array(np.arange(count) * 0.37),
        "string": numbers.cast(pa.string()),
    }[kind]
    distinct = column_of(array, cuts=range(0, count, 50_000)).distinct
    assert distinct is not None
    if count <= 10_000:
        assert distinct == Distinct(count, "exact")
    else:
        assert distinct.how == "estimated"
        assert distinct.count == pytest.approx(count, rel=0.05)
        assert distinct.count <= count


def test_a_large_column_of_few_values_stays_exact() -> None:
    array = pa.array(np.arange(200_000) % 7)
    assert column_of(array, cuts=range(0, 200_000, 9_000)).distinct == Distinct(7, "exact")
    texts = array.cast(pa.string())
    assert column_of(texts, cuts=range(0, 200_000, 9_000)).distinct == Distinct(7, "exact")


def test_quantiles_of_a_large_column_come_from_a_sample_and_say_so() -> None:
    values = np.arange(200_000) / 1000
    quantiles = column_of(pa.array(values), cuts=range(0, 200_000, 30_000)).quantiles
    assert quantiles is not None
    assert (quantiles.how, quantiles.sample) == ("sampled", 10_000)
    for ratio, value in quantiles.points:
        assert value / 200 == pytest.approx(ratio, abs=0.02)


@pytest.mark.parametrize(
    ("array", "minimum", "maximum"),
    [
        (pa.array([2**64 - 1, 0], type=pa.uint64()), 0, 2**64 - 1),
        (pa.array([-(2**63), 2**63 - 1]), -(2**63), 2**63 - 1),
        (pa.array([Decimal("1E+20"), Decimal("-0.5")]), "-0.5", "100000000000000000000.0"),
        (
            pa.array(["2026-01-02T03:04:05"]).cast(pa.timestamp("us")),
            "2026-01-02T03:04:05.000000",
            "2026-01-02T03:04:05.000000",
        ),
        (
            pa.array([0, 1500], type=pa.timestamp("ms", "Asia/Tokyo")),
            "1970-01-01T00:00:00.000Z",
            "1970-01-01T00:00:01.500Z",
        ),
        (pa.array([-1, 0], type=pa.int32()).view(pa.date32()), "1969-12-31", "1970-01-01"),
        (pa.array([dt.time(23, 59, 1)]), "23:59:01.000000", "23:59:01.000000"),
        (pa.array([-1500, 2000], type=pa.duration("ms")), "-PT1.5S", "PT2S"),
        (
            pa.array([2**40], type=pa.timestamp("s")),
            "36812-02-20T00:36:16",
            "36812-02-20T00:36:16",
        ),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_least_and_greatest_are_exact_and_readable(
    array: pa.Array, minimum: object, maximum: object
) -> None:
    column = column_of(array)
    assert (column.minimum, column.maximum) == (minimum, maximum)


def test_the_largest_numbers_have_a_mean_and_no_deviation() -> None:
    column = column_of(pa.array([1.7e308, 1.7e308, -1.7e308, -1.7e308] * 3_000))
    assert column.mean == pytest.approx(0.0, abs=1e300)
    assert column.deviation is None
    assert column.histogram is not None
    assert sum(column.histogram.counts) == 12_000


@pytest.mark.parametrize(
    "array",
    [pa.array([], type=pa.float64()), pa.nulls(5, pa.float64()), pa.nulls(5, pa.string())],
    ids=["empty", "null floats", "null strings"],
)
def test_a_column_without_values_has_no_figures(array: pa.Array) -> None:
    column = column_of(array)
    assert column == ColumnStatistics(
        "x",
        column.kind,
        str(array.type),
        len(array),
        len(array),
        distinct=Distinct(0, "exact"),
        zeros=0 if column.kind == "float" else None,
        empty=0 if column.kind == "string" else None,
    )
    assert column.missing_ratio == (1.0 if len(array) else 0.0)


@given(st.lists(st.binary(max_size=40) | st.just(b"x" * 5_000), unique=True, min_size=1))
def test_hashes_of_bytes_tell_values_apart_wherever_they_lie(values: list[bytes]) -> None:
    lengths = np.array([len(value) for value in values], dtype=np.int64)
    data = np.frombuffer(b"".join(values), dtype=np.uint8)
    hashes = hashed_bytes(data, np.cumsum(lengths) - lengths, lengths)
    assert len(set(hashes.tolist())) == len(values)
    for value, hashed in zip(values, hashes, strict=True):
        alone = np.frombuffer(value, dtype=np.uint8)
        one = hashed_bytes(alone, np.zeros(1, dtype=np.int64), np.array([len(value)]))
        assert one[0] == hashed
