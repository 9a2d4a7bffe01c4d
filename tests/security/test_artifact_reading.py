"""No bytes of a store are ever executed unless the user says so, whatever they are called."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.fake_history import FakeHistory
from support.samples import TRAIN

from exporter import (
    ArtifactError,
    BuiltinMaterializer,
    BytesMaterializer,
    ConfigError,
    KerasModelMaterializer,
    NumpyMaterializer,
    PandasMaterializer,
    Repository,
    SklearnModelMaterializer,
    TorchModelMaterializer,
    UnsafeArtifact,
    snapshot,
)
from exporter.hierarchy import Artifact, Port, RunSnapshot, Step
from exporter.materializers.raw import PickleMaterializer
from exporter.sources.artifacts import StoreArtifacts

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.history.outputs import Output

EVERY_MATERIALIZER = (
    None,
    BuiltinMaterializer,
    BytesMaterializer,
    NumpyMaterializer,
    PandasMaterializer,
    KerasModelMaterializer,
    PickleMaterializer,
    SklearnModelMaterializer,
    TorchModelMaterializer,
    TorchModelMaterializer(state_dict=True),
)
RECORDED = (
    None,
    "zenml.materializers.built_in_materializer.BuiltInMaterializer@zenml_0.5.7",
    "zenml.materializers.pandas_materializer.PandasMaterializer@zenml_0.5.7",
    "zenml.materializers.numpy_materializer.NumpyMaterializer",
    "zenml.integrations.sklearn.materializers.sklearn_materializer.SklearnMaterializer",
    "os.system",
    "builtins.eval@x",
)


class _Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:  # Any: what pickle takes
        return (os.mkdir, (self._path,))


def _hostile_files(canary: Path) -> dict[str, dict[str, bytes]]:
    """Give folders whose files run code when a careless reader loads them."""
    shot = pickle.dumps(_Canary(str(canary)))
    array = io.BytesIO()
    np.save(array, np.array([_Canary(str(canary))], dtype=object), allow_pickle=True)
    field = pa.field(
        "x",
        pa.int64(),
        metadata={
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": shot,
        },
    )
    frame = io.BytesIO()
    pq.write_table(pa.table([pa.array([1])], schema=pa.schema([field])), frame)
    torch = io.BytesIO()
    with zipfile.ZipFile(torch, "w") as archive:
        archive.writestr("archive/data.pkl", shot)
    container = json.dumps({"length": 1, "paths": ["0"], "types": ["object"]}).encode()
    names = [
        "model",
        "artifact.pkl",
        "data.json",
        "data.txt",
        "df.parquet.gzip",
        "df.csv",
        "data.npy",
        "shape.json",
        "metadata.json",
        "entire_model.pt",
        "saved_model.pb",
        "x.pkl",
        "model.joblib",
        "model.keras",
        "model.h5",
        "checkpoint.pt",
    ]
    return {
        **{f"pickle-{name}": {name: shot} for name in names},
        "array": {"data.npy": array.getvalue()},
        "flat-array": {"data.parquet": frame.getvalue(), "shape.json": b'{"0": 1}'},
        "frame": {"df.parquet.gzip": frame.getvalue()},
        "torch": {"entire_model.pt": torch.getvalue()},
        "torch-weights": {"checkpoint.pt": torch.getvalue()},
        "keras": {"model.keras": _keras_archive()},
        "container": {"metadata.json": container, "0/artifact.pkl": shot, "0/model": shot},
    }


def _keras_archive() -> bytes:
    """Give a model whose configuration asks a careless reader to call a function."""
    config = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"function": {"module": "os", "class_name": "function", "config": "mkdir"}},
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("config.json", json.dumps(config))
    return archive.getvalue()


def _outputs(
    root: Path, folders: dict[str, dict[str, bytes]], recorded: str | None
) -> list[Output]:
    """Write the folders and give an output for each."""
    artifacts = []
    for number, (name, files) in enumerate(folders.items()):
        for path, data in files.items():
            target = root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        artifacts.append(
            Artifact(str(number), "DataArtifact", f"{root}/{name}", materializer=recorded)
        )
    return list(_repository(artifacts, [root]).get_pipelines()[0].get_runs()[0].steps[0].outputs)


def _repository(artifacts: list[Artifact], roots: list[Path]) -> Repository:
    ports = tuple(Port(f"o{artifact.id}", artifact.id) for artifact in artifacts)
    run = RunSnapshot(
        "acme", "local", "zenml", "zenml-0.5", TRAIN, "run", 1, "r1", "completed",
        steps=(Step("step", "s1", "f", "completed", outputs=ports),), artifacts=tuple(artifacts),
    )  # fmt: skip
    reader = StoreArtifacts(
        mode="copy", max_size=2**20, roots=[str(root) for root in roots], rewrite={}
    )
    return Repository([(FakeHistory([TRAIN], [run]), reader)])


@pytest.mark.parametrize("recorded", RECORDED)
def test_reading_with_any_materializer_runs_nothing(recorded: str | None, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    refused = []
    for output in _outputs(tmp_path / "store", _hostile_files(canary), recorded):
        for materializer in EVERY_MATERIALIZER:
            try:
                output.read(materializer=materializer)
            except UnsafeArtifact as error:
                refused.append(str(error))
            except (ArtifactError, ConfigError):  # the latter where a framework is not installed
                pass
            assert not canary.exists(), (output, materializer)
    assert len(refused) > 15
    assert all("execute" in message for message in refused)


def test_a_snapshot_and_a_notebook_run_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    outputs = _outputs(tmp_path / "store", _hostile_files(canary), None)
    repository = outputs[0].step.run.pipeline.repository
    snapshot(repository)
    for output in outputs:
        output._repr_html_()
    assert not canary.exists()


def test_trusting_executes_and_only_for_that_call(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (output,) = _outputs(
        tmp_path / "store", {"m": {"model": pickle.dumps(_Canary(str(canary)))}}, RECORDED[4]
    )
    output.read(trusted=True)
    assert canary.is_dir()
    canary.rmdir()
    with pytest.raises(UnsafeArtifact, match=r"trusted=True.*BytesMaterializer"):
        output.read()
    assert not canary.exists()


@pytest.mark.parametrize(
    "raw", [b"", b"\x80", b"\x80\x04", b"not a pickle", b"(((((", b"\x80\x05\x95\xff"]
)
def test_a_trusted_pickle_that_is_broken_is_an_artifact_error(raw: bytes, tmp_path: Path) -> None:
    (output,) = _outputs(tmp_path, {"m": {"model": raw}}, RECORDED[4])
    with pytest.raises((ArtifactError, ConfigError)):
        output.read(trusted=True)


@pytest.mark.parametrize("trusted", [False, True])
def test_trust_does_not_open_what_lies_outside_the_roots(trusted: bool, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    outside.mkdir()
    (outside / "data.json").write_text('"secret"', encoding="utf-8")
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "mixed").mkdir()
    (inside / "mixed" / "data.json").symlink_to(outside / "data.json")
    uris = [
        f"{outside}",
        f"{inside}/../outside",
        f"{inside}/link",
        f"{inside}-sibling",
        f"file://{outside}",
        f"{inside}/%2e%2e/outside",
        f"{inside}/mixed",
        "/etc/passwd",
        "http://127.0.0.1:9/x",
        "",
        "relative",
        f"{inside}/\0",
    ]
    artifacts = [Artifact(str(i), "T", uri) for i, uri in enumerate(uris)]
    repository = _repository(artifacts, [inside])
    for output in repository.get_pipelines()[0].get_runs()[0].steps[0].outputs:
        with pytest.raises(ArtifactError):
            output.read(materializer=BuiltinMaterializer, trusted=trusted)


def test_a_link_inside_an_artifact_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "root" / "a"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "real").write_bytes(b"x")
    repository = _repository([Artifact("1", "T", str(folder))], [tmp_path / "root"])
    output = repository.get_pipelines()[0].get_runs()[0].steps[0].output
    assert output.read(materializer=BytesMaterializer) == {"real": b"x"}
    for path in ("link", "../a/real", "/etc/passwd", "real/../link"):
        with pytest.raises(ArtifactError):
            output.open(path)
