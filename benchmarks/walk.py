"""Walking a store into records, beside the same queries run again by the bare `sqlite3` driver."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from benchmarks.figures import Figure, Spread, Times, timed
from benchmarks.stores import STEPS, history, store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from exporter.sources.mlmd import MlmdHistory

Statement = tuple[str, Any]  # Any: bound values, as the driver takes them
_TARGET = 3.0


def measure(folder: Path, *, runs: int, rounds: int) -> list[Figure]:
    """Walk a store several times; both sides read each page in turn, so that noise meets both."""
    path = store(folder, runs)
    pairs = [_walk(path) for _ in range(rounds + 1)][1:]  # the first warms caches and imports
    steps = runs * STEPS
    ratios = Spread.of([ours.wall / bare.wall for ours, bare in pairs])
    cpu = Spread.of([ours.cpu / bare.cpu for ours, bare in pairs])
    ours = Spread.of([ours.wall for ours, _ in pairs])
    note = f"{ratios}; {rounds} walks of {steps:,} steps, CPU ×{cpu.median:.2f}"
    per_step = ours.median / steps * 1e6
    return [
        Figure(
            "walk into records / same queries by `sqlite3`", ratios.median, "×", _TARGET, note=note
        ),
        Figure("walk into records, per step", per_step, "µs", note=f"walk {ours} s"),
    ]


def _walk(path: Path) -> tuple[Times, Times]:
    """Walk once, page by page: ours, then the bare driver on a connection that stays open."""
    statements: list[Statement] = []
    totals = [Times(0.0, 0.0), Times(0.0, 0.0)]
    bare = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with_records = history(path)

    def note(
        _conn: object, _cursor: object, statement: str, bound: Any, *_: object
    ) -> None:  # Any: see above
        statements.append((statement, bound))

    event.listen(with_records.engine, "before_cursor_execute", note)
    try:
        pages = _Pages(with_records)
        while not pages.done:
            statements.clear()
            totals[0] = _sum(totals[0], timed(pages.next))
            again = list(statements)
            totals[1] = _sum(totals[1], timed(lambda again=again: _replay(bare, again)))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    finally:
        bare.close()
        with_records.close()
    return totals[0], totals[1]


class _Pages:
    """A walk driven from outside: each `next` finds a page of run ids and reads its runs."""

    def __init__(self, walked: MlmdHistory) -> None:
        self._walked = walked
        self._ids: Iterator[Sequence[str]] = iter(walked.changes(None).source_ids)
        self.done = False

    def next(self) -> None:
        """Read one page; the records are dropped, as a sink would drop them."""
        ids = next(self._ids, None)
        if ids is None:
            self.done = True
            return
        assert len(self._walked.runs(ids)) == len(ids)


def _replay(bare: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    for statement, bound in statements:
        if statement != "BEGIN":
            bare.execute(statement, bound).fetchall()


def _sum(one: Times, other: Times) -> Times:
    return Times(one.wall + other.wall, one.cpu + other.cpu)
