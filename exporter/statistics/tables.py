"""Which tables an artifact holds, read as a stream of Arrow record batches.

Memory: a batch of about 16 MiB and what the reader keeps of a row group, whatever the file's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.hierarchy.table_names import find_table
from exporter.statistics.files import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from exporter.hierarchy.table_names import TableKind
    from exporter.statistics.files import TableFiles
    from exporter.statistics.model import Sampling, StatLimits

BATCH_ROWS = 65_536
BATCH_BYTES = 16 << 20


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
    found = find_table(files.artifact.type, files.artifact.uri, files.sizes)
    if found is not None:
        yield from _OPENED[found.kind](files, found.paths, limits)


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


_OPENED: dict[TableKind, Callable[[TableFiles, Sequence[str], StatLimits], Iterator[Table]]] = {
    "flat_array": _open_flat_array,
    "examples": _open_examples,
    "parquet": _open_parquet,
    "csv": _open_csv,
    "npy": _open_npy,
}
