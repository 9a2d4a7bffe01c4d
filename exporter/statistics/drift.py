"""How a table differs from the one before it. docs/statistics.md defines each figure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.statistics.model import ColumnStatistics, Kind, Quantiles, TableStatistics

Change = Literal["compared", "new", "removed", "retyped"]
Level = Literal["none", "some", "strong"]

SOME, STRONG = 0.1, 0.2
_MISSING_SOME, _MISSING_STRONG = 0.05, 0.2
_BINS = 16
_KS = 1.63  # the Kolmogorov–Smirnov bound at 1 %
_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column against the column of that name before.

    `distance` is the Jensen–Shannon distance of the distributions, `gap` the largest difference of
    the cumulated shares; both in 0..1. What chance alone explains does not raise `level`.
    """

    name: str
    number: int
    change: Change
    level: Level
    distance: float | None = None
    gap: float | None = None
    missing_before: float | None = None
    missing_now: float | None = None
    mean_before: float | None = None
    kind_before: Kind | None = None


@dataclass(frozen=True, slots=True)
class TableDrift:
    """A table against the one before: its columns in order, then those that are gone."""

    rows_before: int
    columns: tuple[ColumnDrift, ...]

    def count(self, level: Level) -> int:
        """Count the columns of a level."""
        return sum(column.level == level for column in self.columns)

    def of(self, place: int) -> ColumnDrift:
        """Give the drift of the column at a place of the table now."""
        return self.columns[place]


def drift(now: TableStatistics, before: TableStatistics) -> TableDrift:
    """Compare two tables; columns are matched by name, and duplicates by their order."""
    old = _numbered(before.columns)
    new = _numbered(now.columns)
    compared = [_column(key, column, old.get(key)) for key, column in new.items()]
    gone = [
        ColumnDrift(*key, "removed", "strong", kind_before=column.kind)
        for key, column in old.items()
        if key not in new
    ]
    return TableDrift(before.rows, (*compared, *gone))


def _numbered(columns: Sequence[ColumnStatistics]) -> dict[tuple[str, int], ColumnStatistics]:
    out: dict[tuple[str, int], ColumnStatistics] = {}
    seen: dict[str, int] = {}
    for column in columns:
        seen[column.name] = seen.get(column.name, -1) + 1
        out[column.name, seen[column.name]] = column
    return out


def _column(
    key: tuple[str, int], now: ColumnStatistics, before: ColumnStatistics | None
) -> ColumnDrift:
    if before is None:
        return ColumnDrift(*key, "new", "strong")
    missing = (before.missing_ratio, now.missing_ratio)
    if now.kind != before.kind and {now.kind, before.kind} != {"int", "float"}:
        return ColumnDrift(
            *key,
            "retyped",
            "strong",
            missing_before=missing[0],
            missing_now=missing[1],
            kind_before=before.kind,
        )
    distance, is_noise = _distance(now, before)
    gap, is_chance = _gap(now.quantiles, before.quantiles)
    levels = [
        _level(0.0 if is_noise else distance, SOME, STRONG),
        _level(0.0 if is_chance else gap, SOME, STRONG),
        _level(_missing_change(now, before), _MISSING_SOME, _MISSING_STRONG),
    ]
    worst: Level = max(levels, key=("none", "some", "strong").index)
    return ColumnDrift(*key, "compared", worst, distance, gap, *missing, before.mean, before.kind)


def _level(value: float | None, some: float, strong: float) -> Level:
    if value is None or value < some:
        return "none"
    return "strong" if value >= strong else "some"


def _distance(now: ColumnStatistics, before: ColumnStatistics) -> tuple[float | None, bool]:
    """Give the distance, and whether samples of this size differ as much by chance."""
    pairs = _shares(now, before)
    if pairs is None:
        return None, True
    left, right = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    if not left or not right:
        return None, True
    divergence = 0.0
    for a, b in pairs:
        p, q = a / left, b / right
        middle = (p + q) / 2
        divergence += (p * math.log2(p / middle) if p else 0.0) / 2
        divergence += (q * math.log2(q / middle) if q else 0.0) / 2
    divergence = max(divergence, 0.0)
    freedom = sum(1 for a, b in pairs if a or b) - 1
    chance = (freedom + _SIGMAS * math.sqrt(2 * freedom)) / (8 * math.log(2))
    is_noise = divergence <= chance * (1 / left + 1 / right)
    return round(math.sqrt(divergence), 6), is_noise


def _shares(now: ColumnStatistics, before: ColumnStatistics) -> list[tuple[int, int]] | None:
    """Give the counts of both in common bins."""
    if now.trues is not None and before.trues is not None:
        return [
            (now.trues, before.trues),
            (now.present - now.trues, before.present - before.trues),
        ]
    if now.buckets is not None and before.buckets is not None:
        return list(zip(now.buckets, before.buckets, strict=True))
    one, other = now.histogram, before.histogram
    if one is None or other is None:
        return None
    exponent = max(one.exponent, other.exponent)
    one, other = one.coarsened(exponent), other.coarsened(exponent)
    while True:
        first = min(one.first, other.first)
        last = max(one.first + len(one.counts), other.first + len(other.counts))
        if last - first <= _BINS:
            break
        exponent += 1
        one, other = one.coarsened(exponent), other.coarsened(exponent)
    return [
        (_at(one.counts, place - one.first), _at(other.counts, place - other.first))
        for place in range(first, last)
    ]


def _at(counts: tuple[int, ...], place: int) -> int:
    return counts[place] if 0 <= place < len(counts) else 0


def _gap(now: Quantiles | None, before: Quantiles | None) -> tuple[float | None, bool]:
    if now is None or before is None:
        return None, True
    places = {value for _, value in (*now.points, *before.points)}
    gap = max(abs(_share_below(now, at) - _share_below(before, at)) for at in places)
    chance = _KS * math.sqrt(1 / now.sample + 1 / before.sample)
    return round(gap, 6), gap <= chance


def _share_below(quantiles: Quantiles, value: float) -> float:
    """Give the share of values up to `value`, linear between the quantiles kept."""
    points = quantiles.points
    if value < points[0][1]:
        return 0.0
    for (low, left), (high, right) in zip(reversed(points[:-1]), reversed(points[1:]), strict=True):
        if value >= right:
            return high
        if value >= left:
            # Half of the smallest float is 0, twice the largest infinite: halve the large only.
            half = 0.5 if math.isinf(right - left) else 1.0
            part = (value * half - left * half) / (right * half - left * half)
            return low + (high - low) * part
    return 0.0


def _missing_change(now: ColumnStatistics, before: ColumnStatistics) -> float:
    """Give the change of the missing ratio, 0 where chance explains it."""
    change = abs(now.missing_ratio - before.missing_ratio)
    rows = (now.rows, before.rows)
    if not all(rows):
        return 0.0
    ratio = (now.missing + before.missing) / sum(rows)
    chance = _SIGMAS * math.sqrt(ratio * (1 - ratio) * (1 / rows[0] + 1 / rows[1]))
    return 0.0 if change <= chance else change
