"""SavedModels that TFX wrote, read by TensorFlow and loaded by MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.mlflow_models import lay_out
from support.zenml_stores import recorded_store

from exporter import (
    BytesMaterializer,
    ConfigError,
    KerasModelMaterializer,
    Output,
    UnsafeArtifact,
    open_repository,
)
from exporter.testing.hiding import hidden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.models

FEATURES = {
    name: np.array([[value]], dtype="float32")
    for name, value in {
        "petal_length": 1.4,
        "petal_width": 0.2,
        "sepal_length": 5.1,
        "sepal_width": 3.5,
    }.items()
}


@pytest.fixture
def output() -> Iterator[Output]:
    store = recorded_store("tfx-1.15")
    with open_repository(store.url, roots=[store.folder], rewrite=store.rewrite) as repository:
        for run in repository.get_pipelines()[0].get_runs():
            for step in run.steps:
                if "model" in step.outputs.names:
                    yield step.outputs["model"]
                    return


def _answer(model: Any) -> np.ndarray[Any, Any]:  # Any: whatever TensorFlow made of it
    import tensorflow as tf

    given = {name: tf.constant(value) for name, value in FEATURES.items()}
    return np.asarray(model.signatures["serving_default"](**given)["out"])


def test_a_saved_model_is_a_keras_model_again_when_trusted(output: Output) -> None:
    with pytest.raises(UnsafeArtifact, match="SavedModel"):
        output.read(materializer=KerasModelMaterializer)
    model = output.read(trusted=True)
    assert model.__class__.__module__.startswith("tf_keras.")
    answer = np.asarray(model(FEATURES))
    assert answer.shape == (1, 3)
    assert np.allclose(answer, _answer(model))


def test_tensorflow_alone_gives_what_it_makes_of_it(output: Output) -> None:
    with hidden("tf_keras"):
        alone = output.read(trusted=True)
    assert not alone.__class__.__module__.startswith("tf_keras.")
    assert np.allclose(_answer(alone), np.asarray(output.read(trusted=True)(FEATURES)))


def test_without_tensorflow_it_says_what_to_install(output: Output) -> None:
    with hidden("tensorflow"), pytest.raises(ConfigError, match="Install tensorflow, and tf_keras"):
        output.read(trusted=True)


def test_mlflow_loads_it_by_its_flavour(output: Output, tmp_path: Path) -> None:
    import mlflow.tensorflow

    files = output.read(materializer=BytesMaterializer)
    plan = lay_out(tmp_path, output.record, files)
    assert plan.model_type == "tensorflow"
    assert not plan.renames
    loaded = mlflow.tensorflow.load_model(str(tmp_path))
    assert np.allclose(_answer(loaded), _answer(output.read(trusted=True)))
