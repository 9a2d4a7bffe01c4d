"""All benchmarks by one command: `python -m benchmarks`, or some of them by name.

Prints a Markdown table of ratios with their targets, and the machine they were taken on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import delivering, describing, export, idle, lineage, readback, startup, walk
from benchmarks.figures import Figure, machine, table
from benchmarks.stores import STEPS, store

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMORY_TARGET = 1.2


def main() -> int:
    """Run what was asked for; 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("which", nargs="*", help=f"some of: {', '.join(_ALL)}; all by default")
    parser.add_argument("--folder", type=Path, help="keep stores and ledgers here, for a next time")
    parser.add_argument("--few", type=int, default=400, help="runs of the short history")
    parser.add_argument("--many", type=int, default=40_000, help="runs of the long history")
    parser.add_argument("--runs", type=int, default=40, help="runs exported to MLflow in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    unknown = set(options.which) - set(_ALL)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    lines = machine()
    print("\n".join(lines), "", sep="\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as made:
        folder = options.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        figures: list[Figure] = []
        for name in options.which or _ALL:
            found = _ALL[name](folder.resolve(), options)
            figures += found
            print(table(found), "", sep="\n", flush=True)
    if options.json:
        shown = {"machine": lines, "figures": [asdict(figure) for figure in figures]}
        options.json.write_text(json.dumps(shown, indent=2), encoding="utf-8")
    missed = [figure.name for figure in figures if figure.met is False]
    print(f"Missed: {'; '.join(missed)}." if missed else "Every target was met.")
    return 1 if missed else 0


def _walk(folder: Path, options: argparse.Namespace) -> list[Figure]:
    return walk.measure(folder, runs=2_000, rounds=options.rounds)


def _memory(folder: Path, options: argparse.Namespace) -> list[Figure]:
    few, many = (_first_walk(folder, runs) for runs in (options.few, options.many))
    ratio = many["peak_kib"] / few["peak_kib"]
    size = f"{options.many * STEPS:,} / {options.few * STEPS:,} steps"
    note = f"{many['peak_kib'] / 1024:.0f} and {few['peak_kib'] / 1024:.0f} MiB"
    cpu = many["cpu_s"] / many["written"] * 1000
    return [
        Figure(f"peak memory of a first cycle, {size}", ratio, "×", _MEMORY_TARGET, note=note),
        Figure(
            "first cycle but for the server, per run of five steps",
            cpu,
            "ms CPU",
            note=f"{many['wall_s']:.0f} s for {options.many:,} runs",
        ),
    ]


def _idle(folder: Path, options: argparse.Namespace) -> list[Figure]:
    for runs in (options.few, options.many):
        if not (folder / f"first-walk-{runs}" / "state.db").exists():
            _first_walk(folder, runs)
    return idle.measure(folder, few=options.few, many=options.many, rounds=options.rounds)


def _first_walk(folder: Path, runs: int) -> dict[str, Any]:  # Any: numbers
    """Run a first cycle in a process of its own, which therefore has its own peak of memory."""
    store(folder, runs)
    command = [sys.executable, "-m", "benchmarks.first_walk", str(folder), str(runs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _export(folder: Path, options: argparse.Namespace) -> list[Figure]:
    figures = []
    for workers in (4, 1):
        figures += export.measure(folder, workers=workers, runs=options.runs, rounds=options.rounds)
    return figures


def _startup(_folder: Path, options: argparse.Namespace) -> list[Figure]:
    return startup.measure(rounds=options.rounds)


def _readback(folder: Path, options: argparse.Namespace) -> list[Figure]:
    return readback.measure(folder, runs=1_000, rounds=options.rounds)


def _statistics(folder: Path, options: argparse.Namespace) -> list[Figure]:
    return describing.measure(folder, rounds=options.rounds)


def _lineage(_folder: Path, options: argparse.Namespace) -> list[Figure]:
    schemas = Path(__file__).resolve().parent.parent / "mappings" / "schemas" / "1-0-0"
    return lineage.measure(schemas, rounds=options.rounds)


def _delivery(folder: Path, options: argparse.Namespace) -> list[Figure]:
    return delivering.measure(folder, rounds=min(options.rounds, 5))


_ALL: dict[str, Callable[[Path, argparse.Namespace], list[Figure]]] = {
    "startup": _startup,
    "walk": _walk,
    "statistics": _statistics,
    "lineage": _lineage,
    "delivery": _delivery,
    "memory": _memory,
    "idle": _idle,
    "export": _export,
    "readback": _readback,
}

if __name__ == "__main__":
    sys.exit(main())
