"""Statistics of a table beside `describe(include="all")` of pandas, and their memory.

Each measurement from a file runs in a process of its own (`python -m benchmarks.describing`), which
therefore has its own peak of memory; the two take turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, Spread, timed
from benchmarks.memory import peak_kib

if TYPE_CHECKING:
    import pandas as pd

    from exporter.materializers.files import ArtifactFiles

_ROWS = 1_000_000
_GROUP = 50_000
_GROUPS = (10, 100)


def measure(folder: Path, *, rounds: int) -> list[Figure]:
    """Describe a frame of 1,000,000 × 10 in turn with pandas, then files of 10 and 100 groups."""
    return [*_in_memory(rounds), *_from_file(folder, rounds), *_memory(folder)]


def _in_memory(rounds: int) -> list[Figure]:
    """Both start from the same frame; ours includes turning it into Arrow."""
    frame = _frame(_ROWS, 1)

    def ours() -> None:
        import pyarrow as pa

        from exporter.statistics.compute import compute
        from exporter.statistics.model import StatLimits
        from exporter.statistics.tables import BATCH_ROWS, Table

        table = pa.Table.from_pandas(frame, preserve_index=False)
        batches = iter(table.to_batches(max_chunksize=BATCH_ROWS))
        compute(Table(table.schema, batches, table.num_columns, "frame"), StatLimits())

    pairs = [
        (timed(lambda: frame.describe(include="all")).wall, timed(ours).wall)
        for _ in range(rounds + 1)
    ][1:]
    pandas, mine = (Spread.of(column) for column in zip(*pairs, strict=True))
    ratio = Spread.of([theirs / own for theirs, own in pairs])
    return [
        Figure(
            '`describe(include="all")` / statistics, 1,000,000 × 10 in memory',
            ratio.median,
            "×",
            1.0,
            "at least",
            f"{ratio}; {pandas.median:.2f} and {mine.median:.2f} s",
        )
    ]


def _from_file(folder: Path, rounds: int) -> list[Figure]:
    path = folder / "table.parquet"
    _frame(_ROWS, 1).to_parquet(path, row_group_size=100_000)
    pairs = [(_alone("pandas", path), _alone("ours", path)) for _ in range(rounds)]
    ratio = Spread.of([theirs["seconds"] / own["seconds"] for theirs, own in pairs])
    peaks = [Spread.of([p["peak_mib"] for p in column]) for column in zip(*pairs, strict=True)]
    seconds = [Spread.of([p["seconds"] for p in column]) for column in zip(*pairs, strict=True)]
    return [
        Figure(
            "`read_parquet` and `describe` / statistics, the same from a file",
            ratio.median,
            "×",
            1.0,
            "at least",
            f"{ratio}; {seconds[0].median:.2f} and {seconds[1].median:.2f} s, imports apart",
        ),
        Figure(
            "peak memory of the process, pandas / statistics",
            peaks[0].median / peaks[1].median,
            "×",
            note=f"{peaks[0].median:.0f} and {peaks[1].median:.0f} MiB",
        ),
    ]


def _memory(folder: Path) -> list[Figure]:
    found = []
    for groups in _GROUPS:
        path = folder / f"groups-{groups}.parquet"
        _write(path, groups)
        found.append(_alone("ours", path) | {"size": path.stat().st_size / 2**20})
    few, many = found
    return [
        Figure(
            f"peak memory, a file of {_GROUPS[1]} row groups / {_GROUPS[0]}",
            many["peak_mib"] / few["peak_mib"],
            "×",
            1.2,
            note=f"{many['peak_mib']:.0f} and {few['peak_mib']:.0f} MiB; files of "
            f"{many['size']:.0f} and {few['size']:.0f} MiB, {_GROUP:,} rows a group",
        ),
        Figure(
            "statistics of a file, per million rows of 10 columns",
            many["seconds"] / (_GROUPS[1] * _GROUP / 1e6),
            "s",
        ),
    ]


def _write(path: Path, groups: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for number in range(groups):
        table = pa.Table.from_pandas(_frame(_GROUP, number), preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _frame(rows: int, seed: int) -> pd.DataFrame:
    """Make ten columns of the kinds that training sets have."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "normal": random.normal(size=rows),
            "skewed": random.lognormal(size=rows),
            "holes": np.where(random.random(rows) < 0.1, np.nan, random.random(rows)),
            "label": random.integers(0, 10, rows),
            "wide": random.integers(-(10**12), 10**12, rows),
            "flag": random.random(rows) < 0.3,
            "colour": random.choice(["red", "green", "blue", "violet"], rows),
            "user": [f"user-{number:07d}" for number in random.integers(0, 10**6, rows)],
            "when": pd.to_datetime("2026-01-01")
            + pd.to_timedelta(random.integers(0, 10**7, rows), unit="s"),
            "class": pd.Categorical(random.choice(list("abcdef"), rows), list("abcdef")),
        }
    )


def _alone(which: str, path: Path) -> dict[str, Any]:  # Any: numbers
    command = [sys.executable, "-m", "benchmarks.describing", which, str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class _OnDisk:
    """Reads one file where it lies."""

    def files(self, artifact: Any) -> list[tuple[str, int]]:  # Any: an Artifact
        return [("df.parquet", Path(artifact.uri).stat().st_size)]

    def open(self, artifact: Any, path: str) -> Any:  # noqa: ARG002 - Any: a binary file
        return Path(artifact.uri).open("rb")


def _files(path: Path) -> ArtifactFiles:
    from exporter.hierarchy import Artifact
    from exporter.materializers.files import ArtifactFiles

    return ArtifactFiles(_OnDisk(), Artifact("1", "DataArtifact", str(path)))


def main() -> None:
    """Describe the file that is named and print seconds and peak memory."""
    which, path = sys.argv[1], Path(sys.argv[2])
    import pandas as pd
    import pyarrow.parquet  # noqa: F401 - imports are not what is measured

    from exporter.statistics import compute, parquet, tables  # noqa: F401 - nor are ours
    from exporter.statistics.describing import describe

    begun = time.perf_counter()
    if which == "pandas":
        pd.read_parquet(path).describe(include="all")
    else:
        describe(_files(path))
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "peak_mib": peak_kib() / 1024}))


if __name__ == "__main__":
    main()
