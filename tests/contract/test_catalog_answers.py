"""What a catalog answers about the recorded stores, told whole run by whole run, is right.

The stores' events are sent as they are made, in the order in which the runs ended, to the stand-in
and, where EXPORTER_TEST_MARQUEZ_URL names it, to a Marquez. Harmful orders are told from it: the
comparison can fail.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes.marquez import running_catalog
from support.catalog_answers import post
from support.catalog_checks import assert_answers
from support.catalog_wanted import by_end, wanted_of
from support.lineage_story import day_of, story
from support.stores import MAPPINGS, RECORDED, RecordedStore

from exporter.hierarchy import Artifact, Port, RunSnapshot
from exporter.mapping.openlineage import LineageNaming, run_events
from exporter.sources.mlmd import load_profiles, open_mlmd

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes.marquez import FakeMarquez

Json = dict[str, Any]  # Any: a parsed event
ENDS = {"COMPLETE", "FAIL", "ABORT"}


@pytest.fixture(params=RECORDED, ids=lambda store: store.name)
def store(request: pytest.FixtureRequest) -> RecordedStore:
    recorded: RecordedStore = request.param
    return recorded


@pytest.fixture
def snapshots(store: RecordedStore, repository: str) -> list[RunSnapshot]:
    """Give the store's runs in the order of their end."""
    history = open_mlmd(
        store.url, repository=repository, stack="local", profiles=load_profiles(MAPPINGS)
    )
    try:
        ids = [head.source_id for p in history.pipelines() for head in history.heads(p)]
        return by_end(run for run in history.runs(ids) if isinstance(run, RunSnapshot))
    finally:
        history.close()


def events_of(run: RunSnapshot) -> list[Json]:
    return [json.loads(event.body) for event in run_events(run, LineageNaming())]


def tell(url: str, events: list[Json]) -> None:
    for event in events:
        assert post(url, event) == 201


def test_a_backfill_is_answered_right(
    catalog_url: str, store: RecordedStore, snapshots: list[RunSnapshot]
) -> None:
    for run in snapshots:
        tell(catalog_url, events_of(run))
    found = assert_answers(catalog_url, snapshots)
    assert len(found.runs) == sum(len(events_of(run)) for run in snapshots) // 2
    assert sum(state == "COMPLETED" for _, state, *_ in found.runs.values()) > store.runs
    assert "RUNNING" not in {state for _, state, *_ in found.runs.values()}


def test_a_backfill_told_twice_is_answered_right(
    catalog_url: str, snapshots: list[RunSnapshot]
) -> None:
    for run in [*snapshots, *snapshots]:
        tell(catalog_url, events_of(run))
    assert_answers(catalog_url, snapshots)


def test_a_failed_runs_declared_output_is_a_version_of_that_run_and_not_current(
    catalog_url: str, repository: str
) -> None:
    # No recorded store holds a step that failed after it had once ended well.
    runs = story(repository=repository)
    for run in runs:
        tell(catalog_url, events_of(run))
    found = assert_answers(catalog_url, runs)
    failed = {run_id for run_id, (_, state, *_) in found.runs.items() if state == "FAILED"}
    made = {name: failed & {*makers} for name, makers in found.versions.items()}
    assert {name[1] for name, makers in made.items() if makers} == {"train.evaluator.report"}
    assert not failed & {*found.current.values()}


def test_a_failed_run_whose_outputs_are_not_declared_is_told_from_a_right_one(
    marquez: FakeMarquez,
) -> None:
    runs = story()
    for run in runs:
        tell(marquez.url, [e | {"outputs": []} if is_failed(e) else e for e in events_of(run)])
    with pytest.raises(AssertionError, match=r"versions: .*train\.evaluator\.report"):
        assert_answers(marquez.url, runs)


def is_failed(event: Json) -> bool:
    return bool(event["eventType"] == "FAIL")


def test_links_to_old_versions_are_right_only_where_they_are_asked_for(
    catalog_url: str, repository: str
) -> None:
    runs = story(repository=repository)
    reader = day_of("reads", 6, repository=repository, reads=runs[1])
    for run in runs:
        tell(catalog_url, events_of(run))
    assert len(wanted_of([*runs, reader]).old) == 1
    # What the old version's run read must not be told again: it would be linked to today's.
    old, newest = (
        {**event, "inputs": []}
        for run in (runs[1], runs[4])
        for event in events_of(run)
        if event["job"]["name"] == "train.trainer" and event["eventType"] == "COMPLETE"
    )
    tell(catalog_url, [old, *events_of(reader), newest])
    assert_answers(catalog_url, [*runs, reader], exact_links=True)
    with pytest.raises(AssertionError, match="links: "):
        assert_answers(catalog_url, [*runs, reader])


def test_without_exact_links_a_reader_of_an_old_version_has_the_newest(
    catalog_url: str, repository: str
) -> None:
    runs = story(repository=repository)
    runs.append(day_of("reads", 6, repository=repository, reads=runs[1]))
    for run in runs:
        tell(catalog_url, events_of(run))
    assert_answers(catalog_url, runs)
    with pytest.raises(AssertionError, match="links: "):
        assert_answers(catalog_url, runs, exact_links=True)


def test_what_came_from_elsewhere_is_told_by_a_source_job_or_has_nothing_behind_it(
    marquez: FakeMarquez, repository: str
) -> None:
    runs = story(repository=repository)
    table = Artifact("elsewhere", "DataArtifact", "s3://warehouse/rows.parquet")
    runs = [
        replace(
            run,
            artifacts=(*run.artifacts, table),
            steps=(replace(run.steps[0], inputs=(Port("rows", "elsewhere"),)), *run.steps[1:]),
        )
        for run in runs
    ]
    for run in runs:
        tell(marquez.url, events_of(run))
    assert_answers(marquez.url, runs)
    with pytest.raises(AssertionError, match="upstream: "):
        assert_answers(marquez.url, runs, source_jobs=True)
    with running_catalog() as another:
        start = events_of(runs[0])[0]
        start["run"]["runId"] = "01900000-0000-7000-8000-000000000000"
        start["job"]["name"] = "source"
        inputs = next(event for event in events_of(runs[0]) if event["inputs"])["inputs"]
        rows = [{"namespace": one["namespace"], "name": one["name"]} for one in inputs]
        tell(another.url, [start, {**start, "eventType": "COMPLETE", "outputs": rows}])
        for run in runs:
            tell(another.url, events_of(run))
        assert_answers(another.url, runs, source_jobs=True)


def test_every_model_goes_back_to_raw_data(snapshots: list[RunSnapshot]) -> None:
    wanted = wanted_of(snapshots)
    assert wanted.models
    assert wanted.old == set()
    for run_id in wanted.models:
        assert len(wanted.behind[run_id]) > 1
        assert wanted.raw[run_id]


def _turned(runs: list[list[Json]]) -> list[Json]:
    return [e for run in runs[::-1] for e in run]


def _steps_turned(runs: list[list[Json]]) -> list[Json]:
    turned: list[Json] = []
    for run in runs:
        steps = [run[position : position + 2] for position in range(1, len(run) - 1, 2)]
        turned += [run[0], *(e for step in steps[::-1] for e in step), run[-1]]
    return turned


def _side_by_side(runs: list[list[Json]]) -> list[Json]:
    events = [e for run in runs for e in run]
    return sorted(events, key=lambda e: (str(e["job"]["name"]), str(e["eventTime"])))


def _starts_last(runs: list[list[Json]]) -> list[Json]:
    return [e for run in runs for e in sorted(run, key=lambda e: e["eventType"] == "START")]


def _ends_only(runs: list[list[Json]]) -> list[Json]:
    return [e for run in runs for e in run if e["eventType"] in ENDS]


def _old_end_again(runs: list[list[Json]]) -> list[Json]:
    wrote = [e for run in runs for e in run if e["outputs"] and e["eventType"] == "COMPLETE"]
    names = [str(e["job"]["name"]) for e in wrote]
    old = next(e for i, e in enumerate(wrote) if names[i] in names[i + 1 :])
    return [*(e for run in runs for e in run), old]


def _last_missing(runs: list[list[Json]]) -> list[Json]:
    return [e for run in runs for e in run][:-1]


_HARMFUL: dict[str, Callable[[list[list[Json]]], list[Json]]] = {
    "newest first": _turned,
    "consumers before producers": _steps_turned,
    "job by job": _side_by_side,
    "ends before starts": _starts_last,
    "no starts": _ends_only,
    "an old end again": _old_end_again,
    "the last event missing": _last_missing,
}


@pytest.mark.parametrize("order", _HARMFUL)
def test_a_harmful_order_is_told_from_a_right_one(
    marquez: FakeMarquez, snapshots: list[RunSnapshot], order: str
) -> None:
    tell(marquez.url, _HARMFUL[order]([events_of(run) for run in snapshots]))
    with pytest.raises(AssertionError, match="answers are wrong"):
        assert_answers(marquez.url, snapshots)


def test_a_catalog_that_was_told_nothing_is_told_from_a_right_one(
    marquez: FakeMarquez, snapshots: list[RunSnapshot]
) -> None:
    with pytest.raises(AssertionError, match="answers are wrong"):
        assert_answers(marquez.url, snapshots)
