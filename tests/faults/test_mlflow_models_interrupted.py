"""A unit with models, interrupted before or after any write, is completed by the same call again.

Afterwards MLflow holds each model and each version once, ready, linked, with its files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.mlflow_dump import active_runs
from support.mlflow_interrupted import NEVER, Interrupted, Killed, kill_points
from support.mlflow_model_units import models_of, with_model
from support.mlflow_samples import NAMING, Files, five_steps, with_artifacts
from support.mlflow_server import empty_database

from exporter.mapping.mlflow import plan_unit
from exporter.mapping.mlflow.registration import ModelRule
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.database import DatabaseApi
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.hierarchy import Value
    from exporter.mapping.mlflow import UnitPlan
    from exporter.sinks.mlflow.api import TrackingApi

NAMING_HERE = replace(NAMING, models=(ModelRule("{pipeline}", aliases=("newest",)),))
SCALARS: dict[str, Value] = {"1-score": {"auc": 0.5}}


@pytest.fixture(scope="module", params=["database", "server"])
def api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrackingApi]:
    made: DatabaseApi | RestApi
    if request.param == "database":
        made = DatabaseApi(empty_database(tmp_path_factory.mktemp("tracking")))
    else:
        made = RestApi(request.getfixturevalue("mlflow_server").url, timeout_s=60.0)
    yield made
    made.close()


def generations(pipeline: str, files: Files) -> list[UnitPlan]:
    """Give a unit with a model, and later: a parameter changed, so that its run is replaced."""
    plans = []
    for rate in (0.1, 0.5):
        run = with_artifacts(five_steps(pipeline, steps=2, rate=rate), files)
        plans.append(plan_unit(with_model(run, files), {}, NAMING_HERE, SCALARS))
    return plans


def attempt(api: TrackingApi, unit: UnitPlan, files: Files, *, fresh: bool) -> str:
    sink = MlflowSink("http://unused", api=api)
    experiment = sink.experiment(unit.experiment)
    sink.apply(unit, experiment, fresh=fresh, open_file=files.open)
    return experiment.experiment_id


@pytest.fixture(scope="module")
def writes(api: TrackingApi) -> list[int]:
    """Give how many writes each generation takes where nothing interrupts it."""
    files = Files()
    made = []
    for generation, unit in enumerate(generations("uninterrupted with models", files)):
        counting = Interrupted(api, NEVER, after=False)
        check(api, unit, attempt(counting, unit, files, fresh=generation == 0))
        made.append(counting.writes)
    assert min(made) >= 15
    return made


def interrupt(api: TrackingApi, at: int, *, generation: int, after: bool, name: str) -> None:
    """Interrupt a generation at a write, repeat it twice, and see what MLflow holds."""
    files = Files()
    units = generations(f"at {at} {name}", files)
    for unit in units[:generation]:
        attempt(api, unit, files, fresh=True)
    unit = units[generation]
    with pytest.raises(Killed):
        attempt(Interrupted(api, at, after=after), unit, files, fresh=generation == 0)
    check_sealed_have_models(api, unit)
    check(api, unit, attempt(api, unit, files, fresh=False))
    check(api, unit, attempt(api, unit, files, fresh=False))


def points(api: TrackingApi, generation: int, writes: int, *, after: bool, which: str) -> list[int]:
    """Give some writes to interrupt, or the others: of the later generation every second one."""
    is_database = isinstance(api, DatabaseApi)
    some = kill_points(writes, after=after, every=3 if is_database else 8)
    if which == "some":
        return some
    return sorted({*range(1, writes + 1, 1 + generation if is_database else 5)} - {*some})


@pytest.mark.parametrize("generation", [0, 1])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("which", ["some", pytest.param("others", marks=pytest.mark.slow)])
def test_interrupted_anywhere_and_repeated_leaves_each_model_once(
    api: TrackingApi,
    writes: list[int],
    generation: int,
    after: bool,
    which: str,
    request: pytest.FixtureRequest,
) -> None:
    for at in points(api, generation, writes[generation], after=after, which=which):
        interrupt(api, at, generation=generation, after=after, name=request.node.name)


def check_sealed_have_models(api: TrackingApi, unit: UnitPlan) -> None:
    """Check that a run which is sealed has its model, ready."""
    experiment_id = MlflowSink("http://unused", api=api).experiment(unit.experiment).experiment_id
    runs = {run.key: run for run in active_runs(api, experiment_id)}
    trainer = runs.get(unit.models[0].step_key)
    if trainer is not None and trainer.tags.get("exporter.complete") == unit.digest:
        ready = {m.model_id for m in models_of(api, experiment_id) if m.status == "READY"}
        assert ready & set(trainer.models)


def check(api: TrackingApi, unit: UnitPlan, experiment_id: str) -> None:
    """Check that MLflow holds the model of the unit once and whole, and one version of it."""
    (plan,) = unit.models
    (model,) = models_of(api, experiment_id)
    runs = {run.run_id: run for run in active_runs(api, experiment_id)}
    assert len(runs) == 3
    assert model.status == "READY"
    assert runs[model.run_id].key == plan.step_key
    assert runs[model.run_id].models == (model.model_id,)
    assert model.params == dict(plan.model.params)
    assert model.metrics == {point.key for point in unit.children[0].metrics}
    assert b'"sklearn"' in api.get_file(model.artifact_location, "MLmodel")
    assert len(api.get_file(model.artifact_location, "model")) == plan.size
    name = plan.registrations[0].name
    (version,) = api.registry.versions(name, "exporter.unit", unit.unit)
    assert version.tags["exporter.mlflow_model"] == model.model_id
    assert version.run_id == model.run_id
    assert api.registry.aliases(name) == {"newest": version.version}
