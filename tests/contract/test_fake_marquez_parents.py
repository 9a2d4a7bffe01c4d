"""The stand-in catalog ties steps to their pipelines as Marquez was seen to.

All that only tells and asks runs on a real one too, where EXPORTER_TEST_MARQUEZ_URL names it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from support.catalog_answers import get, status_of
from support.lineage_catalogs import Teller

if TYPE_CHECKING:
    from fakes.marquez import FakeMarquez

PIPE = ("p", "pipe")


def state_of(teller: Teller, run: str) -> tuple[Any, ...]:
    """Give state, start and end of a run."""
    shown = teller.run(run)
    return shown["state"], shown["startedAt"], shown["endedAt"]


@pytest.mark.parametrize("told", ["pipe.step", "step"])
def test_a_step_is_tied_and_stored_under_its_full_name(teller: Teller, told: str) -> None:
    teller.tell("START", "pipe", "p", 0)
    teller.tell("START", told, "s", 1, parent=PIPE)
    teller.tell("COMPLETE", told, "s", 2, parent=PIPE)
    teller.tell("COMPLETE", "pipe", "p", 3)
    assert teller.jobs() == {"pipe", "pipe.step"}
    step = teller.job("pipe.step")
    assert (step["parentJobName"], step["simpleName"]) == ("pipe", "step")
    assert status_of(teller.url, f"{teller.base}/jobs/step") == 404
    assert len(get(teller.url, f"{teller.base}/jobs/pipe/runs")["runs"]) == 1


def test_a_parent_whose_name_is_not_exact_is_a_job_of_its_own(teller: Teller) -> None:
    teller.tell("START", "pipe", "p", 0)
    for kind in ("START", "COMPLETE"):
        teller.tell(kind, "pipe.step", "s", 1, parent=("p", "Pipe"))
    assert teller.jobs() == {"pipe", "Pipe", "Pipe.pipe.step"}
    assert len(get(teller.url, f"{teller.base}/jobs/Pipe/runs")["runs"]) == 1


def test_a_parent_whose_namespace_is_not_exact_is_a_run_of_its_own(teller: Teller) -> None:
    teller.tell("START", "pipe", "p", 0)
    for kind in ("START", "COMPLETE"):
        teller.tell(kind, "pipe.step", "s", 1, parent=(*PIPE, "zenml://another/local"))
    assert teller.jobs() == {"pipe", "pipe.step"}
    assert len(get(teller.url, f"{teller.base}/jobs/pipe/runs")["runs"]) == 2


def test_a_known_parent_in_another_namespace_is_tied(teller: Teller) -> None:
    elsewhere = f"{teller.namespace}/other"
    teller.tell("START", "pipe", "p", 0, namespace=elsewhere)
    teller.tell("START", "pipe.step", "s", 1, parent=(*PIPE, elsewhere))
    assert teller.jobs() == {"pipe.step"}
    assert teller.job("pipe.step")["parentJobName"] == "pipe"


def test_a_child_first_does_no_harm_in_one_namespace(teller: Teller) -> None:
    teller.tell("START", "pipe.step", "s", 1, parent=PIPE)
    teller.tell("COMPLETE", "pipe.step", "s", 2, parent=PIPE)
    teller.tell("START", "pipe", "p", 0)
    teller.tell("COMPLETE", "pipe", "p", 3)
    assert teller.jobs() == {"pipe", "pipe.step"}
    assert state_of(teller, "p") == ("COMPLETED", teller.time(0), teller.time(3))
    assert teller.run("p")["createdAt"] == teller.time(1)


def test_a_child_first_takes_the_parents_run_into_its_own_namespace_for_good(
    teller: Teller,
) -> None:
    elsewhere = f"{teller.namespace}/other"
    teller.tell("START", "pipe.step", "s", 1, parent=(*PIPE, elsewhere))
    teller.tell("START", "pipe", "p", 0, namespace=elsewhere)
    teller.tell("COMPLETE", "pipe", "p", 3, namespace=elsewhere)
    theirs = get(teller.url, f"/namespaces/{quote(elsewhere, safe='')}/jobs/pipe/runs")["runs"]
    ours = get(teller.url, f"{teller.base}/jobs/pipe/runs")["runs"]
    assert (len(theirs), [run["id"] for run in ours]) == (0, [teller.id("p")])


def test_a_childs_failure_alone_ends_the_parent_it_invents(teller: Teller) -> None:
    teller.tell("FAIL", "pipe.step", "s", 2, parent=PIPE)
    assert teller.run("p")["state"] == "FAILED"


@pytest.mark.parametrize(
    ("told", "jobs"),
    [("pipe.step", {"pipe", "pipe.step"}), ("step", {"pipe", "pipe.step", "step"})],
)
def test_an_end_without_parent_is_another_job_unless_the_name_is_whole(
    teller: Teller, told: str, jobs: set[str]
) -> None:
    teller.tell("START", "pipe", "p", 0)
    teller.tell("START", told, "s", 1, parent=PIPE)
    teller.tell("COMPLETE", told, "s", 2)
    assert teller.jobs() == jobs


def test_three_levels_are_tied_if_every_name_is_whole(teller: Teller) -> None:
    teller.tell("START", "g", "g", 0)
    teller.tell("START", "g.p", "p", 1, parent=("g", "g"))
    teller.tell("START", "g.p.c", "c", 2, parent=("p", "g.p"))
    assert {job: teller.job(job)["parentJobName"] for job in teller.jobs()} == {
        "g": None,
        "g.p": "g",
        "g.p.c": "g.p",
    }


def test_bare_names_of_a_third_level_invent_jobs(teller: Teller) -> None:
    teller.tell("START", "g", "g", 0)
    teller.tell("START", "p", "p", 1, parent=("g", "g"))
    teller.tell("START", "c", "c", 2, parent=("p", "p"))
    assert teller.jobs() == {"g", "g.p", "p", "p.c"}


def test_innermost_first_the_jobs_are_tied_and_the_middle_run_has_no_parent(
    marquez: FakeMarquez,
) -> None:
    teller = Teller(marquez.url, "zenml://acme/local")
    teller.tell("START", "g.p.c", "c", 2, parent=("p", "g.p"))
    teller.tell("START", "g.p", "p", 1, parent=("g", "g"))
    teller.tell("START", "g", "g", 0)
    assert teller.jobs() == {"g", "g.p", "g.p.c"}
    assert teller.job("g.p")["parentJobName"] == "g"
    runs = marquez.state.runs
    assert runs[teller.id("c")].parent == teller.id("p")
    assert runs[teller.id("p")].parent is None


def test_dots_in_a_pipelines_name_are_fine(teller: Teller) -> None:
    teller.tell("START", "a.b", "p", 0)
    teller.tell("START", "a.b.step", "s", 1, parent=("p", "a.b"))
    assert teller.jobs() == {"a.b", "a.b.step"}
    assert teller.job("a.b.step")["parentJobName"] == "a.b"


@pytest.mark.parametrize(("step", "pipe"), [("COMPLETE", "FAIL"), ("FAIL", "COMPLETE")])
def test_the_graph_gives_a_step_the_state_of_its_pipeline(
    teller: Teller, step: str, pipe: str
) -> None:
    teller.tell("START", "pipe", "p", 0)
    teller.tell("START", "pipe.step", "s", 1, parent=PIPE)
    teller.tell(step, "pipe.step", "s", 2, parent=PIPE, outputs=["d"])
    teller.tell(pipe, "pipe", "p", 3)
    states = {"COMPLETE": "COMPLETED", "FAIL": "FAILED"}
    node = quote(f"job:{teller.namespace}:pipe.step", safe="")
    graph = get(teller.url, f"/lineage?nodeId={node}")["graph"]
    (shown,) = [one["data"] for one in graph if one["type"] == "JOB"]
    assert shown["latestRun"]["state"] == states[pipe]
    assert teller.job("pipe.step")["latestRun"]["state"] == states[step]


def test_a_deleted_job_is_hidden_and_still_bridges_until_an_event_shows_it(
    marquez: FakeMarquez,
) -> None:
    teller = Teller(marquez.url, "zenml://acme/local")
    teller.whole("first", "f", 1, outputs=["a"])
    teller.whole("second", "s", 1, inputs=["a"], outputs=["b"])
    teller.whole("third", "t", 1, inputs=["b"])
    path = f"{teller.base}/jobs/second"
    assert marquez.delete(f"/api/v1{path}")[0] == 200
    assert status_of(teller.url, path) == 404
    assert teller.jobs() == {"first", "third"}
    assert {"first", "third"} <= teller.graph("job", "first")
    teller.whole("second", "s2", 2, inputs=["a"], outputs=["b"])
    assert status_of(teller.url, path) == 200


def test_what_is_told_of_the_past_is_forgotten_at_once(marquez: FakeMarquez) -> None:
    teller = Teller(marquez.url, "zenml://acme/local")
    teller.whole("old", "o", 1, outputs=["a"])
    teller.whole("new", "n", 20, outputs=["b"])
    marquez.state.forget(datetime(2026, 3, 13, tzinfo=UTC))
    assert teller.jobs() == {"new"}
    assert (teller.versions("a"), len(teller.versions("b"))) == ([], 1)
    assert status_of(teller.url, f"/jobs/runs/{teller.id('o')}") == 404
    assert {event["job"]["name"] for event in marquez.state.events} == {"new"}
