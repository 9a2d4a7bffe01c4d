"""Parquet files as batches: row group by row group, pages streamed, pandas' index left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from exporter.statistics.model import Sampling
from exporter.statistics.tables import BATCH_BYTES, BATCH_ROWS, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.statistics.files import TableFiles
    from exporter.statistics.model import StatLimits

_BUFFER = 1 << 20
_MADE_INDEX = "__index_level_"


def open_parquet(files: TableFiles, path: str, limits: StatLimits) -> Table:
    """Open a Parquet file; of one with more rows than the limit evenly spread row groups are read.

    Raises: what pyarrow raises.
    """
    stream = files.open(path)
    found = pq.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False)
    places = _columns(found.schema_arrow)
    kept = places[: limits.columns]
    schema = pa.schema([found.schema_arrow.field(i) for i in kept])
    groups, sampled = _groups(found.metadata, limits.rows)
    return Table(
        schema,
        _batches(found, groups, kept),
        len(places),
        "Parquet file",
        files.sizes.get(path),
        sampled,
    )


def _batches(
    found: pq.ParquetFile, groups: list[int], places: list[int]
) -> Iterator[pa.RecordBatch]:
    names = found.schema_arrow.names
    asked = [names[i] for i in places]
    # A name asked for gives every column of that name, so all are read where one comes twice.
    columns = asked if len(set(names)) == len(names) else None
    rows = _rows_at_once(found.metadata)
    # In this thread: one of Arrow's own that reads a Python file ends the interpreter at its exit.
    batches = found.iter_batches(
        batch_size=rows, row_groups=groups, columns=columns, use_threads=False
    )
    for batch in batches:
        given = batch.schema.names
        picks = places if columns is None else [given.index(name) for name in asked]
        yield batch.select(picks)


def _columns(schema: pa.Schema) -> list[int]:
    """Give the places of columns that are no part of a pandas index.

    Source: https://pandas.pydata.org/docs/development/developer.html
    """
    index: set[str] = set()
    try:
        described: Any = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))  # Any: JSON
        index = {name for name in described.get("index_columns", ()) if isinstance(name, str)}
    except (ValueError, AttributeError, TypeError):  # another writer's idea of the same key
        index = set()
    return [
        place
        for place, name in enumerate(schema.names)
        if name not in index and not name.startswith(_MADE_INDEX)
    ]


def _groups(metadata: pq.FileMetaData, limit: int) -> tuple[list[int], Sampling | None]:
    """Choose row groups evenly over the file so that about `limit` rows are read."""
    total, count = metadata.num_rows, metadata.num_row_groups
    if total <= limit:
        return list(range(count)), None
    wanted = max(1, limit * count // total)
    groups = [i for i in range(count) if (i + 1) * wanted // count > i * wanted // count]
    rows = min(limit, sum(metadata.row_group(i).num_rows for i in groups))
    return groups, Sampling(rows, total, "row groups" if len(groups) > 1 else "first rows")


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    per_row = size / metadata.num_rows if metadata.num_rows else 1
    return max(64, min(BATCH_ROWS, int(BATCH_BYTES / max(per_row, 1))))
