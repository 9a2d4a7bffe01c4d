"""Arrays as tables: a row per entry of the first axis, a column per entry of the second.

Arrays of one axis have one column, of three and more the values of a row as one column: all values
in turn. Arrays of Python objects are pickles and are no table.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exporter.statistics.tables import BATCH_BYTES, BATCH_ROWS, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.statistics.files import TableFiles
    from exporter.statistics.model import StatLimits

    Array = np.ndarray[Any, Any]  # Any: of any shape

_ARRAY_COLUMN = "data_var"
_ONLY = "value"


def open_flat_array(files: TableFiles, flat: str, shape: str, limits: StatLimits) -> Table:
    """Open ZenML's `data.parquet`, the values of an array in a row, with `shape.json`.

    Raises: what the readers raise; ValueError where the values do not make the shape.
    """
    sides = json.loads(files.read(shape))
    axes = tuple(int(sides[str(axis)]) for axis in range(len(sides)))
    found = pq.ParquetFile(files.open(flat), buffer_size=1 << 20, pre_buffer=False)
    if any(side < 0 for side in axes) or math.prod(axes) != found.metadata.num_rows:
        raise ValueError(f"{found.metadata.num_rows} values do not make the shape {axes}")
    type_ = found.schema_arrow.field(_ARRAY_COLUMN).type
    width = _width(axes)
    rows = max(1, BATCH_ROWS // max(width, 1))
    flat_batches = (
        batch.column(0)
        for batch in found.iter_batches(
            batch_size=rows * max(width, 1), columns=[_ARRAY_COLUMN], use_threads=False
        )
    )
    names = _names(axes)
    kept = names[: limits.columns]
    schema = pa.schema([pa.field(name, type_) for name in kept])
    return Table(
        schema,
        _by_rows(flat_batches, width, schema),
        len(names),
        "array",
        files.sizes.get(flat),
    )


def open_npy(files: TableFiles, path: str, limits: StatLimits) -> Table | None:
    """Open a `.npy` file without ever unpickling; None for an array of Python objects.

    Raises: what NumPy raises for a header; EOFError where the values end early.
    """
    stream = files.open(path)
    version = np.lib.format.read_magic(stream)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    axes, is_fortran, dtype = read_header(stream)
    if dtype.hasobject:
        return None
    size = files.sizes.get(path)
    if dtype.names is not None:
        rows = _flat_parts(stream, math.prod(axes), dtype, 1)
        fields = dtype.names[: limits.columns]
        schema = pa.schema([pa.field(n, _arrow(np.empty(0, dtype[n])).type) for n in fields])
        batches = (_batch([_arrow(part[n]) for n in fields], schema) for part in rows)
        return Table(schema, batches, len(dtype.names), ".npy file", size)
    names = _names(axes)
    kept = names[: limits.columns]
    type_ = _arrow(np.empty(0, dtype)).type
    schema = pa.schema([pa.field(name, type_) for name in kept])
    width = _width(axes)
    if is_fortran and len(axes) == 2:
        parts = _fortran_parts(stream, axes, dtype, len(kept))
    else:
        flat = _flat_parts(stream, math.prod(axes), dtype, width)
        parts = (part.reshape(-1, max(width, 1)) for part in flat)
    batches = (_batch([_arrow(part[:, i]) for i in range(len(kept))], schema) for part in parts)
    return Table(schema, batches, len(names), ".npy file", size)


def _width(axes: tuple[int, ...]) -> int:
    return axes[1] if len(axes) == 2 else 1


def _names(axes: tuple[int, ...]) -> list[str]:
    return [str(i) for i in range(axes[1])] if len(axes) == 2 else [_ONLY]


def _by_rows(flat: Iterator[pa.Array], width: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Cut a stream of values into rows of `width` of them."""
    rest = pa.array([], type=schema.field(0).type) if len(schema) else None
    for values in flat:
        joined = values if rest is None or not len(rest) else pa.concat_arrays([rest, values])
        whole = len(joined) // width * width
        rest = joined.slice(whole)
        taken = np.arange(0, whole, width)
        yield _batch([joined.take(pa.array(taken + i)) for i in range(len(schema))], schema)


def _flat_parts(stream: BinaryIO, count: int, dtype: np.dtype[Any], width: int) -> Iterator[Array]:
    """Read values in the order of the file, whole rows at once."""
    width = max(width, 1)
    rows = max(1, BATCH_BYTES // (max(dtype.itemsize, 1) * width))
    left = count
    while left > 0:
        take = min(left, rows * width)
        yield _read(stream, take, dtype)
        left -= take


def _fortran_parts(
    stream: BinaryIO, axes: tuple[int, ...], dtype: np.dtype[Any], columns: int
) -> Iterator[Array]:
    """Read rows of an array that is kept column by column."""
    start = stream.tell()
    rows = max(1, BATCH_BYTES // (max(dtype.itemsize, 1) * max(columns, 1)))
    for first in range(0, axes[0], rows):
        count = min(rows, axes[0] - first)
        out = np.empty((count, columns), dtype=dtype)
        for column in range(columns):
            stream.seek(start + (column * axes[0] + first) * dtype.itemsize)
            out[:, column] = _read(stream, count, dtype)
        yield out


def _read(stream: BinaryIO, count: int, dtype: np.dtype[Any]) -> Array:
    wanted = count * dtype.itemsize
    parts = []
    while wanted:
        part = stream.read(wanted)
        if not part:
            raise EOFError("the file ends before the last value that its header announces")
        parts.append(part)
        wanted -= len(part)
    if not dtype.itemsize:
        return np.zeros(count, dtype=dtype)
    return np.frombuffer(b"".join(parts), dtype=dtype)


def _arrow(values: Array) -> pa.Array:
    """Give NumPy values as Arrow; what Arrow has no type for is bytes of that width."""
    native = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind in "mM":
        unit = np.datetime_data(native.dtype)[0]
        if unit not in ("D", "s", "ms", "us", "ns"):
            native = native.astype(f"{native.dtype.kind}8[s]")
        elif unit == "D" and native.dtype.kind == "m":
            native = native.astype("m8[s]")
    if native.ndim > 1 or native.dtype.kind in "cV" or native.dtype == np.longdouble:
        width = native.dtype.itemsize * math.prod(native.shape[1:])
        return pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(width), len(native), [None, pa.py_buffer(native.tobytes())]
        )
    return pa.array(native)


def _batch(arrays: list[pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
