"""Data frames and arrays: Parquet, CSV and NumPy files. Nothing in them is executed.

pyarrow ≥ 14.0.1 no longer unpickles extension types
(https://www.cve.org/CVERecord?id=CVE-2023-47248), and NumPy reads with `allow_pickle=False`.
"""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

from exporter.errors import CorruptArtifact, UnsafeArtifact
from exporter.materializers.protocol import parsing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from exporter.materializers.files import ArtifactFiles

PARQUET_FILES = ("df.parquet.gzip", "df.parquet")
ARRAY_FILES = ("data.npy",)
_PARQUET = (".parquet", ".parquet.gzip", ".parquet.gz")
_CSV = (".csv", ".csv.gz")
_FLAT_ARRAY, _SHAPE, _ARRAY_COLUMN, _SERIES_COLUMN = (
    "data.parquet",
    "shape.json",
    "data_var",
    "series",
)


class PandasMaterializer:
    """Reads a data frame or series from Parquet (`df.parquet.gzip`) or CSV (`df.csv`)."""

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> pd.DataFrame | pd.Series[Any]:  # noqa: ARG002
        """Give the frame as it was written, index included; a series where a series was written.

        Shapes: (rows, columns) of the file; for a series (rows,).
        Raises: CorruptArtifact when no such file is here or it does not parse.
        """
        path = files.find(*PARQUET_FILES, suffixes=_PARQUET)
        if path is not None:
            return _parquet(files, path)
        path = files.find("df.csv", suffixes=_CSV)
        if path is not None:
            return _csv(files, path)
        raise CorruptArtifact(
            f"{files.described} holds no data frame: {_shown(files)}.",
            hint="A frame is a .parquet or .csv file; choose another materializer for this one.",
            artifact=files.artifact.id,
        )


class NumpyMaterializer:
    """Reads an array from `data.parquet` with `shape.json`, or from a `.npy` file."""

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> np.ndarray[Any, Any]:
        """Give the array.

        Shapes: as `shape.json` or the `.npy` header says.
        Raises: CorruptArtifact when no array is here or the shape does not fit; UnsafeArtifact for
        an array of Python objects, which is a pickle, unless trusted.
        """
        if _FLAT_ARRAY in files.sizes and _SHAPE in files.sizes:
            return _flat_array(files)
        path = files.find(*ARRAY_FILES, suffixes=(".npy",))
        if path is not None:
            return _npy(files, path, trusted=trusted)
        raise CorruptArtifact(
            f"{files.described} holds no array: {_shown(files)}.",
            hint="An array is a .npy file, or data.parquet with shape.json.",
            artifact=files.artifact.id,
        )


def parquet_table(raw: bytes, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file in the calling thread alone, so that the process can end at any time.

    Arrow's own threads hold Python objects; one that is left when the interpreter ends aborts it,
    now and then (https://github.com/apache/arrow/issues/34314) or hangs it
    (https://github.com/apache/arrow/issues/50482).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(raw), pre_buffer=False) as file:
        return file.read(columns=columns, use_threads=False)


def _parquet(files: ArtifactFiles, path: str) -> pd.DataFrame | pd.Series[Any]:
    raw = files.read(path)
    with parsing(files, "Parquet file"):
        return _as_written(files, parquet_table(raw).to_pandas(use_threads=False))


def _csv(files: ArtifactFiles, path: str) -> pd.DataFrame | pd.Series[Any]:
    raw = files.read(path)
    with parsing(files, "CSV file"):
        import pandas as pd

        is_gzip = path.endswith(".gz")
        frame = pd.read_csv(io.BytesIO(raw), index_col=0, compression="gzip" if is_gzip else None)
        return _as_written(files, frame)


def _as_written(files: ArtifactFiles, frame: pd.DataFrame) -> pd.DataFrame | pd.Series[Any]:
    """Give the only column where the store says that a series was written."""
    written = (files.artifact.data_type or "").rpartition(".")[2]
    if written != "Series" or frame.shape[1] != 1:
        return frame
    column = frame.iloc[:, 0]
    return column.rename(None) if column.name == _SERIES_COLUMN else column


def _flat_array(files: ArtifactFiles) -> np.ndarray[Any, Any]:
    flat, shape_text = files.read(_FLAT_ARRAY), files.read(_SHAPE)
    with parsing(files, "array"):
        sides = json.loads(shape_text)
        shape = tuple(int(sides[str(axis)]) for axis in range(len(sides)))
        column = parquet_table(flat, columns=[_ARRAY_COLUMN]).column(_ARRAY_COLUMN)
        array: np.ndarray[Any, Any] = column.to_numpy()
        if any(side < 0 for side in shape) or math.prod(shape) != array.size:
            raise ValueError(f"{array.size} values do not make the shape {shape}")
        return array.reshape(shape)


def _npy(files: ArtifactFiles, path: str, *, trusted: bool) -> np.ndarray[Any, Any]:
    raw = files.read(path)
    with parsing(files, ".npy file"):
        import numpy as np

        stream = io.BytesIO(raw)
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        _, _, dtype = read_header(stream)
        if dtype.hasobject and not trusted:
            raise UnsafeArtifact(
                f"{files.described} is an array of Python objects, that is a pickle: "
                "reading it would execute code stored in it.",
                hint="If you trust whoever wrote it, call output.read(trusted=True).",
                artifact=files.artifact.id,
            )
        array: np.ndarray[Any, Any] = np.load(io.BytesIO(raw), allow_pickle=trusted)
        return array


def _shown(files: ArtifactFiles) -> str:
    names = list(files.names)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"its files are {', '.join(names[:5])}{more}" if names else "it has no files"
