"""The most frequent values of a column; asked for by hand only, since they show what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.statistics.model import TopValue, TopValues

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from exporter.statistics.model import StatLimits


class TopCounter:
    """Counts byte strings; exact while their number stays within the limit.

    Beyond it the rarer half is forgotten now and then, and the counts are lower bounds.
    """

    def __init__(self, limits: StatLimits) -> None:
        self._limits = limits
        self._counts: dict[bytes, int] = {}
        self._exact = True
        self._low: bytes | None = None
        self._high: bytes | None = None

    def add(self, values: pa.Array, weights: np.ndarray[Any, Any]) -> None:  # Any: integers
        """Count values of a batch, each with how often it came."""
        kept = self._limits.value_length * 4 + 4  # bytes; enough characters to show
        for value, weight in zip(values.to_pylist(), weights.tolist(), strict=True):
            self._low = value if self._low is None or value < self._low else self._low
            self._high = value if self._high is None or value > self._high else self._high
            key = value if len(value) <= kept else value[:kept]
            self._counts[key] = self._counts.get(key, 0) + weight
        if len(self._counts) > 2 * self._limits.exact_distinct:
            self._exact = False
            self._counts = dict(self._ordered()[: self._limits.exact_distinct])

    def bounds(self) -> tuple[str | None, str | None]:
        """Give the least and the greatest value by their bytes, as text."""
        low, high = self._low, self._high
        return (
            None if low is None else self._text(low),
            None if high is None else self._text(high),
        )

    def result(self) -> TopValues:
        """Give the most frequent values; equal counts in the order of their bytes."""
        shown = self._ordered()[: self._limits.values]
        values = tuple(TopValue(self._text(value), count) for value, count in shown)
        return TopValues(values, self._exact)

    def _ordered(self) -> list[tuple[bytes, int]]:
        return sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))

    def _text(self, value: bytes) -> str:
        text = value.decode("utf-8", "replace")
        length = self._limits.value_length
        return text if len(text) <= length else f"{text[: length - 1]}…"
