"""The model as JSON values and back, so that the next run can be compared with this one."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from exporter.statistics.model import (
    ColumnStatistics,
    Distinct,
    Histogram,
    Lengths,
    Quantiles,
    Sampling,
    TableStatistics,
    TopValue,
    TopValues,
)

Json = dict[str, Any]  # Any: JSON values


def column_json(column: ColumnStatistics) -> Json:
    """Give a column as JSON values; what is absent is left out."""
    made: Json = _plain(column)
    return made


def table_json(table: TableStatistics) -> Json:
    """Give what a table says beside its columns."""
    return {key: value for key, value in _plain(table).items() if key != "columns"}


def column_from(value: Json) -> ColumnStatistics:
    """Give back a column. Raises: KeyError, TypeError, ValueError for anything else."""
    made = dict(value)
    made |= {
        name: make(value[name]) for name, make in _PARTS.items() if value.get(name) is not None
    }
    return ColumnStatistics(**made)


def table_from(value: Json, columns: tuple[ColumnStatistics, ...]) -> TableStatistics:
    """Give back a table. Raises: as `column_from` does."""
    made = dict(value)
    if made.get("sampled") is not None:
        made["sampled"] = Sampling(**made["sampled"])
    return TableStatistics(columns=columns, **made)


def _quantiles(value: Json) -> Quantiles:
    points = tuple((float(ratio), float(at)) for ratio, at in value["points"])
    return Quantiles(points, value["how"], value["sample"])


def _histogram(value: Json) -> Histogram:
    return Histogram(value["exponent"], value["first"], tuple(value["counts"]))


def _top(value: Json) -> TopValues:
    return TopValues(tuple(TopValue(**one) for one in value["values"]), value["exact"])


_PARTS: dict[str, Any] = {  # Any: makers of the parts
    "distinct": lambda value: Distinct(**value),
    "lengths": lambda value: Lengths(**value),
    "quantiles": _quantiles,
    "histogram": _histogram,
    "buckets": tuple,
    "top": _top,
}


def _plain(value: Any) -> Any:  # Any: a part of the model → JSON values
    if hasattr(value, "__dataclass_fields__"):
        made = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {key: part for key, part in made.items() if part is not None}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value
