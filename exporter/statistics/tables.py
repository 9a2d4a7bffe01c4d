"""Which tables an artifact holds, read as a stream of Arrow record batches.

Memory: a batch of about 16 MiB and what the reader keeps of a row group, whatever the file's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.statistics.files import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from exporter.statistics.files import TableFiles
    from exporter.statistics.model import Sampling, StatLimits

BATCH_ROWS = 65_536
BATCH_BYTES = 16 << 20

PARQUET_FILES = ("df.parquet.gzip", "df.parquet")
PARQUET_SUFFIXES = (".parquet", ".parquet.gzip", ".parquet.gz")
CSV_FILES = ("df.csv",)
CSV_SUFFIXES = (".csv", ".csv.gz")
FLAT_ARRAY, SHAPE = "data.parquet", "shape.json"
ARRAY_FILES, ARRAY_SUFFIXES = ("data.npy",), (".npy",)
EXAMPLE_SUFFIXES = (".gz", ".tfrecord")
_SPLIT = "Split-"


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be read, once.

    `columns_total` counts the columns that are there, `schema` those that will come. `sampled`
    says which part of the rows the batches are. `what` names the format in a message. `again` gives
    the table with other types, where a column's values turn out not to be of the first.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    columns_total: int
    what: str
    size_bytes: int | None = None
    sampled: Sampling | None = None
    name: str = ""
    again: Callable[[], Table] | None = None


def open_tables(files: TableFiles, limits: StatLimits) -> Iterator[Table]:
    """Give the tables of an artifact in order, each to be read before the next; none if no table.

    A table is a Parquet or CSV file, an array, or a split of tf.Example records.
    An artifact of several such files, none of a name that ZenML gives, is no table.
    Raises: CorruptArtifact when the files are of such a format and cannot be read; as
    `TableFiles.open` does.
    """
    for fits, opened in _FORMATS:
        paths = fits(files)
        if paths:
            yield from opened(files, paths, limits)
            return


def _flat_array(files: TableFiles) -> Sequence[str]:
    return (FLAT_ARRAY, SHAPE) if {FLAT_ARRAY, SHAPE} <= set(files.sizes) else ()


def _one(
    names: tuple[str, ...], suffixes: tuple[str, ...]
) -> Callable[[TableFiles], Sequence[str]]:
    """Take the file with one of the names, else the only one of its folder with a suffix."""

    def found(files: TableFiles) -> Sequence[str]:
        named = tuple(zip(files.sizes, files.names, strict=True))
        here = [path for path, base in named if base in names and "/" not in path]
        fits = here or [path for path, base in named if base.endswith(suffixes) and "/" not in path]
        return fits if len(fits) == 1 else ()

    return found


def _examples(files: TableFiles) -> Sequence[str]:
    if files.artifact.type != "Examples" and not any(_SPLIT in path for path in files.sizes):
        return ()
    return tuple(path for path in files.sizes if path.endswith(EXAMPLE_SUFFIXES))


def _open_flat_array(
    files: TableFiles, paths: Sequence[str], limits: StatLimits
) -> Iterator[Table]:
    from exporter.statistics.arrays import open_flat_array

    with reading(files, "array"):
        yield open_flat_array(files, paths[0], paths[1], limits)


def _open_npy(files: TableFiles, paths: Sequence[str], limits: StatLimits) -> Iterator[Table]:
    from exporter.statistics.arrays import open_npy

    with reading(files, ".npy file"):
        table = open_npy(files, paths[0], limits)
        if table is not None:
            yield table


def _open_parquet(files: TableFiles, paths: Sequence[str], limits: StatLimits) -> Iterator[Table]:
    from exporter.statistics.parquet import open_parquet

    with reading(files, "Parquet file"):
        yield open_parquet(files, paths[0], limits)


def _open_csv(files: TableFiles, paths: Sequence[str], limits: StatLimits) -> Iterator[Table]:
    from exporter.statistics.delimited import open_csv

    with reading(files, "CSV file"):
        yield open_csv(files, paths[0], limits)


def _open_examples(files: TableFiles, paths: Sequence[str], limits: StatLimits) -> Iterator[Table]:
    from exporter.statistics.examples import open_splits

    with reading(files, "TFRecord file of examples"):
        yield from open_splits(files, paths, limits)


# Looked for in this order, the most telling first.
_FORMATS: tuple[
    tuple[
        Callable[[TableFiles], Sequence[str]],
        Callable[[TableFiles, Sequence[str], StatLimits], Iterator[Table]],
    ],
    ...,
] = (
    (_flat_array, _open_flat_array),
    (_examples, _open_examples),
    (_one(PARQUET_FILES, PARQUET_SUFFIXES), _open_parquet),
    (_one(CSV_FILES, CSV_SUFFIXES), _open_csv),
    (_one(ARRAY_FILES, ARRAY_SUFFIXES), _open_npy),
)
