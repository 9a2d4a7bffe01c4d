"""The stand-in catalog treats runs, datasets and readers as Marquez was seen to.

Each test is something observed on Marquez 0.51.1. All that only tells and asks runs on a real one
too, where EXPORTER_TEST_MARQUEZ_URL names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.catalog_answers import get, post
from support.lineage_catalogs import FACET, Teller

if TYPE_CHECKING:
    from fakes.marquez import FakeMarquez

Json = dict[str, Any]  # Any: facets


def wrote(name: str, **facets: Any) -> Json:
    """Give a dataset with facets that say who told them."""
    return {"name": name, "facets": {key: {**FACET, **told} for key, told in facets.items()}}


def columns(*names: str) -> Json:
    return {"fields": [{"name": name, "type": "INT"} for name in names]}


# --- states -------------------------------------------------------------------------------------


def test_running_moves_the_start(teller: Teller) -> None:
    teller.tell("START", "job", "r", 0)
    teller.tell("RUNNING", "job", "r", 5)
    run = teller.run("r")
    assert (run["state"], run["startedAt"]) == ("RUNNING", teller.time(5))


def test_anything_after_the_end_opens_the_run_again(teller: Teller) -> None:
    teller.whole("job", "r", 1)
    teller.tell("OTHER", "job", "r", 7)
    run = teller.run("r")
    assert (run["state"], run["durationMs"]) == ("RUNNING", -120_000)
    teller.tell("COMPLETE", "job", "r", 5)
    run = teller.run("r")
    assert (run["state"], run["startedAt"]) == ("COMPLETED", teller.time(7))
    teller.tell("START", "job", "r", 0)
    assert teller.run("r")["state"] == "RUNNING"
    teller.tell("COMPLETE", "job", "r", 5)
    run = teller.run("r")
    assert (run["state"], run["startedAt"], run["endedAt"], run["durationMs"]) == (
        "COMPLETED",
        teller.time(0),
        teller.time(5),
        300_000,
    )


def test_an_end_alone_has_no_start(teller: Teller) -> None:
    teller.tell("COMPLETE", "job", "r", 5)
    run = teller.run("r")
    assert (run["state"], run["startedAt"], run["createdAt"]) == (
        "COMPLETED",
        None,
        teller.time(5),
    )


@pytest.mark.parametrize(
    ("kind", "state"),
    [("COMPLETE", "COMPLETED"), ("FAIL", "FAILED"), ("ABORT", "ABORTED"), ("DONE", "RUNNING")],
)
def test_each_type_of_event_means_a_state(teller: Teller, kind: str, state: str) -> None:
    teller.tell(kind, "job", "r", 5)
    assert teller.run("r")["state"] == state


# --- sent again ---------------------------------------------------------------------------------


def test_the_newest_end_again_changes_nothing_but_the_list_of_events(teller: Teller) -> None:
    teller.whole("maker", "m", 1, outputs=["d"])
    teller.whole("reader", "r", 2, inputs=["d"], outputs=["e"])

    def seen() -> list[object]:
        return [teller.links("r"), teller.versions("e"), teller.graph("job", "reader")]

    before, told = seen(), kept(teller)
    assert teller.send(teller.sent[-1]) == 201
    assert seen() == before
    assert kept(teller) == told + 1


def kept(teller: Teller) -> int:
    """Give how many events of a namespace are kept."""
    events = get(teller.url, "/events/lineage?limit=1000")["events"]
    return sum(event["job"]["namespace"] == teller.namespace for event in events)


def test_an_older_end_again_makes_old_things_current_and_adds_a_link_for_ever(
    teller: Teller,
) -> None:
    for day in (1, 2):
        teller.whole("maker", f"m{day}", day, outputs=["d"])
        teller.whole("reader", f"r{day}", day, inputs=["d"], outputs=["e"])
    old = next(e for e in teller.sent if e["run"]["runId"] == teller.id("r1") and e["outputs"])
    teller.send(old)
    assert teller.current("e") == teller.id("r1")
    assert teller.job("reader")["latestRun"]["id"] == teller.id("r1")
    both = [teller.id("m1"), teller.id("m2")]
    assert teller.links("r1") == {"d": both}
    assert teller.upstream("r1") == {teller.id("r1"), *both}
    newest = [e for e in teller.sent if e["run"]["runId"] == teller.id("r2")]
    for event in newest:
        teller.send(event)
    assert teller.current("e") == teller.job("reader")["latestRun"]["id"] == teller.id("r2")
    assert teller.links("r1") == {"d": both}


def test_an_older_end_again_links_the_job_to_that_runs_version(teller: Teller) -> None:
    teller.whole("job", "r1", 1, outputs=["a"])
    teller.whole("job", "r2", 2, outputs=["b"])
    teller.day = 1
    teller.tell("COMPLETE", "job", "r1", 5, outputs=["a"])
    assert teller.edges("job")[1] == {"a"}


# --- edges --------------------------------------------------------------------------------------


def test_a_start_without_datasets_takes_the_edges_away_until_the_end(teller: Teller) -> None:
    teller.whole("maker", "m", 1, outputs=["d"])
    teller.whole("reader", "r", 1, inputs=["d"], outputs=["e"])
    teller.day = 2
    teller.tell("START", "maker", "m2", 0)
    teller.tell("START", "reader", "r2", 1)
    assert teller.edges("reader") == (set(), set())
    assert teller.graph("dataset", "d") == {"d"}
    teller.tell("COMPLETE", "reader", "r2", 2, inputs=["d"], outputs=["e"])
    assert teller.edges("reader") == ({"d"}, {"e"})


def test_a_start_with_bare_names_keeps_the_edges_but_makes_a_version(teller: Teller) -> None:
    teller.whole("maker", "m", 1, inputs=["raw"], outputs=["d"])
    teller.day = 2
    teller.tell("START", "maker", "m2", 0, inputs=["raw"], outputs=["d"])
    assert teller.edges("maker") == ({"raw"}, {"d"})
    assert teller.makers("d") == [teller.id("m2"), teller.id("m")]
    assert teller.current("d") == teller.id("m")


@pytest.mark.parametrize("kind", ["FAIL", "ABORT"])
def test_a_bad_end_without_outputs_takes_the_output_edge_away(teller: Teller, kind: str) -> None:
    teller.whole("maker", "m", 1, inputs=["raw"], outputs=["d"])
    teller.day = 2
    teller.tell("START", "maker", "m2", 0)
    teller.tell(kind, "maker", "m2", 1, inputs=["raw"])
    assert teller.edges("maker") == ({"raw"}, set())


@pytest.mark.parametrize("kind", ["FAIL", "ABORT"])
def test_a_bad_end_with_outputs_keeps_the_edge_and_adds_a_version_that_is_not_current(
    teller: Teller, kind: str
) -> None:
    teller.whole("maker", "m", 1, outputs=["d"])
    teller.day = 2
    teller.tell("START", "maker", "m2", 0)
    teller.tell(kind, "maker", "m2", 1, outputs=["d"])
    assert teller.edges("maker") == (set(), {"d"})
    assert teller.makers("d") == [teller.id("m2"), teller.id("m")]
    assert teller.current("d") == teller.id("m")


def test_the_graph_shows_the_datasets_of_the_last_version_only(teller: Teller) -> None:
    teller.whole("maker", "m1", 1, inputs=["raw"], outputs=["a"])
    teller.whole("maker", "m2", 2, outputs=["b"])
    assert teller.graph("job", "maker") == {"maker", "b"}
    assert teller.graph("dataset", "a") == {"a"}
    versions = get(teller.url, f"{teller.base}/jobs/maker/versions")["versions"]
    assert [[d["name"] for d in v["outputs"]] for v in versions] == [["b"], ["a"]]


# --- versions and links -------------------------------------------------------------------------


def test_an_input_on_start_and_on_the_end_is_two_links_if_another_version_came_between(
    teller: Teller,
) -> None:
    teller.whole("maker", "m1", 1, outputs=["d"])
    teller.day = 3
    teller.tell("START", "reader", "r", 0, inputs=["d"])
    teller.whole("maker", "m2", 2, outputs=["d"])
    teller.day = 3
    teller.tell("COMPLETE", "reader", "r", 5, inputs=["d"])
    assert teller.links("r") == {"d": [teller.id("m1"), teller.id("m2")]}


def test_neither_a_version_nor_a_time_chooses_what_an_input_is_linked_to(teller: Teller) -> None:
    for day in (2, 3):
        version = {"datasetVersion": str(day)}
        teller.whole("maker", f"m{day}", day, outputs=[wrote("d", version=version)])
    teller.whole("reader", "r", 2, inputs=[wrote("d", version={"datasetVersion": "2"})])
    assert teller.links("r") == {"d": [teller.id("m3")]}


def test_what_nobody_made_is_a_version_without_run_and_its_reader_stays_with_it(
    teller: Teller,
) -> None:
    teller.whole("reader", "r", 1, inputs=["d"])
    assert teller.makers("d") == [None]
    teller.whole("maker", "m", 2, outputs=["d"])
    assert teller.links("r") == {"d": [None]}
    assert teller.makers("d") == [teller.id("m"), None]
    teller.whole("reader", "r2", 3, inputs=["d"])
    assert teller.links("r2") == {"d": [teller.id("m")]}


@pytest.mark.parametrize(
    ("second", "versions"),
    [
        (wrote("d", schema=columns("a", "b")), 2),
        (wrote("d", schema=columns("a"), dataSource={"name": "s3", "uri": "s3://b"}), 2),
        (wrote("d", schema=columns("a"), documentation={"description": "new"}), 1),
    ],
    ids=["columns", "source", "facets"],
)
def test_other_columns_or_another_source_make_a_second_version_of_one_run(
    teller: Teller, second: Json, versions: int
) -> None:
    teller.whole("maker", "m", 1, outputs=[wrote("d", schema=columns("a"))])
    teller.tell("COMPLETE", "maker", "m", 5, outputs=[second])
    assert teller.makers("d") == [teller.id("m")] * versions


def test_runs_behind_an_input_that_nobody_made_are_not_shown_unless_a_job_announced_it(
    teller: Teller,
) -> None:
    teller.whole("reader", "r", 1, inputs=["table"], outputs=["d"])
    teller.whole("second", "s", 2, inputs=["d"])
    assert [teller.upstream_status(run) for run in ("r", "s")] == [500, 500]
    assert teller.graph("job", "second") == {"table", "reader", "d", "second"}
    teller.whole("source", "announce", 1, outputs=["other"])
    teller.whole("reader", "r2", 3, inputs=["other"])
    assert teller.upstream("r2") == {teller.id("r2"), teller.id("announce")}


def test_an_event_of_a_dataset_makes_a_current_version_that_no_run_made(teller: Teller) -> None:
    teller.whole("maker", "m", 1, outputs=["d"])
    assert post(teller.url, dataset_event(teller, "d")) == 201
    assert teller.current("d") is None
    assert len(teller.versions("d")) == 2
    teller.whole("reader", "r", 3, inputs=["d"], outputs=["e"])
    teller.whole("next", "n", 4, inputs=["e"])
    assert [teller.upstream_status(run) for run in ("r", "n")] == [500, 500]


def test_a_dropped_dataset_is_listed_as_deleted(teller: Teller) -> None:
    teller.whole("maker", "m", 1, outputs=["d"])
    change = {"lifecycleStateChange": {**FACET, "lifecycleStateChange": "DROP"}}
    assert post(teller.url, dataset_event(teller, "d", **change)) == 201
    listed = get(teller.url, f"{teller.base}/datasets")["datasets"]
    assert [(one["name"], one["deleted"]) for one in listed] == [("d", True)]


def dataset_event(teller: Teller, name: str, **facets: Any) -> Json:
    schema = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/DatasetEvent"
    return {
        "eventTime": "2026-03-02T09:00:00Z",
        "dataset": {"namespace": teller.namespace, "name": name, "facets": facets},
        "producer": "https://example.org/",
        "schemaURL": schema,
    }


# --- facets -------------------------------------------------------------------------------------


def test_a_readers_facets_relabel_the_version_it_is_linked_to(teller: Teller) -> None:
    for day in (1, 2):
        version = {"datasetVersion": str(day)}
        teller.whole("maker", f"m{day}", day, outputs=[wrote("d", version=version)])
    teller.whole("reader", "r", 3, inputs=[wrote("d", version={"datasetVersion": "1"})])
    labels = [one["facets"]["version"]["datasetVersion"] for one in teller.versions("d")]
    assert labels == ["1", "1"]


def test_a_readers_statistics_replace_the_producers(teller: Teller) -> None:
    quality = {"rowCount": 10, "columnMetrics": {}}
    teller.whole("maker", "m", 1, outputs=[wrote("d", dataQualityMetrics=quality)])
    told = {"dataQualityMetrics": {**FACET, "rowCount": 3, "columnMetrics": {}}}
    teller.whole("reader", "r", 2, inputs=[{"name": "d", "facets": {}, "inputFacets": told}])
    assert teller.shown("d")["facets"]["dataQualityMetrics"]["rowCount"] == 3


def test_input_facets_under_a_key_of_their_own_harm_nothing_and_show_on_the_run(
    teller: Teller,
) -> None:
    teller.whole("maker", "m", 1, outputs=[wrote("d", version={"datasetVersion": "1"})])
    told = {"pipelineExporter_read": {**FACET, "count": 1}}
    teller.whole("reader", "r", 2, inputs=[{"name": "d", "facets": {}, "inputFacets": told}])
    assert teller.shown("d")["facets"]["version"]["datasetVersion"] == "1"
    (read,) = teller.run("r")["inputDatasetVersions"]
    assert read["facets"]["pipelineExporter_read"]["count"] == 1


def test_a_mention_without_a_description_takes_the_description_away(teller: Teller) -> None:
    teller.whole("maker", "m", 1, outputs=[wrote("d", documentation={"description": "Rows."})])
    assert teller.shown("d")["description"] == "Rows."
    teller.whole("reader", "r", 2, inputs=["d"])
    assert teller.shown("d")["description"] is None


def test_a_correction_a_moment_later_wins_and_makes_no_version(teller: Teller) -> None:
    def end(version: str, time: str, *inputs: str) -> Json:
        label = {"datasetVersion": version}
        outputs = [wrote("d", version=label)]
        event = teller.event("COMPLETE", "maker", "m", 5, inputs=inputs, outputs=outputs)
        return {**event, "eventTime": time}

    teller.whole("first", "f", 1, outputs=["raw"])
    teller.tell("START", "maker", "m", 0)
    teller.send(end("1", teller.time(5), "raw"))
    teller.send(end("2", teller.time(5).replace("00Z", "00.001Z")))
    assert teller.shown("d")["facets"]["version"]["datasetVersion"] == "2"
    assert teller.makers("d") == [teller.id("m")]
    # Inputs that are not said again are those that the run has.
    assert teller.edges("maker") == ({"raw"}, {"d"})
    assert teller.links("m") == {"raw": [teller.id("f")]}


def test_a_change_at_the_same_time_is_not_to_be_counted_on(marquez: FakeMarquez) -> None:
    teller = Teller(marquez.url, "zenml://acme/local")
    teller.whole("maker", "m", 1, outputs=[wrote("d", version={"datasetVersion": "1"})])
    teller.tell("COMPLETE", "maker", "m", 5, outputs=[wrote("d", version={"datasetVersion": "2"})])
    assert teller.shown("d")["facets"]["version"]["datasetVersion"] == "1"


def test_the_facets_of_a_run_and_of_its_job_can_be_asked_for(teller: Teller) -> None:
    kind = {"jobType": {**FACET, "processingType": "BATCH", "integration": "ZENML"}}
    kind["jobType"]["jobType"] = "STEP"
    teller.tell("START", "job", "r", 0, job_facets=kind, run_facets={"own": {"a": 1}})
    path = f"/jobs/runs/{teller.id('r')}/facets"
    assert get(teller.url, f"{path}?type=run")["facets"]["own"]["a"] == 1
    assert get(teller.url, f"{path}?type=job")["facets"]["jobType"]["jobType"] == "STEP"
    assert set(teller.job("job")["labels"]) >= {"STEP", "ZENML"}


def test_symlinks_make_one_dataset_of_two_and_a_row_for_each_name(teller: Teller) -> None:
    place = {"namespace": f"s3://{teller.namespace[8:20]}", "name": "key"}
    link = {"symlinks": {**FACET, "identifiers": [{**place, "type": "LOCATION"}]}}
    teller.whole("maker", "m", 1, outputs=[{"name": "d", "facets": link}])
    teller.whole("spark", "s", 2, inputs=[place])
    assert teller.run("s")["inputDatasetVersions"][0]["datasetVersionId"]["name"] == "d"
    assert teller.graph("job", "spark") == {"maker", "d", "spark"}
    teller.whole("other", "o", 3, outputs=[{"name": "e", "facets": link}])
    teller.whole("spark", "s2", 4, inputs=[place])
    assert teller.links("s2") == {"d": [teller.id("m")]}
