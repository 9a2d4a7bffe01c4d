"""A cycle with nothing new: over a long history beside a short one, in one warm process."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.counting import counted
from benchmarks.dropping import TRACKING_URI, DroppingApi, dropping_engine
from benchmarks.figures import Figure, Spread, Times, timed
from benchmarks.stores import STEPS, settings, store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from exporter.sync.engine import Engine

_TARGET = 1.5
_WARM_UP = 2


@dataclass(frozen=True, slots=True)
class _Side:
    """A history that was exported before, ready for a cycle."""

    runs: int
    store: Path
    engine: Engine
    api: DroppingApi

    def cycle(self) -> None:
        """Run a cycle and see that it did nothing."""
        report = self.engine.cycle()
        assert report.exit_code == 0, report.to_json()
        assert report.total.units.unchanged == self.runs
        assert self.api.requests == 0

    def touch(self) -> None:
        """Commit something that no reader looks at, so that the file's header says nothing."""
        with sqlite3.connect(self.store) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.close()


def measure(folder: Path, *, few: int, many: int, rounds: int) -> list[Figure]:
    """Time cycles in turn over both histories, which `first_walk` has left in the folder."""
    short, long = _side(folder, few), _side(folder, many)
    os.sync()  # what made the histories is not to be waited for
    figures: list[Figure] = []
    for touched in (False, True):
        figures += _compare(short, long, rounds, touched=touched)
    return figures


def _side(folder: Path, runs: int) -> _Side:
    path, api = store(folder, runs), DroppingApi()
    home = folder / f"first-walk-{runs}"
    return _Side(runs, path, dropping_engine(settings(home, path, TRACKING_URI), api), api)


def _compare(short: _Side, long: _Side, rounds: int, *, touched: bool) -> list[Figure]:
    pairs: list[tuple[Times, Times]] = []
    for _ in range(_WARM_UP + rounds):
        if touched:
            short.touch()
            long.touch()
        pairs.append((timed(short.cycle), timed(long.cycle)))
    pairs = pairs[_WARM_UP:]
    ratios = Spread.of([b.wall / a.wall for a, b in pairs])
    cpu = Spread.of([b.cpu / a.cpu for a, b in pairs])
    what = "header changed: re-scan of 200 runs" if touched else "header unchanged"
    size = f"{long.runs * STEPS:,} / {short.runs * STEPS:,} steps"
    name = f"no-change cycle, {size}, {what}"
    seconds = (
        Spread.of([1000 * side.wall for side in column]) for column in zip(*pairs, strict=True)
    )
    medians = " and ".join(f"{spread.median:.0f}" for spread in seconds)
    counts = _counts([short, long], touched=touched)
    note = f"{ratios}; CPU ×{cpu.median:.2f}; {medians} ms; {counts}"
    return [Figure(name, ratios.median, "×", _TARGET, note=note)]


def _counts(sides: Sequence[_Side], *, touched: bool) -> str:
    texts = []
    for side in sides:
        if touched:
            side.touch()
        with counted() as counts:
            side.cycle()
        texts.append(f"{counts.queries} queries with {counts.rows:,} rows")
    return " and ".join(texts)
