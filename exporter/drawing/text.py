"""Names, counts, sizes and times as people read them on a page. All text is escaped."""

from __future__ import annotations

import html
import re
import unicodedata

from exporter.hierarchy import iso_from_ms

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SPACE = re.compile(r"\s+")
_MARK = "\N{REPLACEMENT CHARACTER}"
_LONGEST = 200

# Advance widths of a sans-serif face in hundredths of an em, on the large side.
_NARROW, _USUAL, _WIDE, _FULL = 34, 59, 96, 108
_NARROW_ONES = frozenset("fijltrI.,:;'`!|()[]{} -/\\·…")
_WIDE_ONES = frozenset("mwMW@%&")
_CAPITAL = 72


def escaped(text: str, longest: int = _LONGEST) -> str:
    """Escape any text for HTML and XML; control characters are shown as a mark, a long one is cut.

    >>> escaped('a<b> & "c"' + chr(0))
    'a&lt;b&gt; &amp; &quot;c&quot;�'
    """
    shown = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return html.escape(_CONTROLS.sub(_MARK, shown), quote=True)


def named(text: str, longest: int = _LONGEST) -> str:
    """Give a name from a store, kept from reordering the text around it; empty is said so."""
    return f"<bdi>{escaped(text, longest)}</bdi>" if text else "<i>(no name)</i>"


def count(value: int) -> str:
    """Write a count with separators."""
    return f"{value:,}"


def size(bytes_: int) -> str:
    """Write a size in bytes."""
    value, unit = float(bytes_), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{bytes_:,} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def duration(start: int | None, end: int | None) -> str:
    """Write how long something took; nothing while one end is missing or before the other.

    >>> duration(0, 850), duration(0, 2_345), duration(0, 3_725_000)
    ('850 ms', '2.3 s', '1 h 2 min')
    """
    if start is None or end is None or end < start:
        return ""
    ms = end - start
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms // 100 / 10:.1f} s"
    seconds = ms // 1_000
    if seconds < 3_600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3_600} h {seconds % 3_600 // 60} min"
    return f"{count(seconds // 86_400)} d {seconds % 86_400 // 3_600} h"


def moment(ms: int | None) -> str:
    """Write a time to the second, UTC; nothing for none."""
    text = iso_from_ms(ms)
    return "" if text is None else f"{text.partition('.')[0].replace('T', ' ')} UTC"


def label(text: str, width: float) -> str:
    """Cut a text to a width in em and escape it; on one line, without marks that turn text round.

    Limits: the width is an estimate for sans-serif faces, on the large side.
    """
    line = _TURNING.sub(_MARK, _SPACE.sub(" ", text[:_LONGEST])).strip()
    line = _CONTROLS.sub(_MARK, line)
    if len(text) <= _LONGEST and width_of(line) <= width:
        return escaped(line)
    kept, room = 0, width - 1
    for place, character in enumerate(line):
        room -= width_of(character)
        if room < 0:
            break
        kept = place + 1
    return escaped(f"{line[:kept].rstrip()}…")


def full(text: str, longest: int = 1_000) -> str:
    """Escape a text for a tooltip: whole but for what is absurd, without marks that turn it."""
    return escaped(_TURNING.sub(_MARK, text), longest)


def width_of(text: str) -> float:
    """Estimate the width of a text, in em."""
    return sum(map(_advance, text)) / 100


def _advance(character: str) -> int:
    if character in _NARROW_ONES:
        return _NARROW
    if character in _WIDE_ONES:
        return _WIDE
    if character.isascii():
        return _CAPITAL if character.isupper() else _USUAL
    if unicodedata.east_asian_width(character) in "WF":
        return _FULL
    if unicodedata.combining(character):
        return 0
    return _WIDE
