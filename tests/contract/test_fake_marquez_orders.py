"""What becomes of one history in the stand-in catalog, by the order in which it is told.

One pipeline of four steps runs on five days and fails on the fourth, in the evaluator. Each order
was tried on Marquez 0.51.1 and left there what is asserted here; all but the race run on a real one
too, where EXPORTER_TEST_MARQUEZ_URL names it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from support.catalog_answers import (
    Picture,
    answers_of,
    differences,
    get,
    graph_of,
    picture_of,
    post,
    status_of,
    upstream_of,
)
from support.catalog_checks import assert_answers
from support.lineage_story import day_of, events_of, story

if TYPE_CHECKING:
    from fakes.marquez import FakeMarquez

    from exporter.hierarchy import RunSnapshot

Json = dict[str, Any]  # Any: a parsed event
Runs = list[list[Json]]
ENDS = {"COMPLETE", "FAIL", "ABORT"}


@dataclass
class Told:
    """The history, its events by run, what is right, and a catalog to tell it to."""

    url: str
    snapshots: list[RunSnapshot]
    runs: Runs = field(init=False)
    right: Picture = field(init=False)

    def __post_init__(self) -> None:
        self.runs = [events_of(run) for run in self.snapshots]
        self.right = picture_of(self.runs)

    def tell(self, events: Iterable[Json]) -> Picture:
        """Send events one after the other; give what the catalog answers."""
        for event in events:
            assert post(self.url, event) == 201
        return answers_of(self.url, self.right)

    def step(self, day: int, name: str) -> list[Json]:
        """Give the events of one step on one day."""
        return [e for e in self.runs[day - 1] if e["job"]["name"] == f"train.{name}"]

    def run_id(self, day: int, name: str) -> str:
        """Give the id of a step's run on one day."""
        return str(self.step(day, name)[0]["run"]["runId"])

    @property
    def namespace(self) -> str:
        """Give the namespace of the jobs."""
        return str(self.runs[0][0]["job"]["namespace"])

    def wrong_links(self, found: Picture) -> set[str]:
        """Give the runs whose links are not right."""
        return {one for one, links in found.links.items() if links != self.right.links[one]}

    @property
    def readers(self) -> set[str]:
        """Give the runs that read something."""
        return {one for one, links in self.right.links.items() if links}


@pytest.fixture
def told(catalog_url: str, repository: str) -> Told:
    return Told(catalog_url, story(repository=repository))


def flat(runs: Iterable[Iterable[Json]]) -> list[Json]:
    return [event for run in runs for event in run]


def ends(events: Iterable[Json]) -> list[Json]:
    return [event for event in events if event["eventType"] in ENDS]


def test_settled_oldest_first_everything_is_right(told: Told) -> None:
    assert len(flat(told.runs)) == 48
    assert told.tell(flat(told.runs)) == told.right
    assert_answers(told.url, told.snapshots)
    assert len(graph_of(told.url, "job", (told.namespace, "train.trainer"))) == 9
    assert upstream_of(told.url, told.run_id(3, "deployer")) == {
        told.run_id(3, name) for name in ("deployer", "evaluator", "trainer", "importer")
    }


def test_what_is_shown_of_a_settled_history(told: Told) -> None:
    told.tell(flat(told.runs))
    base = f"/namespaces/{told.namespace.replace(':', '%3A').replace('/', '%2F')}"
    versions = get(told.url, f"{base}/datasets/train.trainer.model/versions")["versions"]
    assert [one["createdByRun"]["id"] for one in versions] == [
        told.run_id(day, "trainer") for day in (5, 4, 3, 2, 1)
    ]
    labels = [one["facets"]["version"]["datasetVersion"] for one in versions]
    assert labels == [f"train-{day}-trainer-model" for day in (5, 4, 3, 2, 1)]
    assert {one["facets"]["datasetType"]["datasetType"] for one in versions} == {"MODEL"}
    assert {one["type"] for one in versions} == {"DB_TABLE"}
    assert all("pipelineExporter_artifact" in one["facets"] for one in versions)
    assert set(get(told.url, f"{base}/jobs/train.trainer")["labels"]) >= {"STEP", "ZENML"}
    # The pipeline itself is in no graph of its steps, and its run has no datasets.
    assert graph_of(told.url, "job", (told.namespace, "train")) == {f"job:{told.namespace}:train"}


_CLEAN: dict[str, Callable[[Runs], list[Json]]] = {
    "whole export again": lambda runs: flat(runs) * 2,
    "all ends again": lambda runs: flat(runs) + ends(flat(runs)),
    "every event twice in a row": lambda runs: [e for e in flat(runs) for _ in range(2)],
    "resumed from the last event": lambda runs: flat(runs)[:25] + flat(runs)[24:],
    "resumed three events back across a run": lambda runs: flat(runs)[:21] + flat(runs)[18:],
    "resumed from the start of the run": lambda runs: flat(runs)[:27] + flat(runs)[20:],
    "resumed two runs back": lambda runs: flat(runs)[:35] + flat(runs)[10:],
    "the newest run again": lambda runs: flat(runs) + runs[-1],
    "steps before their pipeline": lambda runs: flat([*r[1:-1], r[0], r[-1]] for r in runs),
    "pipeline before its steps": lambda runs: flat([r[0], r[-1], *r[1:-1]] for r in runs),
    "all starts, then all ends": lambda runs: (
        [e for e in flat(runs) if e["eventType"] == "START"] + ends(flat(runs))
    ),
    "newest first, and the newest again": lambda runs: flat(runs[::-1]) + runs[-1],
    "an older run again, and the newest": lambda runs: flat(runs) + runs[1] + runs[-1],
}


@pytest.mark.parametrize("order", _CLEAN)
def test_a_harmless_order_ends_right(told: Told, order: str) -> None:
    found = told.tell(_CLEAN[order](told.runs))
    assert differences(found, told.right) == []
    assert_answers(told.url, told.snapshots)


def test_inputs_on_start_too_are_right_in_order(told: Told) -> None:
    for run in told.runs:
        for start, end in zip(run[1:-1:2], run[2:-1:2], strict=True):
            start["inputs"] = end["inputs"]
    assert told.tell(flat(told.runs)) == told.right


def test_all_starts_first_leave_no_edges_until_the_ends(told: Told) -> None:
    found = told.tell(flat(told.runs))
    assert any(inputs for inputs, _ in found.edges.values())
    found = told.tell(e for e in flat(told.runs) if e["eventType"] == "START")
    assert {edges == (set(), set()) for edges in found.edges.values()} == {True}


def test_newest_first_leaves_the_oldest_current(told: Told) -> None:
    found = told.tell(flat(told.runs[::-1]))
    right = told.right
    assert (found.runs, found.links, found.versions) == (right.runs, right.links, right.versions)
    assert set(found.current.values()) <= {e["run"]["runId"] for e in told.runs[0]}
    assert set(found.newest.values()) <= {e["run"]["runId"] for e in told.runs[0]}


def test_an_older_run_again_leaves_it_current_until_the_newest_comes_again(told: Told) -> None:
    found = told.tell(flat(told.runs) + told.runs[1])
    assert found.links == told.right.links
    model = (told.namespace, "train.trainer.model")
    assert found.current[model] == told.run_id(2, "trainer")
    assert told.tell(told.runs[-1]) == told.right


def test_one_old_end_alone_again_links_wrong_for_ever(told: Told) -> None:
    old = told.step(1, "trainer")[1]
    found = told.tell([*flat(told.runs), old])
    assert told.wrong_links(found) == {told.run_id(1, "trainer")}
    model = (told.namespace, "train.trainer.model")
    assert found.current[model] == told.run_id(1, "trainer")
    found = told.tell(told.runs[-1])
    assert found.current == told.right.current
    assert told.wrong_links(found) == {told.run_id(1, "trainer")}


def test_a_late_start_again_opens_the_run_and_hides_the_jobs_edges(told: Told) -> None:
    found = told.tell([*flat(told.runs), told.step(1, "trainer")[0]])
    assert found.runs[told.run_id(1, "trainer")][1] == "RUNNING"
    assert found.edges[told.namespace, "train.trainer"] == (set(), set())
    with pytest.raises(AssertionError, match="is RUNNING"):
        assert_answers(told.url, told.snapshots)


def test_pipelines_without_common_datasets_may_be_told_side_by_side(
    catalog_url: str, repository: str
) -> None:
    names = ("a", "b", "c", "d")
    snapshots = {name: story(name, repository=repository) for name in names}
    lanes = [flat(events_of(run) for run in snapshots[name]) for name in names]
    with ThreadPoolExecutor(len(lanes)) as pool:
        list(pool.map(lambda lane: [post(catalog_url, event) for event in lane], lanes))
    for name in names:
        assert_answers(catalog_url, snapshots[name])


def test_runs_told_in_between_each_other_link_wrong(told: Told) -> None:
    chance, waiting, mixed = random.Random(7), [list(run) for run in told.runs], list[Json]()
    while any(waiting):
        mixed.append(chance.choice([run for run in waiting if run]).pop(0))
    found = told.tell(mixed)
    assert len(told.wrong_links(found)) > len(told.readers) // 2
    assert found != told.right


def test_consumers_before_producers_all_link_wrong(told: Told) -> None:
    turned = list[Json]()
    for run in told.runs:
        steps = [run[position : position + 2] for position in range(1, len(run) - 1, 2)]
        turned += [run[0], *flat(steps[::-1]), run[-1]]
    found = told.tell(turned)
    assert told.wrong_links(found) == told.readers
    assert len(told.readers) == 14
    assert any("None" in made for made in found.versions.values())
    first = told.run_id(1, "trainer")
    assert status_of(told.url, f"/runlineage/upstream?runId={first}") == 500


def test_job_by_job_links_wrong(told: Told) -> None:
    jobs = ["train", *(f"train.{one}" for one in ("importer", "trainer", "evaluator", "deployer"))]
    events = [e for job in jobs for e in flat(told.runs) if e["job"]["name"] == job]
    # Of 14: the three of the newest run are right.
    assert len(told.wrong_links(told.tell(events))) == 11


def test_ends_before_starts_leave_all_running(told: Told) -> None:
    turned = flat(sorted(run, key=lambda e: e["eventType"] == "START") for run in told.runs)
    assert {state for _, state, *_ in told.tell(turned).runs.values()} == {"RUNNING"}


def test_without_starts_only_the_start_times_are_missing(told: Told) -> None:
    found = told.tell(ends(flat(told.runs)))
    assert {start for _, _, start, _ in found.runs.values()} == {None}
    for run_id, (job, state, _, end) in told.right.runs.items():
        found.runs[run_id] = (job, state, told.right.runs[run_id][2], end)
    assert found == told.right


def test_overlapping_runs_link_wrong_by_event_time_and_right_run_by_run(
    catalog_url: str, repository: str
) -> None:
    def overlapping(name: str) -> list[list[Json]]:
        runs = [events_of(day_of(name, day, repository=repository)) for day in (1, 2)]
        for late, run in enumerate(runs):
            for position, event in enumerate(run):
                event["eventTime"] = f"2026-03-01T08:{2 * position + late:02}:00Z"
        return runs

    by_run, by_time = overlapping("one"), overlapping("two")
    right = picture_of(by_run)
    for event in flat(by_run):
        assert post(catalog_url, event) == 201
    assert answers_of(catalog_url, right).links == right.links
    right = picture_of(by_time)
    for event in sorted(flat(by_time), key=lambda event: str(event["eventTime"])):
        assert post(catalog_url, event) == 201
    assert answers_of(catalog_url, right).links != right.links


def test_a_reader_of_an_old_version_is_linked_right_by_that_versions_end_sent_around_it(
    told: Told,
) -> None:
    before = told.tell(flat(told.runs))
    reader = day_of("reads", 6, repository=told.snapshots[0].repository, reads=told.snapshots[1])
    old, newest = told.step(2, "trainer")[1], told.step(5, "trainer")[1]
    # Without their inputs: those would be linked to what is newest today.
    old, newest = {**old, "inputs": []}, {**newest, "inputs": []}
    for event in [old, *events_of(reader), newest]:
        assert post(told.url, event) == 201
    after = answers_of(told.url, told.right)
    assert after == before
    shown = get(told.url, f"/jobs/runs/{events_of(reader)[1]['run']['runId']}")
    (read,) = shown["inputDatasetVersions"]
    assert read["datasetVersionId"]["name"] == "train.trainer.model"
    upstream = upstream_of(told.url, str(events_of(reader)[1]["run"]["runId"]))
    assert told.run_id(2, "trainer") in upstream
    assert told.run_id(5, "trainer") not in upstream


def test_two_events_of_a_run_under_way_at_once_are_noted_and_may_be_made_to_harm(
    marquez: FakeMarquez,
) -> None:
    events = events_of(story()[0])
    marquez.takes_s, marquez.harms_races = 0.2, True
    for event in events[:1]:
        post(marquez.url, event)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda e: post(marquez.url, e), events[1:3])) == [201, 201]
    run_id = events[1]["run"]["runId"]
    assert marquez.together == {run_id}
    assert get(marquez.url, f"/jobs/runs/{run_id}")["state"] == "RUNNING"
