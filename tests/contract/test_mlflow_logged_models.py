"""Models in MLflow: on a real server and in a database, loaded by MLflow, made once."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import mlflow.sklearn
import numpy as np
import pytest
from support.mlflow_dump import active_runs
from support.mlflow_model_units import MODEL, ROWS, models_of, with_model
from support.mlflow_samples import NAMING, Files, five_steps, with_artifacts
from support.mlflow_server import empty_database

from exporter.errors import SinkTerminal, SinkUnavailable
from exporter.mapping.mlflow import plan_unit
from exporter.mapping.mlflow.registration import ModelRule
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.database import DatabaseApi
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from exporter.hierarchy import RunSnapshot, Value
    from exporter.mapping.mlflow import UnitPlan
    from exporter.sinks.mlflow import Applied
    from exporter.sinks.mlflow.api import TrackingApi
    from exporter.sinks.mlflow.bindings import FoundRun
    from exporter.sinks.mlflow.models_api import FoundModel, FoundVersion


@dataclass
class Bench:
    """A tracking API, an experiment of this test's own, and short ways to use them."""

    api: TrackingApi
    tracking_uri: str
    pipeline: str
    files: Files
    rules: tuple[ModelRule, ...] = ()
    experiment_id: str = ""

    def run(self, number: int = 1, *, rate: float = 0.1) -> RunSnapshot:
        run = five_steps(self.pipeline, f"run_{number}", seq=number, steps=2, rate=rate)
        return with_model(run, self.files)

    def plan(self, run: RunSnapshot, scalars: Mapping[str, Value] | None = None) -> UnitPlan:
        return plan_unit(run, {}, replace(NAMING, models=self.rules), scalars or {})

    def write(self, unit: UnitPlan, *, fresh: bool = False, repair: bool = False) -> Applied:
        sink = MlflowSink("http://unused", api=self.api)
        binding = sink.experiment(unit.experiment)
        self.experiment_id = binding.experiment_id
        return sink.apply(unit, binding, fresh=fresh, open_file=self.files.open, repair=repair)

    @property
    def models(self) -> list[FoundModel]:
        return models_of(self.api, self.experiment_id)

    @property
    def runs(self) -> dict[str, FoundRun]:
        return {run.run_id: run for run in active_runs(self.api, self.experiment_id)}

    @contextmanager
    def client(self) -> Iterator[None]:
        """Let MLflow's own library ask where the models are."""
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)
            mlflow.set_registry_uri(before)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, DatabaseApi]]:
    url = empty_database(tmp_path_factory.mktemp("tracking"))
    api = DatabaseApi(url)
    yield url, api
    api.close()


@pytest.fixture(params=["server", "server on PostgreSQL", "database"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "database":
        url, api = request.getfixturevalue("database")
        yield Bench(api, url, request.node.name, Files())
        return
    name = "mlflow_server" if request.param == "server" else "mlflow_server_on_postgres"
    url = request.getfixturevalue(name).url
    rest = RestApi(url, timeout_s=60.0)
    yield Bench(rest, url, request.node.name, Files())
    rest.close()


def test_mlflow_loads_a_model_that_a_step_wrote(bench: Bench) -> None:
    applied = bench.write(bench.plan(bench.run()), fresh=True)
    (model,) = bench.models
    assert (applied.models, applied.models_registered) == (1, 0)
    assert (model.status, model.name) == ("READY", "step_0-model")
    assert model.params == {"rate": "0.1", "name": "n0"}
    assert bench.runs[model.run_id].models == (model.model_id,)
    assert bench.runs[model.run_id].name == "step_0"
    assert model.tags["exporter.pipeline"] == bench.pipeline
    assert model.tags["mlflow.note.content"].startswith("Output `model` of step `step_0`")
    with bench.client():
        loaded = mlflow.sklearn.load_model(f"models:/{model.model_id}")
        generic = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
        described = mlflow.models.get_model_info(f"models:/{model.model_id}")
    assert np.array_equal(loaded.predict_proba(ROWS), MODEL.predict_proba(ROWS))
    assert np.array_equal(generic.predict(ROWS), MODEL.predict(ROWS))
    assert described.model_id == model.model_id
    assert described.run_id == model.run_id


def test_a_model_that_mlflow_wrote_is_taken_with_its_own_description(
    bench: Bench, tmp_path: Path
) -> None:
    mlflow.sklearn.save_model(MODEL, str(tmp_path / "own"), serialization_format="cloudpickle")
    found = [path for path in (tmp_path / "own").rglob("*") if path.is_file()]
    files = {path.relative_to(tmp_path / "own").as_posix(): path.read_bytes() for path in found}
    run = bench.run()
    (made,) = run.artifacts
    content = bench.files.content(made.id, files)
    bench.write(bench.plan(replace(run, artifacts=(replace(made, content=content),))), fresh=True)
    (model,) = bench.models
    with bench.client():
        loaded = mlflow.sklearn.load_model(f"models:/{model.model_id}")
    assert np.array_equal(loaded.predict(ROWS), MODEL.predict(ROWS))


def test_the_same_unit_again_makes_no_model_and_sends_no_file(bench: Bench) -> None:
    unit = bench.plan(bench.run(), {})
    bench.write(unit, fresh=True)
    before = bench.models
    again = bench.write(unit)
    assert (again.requests, again.models, again.files) == (2, 0, 0)
    assert bench.models == before


def test_a_unit_without_models_costs_no_request_for_them(bench: Bench) -> None:
    run = with_artifacts(five_steps(bench.pipeline, steps=2), bench.files)
    bench.write(bench.plan(run), fresh=True)
    assert bench.write(bench.plan(run)).requests == 1


def test_metrics_of_the_step_show_on_its_only_model(bench: Bench) -> None:
    run = with_model(with_artifacts(five_steps(bench.pipeline, steps=2), bench.files), bench.files)
    unit = bench.plan(run, {"1-score": {"auc": 0.93, "nan": float("nan")}})
    bench.write(unit, fresh=True)
    (model,) = bench.models
    assert model.metrics == {"score.auc", "train.rows"}
    with bench.client():
        metrics = mlflow.MlflowClient().get_logged_model(model.model_id).metrics or []
    end = unit.children[0].end
    assert {(m.key, m.value, m.timestamp) for m in metrics} == {
        ("score.auc", 0.93, end),
        ("train.rows", 120.0, end),
    }


def test_models_are_made_for_a_unit_that_was_exported_without(bench: Bench) -> None:
    run = with_artifacts(five_steps(bench.pipeline, steps=2), bench.files)
    run = with_model(run, bench.files)
    scalars: dict[str, Value] = {"1-score": {"auc": 0.93}}
    plain = plan_unit(run, {}, replace(NAMING, logged_models=False), scalars)
    bench.write(plain, fresh=True)
    assert not bench.models
    applied = bench.write(plan_unit(run, {}, NAMING, scalars))
    (model,) = bench.models
    assert (applied.models, applied.runs_created) == (1, 0)
    assert model.metrics == {"score.auc", "train.rows"}


def test_a_replaced_run_takes_its_model_with_it(bench: Bench) -> None:
    bench.write(bench.plan(bench.run()), fresh=True)
    (old,) = bench.models
    applied = bench.write(bench.plan(bench.run(rate=0.5)))
    (new,) = bench.models
    assert (applied.models, applied.runs_created) == (1, 3)
    assert new.model_id != old.model_id
    assert new.params["rate"] == "0.5"
    assert bench.runs[new.run_id].models == (new.model_id,)
    assert old.run_id not in bench.runs


def test_a_model_whose_bytes_changed_is_replaced_on_its_run(bench: Bench) -> None:
    bench.write(bench.plan(bench.run()), fresh=True)
    (old,) = bench.models
    run = five_steps(bench.pipeline, "run_1", steps=2)
    changed = with_model(run, bench.files, data=b"other bytes")
    bench.write(bench.plan(changed))
    (new,) = bench.models
    assert new.run_id == old.run_id
    assert new.model_id != old.model_id
    assert bench.api.get_file(new.artifact_location, "model") == b"other bytes"
    assert bench.write(bench.plan(changed)).models == 0


def test_a_model_of_a_step_that_vanished_goes_with_its_run(bench: Bench) -> None:
    run = with_model(five_steps(bench.pipeline, steps=3), bench.files, step=2)
    bench.write(bench.plan(run), fresh=True)
    assert len(bench.models) == 1
    bench.write(bench.plan(five_steps(bench.pipeline, steps=2)))
    assert not bench.models
    assert len(bench.runs) == 3


def test_duplicates_are_swept_with_their_models(bench: Bench) -> None:
    unit = bench.plan(bench.run())
    bench.write(unit, fresh=True)
    bench.write(unit, fresh=True)
    assert len(bench.models) == 2
    applied = bench.write(unit)
    (model,) = bench.models
    assert (applied.runs_deleted, applied.models) == (3, 0)
    assert bench.runs[model.run_id].models == (model.model_id,)
    assert bench.write(unit).requests == 2


def test_models_of_others_are_never_touched(bench: Bench) -> None:
    unit = bench.plan(bench.run())
    bench.write(unit, fresh=True)
    (ours,) = bench.models
    copy = bench.api.models.create(
        bench.experiment_id, "copy", model_type="", run_id="0" * 32, tags=ours.tags, params=()
    )
    theirs = bench.api.models.create(
        bench.experiment_id, "own", model_type="", run_id=ours.run_id, tags={"a": "b"}, params=()
    )
    bench.write(bench.plan(bench.run(rate=0.5)))
    left = {model.model_id: model for model in bench.models}
    assert left[copy.model_id] == copy
    assert left[theirs.model_id] == theirs
    assert len(left) == 3
    assert ours.model_id not in left


def test_a_model_deleted_in_mlflow_stays_deleted_until_repair(bench: Bench) -> None:
    unit = bench.plan(bench.run())
    bench.write(unit, fresh=True)
    (old,) = bench.models
    bench.api.models.delete(old.model_id)
    applied = bench.write(unit)
    assert not bench.models
    assert (applied.models, applied.models_left_deleted) == (0, 1)
    assert bench.write(unit, repair=True).models == 1
    (new,) = bench.models
    assert bench.write(unit).models == 0
    assert bench.models == [new]


def test_more_parameters_than_one_request_takes_are_all_there(bench: Bench) -> None:
    from exporter.hierarchy import Parameter

    run = bench.run()
    many = tuple(Parameter(f"p{number}", number) for number in range(250))
    steps = (replace(run.steps[0], parameters=many), *run.steps[1:])
    bench.write(bench.plan(replace(run, steps=steps)), fresh=True)
    (model,) = bench.models
    assert model.params == {f"p{number}": str(number) for number in range(250)}


def test_nothing_is_registered_unless_asked(bench: Bench) -> None:
    bench.write(bench.plan(bench.run()), fresh=True)
    (model,) = bench.models
    assert model.versions == []


def test_a_model_is_registered_under_its_name_and_loaded_by_alias(bench: Bench) -> None:
    name = f"churn {os.getpid()} {bench.pipeline}"
    bench.rules = (ModelRule(name, step="step_0", aliases=("candidate",)),)
    applied = bench.write(bench.plan(bench.run()), fresh=True)
    assert applied.models_registered == 1
    (model,) = bench.models
    with bench.client():
        client = mlflow.MlflowClient()
        version = client.get_model_version_by_alias(name, "candidate")
        loaded = mlflow.sklearn.load_model(f"models:/{name}@candidate")
    assert version.run_id == model.run_id
    assert version.tags["exporter.run"] == "run_1"
    assert model.versions == [(name, "1")]
    assert np.array_equal(loaded.predict(ROWS), MODEL.predict(ROWS))


def test_a_unit_never_makes_a_second_version(bench: Bench) -> None:
    bench.rules = (ModelRule("{repository} {pipeline} {output}", aliases=("candidate",)),)
    unit = bench.plan(bench.run())
    assert bench.write(unit, fresh=True).models_registered == 1
    again = bench.write(unit)
    assert (again.models, again.models_registered) == (0, 0)
    assert again.requests == 4
    assert [v.version for v in versions(bench, unit)] == ["1"]


def versions(bench: Bench, unit: UnitPlan) -> Sequence[FoundVersion]:
    name = unit.models[0].registrations[0].name
    found = bench.api.registry.versions(name, "exporter.artifact", unit.models[0].artifact_id)
    return [version for version in found if version.tags["exporter.unit"] == unit.unit]


def aliases(bench: Bench, unit: UnitPlan) -> Mapping[str, str]:
    return bench.api.registry.aliases(unit.models[0].registrations[0].name)


def test_an_alias_moves_forward_in_time_only(bench: Bench) -> None:
    bench.rules = (ModelRule("{pipeline}", aliases=("candidate",)),)
    newer, older, newest = (bench.plan(bench.run(number)) for number in (5, 3, 7))
    for unit, holder in ((newer, "1"), (older, "1"), (newest, "3"), (newer, "3")):
        bench.write(unit)
        assert aliases(bench, unit) == {"candidate": holder}
    assert [versions(bench, u)[0].version for u in (newer, older, newest)] == ["1", "2", "3"]


def test_a_replaced_model_takes_the_place_and_the_aliases_of_its_version(bench: Bench) -> None:
    bench.rules = (ModelRule("{pipeline}", aliases=("candidate",)),)
    unit = bench.plan(bench.run())
    bench.write(unit, fresh=True)
    name = unit.models[0].registrations[0].name
    bench.api.registry.set_alias(name, "champion", "1")
    applied = bench.write(bench.plan(bench.run(rate=0.5)))
    assert applied.models_registered == 1
    assert [v.version for v in versions(bench, unit)] == ["2"]
    assert aliases(bench, unit) == {"candidate": "2", "champion": "2"}
    (model,) = bench.models
    assert model.versions == [(name, "2")]


def test_versions_of_others_and_their_aliases_are_left_alone(bench: Bench) -> None:
    bench.rules = (ModelRule("{pipeline}", aliases=("candidate",)),)
    unit = bench.plan(bench.run())
    name = unit.models[0].registrations[0].name
    theirs = bench.api.models.create(
        experiment_of(bench, unit), "own", model_type="", run_id="0" * 32, tags={}, params=()
    )
    bench.api.registry.create(name)
    own = bench.api.registry.create_version(name, theirs, {})
    bench.api.registry.set_alias(name, "candidate", own.version)
    bench.write(unit, fresh=True)
    assert aliases(bench, unit) == {"candidate": own.version}
    assert bench.api.registry.version(name, own.version) == own
    assert [v.version for v in versions(bench, unit)] == ["2"]


def experiment_of(bench: Bench, unit: UnitPlan) -> str:
    return MlflowSink("http://unused", api=bench.api).experiment(unit.experiment).experiment_id


def test_a_replaced_model_that_somebody_registered_keeps_its_files(bench: Bench) -> None:
    bench.write(bench.plan(bench.run()), fresh=True)
    (old,) = bench.models
    name = f"theirs {bench.pipeline}"
    bench.api.registry.create(name)
    own = bench.api.registry.create_version(name, old, {"who": "ann"})
    for _ in range(2):
        bench.write(bench.plan(bench.run(rate=0.5)))
        assert {model.model_id for model in bench.models} > {old.model_id}
        assert len(bench.models) == 2
    assert bench.api.registry.version(name, own.version) == own
    bench.api.registry.delete_version(name, own.version)
    bench.write(bench.plan(bench.run(rate=0.5)))
    assert old.model_id not in {model.model_id for model in bench.models}


def test_a_version_deleted_in_mlflow_stays_deleted_until_repair(bench: Bench) -> None:
    bench.rules = (ModelRule("{pipeline}", aliases=("candidate",)),)
    unit = bench.plan(bench.run())
    bench.write(unit, fresh=True)
    name = unit.models[0].registrations[0].name
    bench.api.registry.delete_version(name, "1")
    assert bench.write(unit).models_registered == 0
    assert not versions(bench, unit)
    assert bench.write(unit, repair=True).models_registered == 1
    assert aliases(bench, unit) == {"candidate": "2"}


def test_a_run_registers_its_model_once_it_has_ended_well(bench: Bench) -> None:
    bench.rules = (ModelRule("{pipeline}"),)
    run = bench.run()
    for status in ("running", "failed", "completed"):
        applied = bench.write(bench.plan(replace(run, status=status)))
        assert applied.models == (status == "running")
        assert applied.models_registered == (status == "completed")


def test_a_registry_that_refuses_holds_back_no_history(bench: Bench) -> None:
    bench.rules = (ModelRule("{pipeline}"),)
    unit = bench.plan(bench.run())
    refused = SinkUnavailable("Permission denied.", status=403)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.api.registry, "create_version", _raising(refused))
        with pytest.raises(SinkTerminal, match="does not let us register"):
            bench.write(unit, fresh=True)
    sealed = [run for run in bench.runs.values() if run.key == unit.unit]
    assert [run.tags["exporter.complete"] for run in sealed] == [unit.seal]
    assert bench.write(unit).models_registered == 1
    assert len(versions(bench, unit)) == 1


def _raising(error: Exception) -> Callable[..., object]:
    def call(*args: object, **named: object) -> object:
        raise error

    return call


def test_a_model_of_a_step_that_somebody_deleted_is_left_alone(bench: Bench) -> None:
    unit = bench.plan(bench.run())
    first = bench.write(unit, fresh=True)
    before = bench.models
    gone = unit.children[0].key
    bench.api.delete_run(first.runs[gone])
    sink = MlflowSink("http://unused", api=bench.api)
    binding = sink.experiment(unit.experiment)
    again = sink.apply(unit, binding, bound=first.runs, fresh=False, open_file=bench.files.open)
    assert again.left_deleted == (gone,)
    assert bench.models == before
