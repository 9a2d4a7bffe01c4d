"""The sink's promises: a real server on SQLite and on PostgreSQL, a database without one."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from support.mlflow_dump import PAGES, active_runs, dump
from support.mlflow_samples import Files, five_steps, plan, with_artifacts
from support.mlflow_server import empty_database
from support.strategies import runs

from exporter.errors import CorruptArtifact, SinkTerminal
from exporter.hierarchy import Parameter, RunSnapshot, canonical_bytes, run_to_value
from exporter.mapping.mlflow import MlflowNaming, pages_tag, plan_unit, stored_path
from exporter.mapping.records_text import decode_record, part_tag
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.answers import MissingResource
from exporter.sinks.mlflow.database import DatabaseApi
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.hierarchy import Value
    from exporter.mapping.mlflow import Home, UnitPlan
    from exporter.sinks.mlflow import Applied, ExperimentBinding
    from exporter.sinks.mlflow.api import TrackingApi

BACKENDS = ("server on SQLite", "server on PostgreSQL", "database")


@pytest.fixture(scope="module")
def database_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseApi]:
    api = DatabaseApi(empty_database(tmp_path_factory.mktemp("tracking")))
    yield api
    api.close()


@pytest.fixture(params=BACKENDS)
def api(request: pytest.FixtureRequest) -> Iterator[TrackingApi]:
    """Give the tracking API of each back end."""
    match request.param:
        case "database":
            yield request.getfixturevalue("database_api")
            return
        case "server on SQLite":
            url = request.getfixturevalue("mlflow_server").url
        case _:
            url = request.getfixturevalue("mlflow_server_on_postgres").url
    rest = RestApi(url, timeout_s=60.0)
    yield rest
    rest.close()


@dataclass
class Bench:
    """A sink, an experiment of this test's own, and short ways to use them."""

    api: TrackingApi
    pipeline: str
    sink: MlflowSink
    files: Files

    def experiment(self, unit: UnitPlan) -> ExperimentBinding:
        return self.sink.experiment(unit.experiment)

    def run(self, **changes: object) -> RunSnapshot:
        return five_steps(self.pipeline, **changes)  # type: ignore[arg-type]  # handed on

    def write(
        self, unit: UnitPlan, *, fresh: bool = False, bound: dict[str, str] | None = None
    ) -> Applied:
        return self.sink.apply(
            unit,
            self.experiment(unit),
            bound=bound or {},
            fresh=fresh,
            open_file=self.files.open,
        )

    def dump(self, unit: UnitPlan) -> list[dict[str, object]]:
        return dump(self.api, self.experiment(unit).experiment_id)


@pytest.fixture
def bench(api: TrackingApi, request: pytest.FixtureRequest) -> Bench:
    return Bench(api, request.node.name, MlflowSink("http://unused", api=api), Files())


def test_a_run_of_five_steps_takes_eighteen_requests_and_two_for_its_pages(bench: Bench) -> None:
    unit = plan(bench.run())
    experiment = bench.experiment(unit)
    applied = bench.sink.apply(unit, experiment, fresh=True, open_file=bench.files.open)
    assert applied.requests == requests_of_five_steps(bench)
    assert applied.runs_created == 6
    assert set(applied.runs) == {unit.unit, *(child.key for child in unit.children)}


def requests_of_five_steps(bench: Bench) -> int:
    """Count what is sent to MLflow; without a server files go past it."""
    return 18 if isinstance(bench.api, DatabaseApi) else 20


def test_what_was_written_is_nested_sealed_and_as_planned(bench: Bench) -> None:
    unit = plan(bench.run())
    applied = bench.write(unit, fresh=True)
    found = {run.key: run for run in active_runs(bench.api, applied.experiment_id)}
    parent = found[unit.unit]
    assert parent.tags["exporter.complete"] == unit.seal
    assert dict(parent.params) == dict(unit.parent.params)
    assert (parent.start, parent.end) == (unit.parent.start, unit.parent.end)
    for child in unit.children:
        run = found[child.key]
        assert run.tags["mlflow.parentRunId"] == parent.run_id
        assert run.tags["exporter.complete"] == unit.digest
        assert run.tags["exporter.unit"] == unit.unit
        assert (run.name, run.status, run.start, run.end) == (
            child.name, child.status, child.start, child.end,
        )  # fmt: skip
        assert dict(run.params) == dict(child.params)


def test_the_same_plan_again_writes_nothing(bench: Bench) -> None:
    run = with_artifacts(bench.run(), bench.files)
    unit = plan(run, scalars={"1-score": {"auc": 0.93, "nan": math.nan, "inf": math.inf}})
    first = bench.write(unit, fresh=True)
    before = bench.dump(unit)
    experiment = bench.experiment(unit)
    again = bench.sink.apply(
        unit, experiment, bound=first.runs, fresh=False, open_file=bench.files.open
    )
    assert again.requests == 1
    assert again.runs == first.runs
    assert (again.runs_created, again.runs_updated, again.runs_deleted, again.files) == (0, 0, 0, 0)
    assert bench.dump(unit) == before


def test_a_plan_written_without_knowing_equals_one_written_straight(bench: Bench) -> None:
    run = with_artifacts(bench.run(), bench.files)
    unit = plan(run, scalars={"1-score": {"auc": 0.93}})
    bench.write(unit)
    slow = bench.dump(unit)
    other = replace(run, pipeline=replace(run.pipeline, name=f"{run.pipeline.name} 2"))
    straight = plan(other, scalars={"1-score": {"auc": 0.93}})
    bench.write(straight, fresh=True)
    fast = bench.dump(straight)
    assert len(fast) == 6
    for field in ("name", "status", "times", "params", "metrics"):
        assert sorted(map(str, (r[field] for r in slow))) == sorted(
            map(str, (r[field] for r in fast))
        )


def test_the_record_gives_the_run_back(bench: Bench) -> None:
    run = with_artifacts(bench.run(), bench.files)
    unit = plan(run)
    applied = bench.write(unit, fresh=True)
    parent = next(r for r in active_runs(bench.api, applied.experiment_id) if r.key == unit.unit)
    back, homes = decode_record(parent.tags, partial(bench.api.get_file, parent.artifact_uri))
    assert back == run
    assert homes == unit.homes
    check_files(bench, run, homes, applied)


def check_files(bench: Bench, run: RunSnapshot, homes: dict[str, Home], applied: Applied) -> None:
    """Check that every copied file is where its home says."""
    roots = {r.run_id: r.artifact_uri for r in active_runs(bench.api, applied.experiment_id)}
    for artifact in run.artifacts:
        home = homes[artifact.id]
        assert artifact.content is not None
        for file in artifact.content.files:
            root = roots[applied.runs[home.step_key]]
            stored = bench.api.get_file(root, stored_path(home, file.path))
            assert stored == bench.files.bytes[artifact.id, file.path]


def test_a_running_run_is_followed_to_its_end_in_the_same_mlflow_runs(bench: Bench) -> None:
    first = bench.write(plan(bench.run(status="running")), fresh=True)
    done = plan(bench.run())
    second = bench.write(done, bound=dict(first.runs))
    assert second.runs == first.runs
    assert (second.runs_created, second.runs_deleted) == (0, 0)
    assert {run["status"] for run in bench.dump(done)} == {"FINISHED"}
    assert bench.write(done).requests == 1


def test_a_run_that_goes_back_to_running_loses_its_end(bench: Bench) -> None:
    bench.write(plan(bench.run()), fresh=True)
    again = plan(bench.run(status="running"))
    bench.write(again)
    parent = next(run for run in bench.dump(again) if run["key"] == again.unit)
    assert parent["status"] == "RUNNING"
    assert parent["times"] == [again.parent.start, None]
    assert bench.write(again).requests == 1


def test_a_changed_parameter_replaces_the_runs_that_show_it(bench: Bench) -> None:
    first = bench.write(plan(bench.run()), fresh=True)
    changed = plan(bench.run(rate=0.5))
    second = bench.write(changed, bound=dict(first.runs))
    assert not set(second.runs.values()) & set(first.runs.values())
    assert (second.runs_created, second.runs_deleted) == (6, 6)
    found = bench.dump(changed)
    assert len(found) == 6
    steps = [run for run in found if run["key"] != changed.unit]
    assert all("('rate', '0.5')" in str(run["params"]) for run in steps)
    assert bench.write(changed).requests == 1


def test_a_step_that_vanished_is_deleted_and_one_that_came_is_added(bench: Bench) -> None:
    first = bench.write(plan(bench.run(steps=4)), fresh=True)
    fewer = plan(bench.run(steps=3))
    second = bench.write(fewer, bound=dict(first.runs))
    assert len(second.runs) == len(bench.dump(fewer)) == 4
    more = plan(bench.run(steps=5))
    third = bench.write(more, bound=dict(second.runs))
    assert third.runs_created == 2
    assert len(bench.dump(more)) == 6
    assert bench.write(more).requests == 1


def test_duplicates_are_swept_and_survivors_get_the_right_parent(bench: Bench) -> None:
    unit = plan(bench.run())
    first = bench.write(unit, fresh=True)
    clean = bench.dump(unit)
    late = bench.api.create_run(
        first.experiment_id, unit.parent.name, unit.parent.start, dict(unit.parent.tags)
    )
    tags = {**unit.children[0].tags, "mlflow.parentRunId": late.run_id}
    bench.api.create_run(first.experiment_id, unit.children[0].name, unit.children[0].start, tags)
    again = bench.write(unit)
    assert again.runs == first.runs
    assert again.runs_deleted == 2
    assert bench.dump(unit) == clean


def test_of_duplicates_the_bound_run_is_kept(bench: Bench) -> None:
    unit = plan(bench.run())
    tags = dict(unit.parent.tags)
    experiment = bench.experiment(unit)
    made = [
        bench.api.create_run(experiment.experiment_id, unit.parent.name, unit.parent.start, tags)
        for _ in range(3)
    ]
    largest = max(run.run_id for run in made)
    applied = bench.write(unit, bound={unit.unit: largest})
    assert applied.runs[unit.unit] == largest
    assert len(bench.dump(unit)) == 6


def test_runs_of_other_tools_and_copies_of_ours_are_never_touched(bench: Bench) -> None:
    unit = plan(bench.run())
    first = bench.write(unit, fresh=True)
    parent = next(r for r in active_runs(bench.api, first.experiment_id) if r.key == unit.unit)
    copy = bench.api.create_run(first.experiment_id, parent.name, 5, dict(parent.tags))
    alien = bench.api.create_run(first.experiment_id, "alien", 6, {"mlflow.user": "me"})
    bench.api.log_batch(alien.run_id, params=[("p", "1")])
    strangers = {r.run_id: r for r in active_runs(bench.api, first.experiment_id)}
    bench.write(plan(bench.run(rate=0.7)), bound=dict(first.runs))
    after = {r.run_id: r for r in active_runs(bench.api, first.experiment_id)}
    for stranger in (copy.run_id, alien.run_id):
        assert after[stranger] == strangers[stranger]
    assert len(after) == 8


def test_what_people_add_to_a_run_survives_even_its_replacement(bench: Bench) -> None:
    unit = plan(bench.run())
    first = bench.write(unit, fresh=True)
    key = unit.children[0].key
    run_id = first.runs[key]
    bench.api.log_batch(run_id, params=[("reviewed by", "ann")], tags=[("stage", "gold")])
    assert bench.write(unit, bound=dict(first.runs)).requests == 1
    changed = plan(bench.run(rate=0.9))
    second = bench.write(changed, bound=dict(first.runs))
    found = {r.run_id: r for r in active_runs(bench.api, first.experiment_id)}
    replaced = found[second.runs[key]]
    assert replaced.params == {"rate": "0.9", "name": "n0", "reviewed by": "ann"}
    assert replaced.tags["stage"] == "gold"


def test_an_edited_parameter_or_tag_of_ours_is_put_right(bench: Bench) -> None:
    unit = plan(bench.run())
    first = bench.write(unit, fresh=True)
    clean = bench.dump(unit)
    bench.api.log_batch(
        first.runs[unit.unit], tags=[("exporter.run", "x"), ("mlflow.note.content", "y")]
    )
    assert bench.write(unit).runs_updated == 1
    assert bench.dump(unit) == clean


def test_a_run_deleted_in_mlflow_stays_deleted_until_repair(bench: Bench) -> None:
    unit = plan(bench.run())
    first = bench.write(unit, fresh=True)
    clean = bench.dump(unit)
    bench.api.delete_run(first.runs[unit.unit])
    with pytest.raises(SinkTerminal, match="was deleted in MLflow"):
        bench.write(unit, bound=dict(first.runs))
    assert len(active_runs(bench.api, first.experiment_id)) == 5
    repaired = bench.sink.apply(
        unit,
        bench.experiment(unit),
        bound=first.runs,
        fresh=False,
        open_file=bench.files.open,
        repair=True,
    )
    assert repaired.runs == first.runs
    assert bench.dump(unit) == clean


def test_a_step_deleted_in_mlflow_stays_deleted_until_repair(bench: Bench) -> None:
    first = bench.write(plan(bench.run(status="running")), fresh=True)
    unit = plan(bench.run())
    gone = unit.children[2].key
    bench.api.delete_run(first.runs[gone])
    second = bench.write(unit, bound=dict(first.runs))
    assert second.left_deleted == (gone,)
    assert gone not in second.runs
    third = bench.sink.apply(
        unit,
        bench.experiment(unit),
        bound=first.runs,
        fresh=False,
        open_file=bench.files.open,
        repair=True,
    )
    assert third.runs == first.runs
    assert len(bench.dump(unit)) == 6


def test_a_deleted_experiment_is_reported_and_comes_back_by_repair(bench: Bench) -> None:
    unit = plan(bench.run())
    binding = bench.experiment(unit)
    delete_experiment(bench.api, binding.experiment_id)
    with pytest.raises(SinkTerminal, match="repair"):
        bench.experiment(unit)
    again = bench.sink.experiment(unit.experiment, repair=True)
    assert again.experiment_id == binding.experiment_id


def delete_experiment(api: TrackingApi, experiment_id: str) -> None:
    """Delete an experiment as a user does in the UI."""
    if isinstance(api, RestApi):
        api._post("experiments/delete", {"experiment_id": experiment_id})
    else:
        assert isinstance(api, DatabaseApi)
        api._store.delete_experiment(experiment_id)


def test_a_users_experiment_of_that_name_is_joined(bench: Bench) -> None:
    unit = plan(bench.run())
    theirs = bench.api.create_experiment(unit.experiment.name, {"team": "x"})
    binding = bench.experiment(unit)
    assert binding.experiment_id == theirs
    assert binding.existed
    tags = bench.api.experiment(binding.experiment_id).tags
    assert tags["team"] == "x"
    assert tags["exporter.key"] == unit.experiment.key


def test_files_are_sent_once_and_again_only_with_a_replaced_run(bench: Bench) -> None:
    run = with_artifacts(bench.run(), bench.files)
    first = bench.write(plan(run), fresh=True)
    assert (first.files, first.bytes) == (3, 21)
    finished = replace(run, status="failed")
    second = bench.write(plan(finished), bound=dict(first.runs))
    assert second.files == 0
    step = replace(finished.steps[0], parameters=(Parameter("rate", 9),))
    replaced = plan(replace(finished, steps=(step, *finished.steps[1:])))
    third = bench.write(replaced, bound=dict(second.runs))
    assert third.files == 3
    check_files(bench, finished, dict(replaced.homes), third)


def test_pages_are_on_the_parent_and_only_changed_ones_are_sent_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.run()
    unit = plan(run)
    first = bench.write(unit, fresh=True)
    assert (first.files, first.bytes) == (0, 0)
    assert pages(bench, unit) == dict(unit.pages)
    assert list(unit.pages) == ["exporter/graph.svg", "exporter/summary.html"]
    with_fact = plan(replace(run, facts=(Parameter("zenml_version", "0.5.7"),)))
    assert with_fact.pages["exporter/graph.svg"] == unit.pages["exporter/graph.svg"]
    sent = record_puts(bench, monkeypatch)
    bench.write(with_fact, bound=dict(first.runs))
    assert sent == ["exporter/summary.html"]
    assert pages(bench, unit) == dict(with_fact.pages)
    failed = plan(replace(run, status="failed"))
    bench.write(failed, bound=dict(first.runs))
    assert sent[1:] == ["exporter/graph.svg", "exporter/summary.html"]
    assert pages(bench, unit) == dict(failed.pages)
    assert bench.write(failed).requests == 1


def test_pages_of_a_running_run_show_its_steps_so_far(bench: Bench) -> None:
    going = plan(bench.run(status="running"))
    bench.write(going, fresh=True)
    assert b">running<" in pages(bench, going)["exporter/graph.svg"]
    ended = plan(bench.run())
    bench.write(ended)
    assert b">running<" not in pages(bench, ended)["exporter/graph.svg"]


def test_pages_of_a_change_that_was_given_up_half_way_are_sent_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, changed = plan(bench.run()), plan(replace(bench.run(), status="failed"))
    bench.write(unit, fresh=True)
    with monkeypatch.context() as patched:
        patched.setattr(bench.api, "update_run", refuse)
        with pytest.raises(SinkTerminal):
            bench.write(changed)
    assert stored_pages(bench, unit)[0] == dict(changed.pages)
    bench.write(unit)
    assert pages(bench, unit) == dict(unit.pages)
    assert bench.write(unit).requests == 1


def test_a_root_that_takes_no_pages_holds_back_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = plan(bench.run())
    with monkeypatch.context() as patched:
        patched.setattr(bench.api, "put_file", refuse)
        applied = bench.write(unit, fresh=True)
    assert applied.pages_failed == "no room"
    found = active_runs(bench.api, applied.experiment_id)
    assert sum("exporter.complete" in run.tags for run in found) == 6
    assert bench.write(unit).pages_failed == ""
    assert pages(bench, unit) == dict(unit.pages)
    assert bench.write(unit).requests == 1


def test_without_pages_in_the_mapping_none_are_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = record_puts(bench, monkeypatch)
    unit = plan_unit(bench.run(), {}, MlflowNaming(pages=False))
    applied = bench.write(unit, fresh=True)
    assert sent == []
    assert not any(
        "exporter.pages" in run.tags for run in active_runs(bench.api, applied.experiment_id)
    )
    bench.write(plan(bench.run()))
    assert pages(bench, unit)
    bench.write(unit)
    assert stored_pages(bench, unit)[1] == ""
    assert bench.write(unit).requests == 1


def refuse(*_: object, **__: object) -> None:
    raise SinkTerminal("no room")


def pages(bench: Bench, unit: UnitPlan) -> dict[str, bytes]:
    """Give the pages that the parent run holds, checked against its tag."""
    held, tag = stored_pages(bench, unit)
    assert pages_tag(held) == tag
    return held


def stored_pages(bench: Bench, unit: UnitPlan) -> tuple[dict[str, bytes], str]:
    (parent,) = (
        run
        for run in active_runs(bench.api, bench.experiment(unit).experiment_id)
        if run.key == unit.unit
    )
    held = {path: bench.api.get_file(parent.artifact_uri, path) for path in PAGES}
    return held, parent.tags.get("exporter.pages", "")


def record_puts(bench: Bench, patched: pytest.MonkeyPatch) -> list[str]:
    """Note the paths of all files that are stored from now on."""
    sent: list[str] = []
    put_file = bench.api.put_file

    def noting(artifact_uri: str, path: str, *rest: Any) -> None:  # Any: handed on
        sent.append(path)
        put_file(artifact_uri, path, *rest)

    patched.setattr(bench.api, "put_file", noting)
    return sent


def test_a_file_that_changes_while_it_is_copied_leaves_the_unit_unsealed(bench: Bench) -> None:
    run = with_artifacts(bench.run(), bench.files)
    unit = plan(run)
    bench.files.bytes["1-frame", "a.csv"] = b"y\n1\n"
    with pytest.raises(CorruptArtifact, match="changed while it was copied"):
        bench.write(unit, fresh=True)
    bench.files.bytes["1-frame", "a.csv"] = b"x"
    with pytest.raises(CorruptArtifact):
        bench.write(unit)
    found = active_runs(bench.api, bench.experiment(unit).experiment_id)
    assert not [r for r in found if r.tags.get("exporter.complete")]
    bench.files.bytes["1-frame", "a.csv"] = b"x\n1\n"
    bench.write(unit)
    assert bench.write(unit).requests == 1


def test_more_than_a_batch_of_parameters_and_metrics_arrive_whole(bench: Bench) -> None:
    run = with_artifacts(bench.run(), bench.files)
    many = tuple(Parameter(f"p{n}", n) for n in range(257))
    run = replace(run, steps=(replace(run.steps[0], parameters=many), *run.steps[1:]))
    scores: dict[str, Value] = {f"m{n}": n for n in range(2_301)}
    unit = plan(run, scalars={"1-score": scores})
    applied = bench.write(unit, fresh=True)
    found = {r.key: r for r in active_runs(bench.api, applied.experiment_id)}
    assert len(found[unit.children[0].key].params) == 257
    assert len(found[unit.children[0].key].metrics) == 2_302
    assert bench.write(unit).requests == 1


def test_a_long_parameter_and_a_long_record_are_kept_whole_in_the_record(bench: Bench) -> None:
    noise = random.Random(7)
    long = "".join(chr(noise.randrange(0x4E00, 0x9F00)) for _ in range(100_000))
    run = bench.run()
    run = replace(run, steps=(replace(run.steps[0], parameters=(Parameter("text", long),)),))
    unit = plan(run)
    assert unit.record_file is not None
    applied = bench.write(unit, fresh=True)
    assert bench.write(unit).requests == 1
    parent = next(r for r in active_runs(bench.api, applied.experiment_id) if r.key == unit.unit)
    back, _ = decode_record(parent.tags, partial(bench.api.get_file, parent.artifact_uri))
    assert back == run


def test_a_scan_gives_every_unit_whole_and_only_ours(bench: Bench) -> None:
    units = [plan(bench.run(run=f"r{seq}", seq=seq)) for seq in range(3)]
    for unit in units:
        bench.write(unit, fresh=True)
    experiment = bench.experiment(units[0])
    bench.api.create_run(experiment.experiment_id, "alien", 6, {"mlflow.user": "me"})
    found = dict(bench.sink.scan(experiment.experiment_id))
    assert set(found) == {unit.unit for unit in units}
    assert all(len(unit.runs) == 6 for unit in found.values())
    unit = units[1]
    applied = bench.sink.apply(
        unit, experiment, fresh=False, found=found[unit.unit], open_file=bench.files.open
    )
    assert applied.requests == 0
    assert applied.runs == found[unit.unit].bindings


def test_stale_knowledge_of_a_unit_is_looked_up_again(bench: Bench) -> None:
    unit = plan(bench.run(steps=2))
    first = bench.write(unit, fresh=True)
    found = dict(bench.sink.scan(first.experiment_id))[unit.unit]
    second = bench.write(plan(bench.run(steps=2, rate=0.6)), bound=dict(first.runs))
    applied = bench.sink.apply(
        plan(bench.run(steps=2, rate=0.6)),
        bench.experiment(unit),
        bound=second.runs,
        fresh=False,
        found=found,
        open_file=bench.files.open,
    )
    assert applied.runs == second.runs
    assert len(bench.dump(unit)) == 3


def test_a_vanished_source_is_tagged_and_its_return_untagged(bench: Bench) -> None:
    unit = plan(bench.run())
    first = bench.write(unit, fresh=True)
    clean = bench.dump(unit)
    bench.sink.mark_gone([*first.runs.values(), "0" * 32])
    tagged = active_runs(bench.api, first.experiment_id)
    assert {run.tags["exporter.gone"] for run in tagged} == {"source"}
    bench.sink.mark_back([*first.runs.values(), "0" * 32])
    assert bench.dump(unit) == clean


def test_threads_share_a_sink(bench: Bench) -> None:
    units = [plan(bench.run(run=f"r{seq}", seq=seq)) for seq in range(6)]
    experiment = bench.experiment(units[0])
    write: Callable[[UnitPlan], Applied] = partial(
        bench.sink.apply, experiment=experiment, fresh=True, open_file=bench.files.open
    )
    with ThreadPoolExecutor(3) as pool:
        applied = list(pool.map(write, units))
    assert [result.requests for result in applied] == [requests_of_five_steps(bench)] * 6
    assert len(active_runs(bench.api, experiment.experiment_id)) == 36


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(run=runs(repository="acme", stack="local"))
def test_any_run_is_written_and_found_equal_on_every_database(
    bench: Bench, run: RunSnapshot
) -> None:
    run = without_files(run)
    unit = plan(run)
    applied = bench.write(unit)
    again = bench.write(unit)
    assert (again.requests, again.runs) == (1, applied.runs)
    parent = next(r for r in active_runs(bench.api, applied.experiment_id) if r.key == unit.unit)
    back, _ = decode_record(parent.tags, partial(bench.api.get_file, parent.artifact_uri))
    assert canonical_bytes(run_to_value(back)) == canonical_bytes(run_to_value(run))


def without_files(run: RunSnapshot) -> RunSnapshot:
    """Take the copied contents away: these artifacts have no bytes behind them."""
    kept = tuple(
        replace(a, content=None if a.content and a.content.state == "copied" else a.content)
        for a in run.artifacts
    )
    return replace(run, artifacts=kept)


def test_a_record_file_that_was_deleted_counts_as_no_record(bench: Bench) -> None:
    noise = random.Random(7)
    long = "".join(chr(noise.randrange(0x4E00, 0x9F00)) for _ in range(100_000))
    run = bench.run()
    run = replace(run, steps=(replace(run.steps[0], parameters=(Parameter("text", long),)),))
    applied = bench.write(plan(run), fresh=True)
    parent = next(
        r for r in active_runs(bench.api, applied.experiment_id) if r.key == plan(run).unit
    )
    with pytest.raises(MissingResource):
        bench.api.get_file(parent.artifact_uri, "exporter/none.json")
    bench.api.log_batch(parent.run_id, tags=[(part_tag(0), "1@exporter/none.json")])
    changed = replace(run, steps=(replace(run.steps[0], name="other"),))
    bench.write(plan(changed))
    parent = next(
        r for r in active_runs(bench.api, applied.experiment_id) if r.key == plan(run).unit
    )
    back, _ = decode_record(parent.tags, partial(bench.api.get_file, parent.artifact_uri))
    assert back == changed
