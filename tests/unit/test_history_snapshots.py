"""Snapshots: the whole history as canonical values."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from support.fake_history import FakeArtifacts, FakeHistory
from support.samples import (
    ACCURACY,
    BYTES,
    EMPTY,
    TRAIN,
    UNREADABLE,
    sample_artifacts,
    sample_history,
    train_run,
)
from support.strategies import histories

from exporter.hierarchy import (
    Content,
    PipelineRecord,
    RunSnapshot,
    UnreadableRun,
    canonical_bytes,
    run_from_value,
    run_key,
)
from exporter.history.contents import ContentCache
from exporter.history.repository import Repository
from exporter.history.snapshots import iter_runs, iter_snapshots, snapshot


def test_a_snapshot_holds_the_repository_all_pipelines_and_all_runs() -> None:
    value = snapshot(Repository([(sample_history(), sample_artifacts())]))
    assert value["repository"] == "acme"
    assert [p["name"] for p in value["pipelines"]] == [TRAIN.name, EMPTY.name]
    assert value["pipelines"][0]["docstring"] == "Trains a model."
    assert [run["run"]["name"] for run in value["runs"]] == ["run_1", "run_2", "run_3"]
    assert json.loads(canonical_bytes(value)) == value


def test_contents_follow_the_reader_s_policy() -> None:
    stored = {uri: data for uri, data in BYTES.items() if uri != ACCURACY.uri}
    reader = FakeArtifacts(stored, refused=["/data/shards"])
    runs = list(iter_snapshots(Repository([(sample_history(), reader)])))
    states = {a["id"]: a["content"]["state"] for run in runs for a in run["artifacts"]}
    assert states == {
        "1": "copied",
        "2": "copied",
        "3": "missing",
        "s0": "refused",
        "s1": "refused",
        "s2": "refused",
    }
    assert sorted(reader.asked) == ["1", "2", "3", "s0", "s1", "s2"]


def test_a_content_the_record_carries_already_is_kept() -> None:
    reader = sample_artifacts()
    cache = ContentCache(reader)
    known = Content("referenced", None, 5)
    run = train_run()
    given_ = replace(run, artifacts=(replace(run.artifacts[0], content=known), *run.artifacts[1:]))
    assert cache.fill(given_).artifacts[0].content == known
    assert reader.asked == ["2", "3"]
    assert cache.fill(cache.fill(given_)) is not given_


def test_the_memory_of_contents_is_bounded_and_the_latest_are_kept() -> None:
    reader = FakeArtifacts({f"/{i}": b"x" for i in range(20)})
    cache = ContentCache(reader, max_files=10)
    artifacts = [replace(ACCURACY, id=str(i), uri=f"/{i}") for i in range(20)]
    for artifact in artifacts:
        cache.content(artifact)
    assert len(cache._known) == 5
    cache.content(artifacts[-1])
    assert len(reader.asked) == 20
    cache.content(artifacts[0])
    assert len(reader.asked) == 21


def test_an_unreadable_run_is_left_out_and_told() -> None:
    repository = Repository([(sample_history(unreadable=True), sample_artifacts())])
    told: list[UnreadableRun] = []
    assert len(list(iter_snapshots(repository, on_unreadable=told.append))) == 3
    assert told == [UNREADABLE]
    with pytest.warns(UserWarning, match="'odd' of pipeline 'drift_pipeline' is left out"):
        snapshot(repository)


@given(histories())
def test_a_snapshot_gives_back_every_run_and_is_the_same_every_time(
    drawn: tuple[list[PipelineRecord], list[RunSnapshot]],
) -> None:
    pipelines, runs = drawn
    repository = Repository([(FakeHistory(pipelines, runs), FakeArtifacts())])
    value = snapshot(repository)
    assert canonical_bytes(value) == canonical_bytes(snapshot(repository))
    again = [run_from_value(run) for run in value["runs"]]
    assert {run_key(run) for run in again} == {run_key(run) for run in runs}
    assert all(a.content == Content("missing") for run in again for a in run.artifacts)
    assert {p["name"] for p in value["pipelines"]} == {p.name for p in pipelines}
    assert len(list(iter_runs(repository))) == len(runs)


@given(histories())
def test_the_order_does_not_depend_on_the_order_of_the_source(
    drawn: tuple[list[PipelineRecord], list[RunSnapshot]],
) -> None:
    pipelines, runs = drawn
    one = Repository([(FakeHistory(pipelines, runs), FakeArtifacts())])
    two = Repository([(FakeHistory(pipelines[::-1], runs[::-1]), FakeArtifacts())])
    assert canonical_bytes(snapshot(one)) == canonical_bytes(snapshot(two))
