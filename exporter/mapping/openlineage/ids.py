"""Run ids: the same run has the same id on every machine, in every process, for ever."""

from __future__ import annotations

import hashlib
from typing import NewType

from exporter.hierarchy.times import datetime_from_ms

OlRunId = NewType("OlRunId", str)

_MASK_48, _MASK_12, _MASK_62 = (1 << 48) - 1, (1 << 12) - 1, (1 << 62) - 1


def lineage_run_id(key: str, start: int | None) -> OlRunId:
    """Give the UUIDv7 of the run's start, its other bits a hash of key and start.

    A run without a start time takes the epoch for it.

    Source: equal to `generate_static_uuid` of openlineage-python 1.54, which is what other
        producers use.
    """
    moment = datetime_from_ms(start or 0)
    assert moment is not None  # noqa: S101 - only an absent time gives None
    milliseconds = int(moment.timestamp() * 1000) & _MASK_48
    seed = moment.isoformat().encode("ascii") + key.encode("utf-8")
    # SHA-1 spreads bits here, it protects nothing.
    node = int.from_bytes(hashlib.sha1(seed, usedforsecurity=False).digest(), "big") >> 84
    high = milliseconds << 16 | 0x7000 | (node >> 64) & _MASK_12
    low = 0x8000_0000_0000_0000 | node & _MASK_62
    text = f"{high:016x}{low:016x}"
    return OlRunId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
