"""A first cycle over a store into a sink that counts and drops, in a process of its own.

`python -m benchmarks.first_walk <folder> <runs>` prints what it cost, and leaves the ledger in the
folder for the no-change cycles.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.dropping import TRACKING_URI, DroppingApi, dropping_engine
from benchmarks.memory import peak_kib
from benchmarks.stores import settings, store


def main(folder: Path, runs: int) -> None:
    """Run the cycle and print its figures as JSON; peak memory in KiB."""
    path = store(folder, runs)
    home = folder / f"first-walk-{runs}"
    home.mkdir(exist_ok=True)
    for old in home.iterdir():
        old.unlink()
    api = DroppingApi()
    engine = dropping_engine(settings(home, path, TRACKING_URI), api)
    before = peak_kib()
    wall, cpu = time.perf_counter(), time.process_time()
    report = engine.cycle()
    result = {
        "written": report.total.units.written,
        "runs": api.runs,
        "requests": api.requests,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "before_kib": before,
        "peak_kib": peak_kib(),
    }
    assert report.exit_code == 0, report.to_json()
    assert result["written"] == runs
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
