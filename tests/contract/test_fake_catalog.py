"""The catalog that tests stand up behaves as Marquez was seen to; so its answers mean something.

Each test is a row of what was observed on a real Marquez 0.51.1; those that only read and write
events run on a real one too, when EXPORTER_TEST_MARQUEZ_URL names it.
"""

from __future__ import annotations

import random
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from fakes.catalog import FakeCatalog, running_catalog
from support.catalog_answers import (
    Picture,
    answers_of,
    graph_of,
    picture_of,
    post,
    status_of,
    upstream_of,
)
from support.lineage_story import events_of, story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Json = dict[str, Any]  # Any: a parsed event

RUNS = [events_of(run) for run in story()]
RIGHT = picture_of(RUNS)
ENDS = {"COMPLETE", "FAIL", "ABORT"}
NS = "zenml://acme/local_stack"


@pytest.fixture
def catalog() -> Iterator[FakeCatalog]:
    with running_catalog() as running:
        yield running


def _sent(catalog: FakeCatalog, events: Iterable[Json]) -> Picture:
    for event in events:
        catalog.state.take(deepcopy(event))
    return answers_of(catalog.url, RIGHT)


def _flat(runs: Iterable[Iterable[Json]]) -> list[Json]:
    return [event for run in runs for event in run]


def test_the_story_has_48_events_and_everything_is_right(catalog: FakeCatalog) -> None:
    assert len(_flat(RUNS)) == 48
    for event in _flat(RUNS):
        assert post(catalog.url, event) == 201
    assert answers_of(catalog.url, RIGHT) == RIGHT
    assert len(graph_of(catalog.url, "job", (NS, "train.trainer"))) == 9
    deployed = next(e["run"]["runId"] for e in RUNS[2] if e["job"]["name"] == "train.deployer")
    jobs = {RIGHT.runs[run_id][0][1] for run_id in upstream_of(catalog.url, deployed)}
    assert jobs == {"train.deployer", "train.evaluator", "train.trainer", "train.importer"}


_CLEAN: dict[str, Callable[[], list[Json]]] = {
    "the whole again": lambda: _flat(RUNS) * 2,
    "every event twice in a row": lambda: [e for e in _flat(RUNS) for _ in range(2)],
    "terminal events again": lambda: (
        _flat(RUNS) + [e for e in _flat(RUNS) if e["eventType"] in ENDS]
    ),
    "resumed from the last event": lambda: _flat(RUNS)[:25] + _flat(RUNS)[24:],
    "resumed three events back": lambda: _flat(RUNS)[:21] + _flat(RUNS)[18:],
    "resumed two runs back": lambda: _flat(RUNS[:4]) + _flat(RUNS[2:]),
    "the newest again": lambda: _flat(RUNS) + RUNS[-1],
    "the pipeline's own events last": lambda: [
        e for run in RUNS for e in (*run[1:-1], run[0], run[-1])
    ],
    "the pipeline's own events first": lambda: [
        e for run in RUNS for e in (run[0], run[-1], *run[1:-1])
    ],
    "newest first, and the newest again": lambda: _flat(RUNS[::-1]) + RUNS[-1],
    "an older run again, and the newest": lambda: _flat(RUNS) + RUNS[1] + RUNS[-1],
}


@pytest.mark.parametrize("order", _CLEAN)
def test_harmless_orders_end_right(catalog: FakeCatalog, order: str) -> None:
    assert _sent(catalog, _CLEAN[order]()) == RIGHT


def test_newest_first_leaves_the_oldest_current(catalog: FakeCatalog) -> None:
    found = _sent(catalog, _flat(RUNS[::-1]))
    assert (found.runs, found.links, found.versions) == (RIGHT.runs, RIGHT.links, RIGHT.versions)
    assert found.current != RIGHT.current
    assert found.newest != RIGHT.newest


def test_an_old_end_again_links_wrong_for_ever(catalog: FakeCatalog) -> None:
    old = next(e for e in RUNS[0] if e["job"]["name"] == "train.trainer" and e["inputs"])
    found = _sent(catalog, [*_flat(RUNS), old])
    links = found.links[old["run"]["runId"]]
    assert {len(runs) for runs in links.values()} == {2}
    assert found.current != RIGHT.current
    assert _sent(catalog, RUNS[-1]).links != RIGHT.links


def test_a_late_start_opens_a_run_again_and_hides_its_edges(catalog: FakeCatalog) -> None:
    start = next(e for e in RUNS[0] if e["job"]["name"] == "train.trainer")
    found = _sent(catalog, [*_flat(RUNS), start])
    job = (NS, "train.trainer")
    assert found.runs[start["run"]["runId"]][1] == "RUNNING"
    assert found.edges[job] == (set(), set())


def test_consumers_before_producers_link_wrong(catalog: FakeCatalog) -> None:
    turned = []
    for run in RUNS:
        steps = [run[i : i + 2] for i in range(1, len(run) - 1, 2)]
        turned += [run[0], *_flat(steps[::-1]), run[-1]]
    found = _sent(catalog, turned)
    readers = [run_id for run_id, links in RIGHT.links.items() if links]
    assert all(found.links[run_id] != RIGHT.links[run_id] for run_id in readers)
    first = next(e["run"]["runId"] for e in RUNS[0] if e["job"]["name"] == "train.trainer")
    assert status_of(catalog.url, f"/runlineage/upstream?runId={first}&depth=20") == 500


def test_the_end_before_the_start_leaves_all_running(catalog: FakeCatalog) -> None:
    turned = [e for run in RUNS for e in sorted(run, key=lambda e: e["eventType"] == "START")]
    assert {state for _, state, *_ in _sent(catalog, turned).runs.values()} == {"RUNNING"}


def test_without_starts_only_the_start_times_are_missing(catalog: FakeCatalog) -> None:
    found = _sent(catalog, [e for e in _flat(RUNS) if e["eventType"] in ENDS])
    assert {start for _, _, start, _ in found.runs.values()} == {None}
    assert found.links == RIGHT.links


def test_job_by_job_links_wrong(catalog: FakeCatalog) -> None:
    found = _sent(catalog, sorted(_flat(RUNS), key=lambda event: str(event["job"]["name"])))
    assert found.links != RIGHT.links


def test_interleaved_runs_link_wrong(catalog: FakeCatalog) -> None:
    queues = [list(run) for run in RUNS]
    chance, mixed = random.Random(7), list[Json]()
    while any(queues):
        mixed.append(chance.choice([queue for queue in queues if queue]).pop(0))
    assert _sent(catalog, mixed).links != RIGHT.links


def test_pipelines_without_common_datasets_may_be_mixed(catalog: FakeCatalog) -> None:
    runs = [[events_of(run) for run in story(name)] for name in ("a", "b", "c", "d")]
    right = picture_of(_flat_runs(runs))
    for group in zip(*(_flat(one) for one in runs), strict=True):
        for event in group:
            catalog.state.take(event)
    assert answers_of(catalog.url, right) == right


def _flat_runs(runs: Iterable[Iterable[list[Json]]]) -> list[list[Json]]:
    return [run for one in runs for run in one]


def _of(kind: str, **more: Any) -> Json:
    event = next(e for e in RUNS[0] if e["job"]["name"] == "train.trainer")
    end = next(e for e in RUNS[0] if e["job"]["name"] == "train.trainer" and e is not event)
    return deepcopy({**(event if kind == "START" else end), "eventType": kind, **more})


def test_what_follows_an_end_opens_the_run_until_start_and_end_come_again(
    catalog: FakeCatalog,
) -> None:
    run_id = _of("START")["run"]["runId"]
    for kind in ("START", "COMPLETE", "OTHER"):
        catalog.state.take(_of(kind))
    assert catalog.state.runs[run_id].state == "RUNNING"
    catalog.state.take(_of("COMPLETE"))
    run = catalog.state.runs[run_id]
    assert (run.state, run.started_at) == ("COMPLETED", _of("COMPLETE")["eventTime"])
    for kind in ("START", "COMPLETE"):
        catalog.state.take(_of(kind))
    assert catalog.state.runs[run_id].started_at == _of("START")["eventTime"]


def test_a_failed_end_with_outputs_keeps_the_edges_and_not_the_current_version(
    catalog: FakeCatalog,
) -> None:
    failed = next(e for e in RUNS[3] if e["eventType"] == "FAIL" and e["outputs"])
    for event in _flat(RUNS[:3]):
        catalog.state.take(event)
    before = answers_of(catalog.url, picture_of(RUNS[:3]))
    for event in RUNS[3]:
        catalog.state.take(event)
    after = answers_of(catalog.url, picture_of(RUNS[:4]))
    report = (NS, "train.evaluator.report")
    assert after.current[report] == before.current[report]
    assert failed["run"]["runId"] in after.versions[report]
    bare = deepcopy(failed) | {"outputs": []}
    catalog.state.runs.pop(failed["run"]["runId"])
    catalog.state.take(bare)
    assert catalog.state.jobs[tuple_name(NS, "train.evaluator")].outputs == set()


def tuple_name(namespace: str, name: str) -> Any:
    """Give a name as the catalog keeps it."""
    return (namespace, name)


def test_a_parent_whose_name_is_not_exact_is_another_job(catalog: FakeCatalog) -> None:
    catalog.state.take(RUNS[0][0])
    wrong = _of("START")
    wrong["run"]["facets"]["parent"]["job"]["name"] = "Train"
    catalog.state.take(wrong)
    assert {name.name for name in catalog.state.jobs} == {"train", "Train", "Train.train.trainer"}


def test_a_child_without_its_prefix_is_stored_with_it(catalog: FakeCatalog) -> None:
    catalog.state.take(RUNS[0][0])
    catalog.state.take(_of("START", job={"namespace": NS, "name": "trainer", "facets": {}}))
    assert (NS, "train.trainer") in catalog.state.jobs


def test_an_input_that_nobody_made_breaks_run_lineage_below_it(catalog: FakeCatalog) -> None:
    end = _of("COMPLETE")
    for event in (RUNS[0][0], _of("START"), end):
        assert post(catalog.url, event) == 201
    path = f"/runlineage/upstream?runId={end['run']['runId']}&depth=20"
    assert status_of(catalog.url, path) == 500


def test_what_a_reader_says_of_a_dataset_is_said_of_its_newest_version(
    catalog: FakeCatalog,
) -> None:
    for event in _flat(RUNS):
        catalog.state.take(event)
    end = _of("COMPLETE")
    end["run"]["runId"] = "00000000-0000-7000-8000-000000000001"
    end["inputs"] = [{**end["inputs"][0], "facets": {"version": {"datasetVersion": "old"}}}]
    catalog.state.take(end)
    dataset = catalog.state.datasets[tuple_name(NS, "train.importer.train")]
    assert dataset.current is not None
    assert dataset.current.facets["version"] == {"datasetVersion": "old"}


_BAD = {"namespace": "zenml://a b", "name": "x", "facets": {}}
_LINK = {"_producer": "p:", "_schemaURL": "s:", "identifiers": [{**_BAD, "type": "LOCATION"}]}
_POISONS = {
    "output on START": (_of("START", outputs=[_BAD]), {201}, True),
    "output on COMPLETE": (_of("COMPLETE", outputs=[_BAD]), {400, 500}, True),
    "input": (_of("COMPLETE", inputs=[_BAD]), {400}, False),
    "symlink": (
        _of("COMPLETE", outputs=[{"namespace": NS, "name": "y", "facets": {"symlinks": _LINK}}]),
        {201},
        True,
    ),
    "job without namespace": (
        _of("START", job={"namespace": "", "name": "x", "facets": {}}),
        {400},
        True,
    ),
}


@pytest.mark.parametrize("which", _POISONS)
def test_one_bad_namespace_breaks_reads_for_everybody_and_for_good(
    catalog: FakeCatalog, which: str
) -> None:
    event, statuses, breaks = _POISONS[which]
    assert status_of(catalog.url, "/namespaces") == 200
    assert post(catalog.url, event) in statuses
    assert status_of(catalog.url, "/namespaces") == (500 if breaks else 200)
    assert post(catalog.url, RUNS[0][0]) == 201
    assert status_of(catalog.url, "/namespaces") == (500 if breaks else 200)


def test_a_refused_event_may_have_changed_the_run(catalog: FakeCatalog) -> None:
    post(catalog.url, _of("START"))
    end = _of("COMPLETE")
    end["job"]["facets"]["documentation"] = {"_producer": "p:", "_schemaURL": "s:", "x": "\0"}
    assert post(catalog.url, end) == 500
    run = catalog.state.runs[end["run"]["runId"]]
    assert (run.state, run.outputs) == ("COMPLETED", [])


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"eventType": None}, 500),
        ({"inputs": [{"namespace": NS, "name": "x" * 3000}]}, 500),
        ({"inputs": [{"namespace": NS, "name": "x" * 2000}]}, 201),
        ({"job": {"namespace": NS, "name": "x", "facets": {"jobType": {}}}}, 422),
        ({"job": {"namespace": NS, "name": "x", "facets": {"sql": {"query": "x"}}}}, 422),
        ({"job": {"namespace": NS, "name": "x", "facets": {"own": {"query": "x"}}}}, 201),
        ({"job": {"namespace": NS, "name": "x", "facets": {"o" * 256: {}}}}, 500),
        ({"job": {"namespace": NS, "name": "x", "facets": {"own": {"n": float("nan")}}}}, 500),
        ({"job": {"namespace": NS, "name": ""}}, 400),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, int) else "",
)
def test_limits_are_answered_as_seen(catalog: FakeCatalog, change: Json, status: int) -> None:
    assert post(catalog.url, _of("COMPLETE", **change)) == status


def test_a_node_whose_name_begins_with_a_digit_cannot_be_looked_at(catalog: FakeCatalog) -> None:
    output = {"namespace": NS, "name": "2026_data", "facets": {}}
    assert post(catalog.url, _of("COMPLETE", outputs=[output])) == 201
    assert status_of(catalog.url, f"/lineage?nodeId=dataset:{NS}:2026_data&depth=2") == 500
    assert status_of(catalog.url, f"/lineage?nodeId=job:{NS}:train.trainer&depth=2") == 200
