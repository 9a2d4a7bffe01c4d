"""What is gathered of one column while its batches go by, by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exporter.statistics.hashing import hashed_bytes
from exporter.statistics.kinds import kind_of, plain, reading_of
from exporter.statistics.model import NUMBERS, TIMES, ColumnStatistics, Distinct, Lengths
from exporter.statistics.sketches import DistinctSketch, Grid, Moments, SampledValues
from exporter.statistics.top import TopCounter

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.statistics.model import Kind, StatLimits
    from exporter.statistics.sketches import RowSample

    Array = np.ndarray[Any, Any]  # Any: of any shape
    Picked = tuple[Array, Array]  # places in the batch and hashes of the rows in the sample

_BUCKETS = 32
_FEW = 8  # a batch with this many rows per distinct value is worth counting by value


class Gathering(Protocol):
    """Takes the arrays of one column, plain and with nulls, and says what it saw."""

    def add(self, array: pa.Array, picked: Picked) -> None:
        """Take a batch. Raises nothing for odd values."""

    def fields(self) -> dict[str, Any]:  # Any: fields of ColumnStatistics
        """Give what is particular to the kind."""


class Column:
    """Gathers one column of a table."""

    def __init__(
        self, name: str, type_: pa.DataType, limits: StatLimits, sample: RowSample
    ) -> None:
        self._name, self._type = name, type_
        self._kind = kind_of(type_)
        self._rows = self._nulls = 0
        self._gathering = _MAKERS[self._kind](self._kind, type_, limits, sample)

    def add(self, array: pa.Array, picked: Picked) -> None:
        """Take a batch."""
        array = plain(array)
        self._rows += len(array)
        self._nulls += array.null_count
        if len(array) > array.null_count:
            self._gathering.add(array, picked)

    def result(self) -> ColumnStatistics:
        """Give the statistics of what was taken."""
        return ColumnStatistics(
            self._name,
            self._kind,
            str(self._type),
            self._rows,
            self._nulls,
            **self._gathering.fields(),
        )


class _Numbers:
    """Numbers and times."""

    def __init__(
        self, kind: Kind, type_: pa.DataType, limits: StatLimits, sample: RowSample
    ) -> None:
        self._reading = reading_of(kind, type_)
        self._is_number = kind in NUMBERS
        self._distinct = DistinctSketch(limits.exact_distinct)
        self._grid = Grid(limits.bins, whole=self._reading.whole)
        self._moments = Moments()
        self._sampled = SampledValues(sample)
        self._bounds: tuple[Any, Any] | None = None  # Any: exact values, as `Reading.raw` has them
        self._nans = self._infinities = self._zeros = self._values = 0
        self._few = False

    def add(self, array: pa.Array, picked: Picked) -> None:
        places, hashes = picked
        if array.null_count:
            valid: Array = array.is_valid().to_numpy(zero_copy_only=False)
            array = array.drop_null()
            inside = valid[places]
            places, hashes = (np.cumsum(valid) - 1)[places[inside]], hashes[inside]
        raw = self._reading.raw(array)
        floats = self._reading.floats(raw)
        chosen = floats[places]
        finite = np.isfinite(floats)
        if not finite.all():
            nans = np.isnan(floats)
            self._nans += int(nans.sum())
            self._infinities += int(len(floats) - finite.sum() - nans.sum())
            self._see_distinct(raw[~nans])
            raw, floats = raw[finite], floats[finite]
            hashes, chosen = hashes[np.isfinite(chosen)], chosen[np.isfinite(chosen)]
        else:
            self._see_distinct(raw)
        self._sampled.add(hashes, chosen)
        if len(raw):
            self._see_finite(raw, floats)

    def _see_finite(self, raw: Array, floats: Array) -> None:
        low, high = raw.min(), raw.max()
        held = self._bounds
        self._bounds = (
            low if held is None or low < held[0] else held[0],
            high if held is None or high > held[1] else held[1],
        )
        self._zeros += len(floats) - int(np.count_nonzero(floats))
        self._grid.add(floats, float(floats.min()), float(floats.max()))
        self._moments.add(floats)

    def _see_distinct(self, raw: Array) -> None:
        self._values += len(raw)
        if self._few:
            raw_few = pc.unique(pa.array(raw)).to_numpy(zero_copy_only=False)
            self._few = len(raw_few) * _FEW < len(raw)
            self._distinct.add(self._reading.hashes(raw_few))
        elif len(raw):
            seen = self._distinct.add(self._reading.hashes(raw))
            self._few = seen * _FEW < len(raw) and raw.dtype != object and not self._distinct.full

    def fields(self) -> dict[str, Any]:
        low, high = (None, None) if self._bounds is None else self._bounds
        shown = self._reading.shown
        mean, deviation = self._moments.result()
        return {
            "nans": self._nans,
            "infinities": self._infinities,
            "distinct": self._distinct.result(self._values),
            "minimum": None if low is None else shown(low),
            "maximum": None if high is None else shown(high),
            "mean": mean,
            "deviation": deviation,
            "zeros": self._zeros if self._is_number else None,
            "quantiles": self._sampled.result(),
            "histogram": self._grid.result(),
        }


class _Truths:
    """True and false."""

    def __init__(self, *_: object) -> None:
        self._trues = self._present = 0

    def add(self, array: pa.Array, picked: Picked) -> None:  # noqa: ARG002 - a count says it all
        self._trues += array.true_count
        self._present += len(array) - array.null_count

    def fields(self) -> dict[str, Any]:
        kinds = (self._trues > 0) + (self._present > self._trues)
        return {
            "trues": self._trues,
            "distinct": Distinct(int(kinds), "exact"),
            "mean": self._trues / self._present if self._present else None,
        }


class _Texts:
    """Strings, categories and bytes; by distinct value where a batch has few."""

    def __init__(self, kind: Kind, _type: pa.DataType, limits: StatLimits, _: RowSample) -> None:
        self._is_text = kind != "bytes"
        self._distinct = DistinctSketch(limits.exact_distinct)
        self._buckets: Array = np.zeros(_BUCKETS, dtype=np.int64)
        self._top = TopCounter(limits) if limits.values else None
        self._least = self._greatest = self._total = self._present = self._empty = 0
        self._few = False

    def add(self, array: pa.Array, picked: Picked) -> None:  # noqa: ARG002 - texts have no quantiles
        values, counts = self._counted(array)
        lengths = self._lengths(values)
        binary = _binary(values)
        hashes = hashed_bytes(*_buffers(binary))
        weights = np.ones(len(values), dtype=np.int64) if counts is None else counts
        self._buckets += np.bincount(
            (hashes >> np.uint64(59)).astype(np.int64), weights=weights, minlength=_BUCKETS
        ).astype(np.int64)
        seen = self._distinct.add(hashes)
        if counts is None:
            self._few = seen * _FEW < len(values) and not self._distinct.full
        least = int(lengths.min())
        self._least = min(self._least, least) if self._present else least
        self._greatest = max(self._greatest, int(lengths.max()))
        self._present += int(weights.sum())
        self._total += int((lengths * weights).sum())
        self._empty += int(weights[lengths == 0].sum())
        if self._top is not None:
            self._top.add(binary, weights)

    def _counted(self, array: pa.Array) -> tuple[pa.Array, Array | None]:
        """Give the values that are not null; by distinct value, with counts, where that is less."""
        if pa.types.is_dictionary(array.type):
            indices = array.indices.drop_null().to_numpy(zero_copy_only=False)
            counts = np.bincount(indices.astype(np.int64), minlength=len(array.dictionary))
            used = np.flatnonzero(counts)
            return array.dictionary.take(pa.array(used)), counts[used]
        if self._few or self._top is not None:
            pairs = array.drop_null().value_counts()
            counts = pairs.field("counts").to_numpy(zero_copy_only=False)
            self._few = len(counts) * _FEW < len(array)
            return pairs.field("values"), counts
        return (array.drop_null() if array.null_count else array), None

    def _lengths(self, values: pa.Array) -> Array:
        measure = pc.utf8_length if self._is_text else pc.binary_length
        out: Array = measure(values).to_numpy(zero_copy_only=False).astype(np.int64)
        return out

    def fields(self) -> dict[str, Any]:
        if not self._present:
            return {"distinct": self._distinct.result(0), "empty": 0}
        top = None if self._top is None else self._top.result()
        low, high = (None, None) if self._top is None else self._top.bounds()
        return {
            "distinct": self._distinct.result(self._present),
            "empty": self._empty,
            "lengths": Lengths(self._least, self._greatest, self._total / self._present),
            "buckets": tuple(self._buckets.tolist()),
            "minimum": low,
            "maximum": high,
            "top": top,
        }


class _Counted:
    """What is only counted: structs, maps, unions, nulls. Of lists also the lengths."""

    def __init__(self, kind: Kind, *_: object) -> None:
        self._is_null = kind == "null"
        self._least = self._greatest = self._total = self._present = self._empty = 0

    def add(self, array: pa.Array, picked: Picked) -> None:  # noqa: ARG002 - counted, not looked at
        if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
            return
        lengths: Array = pc.list_value_length(array).drop_null().to_numpy(zero_copy_only=False)
        least = int(lengths.min())
        self._least = min(self._least, least) if self._present else least
        self._greatest = max(self._greatest, int(lengths.max()))
        self._total += int(lengths.sum())
        self._empty += int((lengths == 0).sum())
        self._present += len(lengths)

    def fields(self) -> dict[str, Any]:
        if self._is_null:
            return {"distinct": Distinct(0, "exact")}
        if not self._present:
            return {}
        lengths = Lengths(self._least, self._greatest, self._total / self._present)
        return {"lengths": lengths, "empty": self._empty}


def _binary(values: pa.Array) -> pa.Array:
    if pa.types.is_string(values.type) or pa.types.is_fixed_size_binary(values.type):
        values = values.cast(pa.binary())
    return values.cast(pa.large_binary())


def _buffers(binary: pa.Array) -> tuple[Array, Array, Array]:
    """Give the bytes of a large_binary array without nulls, where each value starts, how long."""
    _, offsets_buffer, data_buffer = binary.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)
    offsets = offsets[binary.offset : binary.offset + len(binary) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    if data_buffer is None:
        data: Array = np.empty(0, dtype=np.uint8)
    else:
        data = np.frombuffer(data_buffer, dtype=np.uint8)[first:last]
    starts = offsets[:-1] - first
    return data, starts, np.diff(offsets)


_MAKERS: dict[Kind, Callable[[Kind, pa.DataType, StatLimits, RowSample], Gathering]] = {
    **dict.fromkeys((*NUMBERS, *TIMES), _Numbers),
    **dict.fromkeys(("string", "categorical", "bytes"), _Texts),
    "bool": _Truths,
    "nested": _Counted,
    "null": _Counted,
    "other": _Counted,
}
