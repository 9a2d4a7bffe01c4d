"""How far a long verb is, on stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Self

from exporter.cli.output import one_line, say

if TYPE_CHECKING:
    from types import TracebackType


class _Plain:
    """Progress as lines, one per thousand runs, for logs."""

    def __init__(self) -> None:
        self._runs = 0
        self._next = 1_000

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def __call__(self, stack: str, runs: int, phase: str) -> None:
        self._runs += runs
        if self._runs >= self._next:
            self._next = self._runs + 1_000
            say(f"{stack}: {self._runs:,} runs read ({phase})")


class _Bar:
    """Progress as a moving line, for a terminal."""

    def __init__(self, *, results: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.completed:,.0f} runs done"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=results,
        )
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, stack: str, runs: int, phase: str) -> None:
        from rich.markup import escape

        shown = escape(one_line(f"{stack}: {phase}"))
        self._bar.update(self._task, advance=runs, description=shown)


def shown_progress() -> _Plain | _Bar:
    """Give what hears of the progress; results that come meanwhile stand above the moving line."""
    moves = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return _Bar(results=sys.stdout.isatty()) if moves else _Plain()
