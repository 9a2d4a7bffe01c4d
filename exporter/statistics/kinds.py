"""What kind of column an Arrow type makes, and how its values are read as numbers and shown.

Raises nothing for odd values: dates out of Python's range, decimals, halves and huge integers have
a text and a number each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from exporter.statistics.hashing import hashed_bytes, hashed_floats, mixed

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from exporter.statistics.model import Kind, Scalar

    Array = np.ndarray[Any, Any]  # Any: of any shape

_PER_MS = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}
_DAY_MS = 86_400_000.0

_TESTS: tuple[tuple[Callable[[pa.DataType], bool], Kind], ...] = (
    (pa.types.is_boolean, "bool"),
    (pa.types.is_integer, "int"),
    (pa.types.is_floating, "float"),
    (pa.types.is_decimal, "decimal"),
    (pa.types.is_string, "string"),
    (pa.types.is_large_string, "string"),
    (pa.types.is_string_view, "string"),
    (pa.types.is_timestamp, "datetime"),
    (pa.types.is_date, "date"),
    (pa.types.is_time, "time"),
    (pa.types.is_duration, "duration"),
    (pa.types.is_binary, "bytes"),
    (pa.types.is_large_binary, "bytes"),
    (pa.types.is_binary_view, "bytes"),
    (pa.types.is_fixed_size_binary, "bytes"),
    (pa.types.is_null, "null"),
    (pa.types.is_nested, "nested"),
)


def kind_of(type_: pa.DataType) -> Kind:
    """Name the kind of an Arrow type; a dictionary of strings is categorical."""
    if pa.types.is_dictionary(type_):
        inside = kind_of(type_.value_type)
        return "categorical" if inside == "string" else inside
    if isinstance(type_, pa.BaseExtensionType):
        return kind_of(type_.storage_type)
    if pa.types.is_run_end_encoded(type_):
        return kind_of(type_.value_type)
    return next((kind for test, kind in _TESTS if test(type_)), "other")


def plain(array: pa.Array) -> pa.Array:
    """Give an array without extension type, run ends, views or, but for strings, a dictionary."""
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    if pa.types.is_run_end_encoded(array.type):
        return plain(pc.run_end_decode(array))
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if pa.types.is_binary_view(array.type):
        return array.cast(pa.large_binary())
    is_dictionary = pa.types.is_dictionary(array.type)
    if is_dictionary and (kind_of(array.type) != "categorical" or array.dictionary.null_count):
        return plain(array.dictionary_decode())
    return array


@dataclass(frozen=True, slots=True)
class Reading:
    """How the values of a column of numbers or times are read.

    `raw` gives an array without nulls as NumPy values of which least and greatest are exact;
    `floats` gives those as float64, times in ms; `hashes` tells them apart; `shown` is for people.
    """

    raw: Callable[[pa.Array], Array]
    floats: Callable[[Array], Array]
    hashes: Callable[[Array], Array]
    shown: Callable[[Any], Scalar]  # Any: one of the values of `raw`
    whole: bool


def reading_of(kind: Kind, type_: pa.DataType) -> Reading:
    """Choose how a column of this kind is read."""
    while pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        type_ = type_.value_type
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    if kind == "float":
        return Reading(_float_values, _same, hashed_floats, float, whole=False)
    if kind == "int":
        return Reading(_integers, _as_floats, _hashed_integers, int, whole=True)
    if kind == "decimal":
        return Reading(_decimals, _decimal_floats, _hashed_decimals, _decimal_text, whole=False)
    scale = _DAY_MS if pa.types.is_date32(type_) else 1 / _PER_MS[getattr(type_, "unit", "ms")]
    return Reading(
        _ticks,
        lambda ticks: ticks.astype(np.float64) * scale,
        _hashed_integers,
        _shower(kind, type_),
        whole=True,
    )


def _float_values(array: pa.Array) -> Array:
    out: Array = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return out


def _integers(array: pa.Array) -> Array:
    values: Array = array.to_numpy(zero_copy_only=False)
    return values if values.dtype == np.uint64 else values.astype(np.int64, copy=False)


def _ticks(array: pa.Array) -> Array:
    wide = array if array.type.bit_width == 64 else array.cast(pa.int32())
    ticks: Array = wide.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return ticks


def _decimals(array: pa.Array) -> Array:
    out: Array = array.to_numpy(zero_copy_only=False)
    return out


def _same(values: Array) -> Array:
    return values


def _as_floats(values: Array) -> Array:
    return values.astype(np.float64)


def _hashed_integers(values: Array) -> Array:
    return mixed(values.view(np.uint64))


def _decimal_floats(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(np.float64)


def _hashed_decimals(values: Array) -> Array:
    """Hash decimals by their text, which the scale of their column makes one for each."""
    texts = [str(value).encode() for value in values]
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    data = np.frombuffer(b"".join(texts), dtype=np.uint8)
    return hashed_bytes(data, np.cumsum(lengths) - lengths, lengths)


def _decimal_text(value: Decimal) -> str:
    return format(value, "f")


def _shower(kind: Kind, type_: pa.DataType) -> Callable[[Any], Scalar]:  # Any: an integer
    unit: Any = "D" if pa.types.is_date32(type_) else getattr(type_, "unit", "ms")  # Any: a Literal
    if kind == "date":
        return lambda ticks: str(np.datetime64(int(ticks), unit).astype("datetime64[D]"))
    if kind == "datetime":
        zone = "Z" if getattr(type_, "tz", None) else ""
        return lambda ticks: f"{np.datetime64(int(ticks), unit)}{zone}"
    if kind == "time":
        return lambda ticks: str(np.datetime64(int(ticks), unit)).partition("T")[2]
    return lambda ticks: _seconds_text(int(ticks), unit)


def _seconds_text(ticks: int, unit: str) -> str:
    """Write a duration as ISO 8601, in seconds, exactly."""
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
    sign, ticks = ("-" if ticks < 0 else ""), abs(ticks)
    whole, part = divmod(ticks, 10**digits)
    fraction = f".{part:0{digits}d}".rstrip("0").rstrip(".") if digits else ""
    return f"{sign}PT{whole}{fraction}S"
