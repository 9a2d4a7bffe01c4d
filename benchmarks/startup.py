"""Seconds of `--help`, beside an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.figures import Figure, Spread, timed

_NOTHING = [sys.executable, "-c", "pass"]
_HELP = [sys.executable, "-m", "exporter", "--help"]


def measure(*, rounds: int) -> list[Figure]:
    """Start both in turn; the first pair warms the caches of the file system."""
    pairs = [(_seconds(_NOTHING), _seconds(_HELP)) for _ in range(rounds + 1)][1:]
    nothing, helped = (Spread.of(column) for column in zip(*pairs, strict=True))
    ratio = Spread.of([h / n for n, h in pairs])
    return [
        Figure("`--help`", helped.median, "s", note=f"{helped}"),
        Figure("`python -c pass`", nothing.median, "s", note=f"{nothing}"),
        Figure("`--help` / `python -c pass`", ratio.median, "×", note=f"{ratio}"),
    ]


def _seconds(command: list[str]) -> float:
    def run() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return timed(run).wall
