"""Text and HTML for terminals and notebooks. Whatever a store holds is escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from exporter.hierarchy.times import iso_from_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST_CELL = 200
_MOST_ROWS = 100


def moment(ms: int | None) -> str:
    """Give a time as people read it, to the second; nothing for none."""
    text = iso_from_ms(ms)
    return "" if text is None else text.partition(".")[0].replace("T", " ")


def seconds(start: int | None, end: int | None) -> str:
    """Give a duration; nothing while one end is missing."""
    return "" if start is None or end is None else f"{(end - start) / 1000:.3f}"


def short(text: str, limit: int = _LONGEST_CELL) -> str:
    """Cut a text that is too long to look at."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> str:
    """Give an HTML table of at most a hundred rows, the last ones, every cell escaped."""
    body = [list(row) for row in rows]
    left_out = len(body) - _MOST_ROWS
    if left_out > 0:
        body = body[left_out:]
        caption = f"{caption} (the last {_MOST_ROWS} of {left_out + _MOST_ROWS})".strip()
    head = "".join(f"<th>{_cell(column)}</th>" for column in columns)
    lines = "".join(f"<tr>{''.join(f'<td>{_cell(c)}</td>' for c in row)}</tr>" for row in body)
    title = f"<caption>{_cell(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def card(title: str, facts: Sequence[tuple[str, object]]) -> str:
    """Give a two-column HTML table of facts about one thing; empty ones are left out."""
    shown = [(name, value) for name, value in facts if value not in (None, "")]
    return table(("", title), shown)


def _cell(value: object) -> str:
    text = short(value if isinstance(value, str) else "" if value is None else str(value))
    # A lone surrogate cannot be sent to a browser, and NUL is no character of HTML.
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "�")
    return html.escape(text)
