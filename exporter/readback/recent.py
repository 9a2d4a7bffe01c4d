"""Records that a listing has brought along, for the reads that follow it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.readback.units import SealedUnit

_MOST_CHARACTERS = 32 * 2**20
_LONGEST_S = 30.0


class RecentUnits:
    """Holds units by run id, each to be taken once, so that a second look asks MLflow again.

    Limits: about 32 MB of text, the oldest leave first; nothing older than 30 s is given.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._units: OrderedDict[str, tuple[float, SealedUnit]] = OrderedDict()
        self._size = 0

    def put(self, unit: SealedUnit) -> None:
        """Hold a unit as it was read just now."""
        with self._lock:
            self._drop(unit.run_id)
            self._units[unit.run_id] = (self._monotonic(), unit)
            self._size += unit.size
            while self._size > _MOST_CHARACTERS and len(self._units) > 1:
                self._drop(next(iter(self._units)))

    def take(self, run_id: str) -> SealedUnit | None:
        """Give a unit and hold it no longer; None where there is none, or one too old."""
        with self._lock:
            read_at, unit = self._units.get(run_id, (0.0, None))
            self._drop(run_id)
            if unit is None or self._monotonic() - read_at > _LONGEST_S:
                return None
            return unit

    def _drop(self, run_id: str) -> None:
        dropped = self._units.pop(run_id, None)
        if dropped is not None:
            self._size -= dropped[1].size
