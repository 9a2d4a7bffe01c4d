"""Numbers and values as people read them in a report. All of it is escaped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from exporter.drawing.text import count, escaped, named, size

if TYPE_CHECKING:
    from exporter.statistics.model import Kind, Scalar

__all__ = [
    "count",
    "edge",
    "escaped",
    "moment",
    "named",
    "number",
    "ratio",
    "scalar",
    "size",
]

_MINUS = "\N{MINUS SIGN}"
DAY_MS, _HOUR, _MINUTE = 86_400_000, 3_600_000, 60_000


def number(value: float | None) -> str:
    """Write a number with at most five digits that count; nothing for none."""
    if value is None:
        return ""
    if isinstance(value, int) and abs(value) < 10**15:
        return f"{value:,}".replace("-", _MINUS)
    if not math.isfinite(value):
        return "∞" if value > 0 else f"{_MINUS}∞" if value < 0 else "NaN"
    size = abs(value)
    if size and not 1e-4 <= size < 1e9:
        digits, _, power = f"{value:.3e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}".replace("-", _MINUS)
    places = 0 if size >= 1e5 else max(0, 4 - (math.floor(math.log10(size)) if size else 4))
    text = f"{value:,.{min(places, 8)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", _MINUS)


def ratio(part: float) -> str:
    """Write a ratio in percent; what is more than nothing never reads as nothing."""
    if part == 0:
        return "0 %"
    if part < 0.001:
        return "<0.1 %"
    if 0.999 < part < 1:
        return ">99.9 %"
    return f"{part * 100:.1f} %" if part < 0.1 else f"{part * 100:.0f} %"


def moment(kind: Kind, value: float | None) -> str:
    """Write a number of a column of this kind: times, which are in ms, as such."""
    if value is None:
        return ""
    if kind in ("datetime", "date"):
        return _calendar(value, kind)
    if kind == "time":
        return _clock(value)
    if kind == "duration":
        return _span(value)
    return number(value)


def edge(kind: Kind, value: float, width: float) -> str:
    """Write the bound of a bin; of days and longer bins the day alone."""
    return moment("date" if kind == "datetime" and width >= DAY_MS else kind, value)


def scalar(kind: Kind, value: Scalar | None) -> str:
    """Write a least or greatest value."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return number(value)
    if kind == "datetime":
        text, zone = value.removesuffix("Z"), " UTC" if value.endswith("Z") else ""
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return escaped(text.replace("T", " ").removesuffix(" 00:00:00") + zone, 40)
    if kind == "duration":
        return _span(float(value.replace("PT", "").removesuffix("S")) * 1000)
    if kind == "time":
        return escaped(value.rstrip("0").rstrip(".") if "." in value else value, 40)
    return escaped(value, 40)


def _calendar(ms: float, kind: Kind) -> str:
    """Write a moment by the proleptic Gregorian calendar, whatever the year."""
    days, rest = divmod(math.floor(ms), DAY_MS)
    year, month, day = _civil(days)
    date = f"{year:04d}-{month:02d}-{day:02d}"
    return date if kind == "date" or not rest else f"{date} {_clock(rest // 1000 * 1000)}"


def _civil(days: int) -> tuple[int, int, int]:
    """Turn days since 1970-01-01 into a date.

    Source: http://howardhinnant.github.io/date_algorithms.html#civil_from_days
    """
    shifted = days + 719_468
    era, of_era = divmod(shifted, 146_097)
    years = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * years + years // 4 - years // 100)
    part = (5 * of_year + 2) // 153
    month = part + 3 if part < 10 else part - 9
    return years + era * 400 + (month <= 2), month, of_year - (153 * part + 2) // 5 + 1


def _clock(ms: float) -> str:
    hours, rest = divmod(math.floor(ms), _HOUR)
    minutes, rest = divmod(rest, _MINUTE)
    seconds = f"{rest // 1000:02d}" + (f".{rest % 1000:03d}" if rest % 1000 else "")
    return f"{hours:02d}:{minutes:02d}:{seconds}"


def _span(ms: float) -> str:
    size_ms = abs(ms)
    for unit, length in (("d", DAY_MS), ("h", _HOUR), ("min", _MINUTE), ("s", 1000)):
        if size_ms >= length:
            return f"{number(ms / length)} {unit}"
    return f"{number(ms)} ms"
