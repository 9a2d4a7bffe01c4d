"""The part of a report that tells all about one column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.statistics import text
from exporter.statistics.drawing import large
from exporter.statistics.model import NUMBERS, TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.statistics.drift import ColumnDrift
    from exporter.statistics.model import ColumnStatistics

_SHOWN_QUANTILES = ((0.05, "5 %"), (0.25, "25 %"), (0.5, "median"), (0.75, "75 %"), (0.95, "95 %"))


def card(
    anchor: str,
    column: ColumnStatistics,
    changed: ColumnDrift | None,
    before: ColumnStatistics | None,
) -> str:
    """Give the card of a column; `before` is the column in the run before."""
    facts = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in _facts(column))
    same_kind = before is not None and before.kind == column.kind
    return (
        f'<section class="card" id="{anchor}"><div class="head"><h3>{text.named(column.name)}</h3>'
        f'<span class="kind" title="{text.escaped(column.type)}">{_kind(column)}</span></div>'
        f"{large(column, before if same_kind else None)}<dl>{facts}</dl>"
        f"{_top(column)}{_changed(column, changed)}</section>"
    )


def _kind(column: ColumnStatistics) -> str:
    shown = text.escaped(column.type, 40)
    return column.kind if shown == column.kind else f"{column.kind} · {shown}"


def _facts(column: ColumnStatistics) -> Iterator[tuple[str, str]]:
    yield "missing", _part(column.nulls, column.rows)
    if column.nans:
        yield "NaN", _part(column.nans, column.rows)
    if column.infinities:
        yield "infinite", _part(column.infinities, column.rows)
    if column.distinct is not None:
        about = "≈ " if column.distinct.how == "estimated" else ""
        yield "distinct", about + text.count(column.distinct.count)
    if column.kind in NUMBERS or column.kind in TIMES:
        yield from _numbers(column)
    if column.lengths is not None:
        unit = {"bytes": "bytes", "nested": "elements"}.get(column.kind, "length")
        low, high = text.count(column.lengths.minimum), text.count(column.lengths.maximum)
        yield unit, low if low == high else f"{low} – {high}"
        yield f"mean {unit}", text.number(column.lengths.mean)
    if column.empty:
        yield "empty", _part(column.empty, column.rows)
    if column.kind in ("string", "categorical", "bytes") and column.minimum is not None:
        yield "min", text.scalar(column.kind, column.minimum)
        yield "max", text.scalar(column.kind, column.maximum)


def _numbers(column: ColumnStatistics) -> Iterator[tuple[str, str]]:
    if column.zeros:
        yield "zeros", _part(column.zeros, column.rows)
    if column.mean is not None:
        yield "mean", text.moment(column.kind, column.mean)
    if column.deviation is not None:
        kind = "duration" if column.kind in TIMES else column.kind
        yield "std deviation", text.moment(kind, column.deviation)
    yield "min", text.scalar(column.kind, column.minimum)
    yield "max", text.scalar(column.kind, column.maximum)
    if column.quantiles is not None:
        about = "≈ " if column.quantiles.how == "sampled" else ""
        for ratio, name in _SHOWN_QUANTILES:
            yield name, about + text.moment(column.kind, column.quantiles.at(ratio))


def _part(count: int, rows: int) -> str:
    if not count:
        return '<span class="dim">0</span>'
    return f'{text.count(count)} <span class="dim">({text.ratio(count / rows)})</span>'


def _top(column: ColumnStatistics) -> str:
    if column.top is None or not column.top.values:
        return ""
    rows = "".join(
        f'<tr><td>{text.named(value.text, 80)}</td><td class="n">{text.count(value.count)}</td>'
        f'<td class="n dim">{text.ratio(value.count / max(column.present, 1))}</td></tr>'
        for value in column.top.values
    )
    about = "" if column.top.exact else " (at least)"
    return (
        f'<table class="top"><thead><tr><th>top values</th><th class="n">count{about}</th>'
        f'<th class="n">share</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _changed(column: ColumnStatistics, changed: ColumnDrift | None) -> str:
    if changed is None:
        return ""
    if changed.change == "new":
        return '<p class="drift"><span class="chip strong">new</span> not in the run before</p>'
    said = []
    if changed.change == "retyped":
        said.append(f'<span class="chip strong">type changed</span> was {changed.kind_before}')
    if changed.distance is not None:
        said.append(f"drift {changed.distance:.2f}")
    if changed.gap is not None:
        said.append(f"cumulative gap {changed.gap:.2f}")
    if changed.mean_before is not None and column.mean is not None:
        old = text.moment(column.kind, changed.mean_before)
        said.append(f"mean was {old}")
    if changed.missing_before is not None and changed.missing_before != changed.missing_now:
        said.append(f"missing was {text.ratio(changed.missing_before)}")
    level = (
        ""
        if changed.level == "none"
        else f'<span class="chip {changed.level}">{changed.level}</span> '
    )
    if changed.change == "retyped":
        level = ""
    return f'<p class="drift">{level}{" · ".join(said)}</p>' if said else ""
