"""The schema that a table shows: types, what is required, the range and values that were seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.statistics.model import ColumnStatistics, Kind, Scalar, TableStatistics

_LARGEST_DOMAIN = 100


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """One column. `required` means that no value was missing; the range is of what was seen.

    `values` is the whole set of values, given only where values may be shown and all are known.
    """

    name: str
    kind: Kind
    type: str
    required: bool
    seen: bool
    minimum: Scalar | None = None
    maximum: Scalar | None = None
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of a table in order; duplicate names stay."""

    columns: tuple[ColumnSchema, ...]


def infer(tables: Sequence[TableStatistics]) -> TableSchema:
    """Infer the schema of a table, or of the splits of one; columns in order of first sight.

    Where splits differ, a column is required if it is in all of them, and of kind `other` if its
    kinds differ.
    """
    found: dict[tuple[str, int], ColumnSchema] = {}
    times: dict[tuple[str, int], int] = {}
    for table in tables:
        numbers: dict[str, int] = {}
        for column in table.columns:
            number = numbers[column.name] = numbers.get(column.name, -1) + 1
            key = (column.name, number)
            times[key] = times.get(key, 0) + 1
            one = _of(column)
            found[key] = _both(found[key], one) if key in found else one
    return TableSchema(
        tuple(
            column if times[key] == len(tables) else replace(column, required=False)
            for key, column in found.items()
        )
    )


def _of(column: ColumnStatistics) -> ColumnSchema:
    top = column.top
    is_whole = (
        top is not None
        and top.exact
        and column.distinct is not None
        and column.distinct.count == len(top.values) <= _LARGEST_DOMAIN
    )
    values = tuple(sorted(value.text for value in top.values)) if top and is_whole else None
    is_text = column.kind in ("string", "categorical", "bytes")
    return ColumnSchema(
        column.name,
        column.kind,
        column.type,
        required=column.missing == 0 and column.rows > 0,
        seen=column.present > 0,
        minimum=None if is_text else column.minimum,
        maximum=None if is_text else column.maximum,
        values=values,
    )


def _both(one: ColumnSchema, other: ColumnSchema) -> ColumnSchema:
    values = None
    if one.values is not None and other.values is not None:
        values = tuple(sorted({*one.values, *other.values}))
    return ColumnSchema(
        one.name,
        one.kind if one.kind == other.kind else "other",
        one.type if one.type == other.type else f"{one.type} or {other.type}",
        one.required and other.required,
        one.seen or other.seen,
        _of_numbers(min, one.minimum, other.minimum),
        _of_numbers(max, one.maximum, other.maximum),
        values,
    )


def _of_numbers(
    choose: Callable[[float, float], float], one: Scalar | None, other: Scalar | None
) -> Scalar | None:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return choose(one, other)
    return one if one == other else None
