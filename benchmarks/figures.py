"""What a benchmark says: ratios with their targets and scatter, and the machine they are from."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PACKAGES = ("sqlalchemy", "mlflow", "uvicorn", "orjson", "pandas")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `target` with `bound` says what it should not cross."""

    name: str
    value: float
    unit: str = "×"
    target: float | None = None
    bound: Literal["at most", "at least"] = "at most"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Tell whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.bound == "at most" else self.value >= self.target

    def line(self) -> str:
        """Give the figure as a row of a Markdown table."""
        target = "" if self.target is None else f"{self.bound} {self.target:g}"
        verdict = {None: "", True: "yes", False: "**no**"}[self.met]
        cells = (self.name, f"{shown(self.value)} {self.unit}", target, verdict, self.note)
        return f"| {' | '.join(cells)} |"


class Spread(NamedTuple):
    """The middle of some values and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Take median, least and greatest."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{shown(self.low)}–{shown(self.high)}"


class Times(NamedTuple):
    """Seconds of one piece of work, by the wall and of this process's processors."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Times:
    """Run a piece of work and time it."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Times(time.perf_counter() - wall, time.process_time() - cpu)


def shown(value: float) -> str:
    """Write a number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> list[str]:
    """Describe where the figures were taken, and how busy it was."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [s for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        processor = models[0].partition(":")[2].strip() if models else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        f"{processor}, {os.cpu_count()} CPUs, {memory:.0f} GiB, {platform.platform(terse=True)}",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}",
        f"load over 1, 5 and 15 minutes when this began: {load}",
    ]


def table(figures: Sequence[Figure]) -> str:
    """Give figures as a Markdown table."""
    head = ["| what | measured | target | met | scatter and remarks |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(figure.line() for figure in figures)])
