"""CSV files as batches, as pandas writes them; where a column changes type midway, read once more.

Memory: a block of 4 MiB, larger only where one row is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from exporter.hierarchy.table_names import CSV_FILES
from exporter.statistics.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.statistics.files import TableFiles
    from exporter.statistics.model import StatLimits

_BLOCK, _LARGEST_BLOCK = 4 << 20, 256 << 20
_PARSE = pv.ParseOptions(newlines_in_values=True)
# What a column is tried as when its first type does not hold, narrowest first.
_WIDER: dict[pa.DataType, pa.DataType] = {
    pa.null(): pa.int64(),
    pa.int64(): pa.float64(),
}


def open_csv(files: TableFiles, path: str, limits: StatLimits) -> Table:
    """Open a CSV file with a header; the first column is the index where pandas wrote one.

    Types come from the first block. Where they do not hold to the end, `again` finds such as do.
    Raises: what pyarrow raises.
    """
    source = _Csv(files, path, limits)
    return source.table(source.types, again=True)


class _Csv:
    def __init__(self, files: TableFiles, path: str, limits: StatLimits) -> None:
        self._files, self._path = files, path
        self._block = _BLOCK
        reader = self._opened(pv.ConvertOptions(strings_can_be_null=True), None)
        self._names: list[str] = reader.schema.names
        self.types: list[pa.DataType] = list(reader.schema.types)
        has_index = path.rpartition("/")[2] in CSV_FILES or self._names[0] in ("", "Unnamed: 0")
        start = 1 if has_index else 0
        self._columns = len(self._names) - start
        self._kept = range(start, start + min(self._columns, limits.columns))

    def table(self, types: list[pa.DataType], *, again: bool) -> Table:
        """Give the table with these types."""
        schema = pa.schema([pa.field(self._names[i], types[i]) for i in self._kept])
        return Table(
            schema,
            self._batches(types, schema),
            self._columns,
            "CSV file",
            self._files.sizes.get(self._path),
            again=(lambda: self.table(self._settled(), again=False)) if again else None,
        )

    def _batches(self, types: list[pa.DataType], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        places = [str(i) for i in range(len(self._names))]
        convert = pv.ConvertOptions(
            column_types=dict(zip(places, types, strict=True)),
            include_columns=[places[i] for i in self._kept],
            strings_can_be_null=True,
        )
        for batch in self._opened(convert, places):
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

    def _settled(self) -> list[pa.DataType]:
        """Read all as text and give each column the narrowest type that takes every value."""
        types = list(self.types)
        for batch in self._batches([pa.string()] * len(types), self._texts()):
            for place, column in zip(self._kept, batch.columns, strict=True):
                while not _takes(types[place], column):
                    types[place] = _WIDER.get(types[place], pa.string())
        return types

    def _texts(self) -> pa.Schema:
        return pa.schema([pa.field(self._names[i], pa.string()) for i in self._kept])

    def _opened(self, convert: pv.ConvertOptions, names: list[str] | None) -> Any:  # Any: pyarrow
        """Open a reader, with larger blocks where a row is larger than one."""
        while True:
            stream: Any = self._files.open(self._path)
            if self._path.endswith(".gz"):
                stream = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "gzip")
            read = pv.ReadOptions(
                block_size=self._block,
                column_names=names,
                skip_rows_after_names=0 if names is None else 1,
            )
            try:
                return pv.open_csv(
                    stream, read_options=read, parse_options=_PARSE, convert_options=convert
                )
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error) or self._block >= _LARGEST_BLOCK:
                    raise
                self._block *= 4


def _takes(type_: pa.DataType, texts: pa.Array) -> bool:
    if pa.types.is_string(type_):
        return True
    if pa.types.is_null(type_):
        return bool(texts.null_count == len(texts))
    try:
        pc.cast(texts, type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True
