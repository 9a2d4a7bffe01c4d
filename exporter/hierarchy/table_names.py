"""Which files of an artifact are a table, by its type and the names of its files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

PARQUET_FILES = ("df.parquet.gzip", "df.parquet")
CSV_FILES = ("df.csv",)
_FLAT_ARRAY = ("data.parquet", "shape.json")
_EXAMPLE_SUFFIXES = (".gz", ".tfrecord")
_SPLIT = "Split-"  # TFX keeps examples in a folder per split, and statistics and anomalies, too

TableKind = Literal["flat_array", "examples", "parquet", "csv", "npy"]

# Names that ZenML gives come first, else the only file in the artifact's own folder counts.
_SINGLE: tuple[tuple[TableKind, tuple[str, ...], tuple[str, ...]], ...] = (
    ("parquet", PARQUET_FILES, (".parquet", ".parquet.gzip", ".parquet.gz")),
    ("csv", CSV_FILES, (".csv", ".csv.gz")),
    ("npy", ("data.npy",), (".npy",)),
)


class FoundTable(NamedTuple):
    """The format of a table and the paths of its files."""

    kind: TableKind
    paths: tuple[str, ...]


def find_table(artifact_type: str, uri: str, paths: Iterable[str]) -> FoundTable | None:
    """Find the table that an artifact is, the most telling format first; None where it is none.

    The path '' is an artifact that is itself a file, named by its URI.
    """
    all_paths = tuple(paths)
    if set(_FLAT_ARRAY) <= set(all_paths):
        return FoundTable("flat_array", _FLAT_ARRAY)
    if artifact_type == "Examples" or any(_SPLIT in path for path in all_paths):
        records = tuple(path for path in all_paths if path.endswith(_EXAMPLE_SUFFIXES))
        if records:
            return FoundTable("examples", records)
    own = uri.rstrip("/").rpartition("/")[2]
    here = [(path, path or own) for path in all_paths if "/" not in path]
    for kind, names, suffixes in _SINGLE:
        named = [path for path, name in here if name in names]
        fits = named or [path for path, name in here if name.endswith(suffixes)]
        if len(fits) == 1:
            return FoundTable(kind, tuple(fits))
    return None
