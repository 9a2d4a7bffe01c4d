"""Reading data frames, series and arrays."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from support.fake_history import FakeArtifacts

from exporter.errors import CorruptArtifact, UnsafeArtifact
from exporter.hierarchy import Artifact
from exporter.materializers.choice import choose
from exporter.materializers.files import ArtifactFiles
from exporter.materializers.frames import NumpyMaterializer, PandasMaterializer

if TYPE_CHECKING:
    from collections.abc import Mapping


def files_of(stored: Mapping[str, bytes], data_type: str | None = None) -> ArtifactFiles:
    artifact = Artifact("1", "DataArtifact", "/data/1", data_type=data_type)
    return ArtifactFiles(FakeArtifacts({artifact.uri: stored}), artifact)


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream, compression="gzip")
    return stream.getvalue()


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


FRAME = pd.DataFrame(
    {"x": [1, 2], "when": pd.to_datetime(["2026-01-01", "NaT"]), "name": ["é", None]},
    index=pd.Index(["a", "b"], name="key"),
)


def test_a_frame_comes_back_with_its_types_and_index() -> None:
    found = files_of({"df.parquet.gzip": parquet(FRAME)})
    assert isinstance(choose(found), PandasMaterializer)
    pd.testing.assert_frame_equal(choose(found).read(found), FRAME)


def test_a_frame_written_as_csv_comes_back() -> None:
    frame = pd.DataFrame({"x": [1, 2]})
    found = files_of({"df.csv": frame.to_csv().encode(), "describe.csv": b"x"})
    pd.testing.assert_frame_equal(choose(found).read(found), frame, check_names=False)


def test_a_series_is_a_series_again_where_the_store_says_so() -> None:
    raw = parquet(pd.DataFrame({"series": [1.5, 2.5]}))
    series = PandasMaterializer().read(
        files_of({"df.parquet.gzip": raw}, "pandas.core.series.Series")
    )
    assert isinstance(series, pd.Series)
    assert series.tolist() == [1.5, 2.5]
    frame = PandasMaterializer().read(
        files_of({"df.parquet.gzip": raw}, "pandas.core.frame.DataFrame")
    )
    assert isinstance(frame, pd.DataFrame)


def test_the_only_parquet_or_csv_file_is_the_frame_when_asked_for() -> None:
    raw = parquet(FRAME.reset_index(drop=True))
    assert len(PandasMaterializer().read(files_of({"part/x.parquet": raw, "a.txt": b""}))) == 2
    with pytest.raises(CorruptArtifact, match=r"2 candidates: a\.parquet, b\.parquet"):
        PandasMaterializer().read(files_of({"a.parquet": raw, "b.parquet": raw}))


@pytest.mark.parametrize("raw", [b"", b"PAR1", b"PAR1" + b"\0" * 40 + b"PAR1", b"x" * 100])
def test_a_broken_frame_is_corrupt(raw: bytes) -> None:
    with pytest.raises(CorruptArtifact, match="no readable Parquet file"):
        PandasMaterializer().read(files_of({"df.parquet.gzip": raw}))


def test_every_truncation_of_a_frame_is_corrupt() -> None:
    whole = parquet(FRAME)
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        with pytest.raises(CorruptArtifact):
            PandasMaterializer().read(files_of({"df.parquet.gzip": whole[:length]}))


def test_what_holds_no_frame_names_its_files() -> None:
    with pytest.raises(CorruptArtifact, match="no data frame: its files are model"):
        PandasMaterializer().read(files_of({"model": b"x"}))


@pytest.mark.parametrize(
    "array", [np.arange(6).reshape(2, 3), np.zeros((0, 4)), np.array([1.5, np.nan]), np.array(7)]
)
def test_an_array_comes_back_in_its_shape(array: np.ndarray[Any, Any]) -> None:
    flat = parquet(pd.DataFrame({"data_var": array.flatten()}))
    shape = json.dumps({str(i): side for i, side in enumerate(array.shape)}).encode()
    for stored in ({"data.parquet": flat, "shape.json": shape}, {"data.npy": npy(array)}):
        found = files_of(stored)
        assert isinstance(choose(found), NumpyMaterializer)
        again = choose(found).read(found)
        np.testing.assert_array_equal(again, array)
        assert again.shape == array.shape
        assert again.dtype == array.dtype


@pytest.mark.parametrize("shape", [b'{"0": 7}', b'{"0": -2, "1": -3}', b'{"1": 6}', b"[6]", b"x"])
def test_a_shape_that_does_not_fit_is_corrupt(shape: bytes) -> None:
    flat = parquet(pd.DataFrame({"data_var": range(6)}))
    with pytest.raises(CorruptArtifact):
        NumpyMaterializer().read(files_of({"data.parquet": flat, "shape.json": shape}))


def test_an_array_of_objects_is_refused_unless_trusted() -> None:
    found = files_of({"data.npy": npy(np.array([{"a": 1}, None], dtype=object))})
    with pytest.raises(UnsafeArtifact, match="would execute code"):
        NumpyMaterializer().read(found)
    assert NumpyMaterializer().read(found, trusted=True).tolist() == [{"a": 1}, None]


@pytest.mark.parametrize(
    "raw", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x05\x00abcde", b"\x93NUMPY\x07\x00\0\0"]
)
def test_a_broken_npy_file_is_corrupt(raw: bytes) -> None:
    with pytest.raises(CorruptArtifact):
        NumpyMaterializer().read(files_of({"data.npy": raw}))


def test_what_holds_no_array_says_so() -> None:
    with pytest.raises(CorruptArtifact, match="no array: it has no files"):
        NumpyMaterializer().read(files_of({}))


_READS_ONE = """\
import json, os, sys
import numpy, pandas, pyarrow.parquet
from exporter.materializers.frames import parquet_table

def threads():
    return set(os.listdir("/proc/self/task"))

with open(sys.argv[1], "rb") as file:
    raw = file.read()
before = threads()
frame = parquet_table(raw).to_pandas(use_threads=False)
print(json.dumps([len(frame), sorted(threads() - before)]))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
def test_reading_parquet_starts_no_thread_that_could_outlive_the_interpreter(
    tmp_path: Path,
) -> None:
    file = tmp_path / "df.parquet"
    file.write_bytes(parquet(pd.DataFrame({"x": range(5_000), "name": ["é"] * 5_000})))
    ended = subprocess.run(
        [sys.executable, "-c", _READS_ONE, str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [5_000, []]
