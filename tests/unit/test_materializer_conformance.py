"""Every materializer that needs no heavy framework keeps the promises that the kit checks."""

from __future__ import annotations

import io
import json
import pickle

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from exporter import (
    BuiltinMaterializer,
    BytesMaterializer,
    NumpyMaterializer,
    PandasMaterializer,
    SklearnModelMaterializer,
)
from exporter.hierarchy import Artifact
from exporter.materializers.raw import PickleMaterializer
from exporter.testing import check_materializer

FRAME = pd.DataFrame({"x": [1, 2], "y": ["a", "b"]})
ROWS = np.array([[0.0], [1.0], [2.0], [3.0]])
MODEL = LogisticRegression().fit(ROWS, [0, 0, 1, 1])


def _parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream)
    return stream.getvalue()


def _npy(array: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _joblib(model: object, compress: int = 0) -> bytes:
    stream = io.BytesIO()
    joblib.dump(model, stream, compress=compress)
    return stream.getvalue()


def _predicts_the_same(value: LogisticRegression, expected: LogisticRegression) -> bool:
    return bool((value.predict_proba(ROWS) == expected.predict_proba(ROWS)).all())


def test_json_and_containers_are_read_by_the_rules() -> None:
    check_materializer(BuiltinMaterializer, {"data.json": b'{"a": [1, 2]}'}, expected={"a": [1, 2]})
    recorded = {"length": 2, "paths": ["0", "1"], "types": ["builtins.list", "builtins.dict"]}
    files = {"metadata.json": json.dumps(recorded).encode(), "0/data.json": b"[1]"}
    check_materializer(
        BuiltinMaterializer, {**files, "1/data.json": b'{"b": 2}'}, expected=[[1], {"b": 2}]
    )


def test_a_tfx_value_is_read_by_the_rules() -> None:
    artifact = Artifact("1", "Float", "/data/value")
    check_materializer(BuiltinMaterializer, {"": b"0.9"}, expected=0.9, artifact=artifact)


@pytest.mark.parametrize("files", [{"": b"x"}, {"a": b"x", "b/c": b"y"}])
def test_bytes_are_read_by_the_rules(files: dict[str, bytes]) -> None:
    check_materializer(BytesMaterializer, files, expected=files.get("", files), any_bytes=True)


def test_frames_are_read_by_the_rules() -> None:
    same = pd.DataFrame.equals
    check_materializer(
        PandasMaterializer, {"df.parquet.gzip": _parquet(FRAME)}, expected=FRAME, same=same
    )
    text = FRAME.to_csv().encode()
    check_materializer(PandasMaterializer, {"df.csv": text}, expected=FRAME, same=same)


def test_arrays_are_read_by_the_rules() -> None:
    same = np.array_equal
    check_materializer(NumpyMaterializer, {"data.npy": _npy(ROWS)}, expected=ROWS, same=same)
    flat = _parquet(pd.DataFrame({"data_var": ROWS.ravel()}))
    files = {"data.parquet": flat, "shape.json": b'{"0": 4, "1": 1}'}
    check_materializer(NumpyMaterializer, files, expected=ROWS, same=same)


@pytest.mark.parametrize(
    "files",
    [
        {"model": pickle.dumps(MODEL)},
        {"artifact.pkl": cloudpickle.dumps(MODEL), "python_version.txt": b"3.11"},
        {"model.joblib": _joblib(MODEL)},
        {"model.joblib.gz": _joblib(MODEL, compress=3)},
        {"": pickle.dumps(MODEL)},
    ],
    ids=lambda files: next(iter(files)),
)
def test_scikit_learn_models_are_read_by_the_rules(files: dict[str, bytes]) -> None:
    check_materializer(
        SklearnModelMaterializer,
        files,
        expected=MODEL,
        same=_predicts_the_same,
        artifact=Artifact("1", "ModelArtifact", "/data/model"),
        executes=True,
        package="sklearn",
    )


def test_pickles_are_read_by_the_rules() -> None:
    files = {"artifact.pkl": pickle.dumps({"a": {1, 2}})}
    check_materializer(PickleMaterializer, files, expected={"a": {1, 2}}, executes=True)
