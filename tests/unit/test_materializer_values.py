"""Reading JSON, text, containers and TFX values."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_history import FakeArtifacts

from exporter.errors import CorruptArtifact, MissingArtifact, UnsafeArtifact
from exporter.hierarchy import Artifact
from exporter.materializers.choice import choose
from exporter.materializers.files import ArtifactFiles
from exporter.materializers.plain import BuiltinMaterializer

if TYPE_CHECKING:
    from collections.abc import Mapping


def files_of(
    stored: bytes | Mapping[str, bytes], *, type_: str = "DataArtifact", **more: str
) -> ArtifactFiles:
    artifact = Artifact("1", type_, "/data/port/1/value", **more)  # type: ignore[arg-type]  # text fields only
    return ArtifactFiles(FakeArtifacts({artifact.uri: stored}), artifact)


def read(stored: bytes | Mapping[str, bytes], **more: str) -> Any:  # Any: whatever was stored
    found = files_of(stored, **more)
    return choose(found).read(found)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_every_json_value_is_read_as_it_was_written(value: object) -> None:
    assert read({"data.json": json.dumps(value).encode()}) == value


def test_nan_and_infinity_are_read_as_python_writes_them() -> None:
    value = read({"data.json": b"[NaN, -Infinity]"})
    assert math.isnan(value[0])
    assert value[1] == -math.inf


def test_a_recorded_tuple_is_a_tuple_again() -> None:
    assert read({"data.json": b"[1, [2]]"}, data_type="builtins.tuple") == (1, [2])
    assert read({"data.json": b"[1, [2]]"}, data_type="builtins.list") == [1, [2]]


def test_text_is_text_and_bytes_are_bytes() -> None:
    assert read({"data.txt": "é".encode()}, data_type="builtins.str") == "é"
    assert read({"data.txt": b"\xff\0"}, data_type="builtins.bytes") == b"\xff\0"


@pytest.mark.parametrize(
    ("type_", "raw", "value"),
    [
        ("Float", b"0.9", 0.9),
        ("Float", b"inf", math.inf),
        ("Integer", b"-12", -12),
        ("String", b"hello", "hello"),
        ("String", b"", ""),
        ("Boolean", b"1", True),
        ("Boolean", b"0", False),
        ("Bytes", b"\xff", b"\xff"),
        ("JsonValue", b'{"a": [1]}', {"a": [1]}),
    ],
)
def test_a_tfx_value_is_read_by_its_type(type_: str, raw: bytes, value: object) -> None:
    found = read(raw, type_=type_)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("type_", "raw"),
    [("Float", b"nine"), ("Integer", b"1.5"), ("Boolean", b"2"), ("String", b"\xff")],
)
def test_a_tfx_value_that_does_not_fit_its_type_is_corrupt(type_: str, raw: bytes) -> None:
    with pytest.raises(CorruptArtifact, match=f"no readable {type_} value"):
        read(raw, type_=type_)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5_000])
def test_broken_json_is_corrupt_and_names_the_artifact(raw: bytes) -> None:
    with pytest.raises(CorruptArtifact, match="artifact 1 at '/data/port/1/value' is no readable"):
        read({"data.json": raw})


def _frame_bytes() -> bytes:
    stream = io.BytesIO()
    pd.DataFrame({"x": [1]}).to_parquet(stream)
    return stream.getvalue()


def test_a_container_is_read_element_by_element_without_following_its_paths() -> None:
    metadata = {
        "length": 3,
        "paths": ["/etc/passwd", "s3://elsewhere/1", "x"],
        "types": ["<class 'pandas.core.frame.DataFrame'>", "<class 'tuple'>", "builtins.bytes"],
    }
    stored = {
        "metadata.json": json.dumps(metadata).encode(),
        "0/df.parquet.gzip": _frame_bytes(),
        "1/data.json": b"[1]",
        "2/data.txt": b"\xff",
    }
    frame, one, raw = read(stored, data_type="builtins.list")
    assert frame.x.tolist() == [1]
    assert (one, raw) == ([1], b"\xff")
    assert isinstance(read(stored, data_type="builtins.tuple"), tuple)


def test_a_dict_is_its_keys_and_its_values_and_a_newer_container_lists_its_elements() -> None:
    metadata = [
        {"path": "/x/0", "type": "builtins.list"},
        {"path": "/x/1", "type": "builtins.list"},
    ]
    stored = {
        "metadata.json": json.dumps(metadata).encode(),
        "0/data.json": b'["a", "b"]',
        "1/data.json": b"[1, 2]",
    }
    assert read(stored, data_type="builtins.dict") == {"a": 1, "b": 2}
    assert read({**stored, "1/data.json": b"[1]"}, data_type="builtins.list") == [["a", "b"], [1]]
    with pytest.raises(CorruptArtifact):
        read({**stored, "1/data.json": b"[1]"}, data_type="builtins.dict")


def test_a_pickle_inside_a_container_is_refused_too() -> None:
    metadata = {"length": 1, "paths": ["0"], "types": ["object"]}
    stored = {"metadata.json": json.dumps(metadata).encode(), "0/artifact.pkl": b"\x80\x04N."}
    with pytest.raises(UnsafeArtifact, match="folder '0'"):
        read(stored)
    found = files_of(stored)
    assert choose(found).read(found, trusted=True) == [None]


@pytest.mark.parametrize(
    "metadata", [b"{}", b"[1]", b'{"length": 2, "types": ["a", "b"]}', b'{"length": "x"}', b"nope"]
)
def test_a_container_that_does_not_hold_what_it_announces_is_corrupt(metadata: bytes) -> None:
    with pytest.raises(CorruptArtifact):
        read({"metadata.json": metadata, "0/data.json": b"1"})


def test_an_artifact_without_a_value_says_so() -> None:
    found = files_of({"model.bin": b"x"})
    with pytest.raises(CorruptArtifact, match="no JSON or text value"):
        BuiltinMaterializer().read(found)


def test_a_missing_artifact_stays_missing() -> None:
    artifact = Artifact("9", "DataArtifact", "/nowhere")
    found = ArtifactFiles(FakeArtifacts(), artifact)
    with pytest.raises(MissingArtifact, match="/nowhere"):
        choose(found)
    recorded = Artifact("9", "DataArtifact", "/nowhere", materializer="x.BuiltInMaterializer")
    with pytest.raises(MissingArtifact):
        BuiltinMaterializer().read(ArtifactFiles(FakeArtifacts(), recorded))
