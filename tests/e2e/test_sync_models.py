"""A store with models, exported: loaded by MLflow, read back, made once."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import mlflow.sklearn
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sqlalchemy import create_engine, text
from support.mlflow_server import empty_database
from support.model_stores import WrittenModel, open_models
from support.sync_site import Site

from exporter import SklearnModelMaterializer, open_repository
from exporter.config.resources import mapping_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter import Repository

ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]])
MODEL = RandomForestClassifier(n_estimators=5, random_state=1).fit(ROWS, [0, 0, 1, 1])
WRITTEN = WrittenModel(
    {"model": pickle.dumps(MODEL)},
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.materializers.sklearn_materializer.SklearnMaterializer",
)


@pytest.fixture(params=["server", "database"])
def exported(request: pytest.FixtureRequest, new_site: Callable[[], Site], tmp_path: Path) -> Site:
    """Give a site whose stack is a store with one model, not exported yet."""
    site = new_site()
    if request.param == "database":
        site.tracking_uri = empty_database(tmp_path)
    folder = tmp_path / "store"
    folder.mkdir()
    open_models(folder, {"trainer": WRITTEN}).close()
    site.add_stack(folder / "metadata.db", roots=[folder])
    return site


@pytest.fixture
def tracked(exported: Site) -> Iterator[Site]:
    """Let MLflow's own library ask where the site exports to."""
    assert exported.tracking_uri is not None
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(exported.tracking_uri)
    mlflow.set_registry_uri(exported.tracking_uri)
    yield exported
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(before)


def predicts_the_same(repository: Repository) -> bool:
    output = repository.get_pipeline("train").get_runs()[-1].get_step("trainer").output
    model = output.read(materializer=SklearnModelMaterializer, trusted=True)
    return bool(np.array_equal(model.predict_proba(ROWS), MODEL.predict_proba(ROWS)))


def test_a_model_is_exported_loaded_by_mlflow_and_read_back(tracked: Site) -> None:
    report = tracked.cycle().to_json()
    assert report["ok"], report["errors"]
    assert (report["mlflow"]["models"], report["mlflow"]["models_registered"]) == (1, 0)
    (model,) = mlflow.search_logged_models(
        experiment_ids=experiment_ids(tracked), output_format="list"
    )
    loaded = mlflow.sklearn.load_model(f"models:/{model.model_id}")
    assert np.array_equal(loaded.predict_proba(ROWS), MODEL.predict_proba(ROWS))
    for source in (tracked.stacks[0]["source"], f"mlflow+{tracked.tracking_uri}"):
        named = tracked.repository if source.startswith("mlflow+") else None
        with open_repository(source, repository=named) as repository:
            assert predicts_the_same(repository)


def experiment_ids(site: Site) -> list[str]:
    engine = create_engine(site.state_url)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT DISTINCT experiment_id FROM experiments"))
        ids = [str(row[0]) for row in found]
    engine.dispose()
    return ids


def test_a_second_run_makes_no_model_and_asks_nothing(tracked: Site) -> None:
    tracked.cycle()
    again = tracked.cycle().to_json()["mlflow"]
    assert again == dict.fromkeys(again, 0)


def test_a_new_ledger_finds_the_models_that_are_there(tracked: Site) -> None:
    tracked.cycle()
    tracked.state = f"sqlite:///{tracked.folder / 'other.db'}"
    report = tracked.cycle().to_json()["mlflow"]
    assert (report["models"], report["runs_created"], report["files"]) == (0, 0, 0)


def test_registration_that_is_asked_for_later_reaches_what_is_there(
    tracked: Site, tmp_path: Path
) -> None:
    tracked.cycle()
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    name = f"churn {tracked.repository}"
    rule = f'models: [{{name: "{name}", step: "train*", aliases: [candidate]}}]'
    bundled = mapping_file("mlflow.yaml").read_text("utf-8")
    (mappings / "mlflow.yaml").write_text(bundled.replace("models: []", rule), "utf-8")
    tracked.more["mappings"] = str(mappings)
    report = tracked.cycle().to_json()["mlflow"]
    assert (report["models"], report["models_registered"], report["files"]) == (0, 1, 0)
    loaded = mlflow.sklearn.load_model(f"models:/{name}@candidate")
    assert np.array_equal(loaded.predict(ROWS), MODEL.predict(ROWS))
    assert tracked.cycle().to_json()["mlflow"]["requests"] == 0


def test_a_model_deleted_in_mlflow_stays_so_and_comes_back_by_repair(tracked: Site) -> None:
    tracked.cycle()
    (model,) = mlflow.search_logged_models(
        experiment_ids=experiment_ids(tracked), output_format="list"
    )
    mlflow.MlflowClient().delete_logged_model(model.model_id)
    report = tracked.cycle(full=True).to_json()
    assert report["mlflow"]["models"] == 0
    assert tracked.cycle(repair=True).to_json()["mlflow"]["models"] == 1
