"""Models of Keras, PyTorch, XGBoost, LightGBM and TFX, exported, then loaded out of MLflow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from support.model_stores import WrittenModel, open_models
from support.zenml_stores import recorded_store

from exporter import KerasModelMaterializer, TorchModelMaterializer, open_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.sync_site import Site

pytestmark = pytest.mark.models

ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]], dtype="float32")
FRAME = pd.DataFrame({"x": np.linspace(0, 1, 40), "y": np.linspace(1, 0, 40)})
ANSWERS = np.repeat([0, 1], 20)


def keras_model(folder: Path) -> tuple[WrittenModel, Any]:  # Any: a Keras model
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    model.fit(ROWS, ROWS.sum(axis=1), epochs=2, verbose=0)
    model.save(folder / "model.keras")
    files = {"model.keras": (folder / "model.keras").read_bytes()}
    writer = "tensorflow.materializers.keras_materializer.KerasMaterializer"
    return WrittenModel(files, "keras.engine.sequential.Sequential", writer), model


def torch_model() -> tuple[WrittenModel, Any]:  # Any: a PyTorch module
    import torch

    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Linear(4, 1)).eval()
    files = {}
    for name, value in (("checkpoint.pt", model.state_dict()), ("entire_model.pt", model)):
        stream = io.BytesIO()
        torch.save(value, stream)
        files[name] = stream.getvalue()
    writer = "pytorch.materializers.pytorch_materializer.PyTorchMaterializer"
    return WrittenModel(files, "torch.nn.modules.container.Sequential", writer), model


def xgboost_model(folder: Path) -> tuple[WrittenModel, Any]:  # Any: a booster
    import xgboost

    model = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(FRAME, ANSWERS), 3)
    model.save_model(folder / "model.json")
    files = {"model.json": (folder / "model.json").read_bytes()}
    writer = "xgboost.materializers.xgboost_booster_materializer.XgboostBoosterMaterializer"
    return WrittenModel(files, "xgboost.core.Booster", writer), model


def lightgbm_model() -> tuple[WrittenModel, Any]:  # Any: a booster
    import lightgbm

    data = lightgbm.Dataset(FRAME, ANSWERS, params={"verbose": -1})
    model = lightgbm.train({"objective": "binary", "verbose": -1}, data, 3)
    files = {"model.txt": model.model_to_string().encode()}
    writer = "lightgbm.materializers.lightgbm_booster_materializer.LightGBMBoosterMaterializer"
    return WrittenModel(files, "lightgbm.basic.Booster", writer), model


@pytest.fixture
def tracked(new_site: Callable[[], Site]) -> Iterator[Site]:
    """Give a site on a real server, which MLflow's own library asks too."""
    import mlflow

    site = new_site()
    assert site.tracking_uri is not None
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(site.tracking_uri)
    yield site
    mlflow.set_tracking_uri(before)


def exported(site: Site) -> dict[str, str]:
    """Export, twice; give the model URIs by the names of the steps."""
    first, second = site.cycle().to_json(), site.cycle().to_json()
    assert first["ok"], first["errors"]
    assert second["mlflow"]["models"] == 0
    api = site.api()
    try:
        experiments = [api.experiment_by_name(name) for name in site.held()]
        ids = [experiment.experiment_id for experiment in experiments if experiment is not None]
        found = [model for identity in ids for model in api.models.search(identity, "")]
    finally:
        api.close()
    assert {model.status for model in found} == {"READY"}
    assert len(found) == first["mlflow"]["models"]
    return {model.tags["exporter.step"]: f"models:/{model.model_id}" for model in found}


def test_models_of_every_framework_predict_out_of_mlflow_as_they_did(
    tracked: Site, tmp_path: Path
) -> None:
    import mlflow.keras
    import mlflow.lightgbm
    import mlflow.models
    import mlflow.pyfunc
    import mlflow.pytorch
    import mlflow.xgboost
    import torch
    import xgboost

    of_keras, keras = keras_model(tmp_path)
    of_torch, module = torch_model()
    of_xgboost, booster = xgboost_model(tmp_path)
    of_lightgbm, tree = lightgbm_model()
    store = tmp_path / "store"
    store.mkdir()
    written = {"keras": of_keras, "torch": of_torch, "xgb": of_xgboost, "lgbm": of_lightgbm}
    open_models(store, written).close()
    tracked.add_stack(store / "metadata.db", roots=[store])
    uris = exported(tracked)

    expected = keras.predict(ROWS, verbose=0)
    assert np.array_equal(mlflow.keras.load_model(uris["keras"]).predict(ROWS), expected)
    assert np.array_equal(mlflow.pyfunc.load_model(uris["keras"]).predict(ROWS), expected)
    rows = torch.tensor(ROWS)
    answer = mlflow.pytorch.load_model(uris["torch"])(rows)
    assert torch.equal(answer, module(rows))
    matrix = xgboost.DMatrix(FRAME)
    loaded = mlflow.xgboost.load_model(uris["xgb"])
    assert np.array_equal(loaded.predict(matrix), booster.predict(matrix))
    light = mlflow.lightgbm.load_model(uris["lgbm"])
    assert np.allclose(light.predict(FRAME), tree.predict(FRAME))
    for uri in (uris["xgb"], uris["lgbm"]):
        signature = mlflow.models.get_model_info(uri).signature
        assert signature.inputs.input_names() == list(FRAME.columns)

    back = open_repository(f"mlflow+{tracked.tracking_uri}", repository=tracked.repository)
    with back:
        run = back.get_pipeline("train").get_runs()[-1]
        read = run.get_step("keras").output.read(materializer=KerasModelMaterializer, trusted=True)
        assert np.array_equal(read.predict(ROWS, verbose=0), expected)
        whole = run.get_step("torch").output.read(materializer=TorchModelMaterializer, trusted=True)
        assert torch.equal(whole(rows), module(rows))
        weights = TorchModelMaterializer(state_dict=True)
        state = run.get_step("torch").output.read(materializer=weights)
        assert list(state) == list(module.state_dict())


def test_saved_models_of_tfx_answer_out_of_mlflow(tracked: Site) -> None:
    import mlflow.tensorflow
    import tensorflow as tf

    store = recorded_store("tfx-1.15")
    places = {prefix: Path(place) for prefix, place in store.rewrite.items()}
    tracked.add_stack(store.url, roots=[Path(store.folder)], rewrite=places)
    uris = exported(tracked)
    assert "Trainer" in uris
    model = mlflow.tensorflow.load_model(uris["Trainer"])
    names = ("petal_length", "petal_width", "sepal_length", "sepal_width")
    given = {name: tf.constant([[1.0]]) for name in names}
    assert np.asarray(model.signatures["serving_default"](**given)["out"]).shape == (1, 3)
