"""Summaries of a stream of any length in bounded memory. How the stream was cut never shows.

Every summary gives the same result for the same values in the same order, whatever the sizes of
the batches they came in and whatever the machine: only exact integers, comparisons and single
floating operations in a fixed order are used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from exporter.statistics.hashing import mixed
from exporter.statistics.model import Distinct, Histogram, Quantiles

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]  # Any: of any shape

_CHUNK = 4_096
_PRECISION = 50  # bits of a bin's number; a float64 holds 53
_LEAST_EXPONENT = -1_074
_POINTS = (0.0, 0.01, *(round(i * 0.05, 2) for i in range(1, 20)), 0.99, 1.0)


class DistinctSketch:
    """Counts distinct hashes: all of them up to `limit`, beyond that by the `limit` least.

    Source: bottom-k estimate (limit - 1) / share of the hash space below the largest one kept, with
    a relative standard error of 1 / √limit; Bar-Yossef et al. 2002, "Counting distinct elements in
    a data stream".
    """

    def __init__(self, limit: int) -> None:
        self._limit = max(limit, 2)
        self._least: Array = np.empty(0, dtype=np.uint64)
        self._more = False

    @property
    def full(self) -> bool:
        """Whether only the least hashes are kept; most values are then passed over quickly."""
        return self._more

    def add(self, hashes: Array) -> int:
        """Take a batch of hashes; give how many different ones were new or small enough to see."""
        if self._more:
            hashes = hashes[hashes < self._least[-1]]
        if not len(hashes):
            return 0
        fresh = _unique(hashes)
        merged = _unique(np.concatenate([self._least, fresh]))
        if len(merged) > self._limit:
            self._more = True
            merged = merged[: self._limit].copy()
        self._least = merged
        return len(fresh)

    def result(self, seen: int) -> Distinct:
        """Give the count, and whether it is exact; an estimate is never above `seen` values."""
        if not self._more:
            return Distinct(len(self._least), "exact")
        share = (int(self._least[-1]) + 1) / 2**64
        return Distinct(min(round((self._limit - 1) / share), seen), "estimated")


class Grid:
    """A histogram that grows: bins of width 2^exponent, never more than `bins` of them."""

    def __init__(self, bins: int, *, whole: bool) -> None:
        self._bins = max(bins, 2)
        self._histogram: Histogram | None = None
        self._least_exponent = 0 if whole else _LEAST_EXPONENT

    def add(self, values: Array, low: float, high: float) -> None:
        """Count finite float64 values, whose least and greatest are `low` and `high`."""
        held = self._histogram
        exponent = self._exponent(low, high)
        if held is not None:
            exponent = max(exponent, held.exponent)
            held = held.coarsened(exponent)
        first, last = _bin(low, exponent), _bin(high, exponent)
        while held is not None and (
            max(last, held.first + len(held.counts) - 1) - min(first, held.first) >= self._bins
        ):
            exponent += 1
            held = held.coarsened(exponent)
            first, last = _bin(low, exponent), _bin(high, exponent)
        scaled = np.ldexp(values, -exponent)
        places = np.floor(scaled) - first
        if low < 0:  # what is too small for a float once scaled still is below zero
            places[(scaled == 0) & (values < 0)] = -1 - first
        counted = np.bincount(places.astype(np.int64), minlength=last - first + 1)
        self._histogram = _joined(held, Histogram(exponent, first, tuple(counted.tolist())))

    def result(self) -> Histogram | None:
        """Give the histogram; None when there was no value, one bin of its size for one value."""
        held = self._histogram
        if held is None or len(held.counts) > 1:
            return held
        _, size = math.frexp(held.edges[0])
        return held.coarsened(max(held.exponent, size - 1))

    def _exponent(self, low: float, high: float) -> int:
        """Give the finest width at which the bins suffice."""
        size = max(abs(low), abs(high))
        _, top = math.frexp(size)
        exponent = max(top - _PRECISION if size else _LEAST_EXPONENT, self._least_exponent)
        spread = high / 2 - low / 2
        if spread > 0:
            _, size = math.frexp(spread)
            exponent = max(exponent, size + 1 - self._bins.bit_length())
        while _bin(high, exponent) - _bin(low, exponent) >= self._bins:
            exponent += 1
        return exponent


class Moments:
    """Mean and standard deviation by chunks of a fixed size, however the values come.

    Each chunk is summed by halves; chunks are joined by Chan's formula. Scaling keeps sums of the
    largest numbers finite; a deviation that no float holds is None.
    """

    def __init__(self) -> None:
        self._tail: Array = np.empty(0, dtype=np.float64)
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: Array) -> None:
        """Take finite float64 values."""
        if len(self._tail):
            values = np.concatenate([self._tail, values])
        whole = len(values) // _CHUNK * _CHUNK
        self._tail = values[whole:].copy()
        if whole:
            self._join(values[:whole].reshape(-1, _CHUNK), _CHUNK)

    def result(self) -> tuple[float | None, float | None]:
        """Give the mean and the sample deviation (over n - 1), None where there is none."""
        if len(self._tail):
            self._join(self._tail.reshape(1, -1), len(self._tail))
            self._tail = self._tail[:0]
        if not self._count:
            return None, None
        variance = self._squares / (self._count - 1) if self._count > 1 else math.nan
        deviation = math.sqrt(variance) if math.isfinite(variance) else None
        return self._mean, deviation

    def _join(self, chunks: Array, size: int) -> None:
        width = 1 << (size - 1).bit_length()
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            means = _halved(_padded(chunks * (1.0 / width), width)) * (width / size)
            apart = chunks - means[:, None]
            squares = _halved(_padded(apart * apart, width))
        for mean, square in zip(means.tolist(), squares.tolist(), strict=True):
            count = self._count + size
            step = mean - self._mean
            part = size / count
            self._squares += square + step * step * self._count * part
            self._mean = self._mean * (1 - part) + mean * part if self._count else mean
            self._count = count


class RowSample:
    """Which rows are in the sample: those whose numbers have the `size` least hashes."""

    def __init__(self, size: int) -> None:
        self.size = max(size, 2)
        self.rows = 0
        self._least: Array = np.empty(0, dtype=np.uint64)

    @property
    def bound(self) -> int:
        """The greatest hash that is in the sample; rows above it are out."""
        return int(self._least[-1]) if len(self._least) == self.size else 2**64 - 1

    def take(self, count: int) -> tuple[Array, Array]:
        """Look at the next `count` rows; give places and hashes of those in the sample so far."""
        numbers = np.arange(self.rows, self.rows + count, dtype=np.uint64)
        self.rows += count
        hashes = mixed(numbers)
        places = np.flatnonzero(hashes <= np.uint64(self.bound))
        hashes = hashes[places]
        self._least = np.sort(np.concatenate([self._least, hashes]))[: self.size]
        inside = hashes <= np.uint64(self.bound)
        return places[inside], hashes[inside]


class SampledValues:
    """The values of one column in the sampled rows, from which its quantiles come."""

    def __init__(self, sample: RowSample) -> None:
        self._sample = sample
        self._hashes: list[Array] = []
        self._values: list[Array] = []
        self._held = 0

    def add(self, hashes: Array, values: Array) -> None:
        """Take the finite values of rows in the sample with the hashes of these rows."""
        self._hashes.append(hashes)
        self._values.append(values)
        self._held += len(hashes)
        if self._held > 2 * self._sample.size:
            self._pruned()

    def result(self) -> Quantiles | None:
        """Give the quantiles, linear between neighbours; None when there was no value."""
        if not self._held:
            return None
        values = np.sort(self._pruned()).tolist()
        exact = self._sample.rows <= self._sample.size
        points = tuple((ratio, _quantile(values, ratio)) for ratio in _POINTS)
        return Quantiles(points, "exact" if exact else "sampled", len(values))

    def _pruned(self) -> Array:
        hashes, values = np.concatenate(self._hashes), np.concatenate(self._values)
        inside = hashes <= np.uint64(self._sample.bound)
        self._hashes, self._values = [hashes[inside]], [values[inside]]
        self._held = len(self._values[0])
        return self._values[0]


def _unique(hashes: Array) -> Array:
    ordered = np.sort(hashes)
    first = np.empty(len(ordered), dtype=bool)
    first[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _bin(value: float, exponent: int) -> int:
    scaled = math.ldexp(value, -exponent)
    return -1 if value < 0 and not scaled else math.floor(scaled)


def _joined(held: Histogram | None, new: Histogram) -> Histogram:
    if held is None:
        return new
    first = min(held.first, new.first)
    last = max(held.first + len(held.counts), new.first + len(new.counts))
    counts = [0] * (last - first)
    for part in (held, new):
        for i, count in enumerate(part.counts, part.first - first):
            counts[i] += count
    return Histogram(new.exponent, first, tuple(counts))


def _padded(chunks: Array, width: int) -> Array:
    missing = width - chunks.shape[1]
    return np.pad(chunks, ((0, 0), (0, missing))) if missing else chunks


def _halved(rows: Array) -> Array:
    """Sum each row by adding its halves; the width is a power of two."""
    while rows.shape[1] > 1:
        half = rows.shape[1] // 2
        rows = rows[:, :half] + rows[:, half:]
    summed: Array = rows[:, 0]
    return summed


def _quantile(ordered: list[float], ratio: float) -> float:
    place = ratio * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    part = place - low
    return ordered[low] * (1 - part) + ordered[high] * part
