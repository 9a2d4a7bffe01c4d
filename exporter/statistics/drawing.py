"""Histograms as inline SVG: pure text, coloured by the page's own styles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from exporter.statistics import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.statistics.model import ColumnStatistics


def spark(column: ColumnStatistics) -> str:
    """Draw a distribution small enough for a row of a table; nothing where there is none."""
    counts = _counts(column)
    if not counts:
        return ""
    return _svg(_bars(counts, 96, 22, 1), 96, 22, "spark", "")


def large(column: ColumnStatistics, before: ColumnStatistics | None = None) -> str:
    """Draw a distribution with its bounds below; the one before as a line over it."""
    if column.kind == "bool":
        return _truths(column)
    histogram = column.histogram
    if histogram is None:
        return ""
    width, height = 420, 110
    parts = [_bars(list(histogram.counts), width, height, 1.5, _titles(column))]
    old = None if before is None else before.histogram
    if old is not None and old.counts:
        exponent = max(old.exponent, histogram.exponent)
        if exponent == histogram.exponent:
            fitted = old.coarsened(exponent)
            first, count = histogram.first, len(histogram.counts)
            shares = [
                fitted.counts[place - fitted.first]
                if 0 <= place - fitted.first < len(fitted.counts)
                else 0
                for place in range(first, first + count)
            ]
            total, highest = sum(old.counts), max(histogram.counts) / sum(histogram.counts)
            parts.append(_steps([share / total for share in shares], highest, width, height))
    edges = histogram.edges
    ends = (
        f'<div class="axis"><span>{text.edge(column.kind, edges[0], histogram.width)}</span>'
        f"<span>{text.edge(column.kind, edges[-1], histogram.width)}</span></div>"
    )
    label = f"Histogram of {len(histogram.counts)} bins"
    return f'<div class="plot">{_svg("".join(parts), width, height, "large", label)}{ends}</div>'


def share_bar(ratio: float, kind: str) -> str:
    """Draw a ratio as a bar in the cell it stands in."""
    width = 0.0 if ratio <= 0 else max(ratio * 48, 1.5)
    return (
        f'<svg class="bar {kind}" width="48" height="6" viewBox="0 0 48 6" aria-hidden="true">'
        f'<rect class="track" width="48" height="6" rx="3"/>'
        f'<rect class="fill" width="{width:.1f}" height="6" rx="3"/></svg>'
    )


def _counts(column: ColumnStatistics) -> list[int]:
    if column.kind == "bool" and column.trues is not None and column.present:
        return [column.present - column.trues, column.trues]
    return list(column.histogram.counts) if column.histogram else []


def _titles(column: ColumnStatistics) -> list[str]:
    histogram = column.histogram
    if histogram is None:
        return []
    edges = [text.edge(column.kind, edge, histogram.width) for edge in histogram.edges]
    return [
        f"{low} – {high}: {text.count(count)}"
        for low, high, count in zip(edges, edges[1:], histogram.counts, strict=False)
    ]


def _bars(
    counts: Sequence[int], width: int, height: int, gap: float, titles: Sequence[str] = ()
) -> str:
    highest = max(counts)
    step = width / max(len(counts), 6 if height > 50 else 8)
    room = min(gap, step / 4)
    left = (width - step * len(counts)) / 2
    parts = []
    for place, value in enumerate(counts):
        if not value:
            continue
        tall = max(value / highest * (height - 2), 1.0)
        title = f"<title>{titles[place]}</title>" if titles else ""
        parts.append(
            f'<rect x="{left + place * step + room / 2:.1f}" y="{height - tall:.1f}" '
            f'width="{step - room:.1f}" height="{tall:.1f}">{title}</rect>'
        )
    return "".join(parts)


def _steps(shares: Sequence[float], highest: float, width: int, height: int) -> str:
    """Draw the distribution before as a stepped line, both scaled alike; cut at the top."""
    step = width / max(len(shares), 6)
    left = (width - step * len(shares)) / 2
    points = []
    for place, share in enumerate(shares):
        tall = min(share / highest * (height - 2), height - 1) if highest else 0.0
        y = height - tall
        points += [f"{left + place * step:.1f},{y:.1f}", f"{left + (place + 1) * step:.1f},{y:.1f}"]
    return f'<polyline class="before" points="{" ".join(points)}"/>'


def _svg(inside: str, width: int, height: int, kind: str, label: str) -> str:
    about = f'role="img" aria-label="{label}"' if label else 'aria-hidden="true"'
    return (
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'preserveAspectRatio="none" {about}>{inside}</svg>'
    )


def _truths(column: ColumnStatistics) -> str:
    trues, present = column.trues or 0, column.present
    if not present:
        return ""
    share = trues / present
    return (
        '<div class="plot"><svg class="truth" viewBox="0 0 420 18" width="420" height="18" '
        f'preserveAspectRatio="none" role="img" aria-label="{math.floor(share * 100)} % true">'
        f'<rect class="track" width="420" height="18" rx="3"/>'
        f'<rect width="{share * 420:.1f}" height="18" rx="3"/></svg>'
        f'<div class="axis"><span>true {text.count(trues)} ({text.ratio(share)})</span>'
        f"<span>false {text.count(present - trues)} ({text.ratio(1 - share)})</span></div></div>"
    )
