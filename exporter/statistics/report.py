"""One self-contained page about a table: no script, no request, everything escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.drawing.page import framed, tiles
from exporter.statistics import text
from exporter.statistics.cards import card
from exporter.statistics.drawing import share_bar, spark
from exporter.statistics.drift import ColumnDrift, TableDrift, drift
from exporter.statistics.model import TEXTS
from exporter.statistics.report_style import STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.statistics.model import ColumnStatistics, TableStatistics

_HEAD = ("", "column", "type", "distribution", "drift", "missing", "distinct", "mean", "min", "max")
_RIGHT = frozenset({"", "missing", "distinct", "mean", "min", "max"})
_LISTED_GONE = 50


def report(
    tables: Sequence[TableStatistics],
    before: Sequence[TableStatistics] = (),
    *,
    title: str = "",
    previous_title: str = "",
) -> bytes:
    """Give the page; `before` holds the tables of the run before, matched by name.

    Repeat: the same values give the same bytes.
    """
    known = {table.name: table for table in before}
    parts = [
        _table(number, table, known.get(table.name), previous_title, is_only=len(tables) == 1)
        for number, table in enumerate(tables)
    ]
    page = framed(title or "Statistics", f"{''.join(parts)}{_FOOTER}", STYLE)
    return page.encode("utf-8", "replace")


_FOOTER = (
    "<footer>Mean, min, max and histograms are of finite values. “≈” marks what is estimated "
    "or comes from a sample of rows; all else is exact. Drift is the Jensen–Shannon distance of "
    "the distributions or, where larger, the largest gap of their cumulated shares, "
    "from 0 (the same) to 1 (nothing in common): from 0.1 some, from 0.2 strong, "
    "unless samples of this size differ as much by chance.</footer>"
)


def _table(
    number: int,
    table: TableStatistics,
    before: TableStatistics | None,
    previous_title: str,
    *,
    is_only: bool,
) -> str:
    changed = None if before is None else drift(table, before)
    heading = "" if is_only and not table.name else f"<h2>{text.named(table.name)}</h2>"
    olds = {} if before is None else _by_key(before.columns)
    cards = "".join(
        card(
            f"c{number}-{place}",
            column,
            None if changed is None else changed.of(place),
            None if changed is None else olds.get((column.name, changed.of(place).number)),
        )
        for place, column in enumerate(table.columns)
    )
    compared = ""
    if changed is not None:
        named = f" ({text.named(previous_title)})" if previous_title else ""
        compared = (
            f'<p class="dim">Compared with the run before{named}, which has '
            f"{text.count(changed.rows_before)} rows. In histograms "
            '<span class="key">▬</span> is the run before.</p>'
        )
    detail = f'<h2>Columns</h2><div class="cards">{cards}</div>' if cards else ""
    return (
        f"{heading}{compared}{_tiles(table, changed)}{_notes(table, changed)}"
        f"{_overview(number, table, changed)}{detail}"
    )


def _tiles(table: TableStatistics, changed: TableDrift | None) -> str:
    figures = [
        ("rows", text.count(table.rows)),
        ("columns", text.count(table.columns_total)),
        ("missing", text.ratio(table.missing_ratio)),
    ]
    if table.size_bytes is not None:
        figures.append(("file", text.size(table.size_bytes)))
    if changed is not None:
        strong, some = changed.count("strong"), changed.count("some")
        figures.append(("strong drift", text.count(strong)))
        figures.append(("some drift", text.count(some)))
    return tiles(figures)


def _notes(table: TableStatistics, changed: TableDrift | None) -> str:
    notes = []
    if table.sampled is not None:
        total = table.sampled.total
        of = "more" if total is None else text.count(total)
        notes.append(
            f"Only {text.count(table.sampled.rows)} of {of} rows were read "
            f"({table.sampled.how}). All figures are of those."
        )
    left_out = table.columns_total - len(table.columns)
    if left_out > 0:
        notes.append(f"{text.count(left_out)} columns beyond the limit are not described.")
    gone = [] if changed is None else [c for c in changed.columns if c.change == "removed"]
    if gone:
        names = ", ".join(text.named(column.name, 60) for column in gone[:_LISTED_GONE])
        more = f" and {len(gone) - _LISTED_GONE} more" if len(gone) > _LISTED_GONE else ""
        notes.append(f"No longer there: {names}{more}.")
    return "".join(f'<div class="note">{note}</div>' for note in notes)


def _overview(number: int, table: TableStatistics, changed: TableDrift | None) -> str:
    if not table.columns:
        return '<p class="dim">The table has no columns.</p>'
    names = [name for name in _HEAD if changed is not None or name != "drift"]
    head = "".join(f'<th{_aligned(name)} scope="col">{name}</th>' for name in names)
    rows = "".join(
        _row(f"c{number}-{place}", place, column, None if changed is None else changed.of(place))
        for place, column in enumerate(table.columns)
    )
    return (
        f'<h2>Overview</h2><div class="scroll over"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(anchor: str, place: int, column: ColumnStatistics, changed: ColumnDrift | None) -> str:
    missing = column.missing_ratio
    bar = share_bar(missing, "missing") if missing else ""
    mean = text.ratio(column.mean) if column.kind == "bool" and column.mean is not None else ""
    about = "≈ " if column.distinct and column.distinct.how == "estimated" else ""
    low, high = ("", "") if column.kind in TEXTS else (column.minimum, column.maximum)
    cells = [
        ("n kind", str(place + 1)),
        ("name", f'<a href="#{anchor}">{text.named(column.name, 80)}</a>'),
        ("kind", column.kind),
        ("", spark(column)),
        *([] if changed is None else [("", chip(changed))]),
        ("n", (text.ratio(missing) if missing else '<span class="dim">0</span>') + bar),
        ("n", about + text.count(column.distinct.count) if column.distinct else ""),
        ("n", f"{mean} true" if mean else _short(column, text.moment(column.kind, column.mean))),
        ("n", _short(column, text.scalar(column.kind, low))),
        ("n", _short(column, text.scalar(column.kind, high))),
    ]
    return f"<tr>{''.join(f'<td{_class(kind)}>{cell}</td>' for kind, cell in cells)}</tr>"


def _short(column: ColumnStatistics, shown: str) -> str:
    """Leave out the hour where days are what tells moments apart."""
    is_long = column.histogram is not None and column.histogram.width >= text.DAY_MS
    return shown.partition(" ")[0] if column.kind == "datetime" and is_long else shown


def chip(changed: ColumnDrift) -> str:
    """Show the drift of a column in a word or a number."""
    word = {"new": "new", "retyped": "type changed", "removed": "gone"}.get(changed.change)
    if word is None:
        known = [value for value in (changed.distance, changed.gap) if value is not None]
        word = f"{max(known):.2f}" if known else "–"
        if changed.level != "none" and max(known, default=0.0) < 0.1:
            word = "missing"
    return f'<span class="chip {changed.level}">{word}</span>'


def _by_key(columns: Sequence[ColumnStatistics]) -> dict[tuple[str, int], ColumnStatistics]:
    out: dict[tuple[str, int], ColumnStatistics] = {}
    seen: dict[str, int] = {}
    for column in columns:
        seen[column.name] = seen.get(column.name, -1) + 1
        out[column.name, seen[column.name]] = column
    return out


def _aligned(name: str) -> str:
    return ' class="n"' if name in _RIGHT else ""


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
