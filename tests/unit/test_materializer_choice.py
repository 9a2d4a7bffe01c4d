"""Which materializer reads what, and materializers of a user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fake_history import FakeArtifacts
from support.samples import sample_artifacts, sample_history

from exporter.errors import ConfigError, UnsafeArtifact
from exporter.hierarchy import Artifact
from exporter.history.repository import Repository
from exporter.materializers.choice import choose, recorded_class
from exporter.materializers.files import ArtifactFiles
from exporter.materializers.frames import NumpyMaterializer, PandasMaterializer
from exporter.materializers.keras_models import KerasModelMaterializer
from exporter.materializers.plain import BuiltinMaterializer
from exporter.materializers.protocol import Materializer
from exporter.materializers.raw import BytesMaterializer, PickleMaterializer
from exporter.materializers.sklearn_models import SklearnModelMaterializer
from exporter.materializers.torch_models import TorchModelMaterializer
from exporter.testing.hiding import hidden

if TYPE_CHECKING:
    from exporter.history.views import Run


def files_of(names: list[str], materializer: str | None = None, type_: str = "T") -> ArtifactFiles:
    artifact = Artifact("1", type_, "/data/port/1", materializer=materializer)
    return ArtifactFiles(FakeArtifacts({artifact.uri: dict.fromkeys(names, b"")}), artifact)


@pytest.mark.parametrize(
    ("recorded", "bare"),
    [
        (
            "zenml.materializers.pandas_materializer.PandasMaterializer@zenml_0.5.7",
            "PandasMaterializer",
        ),
        ("zenml.materializers.numpy_materializer.NumpyMaterializer", "NumpyMaterializer"),
        ("Mine", "Mine"),
        (None, ""),
    ],
)
def test_the_recorded_class_is_found_in_its_path(recorded: str | None, bare: str) -> None:
    assert recorded_class(recorded) == bare


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("z.PandasMaterializer@zenml_0.5.7", PandasMaterializer),
        ("z.BuiltInMaterializer@zenml_0.12.0", BuiltinMaterializer),
        ("z.NumpyMaterializer", NumpyMaterializer),
        ("z.SklearnMaterializer@zenml_0.5.7", SklearnModelMaterializer),
        ("z.CloudpickleMaterializer", PickleMaterializer),
        ("z.PyTorchMaterializer", TorchModelMaterializer),
        ("z.KerasMaterializer", KerasModelMaterializer),
    ],
)
def test_what_the_store_recorded_decides_first(recorded: str, expected: type) -> None:
    assert isinstance(choose(files_of(["df.parquet.gzip"], recorded)), expected)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["df.parquet.gzip"], PandasMaterializer),
        (["df.csv", "sample.csv"], PandasMaterializer),
        (["data.json"], BuiltinMaterializer),
        (["data.txt"], BuiltinMaterializer),
        (["metadata.json", "0/data.json"], BuiltinMaterializer),
        (["data.parquet", "shape.json"], NumpyMaterializer),
        (["data.npy"], NumpyMaterializer),
        (["model"], PickleMaterializer),
        (["artifact.pkl", "python_version.txt"], PickleMaterializer),
        (["deep/er.joblib"], SklearnModelMaterializer),
        (["entire_model.pt", "checkpoint.pt"], TorchModelMaterializer),
        (["Format-Serving/saved_model.pb", "variables/x"], KerasModelMaterializer),
        (["model.joblib.gz"], SklearnModelMaterializer),
        (["model.keras"], KerasModelMaterializer),
        (["deep/weights.h5"], KerasModelMaterializer),
        (["saved_model.pb"], KerasModelMaterializer),
        (["Split-train/data_tfrecord-00000-of-00001.gz"], BytesMaterializer),
        (["schema.pbtxt"], BytesMaterializer),
        ([], BytesMaterializer),
    ],
)
@pytest.mark.parametrize("recorded", [None, "__main__.MyOwnMaterializer"])
def test_else_the_files_decide(names: list[str], expected: type, recorded: str | None) -> None:
    assert isinstance(choose(files_of(names, recorded)), expected)


def test_a_pickle_of_scikit_learn_is_read_by_its_materializer() -> None:
    artifact = Artifact("1", "T", "/a", data_type="sklearn.svm._classes.SVC")
    found = ArtifactFiles(FakeArtifacts({"/a": {"artifact.pkl": b""}}), artifact)
    assert isinstance(choose(found), SklearnModelMaterializer)


def test_a_tfx_value_is_one_only_where_the_artifact_is_a_file() -> None:
    assert isinstance(choose(files_of([""], type_="Float")), BuiltinMaterializer)
    assert isinstance(choose(files_of(["value"], type_="Float")), BytesMaterializer)


def test_bytes_are_those_of_the_file_or_of_each_file() -> None:
    artifact = Artifact("1", "T", "/a")
    one = ArtifactFiles(FakeArtifacts({"/a": b"x"}), artifact)
    assert BytesMaterializer().read(one) == b"x"
    two = ArtifactFiles(FakeArtifacts({"/a": {"b/c": b"y", "a": b"x"}}), artifact)
    assert BytesMaterializer().read(two) == {"a": b"x", "b/c": b"y"}


def test_a_framework_that_is_not_installed_is_named() -> None:
    gone = b"cnot_a_package.models\nForest\n)R."  # a pickle that asks for a class of that package
    artifact = Artifact("1", "T", "/a", data_type="not_a_package.models.Forest")
    found = ArtifactFiles(FakeArtifacts({"/a": {"model": gone}}), artifact)
    with pytest.raises(ConfigError, match="needs 'not_a_package'") as caught:
        PickleMaterializer().read(found, trusted=True)
    assert "not_a_package.models.Forest" in caught.value.hint
    weights = ArtifactFiles(FakeArtifacts({"/a": {"checkpoint.pt": b""}}), artifact)
    with hidden("torch"), pytest.raises(ConfigError, match=r"pip install .*\[torch\]"):
        TorchModelMaterializer().read(weights)
    model = ArtifactFiles(FakeArtifacts({"/a": {"model.joblib": b""}}), artifact)
    with hidden("joblib"), pytest.raises(ConfigError, match=r"pip install .*\[sklearn\]"):
        SklearnModelMaterializer().read(model, trusted=True)
    archive = ArtifactFiles(FakeArtifacts({"/a": {"model.keras": b""}}), artifact)
    with hidden("keras"), pytest.raises(ConfigError, match=r"pip install .*\[keras\]"):
        KerasModelMaterializer().read(archive, trusted=True)
    graph = ArtifactFiles(FakeArtifacts({"/a": {"saved_model.pb": b""}}), artifact)
    with hidden("tensorflow"), pytest.raises(ConfigError, match="Install tensorflow"):
        KerasModelMaterializer().read(graph, trusted=True)


class Lines:
    """A user's own materializer."""

    def __init__(self, encoding: str = "ascii") -> None:
        self._encoding = encoding

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> list[str]:
        (path,) = files.sizes
        return files.read(path).decode(self._encoding).splitlines()


@pytest.fixture
def run() -> Run:
    opened = Repository([(sample_history(), sample_artifacts())])
    return opened.get_pipeline("train_pipeline").get_run("run_1")


def test_a_user_s_own_materializer_is_taken_as_class_and_as_instance(run: Run) -> None:
    train = run.steps[0].output
    assert isinstance(Lines(), Materializer)
    assert train.read(materializer=Lines) == [",x,y", "0,1,2", "1,3,4"]
    assert train.read(Lines("utf-8")) == [",x,y", "0,1,2", "1,3,4"]


def test_an_output_is_read_with_what_wrote_it_or_what_is_asked_for(run: Run) -> None:
    trainer = run.get_step("trainer")
    assert trainer.outputs["accuracy"].read() == 0.9
    assert trainer.outputs["accuracy"].read(materializer=BytesMaterializer) == {"data.json": b"0.9"}
    assert trainer.inputs["train"].read(materializer=PandasMaterializer).y.tolist() == [2, 4]
    with pytest.raises(UnsafeArtifact, match=r"read\(trusted=True\)"):
        trainer.outputs["output"].read()
    assert trainer.outputs["output"].read(trusted=True) is None
