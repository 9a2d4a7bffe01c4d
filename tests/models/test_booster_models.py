"""Models of XGBoost and LightGBM, as ZenML writes them, loaded by MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from support.mlflow_models import lay_out

from exporter.hierarchy import Artifact
from exporter.mapping.mlflow import feature_names

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.models

ROWS = pd.DataFrame({"x": np.linspace(0, 1, 40), "y": np.linspace(1, 0, 40)})
ANSWERS = np.repeat([0, 1], 20)


def _artifact(name: str, data_type: str) -> Artifact:
    return Artifact("1", "ModelArtifact", "/data/model", materializer=name, data_type=data_type)


def test_the_columns_are_read_from_the_file_itself(tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    data = xgboost.DMatrix(ROWS, ANSWERS)
    booster = xgboost.train({"objective": "binary:logistic"}, data, 3)
    booster.save_model(tmp_path / "model.json")
    head = (tmp_path / "model.json").read_bytes()
    assert feature_names("model.json", head) == ["x", "y"]
    named = lightgbm.Dataset(ROWS, ANSWERS, params={"verbose": -1})
    tree = lightgbm.train({"objective": "binary", "verbose": -1}, named, 3)
    assert feature_names("model.txt", tree.model_to_string().encode()) == ["x", "y"]
    nameless = lightgbm.Dataset(ROWS.to_numpy(), ANSWERS, params={"verbose": -1})
    bare = lightgbm.train({"objective": "binary", "verbose": -1}, nameless, 3)
    assert feature_names("model.txt", bare.model_to_string().encode()) is None


def test_an_xgboost_model_is_loaded_by_its_flavour(tmp_path: Path) -> None:
    import mlflow.pyfunc
    import mlflow.xgboost
    import xgboost

    data = xgboost.DMatrix(ROWS, ANSWERS)
    booster = xgboost.train({"objective": "binary:logistic"}, data, 3)
    booster.save_model(tmp_path / "model.json")
    files = {"model.json": (tmp_path / "model.json").read_bytes()}
    artifact = _artifact("z.XgboostBoosterMaterializer@zenml_0.12.0", "xgboost.core.Booster")
    folder = tmp_path / "model"
    folder.mkdir()
    assert lay_out(folder, artifact, files).model_type == "xgboost"
    expected = booster.predict(data)
    assert np.array_equal(mlflow.xgboost.load_model(str(folder)).predict(data), expected)
    assert np.array_equal(mlflow.pyfunc.load_model(str(folder)).predict(ROWS), expected)


def test_a_lightgbm_model_is_loaded_by_its_flavour(tmp_path: Path) -> None:
    import lightgbm
    import mlflow.lightgbm
    import mlflow.pyfunc

    data = lightgbm.Dataset(ROWS, ANSWERS, params={"verbose": -1})
    booster = lightgbm.train({"objective": "binary", "verbose": -1}, data, 3)
    files = {"model.txt": booster.model_to_string().encode()}
    artifact = _artifact("z.LightGBMBoosterMaterializer@zenml_0.12.0", "lightgbm.basic.Booster")
    assert lay_out(tmp_path, artifact, files).model_type == "lightgbm"
    expected = booster.predict(ROWS)
    assert np.allclose(mlflow.lightgbm.load_model(str(tmp_path)).predict(ROWS), expected)
    assert np.allclose(mlflow.pyfunc.load_model(str(tmp_path)).predict(ROWS), expected)
