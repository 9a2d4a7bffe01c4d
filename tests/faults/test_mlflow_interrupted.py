"""A unit interrupted before or after any write is completed by the same call again."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.mlflow_dump import active_runs, dump
from support.mlflow_interrupted import Interrupted, Killed
from support.mlflow_samples import Files, five_steps, plan, with_artifacts

from exporter.hierarchy import Parameter
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.database import DatabaseApi
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.hierarchy import RunSnapshot, Value
    from exporter.mapping.mlflow import UnitPlan
    from exporter.sinks.mlflow.api import TrackingApi


def generations(name: str, files: Files) -> list[RunSnapshot]:
    """Give a run as it was, and later: finished, a value changed, a step gone, one more."""
    first = with_artifacts(five_steps(name, status="running", steps=4), files)
    second = with_artifacts(five_steps(name, steps=5), files)
    changed = replace(second.steps[2], parameters=(Parameter("rate", 0.7), Parameter("new", "x")))
    second = replace(second, steps=(*second.steps[:2], changed, second.steps[4]))
    return [first, second]


def attempt(api: TrackingApi, unit: UnitPlan, files: Files, *, fresh: bool) -> None:
    sink = MlflowSink("http://unused", api=api)
    sink.apply(unit, sink.experiment(unit.experiment), fresh=fresh, open_file=files.open)


def stored_bytes(api: TrackingApi, unit: UnitPlan, experiment_id: str) -> list[bytes]:
    """Read every file the unit holds from where its plan says."""
    roots = {run.key: run.artifact_uri for run in active_runs(api, experiment_id)}
    return [
        api.get_file(roots[upload.step_key], path)
        for upload in unit.uploads
        for path in upload.paths
    ]


def renamed(dumped: list[dict[str, object]]) -> list[dict[str, object]]:
    """Leave out what carries the pipeline's name, so that two experiments can be compared."""
    kept = [
        {k: v for k, v in run.items() if k not in {"key", "tags", "datasets"}} for run in dumped
    ]
    for value, run in zip(kept, dumped, strict=True):
        value["tags"] = [key for key, _ in run["tags"]]  # type: ignore[attr-defined]  # pairs
        value["datasets"] = len(run["datasets"])  # type: ignore[arg-type]  # a list
    return sorted(kept, key=str)


@pytest.fixture(params=["database", "server"])
def api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrackingApi]:
    made: DatabaseApi | RestApi
    if request.param == "database":
        made = DatabaseApi(f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}")
    else:
        made = RestApi(request.getfixturevalue("mlflow_server").url, timeout_s=60.0)
    yield made
    made.close()


def points(api: TrackingApi, generation: int) -> range:
    """Give the writes to interrupt: each on the database, every fourth over a server."""
    step = 1 if isinstance(api, DatabaseApi) else 4
    return range(1, 60, step) if generation == 0 else range(2, 80, step)


@pytest.mark.parametrize("generation", [0, 1])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_interrupted_anywhere_and_repeated_equals_uninterrupted(
    api: TrackingApi, generation: int, after: bool, request: pytest.FixtureRequest
) -> None:
    files = Files()
    scalars: dict[str, Value] = {"1-score": {"auc": 0.5}}
    clean_runs = generations(f"clean {request.node.name}", files)
    for run in clean_runs[: generation + 1]:
        attempt(api, plan(run, scalars=scalars), files, fresh=run is clean_runs[0])
    clean_plan = plan(clean_runs[generation], scalars=scalars)
    sink = MlflowSink("http://unused", api=api)
    clean = renamed(dump(api, sink.experiment(clean_plan.experiment).experiment_id))
    tried = 0
    for at in points(api, generation):
        runs = generations(f"at {at} {request.node.name}", files)
        for run in runs[:generation]:
            attempt(api, plan(run, scalars=scalars), files, fresh=True)
        unit = plan(runs[generation], scalars=scalars)
        broken = Interrupted(api, at, after=after)
        try:
            attempt(broken, unit, files, fresh=generation == 0)
        except Killed:
            tried += 1
        else:
            break
        experiment_id = sink.experiment(unit.experiment).experiment_id
        check_sealed_are_whole(api, experiment_id)
        attempt(api, unit, files, fresh=False)
        assert renamed(dump(api, experiment_id)) == clean, f"interrupted at write {at}"
        assert stored_bytes(api, unit, experiment_id) == stored_bytes(
            api, clean_plan, sink.experiment(clean_plan.experiment).experiment_id
        )
    assert tried >= (15 if isinstance(api, DatabaseApi) else 4)


def check_sealed_are_whole(api: TrackingApi, experiment_id: str) -> None:
    """Check that every sealed parent can be read back: `dump` decodes and verifies each record."""
    assert all(run["key"] for run in dump(api, experiment_id))


def test_interrupted_during_the_repeat_still_converges(
    api: TrackingApi, request: pytest.FixtureRequest
) -> None:
    files = Files()
    base = request.node.name
    sink = MlflowSink("http://unused", api=api)
    clean_runs = generations(f"clean {base}", files)
    attempt(api, plan(clean_runs[0]), files, fresh=True)
    attempt(api, plan(clean_runs[1]), files, fresh=False)
    experiment = sink.experiment(plan(clean_runs[1]).experiment)
    clean = renamed(dump(api, experiment.experiment_id))
    some = [3, 9, 15, 22] if isinstance(api, DatabaseApi) else [9]
    for first, second in itertools.product(some, [2, 7, 12]):
        runs = generations(f"{first} {second} {base}", files)
        attempt(api, plan(runs[0]), files, fresh=True)
        unit = plan(runs[1])
        for at in (first, second):
            with suppress(Killed):
                attempt(Interrupted(api, at, after=True), unit, files, fresh=False)
        attempt(api, unit, files, fresh=False)
        experiment_id = sink.experiment(unit.experiment).experiment_id
        assert renamed(dump(api, experiment_id)) == clean
