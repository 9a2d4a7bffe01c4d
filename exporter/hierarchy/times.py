"""Times: integers of UTC milliseconds inside, ISO 8601 at the edges.

Years outside 1–9999, which `datetime` cannot hold but a store can, are written `@<milliseconds>`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def datetime_from_ms(ms: int | None) -> datetime | None:
    """Give the aware UTC datetime; the nearest possible one where `datetime` ends."""
    if ms is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return _LAST if ms > 0 else _FIRST


def iso_from_ms(ms: int | None) -> str | None:
    """Spell a time as `2026-11-23T12:34:04.356Z`; absent stays absent."""
    if ms is None:
        return None
    try:
        moment = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return f"@{ms}"
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


def ms_from_iso(text: str | None) -> int | None:
    """Read what `iso_from_ms` wrote."""
    if text is None:
        return None
    if text.startswith("@"):
        return int(text[1:])
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)
