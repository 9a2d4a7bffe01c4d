"""Keras models, trained, written into a store, read back and loaded by MLflow."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.mlflow_models import lay_out
from support.model_stores import WrittenModel, open_models

from exporter import (
    CorruptArtifact,
    KerasModelMaterializer,
    UnsafeArtifact,
)
from exporter.hierarchy import Artifact
from exporter.testing import check_materializer
from exporter.testing.canaries import sung

pytestmark = pytest.mark.models

ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]], dtype="float32")
KERAS = "tensorflow.materializers.keras_materializer.KerasMaterializer"


def _trained() -> Any:  # Any: a Keras model
    import keras

    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4, activation="relu", kernel_regularizer="l2"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model.compile(keras.optimizers.Adam(schedule), loss="mse", metrics=["mae"])
    model.fit(ROWS, ROWS.sum(axis=1), epochs=2, verbose=0)
    return model


@pytest.fixture(scope="module")
def trained() -> Any:  # Any: a Keras model
    pytest.importorskip("keras")
    return _trained()


def _saved(model: Any, folder: Path, name: str = "model.keras") -> bytes:  # Any: a Keras model
    model.save(folder / name)
    return (folder / name).read_bytes()


def _same(value: Any, expected: Any) -> bool:  # Any: Keras models
    return np.array_equal(value.predict(ROWS, verbose=0), expected.predict(ROWS, verbose=0))


def _archive(config: object, **more: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        for name, data in more.items():
            archive.writestr(name, data)
    return stream.getvalue()


def test_a_model_in_a_store_predicts_as_it_did(trained: Any, tmp_path: Path) -> None:
    files = {"model.keras": _saved(trained, tmp_path)}
    written = WrittenModel(files, "keras.src.models.sequential.Sequential", KERAS)
    with open_models(tmp_path, {"trainer": written}) as repository:
        output = repository.get_pipeline("train").get_runs()[-1].get_step("trainer").output
        for value in (output.read(), output.read(materializer=KerasModelMaterializer)):
            assert _same(value, trained)
            assert value.optimizer.name == "adam"  # compiled as it was


def test_a_plain_keras_file_is_read_by_the_rules(trained: Any, tmp_path: Path) -> None:
    files = {"model.keras": _saved(trained, tmp_path)}
    check_materializer(KerasModelMaterializer, files, expected=trained, same=_same, package="keras")


def test_an_hdf5_file_is_read_by_the_rules(tmp_path: Path) -> None:
    trained = _trained()  # a model of its own: writing HDF5 takes the optimizer off it
    files = {"model.h5": _saved(trained, tmp_path, "model.h5")}
    check_materializer(
        KerasModelMaterializer,
        files,
        expected=trained,
        same=_same,
        executes=True,
        package="keras",
    )


def test_a_model_with_branches_and_arithmetic_is_plain(tmp_path: Path) -> None:
    import keras

    wide = keras.Input((2,))
    deep = keras.layers.Dense(2, activation="tanh")(wide)
    model = keras.Model(wide, keras.layers.Add()([wide, deep]) * 2.0)
    files = {"model.keras": _saved(model, tmp_path)}
    check_materializer(KerasModelMaterializer, files, expected=model, same=_same)


def _call(name: str) -> dict[str, object]:
    """Give the configuration of a function where Keras looks one up."""
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.parametrize(
    "layer",
    [
        {"module": "keras.layers", "class_name": "Lambda", "config": {}},
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/etc"}},
        {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/x"}},
        {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}},
        {"module": "exporter.testing.canaries", "class_name": "sing", "config": {}},
        {"module": "os", "class_name": "system", "config": {"command": "true"}},
        {"module": None, "class_name": "__lambda__", "config": {"value": "x"}},
        {"module": "keras.layers", "class_name": "Dense", "config": {"activation": _call("eval")}},
        {"class_name": "Dense", "config": {"units": 1}},
        {"module": "keras.utils", "class_name": "get_file", "config": {}},
        {"module": ["keras"], "class_name": {"a": 1}, "config": {}},
    ],
)
def test_a_file_that_names_more_than_plain_layers_is_refused(layer: dict[str, object]) -> None:
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}}
    opened = _files({"model.keras": _archive(config)})
    sung.clear()
    with pytest.raises(UnsafeArtifact, match="trusted=True"):
        KerasModelMaterializer().read(opened)
    assert sung == []


def test_a_file_that_brings_other_files_is_refused() -> None:
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": []}}
    opened = _files({"model.keras": _archive(config, **{"assets/x.pkl": b"x"})})
    with pytest.raises(UnsafeArtifact, match="brings files of its own"):
        KerasModelMaterializer().read(opened)


def test_a_lambda_is_read_when_trusted_only(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x * 2)])
    opened = _files({"model.keras": _saved(model, tmp_path)})
    with pytest.raises(UnsafeArtifact, match="Lambda"):
        KerasModelMaterializer().read(opened)
    read = KerasModelMaterializer().read(opened, trusted=True)
    assert np.array_equal(read.predict(ROWS, verbose=0), ROWS * 2)


def test_weights_cannot_point_at_other_files(trained: Any, tmp_path: Path) -> None:
    import h5py

    secret = tmp_path / "secret.h5"
    with zipfile.ZipFile(io.BytesIO(_saved(trained, tmp_path))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = tmp_path / "weights.h5"
    weights.write_bytes(parts["model.weights.h5"])
    secret.write_bytes(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as opened:
        del opened["layers"]
        opened["layers"] = h5py.ExternalLink(str(secret), "layers")
    parts["model.weights.h5"] = weights.read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(CorruptArtifact):
        KerasModelMaterializer().read(_files({"model.keras": stream.getvalue()}))


def _files(stored: dict[str, bytes]) -> Any:  # Any: ArtifactFiles over bytes in memory
    from support.fake_history import FakeArtifacts

    from exporter.materializers.files import ArtifactFiles

    artifact = Artifact("1", "ModelArtifact", "/data/model")
    return ArtifactFiles(FakeArtifacts({artifact.uri: stored}), artifact)


def test_keras_starts_on_a_backend_that_is_here(tmp_path: Path, trained: Any) -> None:
    """Keras asks for the one that its file names; one that is not installed is passed over."""
    (tmp_path / "keras.json").write_text('{"backend": "not_a_backend"}', encoding="utf-8")
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "model.keras").write_bytes(_saved(trained, tmp_path))
    script = f"""
import os
from exporter import KerasModelMaterializer
from exporter.hierarchy import Artifact
from exporter.materializers.files import ArtifactFiles
from exporter.testing import FolderFiles
opened = ArtifactFiles(FolderFiles(), Artifact("1", "T", {str(tmp_path / "artifact")!r}))
print(type(KerasModelMaterializer().read(opened)).__name__, os.environ.get("KERAS_BACKEND"))
"""
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    environment.pop("KERAS_BACKEND")
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-2:] == ["Sequential", "None"]


def test_mlflow_loads_it_by_its_flavour(trained: Any, tmp_path: Path) -> None:
    import mlflow.keras
    import mlflow.pyfunc

    files = {"model.keras": _saved(trained, tmp_path)}
    folder = tmp_path / "model"
    folder.mkdir()
    plan = lay_out(folder, Artifact("1", "ModelArtifact", "/data/model"), files)
    assert plan.model_type == "keras"
    expected = trained.predict(ROWS, verbose=0)
    loaded = mlflow.keras.load_model(str(folder))
    assert np.array_equal(loaded.predict(ROWS, verbose=0), expected)
    assert np.array_equal(mlflow.pyfunc.load_model(str(folder)).predict(ROWS), expected)
