"""A scikit-learn model that a pipeline wrote, out of a store: refused, then read when trusted."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from support.model_stores import WrittenModel, open_models

from exporter import (
    ArtifactError,
    BytesMaterializer,
    ConfigError,
    SklearnModelMaterializer,
    UnsafeArtifact,
)

if TYPE_CHECKING:
    from pathlib import Path

ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]])
MODEL = RandomForestClassifier(n_estimators=5, random_state=1).fit(ROWS, [0, 0, 1, 1])
SKLEARN = "sklearn.materializers.sklearn_materializer.SklearnMaterializer"
FOREST = "sklearn.ensemble._forest.RandomForestClassifier"


class _Canary:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:  # Any: what pickle takes
        return (os.mkdir, (self._path,))


def test_a_scikit_learn_model_in_a_store_predicts_as_it_did(tmp_path: Path) -> None:
    written = WrittenModel({"model": pickle.dumps(MODEL)}, FOREST, SKLEARN)
    with open_models(tmp_path, {"trainer": written}) as repository:
        output = repository.get_pipeline("train").get_runs()[-1].get_step("trainer").output
        assert output.type == "ModelArtifact"
        with pytest.raises(UnsafeArtifact, match="trusted=True"):
            output.read()
        for model in (
            output.read(trusted=True),
            output.read(materializer=SklearnModelMaterializer, trusted=True),
        ):
            assert np.array_equal(model.predict_proba(ROWS), MODEL.predict_proba(ROWS))
        assert output.read(materializer=BytesMaterializer) == written.files


@pytest.mark.parametrize(
    "written_by",
    [
        SKLEARN,
        "pytorch.materializers.pytorch_materializer.PyTorchMaterializer",
        "tensorflow.materializers.keras_materializer.KerasMaterializer",
    ],
)
def test_a_hostile_model_in_a_store_is_never_executed_without_trust(
    tmp_path: Path, written_by: str
) -> None:
    canary = tmp_path / "canary"
    shot = pickle.dumps(_Canary(str(canary)))
    names = ("model", "entire_model.pt", "checkpoint.pt", "model.keras", "model.h5")
    models = {
        f"trainer_{place}": WrittenModel({name: shot}, FOREST, written_by)
        for place, name in enumerate(names)
    }
    with open_models(tmp_path, models) as repository:
        for step in repository.get_pipeline("train").get_runs()[-1].steps:
            with pytest.raises((ArtifactError, ConfigError), match="artifact"):
                step.output.read()
            assert not canary.exists()
