"""Sizes and durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\s*", re.IGNORECASE)
_SIZE_FACTORS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_DURATION_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_DURATION_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_size(text: str | float) -> int:
    """Give the bytes that `2 GiB`, `500 MB`, `1024` or 1024 mean.

    Units: kB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB powers of 1024; no unit is bytes.
    Raises: ValueError for anything else, negative numbers and half bytes included.
    """
    match = _SIZE.fullmatch(str(text))
    if match is None or isinstance(text, bool):
        raise ValueError("write a size such as 2 GiB, 500 MB or a number of bytes")
    unit = match[2].lower().removesuffix("b")
    factor = _SIZE_FACTORS.get(unit)
    if factor is None:
        raise ValueError("write a size such as 2 GiB, 500 MB or a number of bytes")
    size = float(match[1]) * factor if "." in match[1] else int(match[1]) * factor
    if size != int(size):
        raise ValueError("a size is a whole number of bytes")
    return int(size)


def parse_duration(text: str | float) -> timedelta:
    """Give the time that `60s`, `1h30m`, `7d` or a number of seconds means.

    Units: ms, s, m, h, d, w; a bare number is seconds.
    Raises: ValueError for anything else, negative numbers and infinities included.
    """
    advice = "write a duration such as 30s, 5m, 1h30m or 7d"
    if isinstance(text, bool):
        raise ValueError(advice)  # noqa: TRY004 - the caller reads ValueError as a wrong setting
    if isinstance(text, str) and not re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
        seconds, at = 0.0, 0
        while match := _DURATION_PART.match(text, at):
            seconds += float(match[1]) * _DURATION_SECONDS[match[2]]
            at = match.end()
        if at != len(text) or not text.strip():
            raise ValueError(advice)
    else:
        seconds = float(text)
    if not 0 <= seconds <= 100 * 365 * 86400:
        raise ValueError(advice)
    return timedelta(seconds=seconds)


def format_size(size_bytes: int) -> str:
    """Give a size as people read it: `2 GiB`, `1.5 MiB`, `17 B`."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"
