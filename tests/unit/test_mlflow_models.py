"""Which artifacts become MLflow models, and that MLflow reads them as they were written."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from support.mlflow_models import copied, lay_out

from exporter.hierarchy import Artifact, Content, FileRecord, Parameter
from exporter.mapping.mlflow import feature_file, feature_names, mlmodel_text, plan_model
from exporter.mapping.mlflow.features import columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SKLEARN = Artifact(
    "7",
    "ModelArtifact",
    "/srv/zenml/trainer/output/7",
    data_type="sklearn.linear_model._logistic.LogisticRegression",
    materializer="zenml.integrations.sklearn.materializers.sklearn_materializer.SklearnMaterializer"
    "@zenml_0.12.0",
)
ROWS = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
MODEL = LogisticRegression().fit(ROWS, [0, 0, 1, 1])


def artifact(
    type_: str = "DataArtifact", written_by: str | None = None, data_type: str | None = None
) -> Artifact:
    return Artifact("1", type_, "/srv/port/1", materializer=written_by, data_type=data_type)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"model": pickle.dumps(MODEL)}, "pickle"),
        ({"artifact.pkl": cloudpickle.dumps(MODEL), "python_version.txt": b"3.11"}, "cloudpickle"),
    ],
)
def test_a_scikit_learn_model_is_loaded_by_its_flavour(
    tmp_path: Path, files: dict[str, bytes], kind: str
) -> None:
    import mlflow.pyfunc
    import mlflow.sklearn

    plan = lay_out(tmp_path, SKLEARN, files)
    assert plan.model_type == "sklearn"
    assert plan.flavors["sklearn"]["serialization_format"] == kind
    assert not plan.renames
    loaded = mlflow.sklearn.load_model(str(tmp_path))
    assert np.array_equal(loaded.predict_proba(ROWS), MODEL.predict_proba(ROWS))
    generic = mlflow.pyfunc.load_model(str(tmp_path))
    assert np.array_equal(generic.predict(ROWS), MODEL.predict(ROWS))


@pytest.mark.parametrize(
    ("given", "names", "expected"),
    [
        (SKLEARN, ["model"], "sklearn"),
        (artifact(data_type="sklearn.svm._classes.SVC"), ["artifact.pkl"], "sklearn"),
        (artifact(), ["model.keras"], "keras"),
        (artifact(written_by="z.KerasMaterializer"), ["saved_model.pb", "keras.pb"], "tensorflow"),
        (artifact("Model"), ["Format-Serving/saved_model.pb"], "tensorflow"),
        (artifact(), ["entire_model.pt", "checkpoint.pt"], "pytorch"),
        (artifact(written_by="z.XgboostBoosterMaterializer"), ["model.json"], "xgboost"),
        (artifact(written_by="z.LightGBMBoosterMaterializer"), ["model.txt"], "lightgbm"),
        (artifact("ModelArtifact"), ["weights.bin"], ""),
        (artifact("PushedModel"), ["model.h5"], ""),
    ],
)
def test_a_model_is_told_by_what_was_recorded_and_by_its_files(
    given: Artifact, names: list[str], expected: str
) -> None:
    plan = plan_model(copied(given, dict.fromkeys(names, b"")), name="model")
    assert plan is not None
    assert plan.model_type == expected
    assert ("python_function" in plan.flavors) == bool(expected)
    assert bool(plan.files)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (artifact(), ["data.json"]),
        (artifact(), ["model"]),
        (artifact(), ["model.json"]),
        (artifact(), ["model.txt"]),
        (artifact(data_type="pandas.core.frame.DataFrame"), ["artifact.pkl"]),
        (artifact(data_type="sklearn_extra.Thing"), ["artifact.pkl"]),
        (artifact(), ["checkpoint.pt"]),
        (artifact(), []),
    ],
)
def test_what_is_no_model_for_sure_is_none(given: Artifact, names: list[str]) -> None:
    assert plan_model(copied(given, dict.fromkeys(names, b"")), name="model") is None


@pytest.mark.parametrize("state", ["referenced", "too_large", "refused", "missing", "corrupt"])
def test_a_model_that_was_not_copied_is_none(state: str) -> None:
    from dataclasses import replace

    assert plan_model(SKLEARN, name="model") is None
    gone = replace(SKLEARN, content=Content(state))  # type: ignore[arg-type]  # one of the states
    assert plan_model(gone, name="model") is None


def test_files_keep_their_names_unless_mlflow_wants_others() -> None:
    files = dict.fromkeys(["saved_model.pb", "variables/variables.index", "a b/ü"], b"")
    plan = plan_model(copied(artifact("Model"), files), name="model")
    assert plan is not None
    assert plan.files[:2] == (
        ("saved_model.pb", "saved_model.pb"),
        ("variables/variables.index", "variables/variables.index"),
    )
    assert "%" not in plan.files[2][1]
    assert plan.flavors["tensorflow"]["saved_model_dir"] == "."
    whole = plan_model(
        copied(artifact(), {"entire_model.pt": b"", "checkpoint.pt": b""}), name="model"
    )
    assert whole is not None
    assert whole.renames
    assert whole.files == (("entire_model.pt", "data/model.pth"),)
    assert whole.texts == (("data/pickle_module_info.txt", "pickle"),)


def test_a_model_that_is_one_file_has_the_name_in_its_uri() -> None:
    given = Artifact("1", "Model", "/srv/best.keras")
    plan = plan_model(copied(given, {"": b""}), name="model")
    assert plan is not None
    assert plan.files == (("", "best.keras"),)
    assert plan.flavors["keras"] == {"data": "best"}


@pytest.mark.parametrize("name", ["a/b:c.d%e\"f'g", "", "x" * 400, "plain"])
def test_a_name_is_one_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_logged_model_name

    plan = plan_model(copied(SKLEARN, {"model": b""}), name=name)
    assert plan is not None
    _validate_logged_model_name(plan.name)
    assert 0 < len(plan.name) <= 250


def test_parameters_and_tags_say_where_it_came_from() -> None:
    parameters = (Parameter("C", 1.5), Parameter("kernel?", "rbf"), Parameter("deep", [1, None]))
    plan = plan_model(copied(SKLEARN, {"model": b""}), name="model", parameters=parameters)
    assert plan is not None
    params = dict(plan.params)
    assert params["C"] == "1.5"
    assert params["deep"] == "[1, null]"
    assert len(params) == 3
    tags = dict(plan.tags)
    assert tags["exporter.artifact"] == "7"
    assert tags["exporter.uri"] == SKLEARN.uri
    assert tags["exporter.data_type"] == SKLEARN.data_type


def test_mlmodel_is_yaml_that_mlflow_parses(tmp_path: Path) -> None:
    from mlflow.models import Model

    plan = plan_model(copied(SKLEARN, {"model": b"x"}), name="model")
    assert plan is not None
    text = mlmodel_text(
        plan,
        model_id="m-1",
        run_id="r",
        created="2026-01-02 03:04:05.678000",
        artifact_path="models:/m-1",
        size=1,
    )
    said: Mapping[str, object] = yaml.safe_load(text)
    assert said["flavors"] == plan.flavors
    (tmp_path / "MLmodel").write_text(text, encoding="utf-8")
    model = Model.load(str(tmp_path))
    assert model.model_id == "m-1"
    assert model.model_size_bytes == 1
    assert model.utc_time_created == "2026-01-02 03:04:05.678000"


def test_columns_become_a_signature_that_mlflow_reads(tmp_path: Path) -> None:
    from mlflow.models import Model

    columns = ({"name": "x", "type": "double"}, {"name": "y", "type": "long", "required": False})
    plan = plan_model(copied(SKLEARN, {"model": b"x"}), name="model", columns=columns)
    assert plan is not None
    text = mlmodel_text(plan, model_id="m-1", run_id="r", created="2026-01-02 03:04:05.678000")
    (tmp_path / "MLmodel").write_text(text, encoding="utf-8")
    signature = Model.load(str(tmp_path)).signature
    assert [(c.name, c.type.name, c.required) for c in signature.inputs] == [
        ("x", "double", True),
        ("y", "long", False),
    ]


def test_a_model_that_mlflow_wrote_keeps_its_own_description(tmp_path: Path) -> None:
    import mlflow.sklearn

    mlflow.sklearn.save_model(MODEL, str(tmp_path / "own"), serialization_format="cloudpickle")
    files = {
        path.relative_to(tmp_path / "own").as_posix(): path.read_bytes()
        for path in (tmp_path / "own").rglob("*")
        if path.is_file()
    }
    plan = plan_model(copied(artifact(), files), name="model")
    assert plan is not None
    assert plan.has_own
    assert plan.flavors == {}
    assert dict(plan.files) == {path: path for path in files}


@pytest.mark.parametrize(
    ("path", "head", "names"),
    [
        ("model.txt", b"tree\nversion=v4\nfeature_names=age income\nx=1\n", ["age", "income"]),
        ("model.txt", b"tree\nfeature_names=Column_0 Column_1\n", None),
        ("model.txt", b"tree\n", None),
        ("model.json", b'{"learner":{"feature_names":["a","b \\u00fc"],"x":', ["a", "b \u00fc"]),
        ("model.json", b'{"learner":{"feature_names":[],"feature_types":[]', None),
        ("model.json", b'{"feature_names":["f0","f1"]', None),
        ("model.json", b'{"feature_names":["a","a"]', None),
        ("model.json", b'{"feature_names":[a]', None),
    ],
    ids=["lightgbm", "made up", "none", "xgboost", "empty", "f0", "twice", "broken"],
)
def test_a_booster_says_which_columns_it_takes(
    path: str, head: bytes, names: list[str] | None
) -> None:
    assert feature_names(path, head) == names


def test_the_columns_of_a_booster_are_the_signature_of_its_model() -> None:
    content = Content("copied", "0" * 64, 9, (FileRecord("model.txt", 9, "0" * 64),))
    model = Artifact(
        "1", "ModelArtifact", "/x", data_type="lightgbm.basic.Booster", content=content
    )
    assert feature_file(model) == "model.txt"
    assert columns_of(model, ["age"]) == [{"name": "age", "type": "double"}]
    assert columns_of(model, {"age": 1}) == ()
    assert columns_of(replace(model, data_type="x.Y"), ["age"]) == ()
