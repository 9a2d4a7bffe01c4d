"""A unit interrupted before or after any write is completed by the same call again."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from support.mlflow_dump import active_runs, dump
from support.mlflow_interrupted import NEVER, Interrupted, Killed, kill_points
from support.mlflow_samples import Files, five_steps, plan, with_artifacts
from support.mlflow_server import empty_database

from exporter.hierarchy import Parameter
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.database import DatabaseApi
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.hierarchy import RunSnapshot, Value
    from exporter.mapping.mlflow import UnitPlan
    from exporter.sinks.mlflow.api import TrackingApi

SCALARS: dict[str, Value] = {"1-score": {"auc": 0.5}}


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


@dataclass(frozen=True, slots=True)
class Uninterrupted:
    """What a generation leaves where nothing interrupts it, and with how many writes."""

    writes: int
    dumped: list[dict[str, object]]
    stored: list[bytes]


@pytest.fixture(scope="module")
def uninterrupted(api: TrackingApi) -> list[Uninterrupted]:
    files, sink = Files(), MlflowSink("http://unused", api=api)
    made = []
    for generation, run in enumerate(generations("uninterrupted", files)):
        unit = plan(run, scalars=SCALARS)
        counting = Interrupted(api, NEVER, after=False)
        attempt(counting, unit, files, fresh=generation == 0)
        experiment_id = sink.experiment(unit.experiment).experiment_id
        dumped = renamed(dump(api, experiment_id))
        stored = stored_bytes(api, unit, experiment_id)
        made.append(Uninterrupted(counting.writes, dumped, stored))
    assert min(one.writes for one in made) >= 15
    return made


def interrupt(
    api: TrackingApi, clean: Uninterrupted, at: int, *, generation: int, after: bool, name: str
) -> None:
    """Interrupt a generation at a write, repeat it, and compare."""
    files, sink = Files(), MlflowSink("http://unused", api=api)
    runs = generations(f"at {at} {name}", files)
    for run in runs[:generation]:
        attempt(api, plan(run, scalars=SCALARS), files, fresh=True)
    unit = plan(runs[generation], scalars=SCALARS)
    with pytest.raises(Killed):
        attempt(Interrupted(api, at, after=after), unit, files, fresh=generation == 0)
    experiment_id = sink.experiment(unit.experiment).experiment_id
    check_sealed_are_whole(api, experiment_id)
    attempt(api, unit, files, fresh=False)
    assert renamed(dump(api, experiment_id)) == clean.dumped, f"interrupted at write {at}"
    assert stored_bytes(api, unit, experiment_id) == clean.stored


def points(api: TrackingApi, generation: int, writes: int, *, after: bool, which: str) -> list[int]:
    """Give some writes to interrupt, or the others: all on the database, fewer over a server."""
    is_database = isinstance(api, DatabaseApi)
    some = kill_points(writes, after=after, every=3 if is_database else 7)
    if which == "some":
        return some
    return sorted({*range(1 + generation, writes + 1, 1 if is_database else 4)} - {*some})


@pytest.mark.parametrize("generation", [0, 1])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("which", ["some", pytest.param("others", marks=pytest.mark.slow)])
def test_interrupted_anywhere_and_repeated_equals_uninterrupted(
    api: TrackingApi,
    uninterrupted: list[Uninterrupted],
    generation: int,
    after: bool,
    which: str,
    request: pytest.FixtureRequest,
) -> None:
    clean, name = uninterrupted[generation], request.node.name
    for at in points(api, generation, clean.writes, after=after, which=which):
        interrupt(api, clean, at, generation=generation, after=after, name=name)


def check_sealed_are_whole(api: TrackingApi, experiment_id: str) -> None:
    """Check that every sealed parent can be read back: `dump` decodes and verifies each record."""
    assert all(run["key"] for run in dump(api, experiment_id))


def interrupt_twice(
    api: TrackingApi, clean: Uninterrupted, first: int, second: int, name: str
) -> None:
    """Interrupt the later generation, then its repeat, and complete it."""
    files, sink = Files(), MlflowSink("http://unused", api=api)
    runs = generations(f"{first} {second} {name}", files)
    attempt(api, plan(runs[0], scalars=SCALARS), files, fresh=True)
    unit = plan(runs[1], scalars=SCALARS)
    for at in (first, second):
        with suppress(Killed):
            attempt(Interrupted(api, at, after=True), unit, files, fresh=False)
    attempt(api, unit, files, fresh=False)
    assert renamed(dump(api, sink.experiment(unit.experiment).experiment_id)) == clean.dumped


SOME_PAIRS = [(9, 2), (3, 7), (9, 12), (15, 7), (22, 2)]
OTHER_PAIRS = sorted({*itertools.product([3, 9, 15, 22], [2, 7, 12])} - {*SOME_PAIRS})


@pytest.mark.parametrize("which", ["some", pytest.param("others", marks=pytest.mark.slow)])
def test_interrupted_during_the_repeat_still_converges(
    api: TrackingApi,
    uninterrupted: list[Uninterrupted],
    which: str,
    request: pytest.FixtureRequest,
) -> None:
    pairs, on_a_server = (SOME_PAIRS, 1) if which == "some" else (OTHER_PAIRS, 2)
    for first, second in pairs if isinstance(api, DatabaseApi) else pairs[:on_a_server]:
        interrupt_twice(api, uninterrupted[1], first, second, request.node.name)
