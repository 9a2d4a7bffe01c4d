"""Parameters and metrics of a step, and of the run as a whole."""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import TYPE_CHECKING

from exporter.mapping.mlflow.plans import MetricPoint
from exporter.mapping.mlflow.text import PARAM_LENGTH, clean_key, shorten, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporter.hierarchy import Artifact, Parameter, Port, Step, Value

_EDGE = (
    8_640_000_000_000_000  # the last millisecond that JavaScript's Date, and so the UI, can show
)
_DEPTH = 4


def moment(ms: int, beside: Counter[str]) -> int:
    """Give a time that MLflow keeps: 0 means "none" to it, and the UI ends in the year 275760."""
    kept = max(-_EDGE, min(_EDGE, ms)) or 1
    if kept != ms:
        beside["times_adjusted"] += 1
    return kept


class ParamTable:
    """Collects parameters under keys that MLflow takes."""

    def __init__(self, beside: Counter[str]) -> None:
        self.values: dict[str, str] = {}
        self._beside = beside

    def add(self, prefix: str, parameters: Iterable[Parameter]) -> None:
        """Add a step's parameters, in order; of two with one name the second is renamed."""
        for parameter in parameters:
            name = prefix + parameter.name
            key = clean_key(name, self.values)
            if key != name:
                self._beside["params_renamed"] += 1
            self.values[key] = shorten(
                value_text(parameter.value), PARAM_LENGTH, "params_shortened", self._beside
            )


class MetricTable:
    """Collects metrics under keys that MLflow takes, up to a limit."""

    def __init__(self, limit: int, beside: Counter[str]) -> None:
        self.points: dict[str, MetricPoint] = {}
        self._limit = limit
        self._beside = beside

    def add(self, prefix: str, numbers: Iterable[tuple[str, float | int]], at: int) -> None:
        """Add the numbers of a step's outputs at one time."""
        for name, number in numbers:
            if len(self.points) >= self._limit:
                self._beside["metrics_left_out"] += 1
                continue
            key = clean_key(prefix + name, self.points)
            if key != prefix + name:
                self._beside["metrics_renamed"] += 1
            self.points[key] = MetricPoint(key, self._finite(number), at)

    def _finite(self, number: float) -> float:
        """Give the number as MLflow keeps it: infinity is the largest double, NaN stays NaN."""
        try:
            value = float(number)
        except OverflowError:
            value = math.inf if number > 0 else -math.inf
        if not math.isfinite(value):
            self._beside["metrics_nonfinite"] += 1
        if math.isinf(value):
            return math.copysign(sys.float_info.max, value)
        return value


def step_numbers(
    step: Step, artifacts: Mapping[str, Artifact], scalars: Mapping[str, Value]
) -> Iterator[tuple[str, float | int]]:
    """Give the numbers of a step's outputs as `<output>` or `<output>.<field>`."""
    seen: set[str] = set()
    for name, port in named_ports(step.outputs):
        numbers: list[tuple[str, float | int]] = []
        if port.artifact in scalars:
            numbers += _numbers(name, scalars[port.artifact], _DEPTH)
        for fact in artifacts[port.artifact].properties:
            if not fact.declared:
                numbers += _numbers(f"{name}.{fact.name}", fact.value, 0)
        for key, number in numbers:
            if key not in seen:
                seen.add(key)
                yield key, number


def named_ports(ports: Sequence[Port]) -> Iterator[tuple[str, Port]]:
    """Give every port a name of its own: `<port>`, or `<port>.<position>` of several."""
    count = Counter(port.name for port in ports)
    position: Counter[str] = Counter()
    for port in ports:
        if count[port.name] == 1:
            yield port.name, port
        else:
            yield f"{port.name}.{position[port.name]}", port
            position[port.name] += 1


def _numbers(name: str, value: Value, depth: int) -> Iterator[tuple[str, float | int]]:
    match value:
        case bool():
            return
        case int() | float():
            yield name, value
        case dict() if depth:
            for key, item in value.items():
                yield from _numbers(f"{name}.{key}", item, depth - 1)
