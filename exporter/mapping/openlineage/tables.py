"""A table's columns and figures as the facets show them: spelled once, sent with every event.

`lineage_table` spells a description; the text form is kept with what else is known of an artifact,
so that no event needs the bytes, or the description, again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson

from exporter.mapping.openlineage.text import bounded_text, finite, storable_int, unused

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_COLUMNS = 1_000
NAME_LENGTH = 255
STATISTICS_BYTES = 60_000

Json = dict[str, Any]  # Any: JSON values on their way into an event


class Column(Protocol):
    """One column of a description, as `exporter.statistics` gives it."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def kind(self) -> str:
        """What its values are."""

    @property
    def type(self) -> str:
        """Its type as the file spells it."""

    @property
    def rows(self) -> int:
        """How many values there are, nulls included."""

    @property
    def nulls(self) -> int:
        """How many of them are missing."""


class TableLike(Protocol):
    """One table of a description."""

    @property
    def rows(self) -> int:
        """How many rows were described."""

    @property
    def columns(self) -> Sequence[Any]:  # Any: a Column, and figures that may be absent
        """Its columns in order."""

    @property
    def columns_total(self) -> int:
        """How many columns there are."""

    @property
    def sampled(self) -> object | None:
        """Which part was read, where it was not all."""

    @property
    def name(self) -> str:
        """The split, for data that is kept in splits."""


class LineageTable(NamedTuple):
    """A table, ready for facets. The last three are JSON, `fields` and `statistics` arrays.

    `rows` is absent where only a part was read.
    """

    rows: int | None
    fields: bytes
    column_metrics: bytes
    statistics: bytes

    def to_text(self) -> str:
        """Spell the table in four lines; `from_text` gives it back."""
        rows = b"null" if self.rows is None else str(self.rows).encode("ascii")
        lines = (rows, self.fields, self.column_metrics, self.statistics)
        return b"\n".join(lines).decode("utf-8")

    @classmethod
    def from_text(cls, text: str) -> LineageTable | None:
        """Give back what `to_text` spelled; None for anything else."""
        lines = text.encode("utf-8", "surrogatepass").split(b"\n")
        if len(lines) != 4:
            return None
        rows = None if lines[0] == b"null" else int(lines[0])
        return cls(rows, *lines[1:])


def lineage_table(tables: Sequence[TableLike]) -> LineageTable:
    """Spell the tables of one artifact, more than one only where it is kept in splits.

    The columns are those of all splits in order of first sight; figures of columns are given for
    one table alone, since quantiles and distinct counts of splits do not add up. Figures are
    numbers; values of the data are there only where the description holds top values.
    Limits: a thousand columns; statistics of at most 60,000 bytes, whole columns from the left.
    """
    partly = any(table.sampled is not None for table in tables)
    rows = None if partly else storable_int(sum(table.rows for table in tables))
    columns: dict[tuple[str, int], Any] = {}
    for table in tables:
        numbers: dict[str, int] = {}
        for column in table.columns:
            numbers[column.name] = number = numbers.get(column.name, -1) + 1
            columns.setdefault((column.name, number), column)
    shown = list(columns.values())[:MAX_COLUMNS]
    fields = [_field(column, place) for place, column in enumerate(shown, 1)]
    metrics: Json = {}
    if len(tables) == 1:
        used: set[str] = set()
        for column in shown:
            metrics[unused(_name(column.name), used)] = _metrics(column)
    return LineageTable(
        rows, orjson.dumps(fields), orjson.dumps(metrics), _statistics(tables, STATISTICS_BYTES)
    )


def _name(name: str) -> str:
    return bounded_text(name, NAME_LENGTH) or "_"


def _field(column: Column, place: int) -> Json:
    return {
        "name": _name(column.name),
        "type": bounded_text(column.type, NAME_LENGTH) or column.kind,
        "ordinal_position": place,
    }


def _metrics(column: Any) -> Json:  # Any: a column with figures that may be absent
    found: Json = {"nullCount": column.nulls, "count": column.rows}
    if column.distinct is not None and column.distinct.how == "exact":
        found["distinctCount"] = storable_int(column.distinct.count)
    if column.kind in _NUMBERS:
        found["min"] = _number(column.minimum)
        found["max"] = _number(column.maximum)
        if column.quantiles is not None:
            points = ((f"{point:g}", finite(value)) for point, value in column.quantiles.points)
            found["quantiles"] = _present(dict(points)) or None
    return _present(found)


_NUMBERS = frozenset({"int", "float"})


def _number(value: object) -> float | int | None:
    return finite(value) if isinstance(value, int | float) else None


def _statistics(tables: Sequence[TableLike], limit: int) -> bytes:
    """Describe every column of every table, whole ones while they fit."""
    found: list[bytes] = []
    size = 2
    for table in tables:
        for column in table.columns[:MAX_COLUMNS]:
            spelled = orjson.dumps(_described(table.name, column))
            size += len(spelled) + 1
            if size > limit:
                return b"[%b]" % b",".join(found)
            found.append(spelled)
    return b"[%b]" % b",".join(found)


def _described(split: str, column: Any) -> Json:  # Any: a column with figures that may be absent
    found: Json = {
        "split": bounded_text(split, NAME_LENGTH) or None,
        "name": _name(column.name),
        "kind": column.kind,
        "type": bounded_text(column.type, NAME_LENGTH),
        "rows": storable_int(column.rows),
        "nulls": storable_int(column.nulls),
        "nans": column.nans or None,
        "infinities": column.infinities or None,
        "mean": finite(column.mean),
        "deviation": finite(column.deviation),
        "zeros": column.zeros,
        "trues": column.trues,
        "empty": column.empty,
    }
    if column.distinct is not None:
        found["distinct"] = {"count": column.distinct.count, "how": column.distinct.how}
    if column.lengths is not None:
        lengths = {
            "minimum": column.lengths.minimum,
            "maximum": column.lengths.maximum,
            "mean": finite(column.lengths.mean),
        }
        found["lengths"] = _present(lengths)
    if column.kind in _NUMBERS and column.histogram is not None:
        histogram = column.histogram
        if storable_int(histogram.first) is not None:
            found["histogram"] = {
                "exponent": histogram.exponent,
                "first": histogram.first,
                "counts": list(histogram.counts),
            }
    if column.top is not None:
        found["top"] = [
            {"value": bounded_text(one.text, 1_000), "count": one.count}
            for one in column.top.values
        ]
    return _present(found)


def _present(values: Json) -> Json:
    return {key: value for key, value in values.items() if value is not None}
