"""Tables of every format, read as streams: Parquet, CSV, arrays and what is no table."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import pandas as from_hypothesis
from support.tables import described, files_of, npy, parquet, statistics_of

from exporter.errors import CorruptArtifact
from exporter.statistics.describing import describe
from exporter.statistics.model import Sampling, StatLimits

FRAME = pd.DataFrame({"x": [1, 2, 2], "s": ["a", None, "c"]}, index=["k1", "k2", "k3"])


def kinds(files: Any) -> dict[str, str]:
    return {column.name: column.kind for column in statistics_of(files).columns}


def test_a_pandas_index_is_no_column() -> None:
    assert [c.name for c in statistics_of(parquet(FRAME)).columns] == ["x", "s"]
    named = FRAME.rename_axis("key")
    assert [c.name for c in statistics_of(parquet(named)).columns] == ["x", "s"]
    both = FRAME.set_index(["x", "s"]).assign(y=1.5)
    assert [c.name for c in statistics_of(parquet(both)).columns] == ["y"]


@given(
    from_hypothesis.data_frames(
        [
            from_hypothesis.column("f", dtype=float),
            from_hypothesis.column("i", dtype="int64"),
            from_hypothesis.column("b", dtype=bool),
            from_hypothesis.column("s", elements=st.text("abü", max_size=3), dtype=object),
        ]
    ),
    st.integers(1, 5),
)
@settings(max_examples=50)
def test_a_frame_is_described_as_pandas_does_whatever_its_row_groups(
    frame: pd.DataFrame, group: int
) -> None:
    table = statistics_of(parquet(frame, row_group_size=group))
    whole = statistics_of(parquet(frame))
    assert table.columns == whole.columns
    assert table.rows == len(frame)
    for column in table.columns:
        series = frame[column.name]
        assert column.missing == series.isna().sum()
        assert column.distinct is not None
        assert column.distinct.count == series.nunique()
        finite = series[np.isfinite(series)] if column.kind in ("int", "float") else series[:0]
        if len(finite):
            assert (column.minimum, column.maximum) == (finite.min(), finite.max())


@given(st.binary(max_size=80))
def test_noise_is_corrupt(noise: bytes) -> None:
    for name in ("df.parquet.gzip", "data.npy"):
        with pytest.raises(CorruptArtifact):
            describe(files_of({name: noise}))


def test_every_truncation_is_corrupt_and_never_a_traceback() -> None:
    files = {
        "df.parquet.gzip": parquet(FRAME).read("df.parquet.gzip"),
        "data.npy": npy(np.arange(20.0).reshape(4, 5)).read("data.npy"),
    }
    for name, whole in files.items():
        for length in range(0, len(whole), max(1, len(whole) // 50)):
            with pytest.raises(CorruptArtifact):
                describe(files_of({name: whole[:length]}))


def test_a_page_that_is_damaged_is_corrupt() -> None:
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=5_000)})
    whole = bytearray(parquet(frame).read("df.parquet.gzip"))
    whole[200:260] = b"\xff" * 60
    with pytest.raises(CorruptArtifact, match="Parquet file"):
        describe(files_of({"df.parquet.gzip": bytes(whole)}))


def test_every_pandas_type_has_its_kind() -> None:
    frame = pd.DataFrame(
        {
            "float": [0.5, None],
            "Int64": pd.array([1, None], dtype="Int64"),
            "bool": [True, False],
            "text": ["a", "b"],
            "category": pd.Categorical(["x", "y"]),
            "bytes": [b"a", b"b"],
            "moment": pd.to_datetime(["2026-01-01", "NaT"]),
            "zoned": pd.to_datetime(["2026-01-01", "2026-01-02"]).tz_localize("Asia/Kolkata"),
            "span": pd.to_timedelta([1, 2], unit="s"),
            "list": [[1, 2], []],
            "struct": [{"a": 1}, {"a": 2}],
            "nothing": [None, None],
            "period": pd.period_range("2026-01", periods=2, freq="M"),
            "interval": pd.interval_range(0, 2),
        }
    )
    assert kinds(parquet(frame)) == {
        "float": "float",
        "Int64": "int",
        "bool": "bool",
        "text": "string",
        "category": "categorical",
        "bytes": "bytes",
        "moment": "datetime",
        "zoned": "datetime",
        "span": "duration",
        "list": "nested",
        "struct": "nested",
        "nothing": "null",
        "period": "int",
        "interval": "nested",
    }


def test_nan_and_null_are_told_apart() -> None:
    table = pa.table({"x": pa.array([1.0, float("nan"), None])})
    (column,) = statistics_of(parquet(table)).columns
    assert (column.nulls, column.nans, column.missing) == (1, 1, 2)


def test_columns_of_one_name_are_kept() -> None:
    table = pa.table([pa.array([1, 2]), pa.array(["a", "b"])], names=["x", "x"])
    columns = statistics_of(parquet(table)).columns
    assert [(c.name, c.kind) for c in columns] == [("x", "int"), ("x", "string")]
    files = files_of({"df.csv": b",x,x,y\n0,1,a,1.5\n1,2,b,2.5\n"})
    assert [(c.name, c.kind) for c in statistics_of(files).columns] == [
        ("x", "int"),
        ("x", "string"),
        ("y", "float"),
    ]


@pytest.mark.parametrize("frame", [FRAME[:0], pd.DataFrame(), pd.DataFrame(index=range(3))])
def test_an_empty_frame_is_a_table_without_rows(frame: pd.DataFrame) -> None:
    table = statistics_of(parquet(frame))
    assert len(table.columns) == frame.shape[1]
    assert table.missing_ratio == 0


def test_beyond_the_limit_row_groups_are_read_evenly_and_it_is_said() -> None:
    table = pa.table({"x": np.arange(1_000)})
    found = statistics_of(parquet(table, row_group_size=100), StatLimits(rows=200))
    assert found.sampled == Sampling(200, 1_000, "row groups")
    assert found.rows == 200
    assert found.columns[0].maximum == 999
    one = statistics_of(parquet(table), StatLimits(rows=200))
    assert one.sampled == Sampling(200, 1_000, "first rows")
    assert one.columns[0].maximum == 199
    files = files_of({"df.csv": pd.DataFrame({"x": range(300)}).to_csv().encode()})
    assert statistics_of(files, StatLimits(rows=200)).sampled == Sampling(200, None, "first rows")
    assert statistics_of(files, StatLimits(rows=300)).sampled is None


def test_columns_beyond_the_limit_are_counted_only() -> None:
    wide = pd.DataFrame({f"c{i}": [i] for i in range(9)})
    for files in (
        parquet(wide),
        files_of({"df.csv": wide.to_csv().encode()}),
        npy(wide.to_numpy()),
    ):
        table = statistics_of(files, StatLimits(columns=4))
        assert (len(table.columns), table.columns_total) == (4, 9)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_csv_is_read_as_pandas_writes_it(suffix: str) -> None:
    frame = pd.DataFrame(
        {"i": [1, 2], "f": [0.5, None], "s": ['say "hi"\n', "b,c"], "b": [True, False]}
    )
    raw = frame.to_csv().encode()
    files = files_of({f"table.csv{suffix}": gzip.compress(raw) if suffix else raw})
    assert kinds(files) == {"i": "int", "f": "float", "s": "string", "b": "bool"}
    table = statistics_of(files)
    assert table.rows == 2
    assert table.columns[1].nulls == 1
    assert table.columns[2].lengths is not None
    assert table.columns[2].lengths.maximum == len('say "hi"\n')


def test_csv_without_an_index_keeps_its_first_column() -> None:
    assert kinds(files_of({"iris.csv": b"a,b\n1,x\n"})) == {"a": "int", "b": "string"}


@pytest.mark.parametrize(
    ("late", "kind"), [("0.5", "float"), ("word", "string"), ("", "int"), ("1e400", "float")]
)
def test_a_csv_column_that_changes_type_midway_is_read_again(late: str, kind: str) -> None:
    rows = [f"{i},{i},{i}" for i in range(700_000)]
    rows[650_000] = f"650000,{late},1"
    files = files_of({"df.csv": ("\n".join([",x,y", *rows])).encode()})
    table = statistics_of(files)
    assert [c.kind for c in table.columns] == [kind, "int"]
    assert table.rows == 700_000


def test_a_csv_column_that_starts_empty_has_the_type_that_comes() -> None:
    rows = [f"{i},," for i in range(900_000)] + ["900000,1,text"]
    files = files_of({"df.csv": ("\n".join([",x,y", *rows])).encode()})
    assert kinds(files) == {"x": "int", "y": "string"}


@pytest.mark.parametrize("raw", [b"", b",x\n0,1\n1,2,3\n", b"\xff\xfe,\n0"])
def test_a_broken_csv_is_corrupt_or_a_table(raw: bytes) -> None:
    try:
        describe(files_of({"df.csv": raw}))
    except CorruptArtifact as error:
        assert "CSV" in error.message  # noqa: PT017 - either is right for bytes of no encoding


def test_a_csv_without_rows_has_its_columns() -> None:
    assert list(kinds(files_of({"df.csv": b",x,y\n"}))) == ["x", "y"]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6),
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype=">i4").reshape(3, 4)),
        np.array([["a", "bc"], ["d", ""]]),
        np.array([True, False]),
        np.array(["2026-01-01", "NaT"], dtype="M8[D]"),
        np.array(["2026-01", "NaT"], dtype="M8[M]"),
        np.array([1, 2], dtype="m8[h]"),
        np.array([1 + 2j, 3]),
        np.array([b"a", b""]),
        np.array([1.5, np.nan], dtype=np.float16),
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        np.float64(3.5),
        np.zeros((2, 3, 4)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_are_tables(array: np.ndarray[Any, Any]) -> None:
    table = statistics_of(npy(array))
    frame = pd.DataFrame(array if array.ndim == 2 else array.reshape(-1))
    assert len(table.columns) == frame.shape[1]
    if frame.shape[1]:
        assert table.rows == frame.shape[0]
    if array.dtype.kind in "if":
        for column, (_, series) in zip(table.columns, frame.items(), strict=True):
            native = series.astype(float)
            assert column.missing == native.isna().sum()
            if len(native):
                assert column.mean == pytest.approx(native.mean())


def test_a_structured_array_has_a_column_per_field() -> None:
    array = np.array([(1, 2.5, [1, 2])], dtype=[("a", "i4"), ("b", "f8"), ("c", "i4", (2,))])
    assert kinds(npy(array)) == {"a": "int", "b": "float", "c": "bytes"}


def test_an_array_of_objects_is_a_pickle_and_no_table() -> None:
    assert describe(npy(np.array([{}], dtype=object), allow_pickle=True)) is None


@pytest.mark.parametrize("shape", [(6,), (2, 3), (3, 2), (1, 2, 3), (6, 1)])
def test_an_array_kept_as_parquet_is_a_table(shape: tuple[int, ...]) -> None:
    stream = io.BytesIO()
    pq.write_table(pa.table({"data_var": np.arange(6.0)}), stream, row_group_size=1)
    sides = json.dumps({str(axis): side for axis, side in enumerate(shape)}).encode()
    table = statistics_of(files_of({"data.parquet": stream.getvalue(), "shape.json": sides}))
    array = np.arange(6.0).reshape(shape)
    columns = array.T if array.ndim == 2 else [array.reshape(-1)]
    assert [c.mean for c in table.columns] == pytest.approx([c.mean() for c in columns])
    wrong = files_of({"data.parquet": stream.getvalue(), "shape.json": b'{"0": 7}'})
    with pytest.raises(CorruptArtifact, match="do not make the shape"):
        describe(wrong)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"data.json": b"{}"},
        {"model": b"\x80\x04N."},
        {"a.parquet": b"", "b.parquet": b""},
        {"assets/vocabulary.csv": b"a,b\n", "saved_model.pb": b""},
    ],
)
def test_what_is_no_table_is_said_to_be_none(stored: dict[str, bytes]) -> None:
    assert describe(files_of(stored)) is None


def test_the_few_measures_are_of_the_whole_table() -> None:
    assert described(parquet(FRAME)).measures == {
        "rows": 3.0,
        "columns": 2.0,
        "missing_ratio": pytest.approx(1 / 6),
    }
