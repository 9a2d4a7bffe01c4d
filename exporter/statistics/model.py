"""What is known of a table: pure values that the renderers, the drift and the schema start from.

Times are milliseconds since 1970-01-01 UTC wherever they are numbers, and ISO 8601 text where they
are shown; durations and times of day are milliseconds. A ratio is in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "int",
    "float",
    "decimal",
    "bool",
    "string",
    "categorical",
    "bytes",
    "datetime",
    "date",
    "time",
    "duration",
    "nested",
    "null",
    "other",
]
Scalar = int | float | str  # text for what JSON numbers cannot hold: times, decimals, strings

NUMBERS: frozenset[Kind] = frozenset({"int", "float", "decimal"})
TIMES: frozenset[Kind] = frozenset({"datetime", "date", "time", "duration"})
TEXTS: frozenset[Kind] = frozenset({"string", "categorical", "bytes"})


@dataclass(frozen=True, slots=True)
class StatLimits:
    """How much is looked at, and whether values themselves may be shown.

    `values` is off by default: top values and the least and greatest string are personal data more
    often than not. `rows` is per table; beyond it a part is read, and recorded as such.
    """

    rows: int = 50_000_000
    columns: int = 1_000
    exact_distinct: int = 10_000
    sample_rows: int = 10_000
    bins: int = 32
    values: int = 0
    value_length: int = 80


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which part of the rows was read, where it was not all; `total` is None where not known."""

    rows: int
    total: int | None
    how: Literal["first rows", "row groups"]


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many different values there are, neither null nor NaN."""

    count: int
    how: Literal["exact", "estimated"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Exact counts of finite values in bins of one width, each closed below and open above.

    Bin i holds `(first + i) · 2^exponent ≤ value < (first + i + 1) · 2^exponent`. Grids of two
    tables therefore fit into each other without interpolation.
    """

    exponent: int
    first: int
    counts: tuple[int, ...]

    @property
    def width(self) -> float:
        """The width of a bin."""
        return 2.0**self.exponent

    @property
    def edges(self) -> tuple[float, ...]:
        """The bounds of the bins, one more than there are bins."""
        return tuple((self.first + i) * self.width for i in range(len(self.counts) + 1))

    def coarsened(self, exponent: int) -> Histogram:
        """Give the same counts in wider bins, exactly.

        `exponent` is at least this one's.
        """
        shift = exponent - self.exponent
        if shift <= 0:
            return self
        first = self.first >> shift
        counts = [0] * (((self.first + len(self.counts) - 1) >> shift) - first + 1)
        for i, count in enumerate(self.counts):
            counts[((self.first + i) >> shift) - first] += count
        return Histogram(exponent, first, tuple(counts))


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Values at ratios of the finite values in order; exact, or of a sample of `sample` of them."""

    points: tuple[tuple[float, float], ...]
    how: Literal["exact", "sampled"]
    sample: int

    def at(self, ratio: float) -> float | None:
        """Give the value at one of the ratios kept."""
        return next((value for point, value in self.points if point == ratio), None)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of values: characters of text, bytes of bytes, elements of lists."""

    minimum: int
    maximum: int
    mean: float


@dataclass(frozen=True, slots=True)
class TopValue:
    """A value as text, cut where it is long, and how often it came."""

    text: str
    count: int


@dataclass(frozen=True, slots=True)
class TopValues:
    """The most frequent values; `exact` when every value was counted."""

    values: tuple[TopValue, ...]
    exact: bool


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """One column.

    `nulls` are missing values, `nans` are floating numbers that are not a number. Mean, deviation,
    minimum, maximum and histogram are of the finite values. `buckets` counts values by their hash:
    two of them can be compared, and none tells a value.
    """

    name: str
    kind: Kind
    type: str
    rows: int
    nulls: int
    nans: int = 0
    infinities: int = 0
    distinct: Distinct | None = None
    minimum: Scalar | None = None
    maximum: Scalar | None = None
    mean: float | None = None
    deviation: float | None = None
    zeros: int | None = None
    trues: int | None = None
    empty: int | None = None
    lengths: Lengths | None = None
    quantiles: Quantiles | None = None
    histogram: Histogram | None = None
    buckets: tuple[int, ...] | None = None
    top: TopValues | None = None

    @property
    def present(self) -> int:
        """How many values are not null, NaN included."""
        return self.rows - self.nulls

    @property
    def missing(self) -> int:
        """Nulls and NaN together, which pandas does not tell apart."""
        return self.nulls + self.nans

    @property
    def missing_ratio(self) -> float:
        """The part of the rows that is null or NaN; 0 in an empty table."""
        return self.missing / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """One table, its columns in the table's order, duplicate names kept.

    `rows` is the number of rows described; `sampled` says so where there are more. `columns_total`
    is larger than the columns described when the table is wider than the limit. `name` is the split
    for data kept in splits.
    """

    rows: int
    columns: tuple[ColumnStatistics, ...]
    columns_total: int
    size_bytes: int | None = None
    sampled: Sampling | None = None
    name: str = ""

    @property
    def missing_ratio(self) -> float:
        """The part of all cells that is null or NaN; 0 without cells."""
        cells = self.rows * len(self.columns)
        return sum(column.missing for column in self.columns) / cells if cells else 0.0
