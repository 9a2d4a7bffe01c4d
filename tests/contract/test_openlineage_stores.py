"""Events of histories that real ZenML and TFX wrote."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from support.lineage_samples import OWN_SCHEMAS, specification
from support.stores import MAPPINGS, RECORDED, RecordedStore

from exporter.config import load_mapping, mapping_names
from exporter.hierarchy import RunSnapshot
from exporter.mapping.openlineage import naming_from_yaml, profile_from_yaml, run_events
from exporter.sinks.openlineage import EventCheck
from exporter.sources.mlmd import load_profiles, open_mlmd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.mapping.openlineage import LineageEvent

CHECK = EventCheck.of_folder(OWN_SCHEMAS)
Json = dict[str, Any]  # Any: a parsed event

# By MLMD's Execution.last_known_state: 3 complete, 4 failed; 5 is cached, which did not run.
_RAN = "SELECT count(*) FROM Execution WHERE last_known_state IN (3, 4)"


@pytest.fixture(params=RECORDED, ids=lambda store: store.name)
def store(request: pytest.FixtureRequest) -> RecordedStore:
    recorded: RecordedStore = request.param
    return recorded


NAMING = naming_from_yaml(load_mapping("openlineage"))
OUTSIDE = {"tfx-1.15": {("file", "/data/tfx-1.15/data")}}  # what CsvExampleGen reads


@pytest.fixture
def events(store: RecordedStore) -> list[LineageEvent]:
    return [event for run in runs_of(store) for event in run_events(run, NAMING)]


def runs_of(store: RecordedStore) -> Iterator[RunSnapshot]:
    history = open_mlmd(
        store.url, repository="acme", stack="local", profiles=load_profiles(MAPPINGS)
    )
    try:
        ids = [head.source_id for p in history.pipelines() for head in history.heads(p)]
        for run in history.runs(ids):
            assert isinstance(run, RunSnapshot)
            yield run
    finally:
        history.close()


def test_every_run_and_every_step_that_ran_has_two_events(
    store: RecordedStore, events: list[LineageEvent]
) -> None:
    connection = sqlite3.connect(f"file:{store.database}?mode=ro", uri=True)
    try:
        ((ran,),) = connection.execute(_RAN)
    finally:
        connection.close()
    assert len(events) == 2 * (store.runs + ran)
    assert len({event.run_id for event in events}) == store.runs + ran


def test_they_follow_the_specification_and_our_own_schema(events: list[LineageEvent]) -> None:
    for event in events:
        CHECK.check(event.body)
        specification().check(json.loads(event.body))


def test_every_dataset_that_is_read_was_written_under_the_same_name(
    store: RecordedStore, events: list[LineageEvent]
) -> None:
    outside = OUTSIDE.get(store.name, set())
    read: set[tuple[str, str]] = set()
    written = set(outside)
    for event in events:
        body = json.loads(event.body)
        assert names(body["inputs"]) <= written
        read |= names(body["inputs"])
        written |= {name for name in names(body["outputs"]) if name[0] != "file"}
    assert outside <= read


def test_what_tfx_pushes_leaves_the_pipeline(
    store: RecordedStore, events: list[LineageEvent]
) -> None:
    outside = {n for e in events for n in names(json.loads(e.body)["outputs"]) if n[0] == "file"}
    assert bool(outside) == (store.tool == "tfx")


def test_every_store_gives_valid_events_under_every_profile(store: RecordedStore) -> None:
    judge = specification()
    for name in mapping_names("catalogs"):
        profile = profile_from_yaml(name, load_mapping(f"catalogs/{name}"))
        for run in runs_of(store):
            for event in run_events(run, NAMING, profile):
                CHECK.check(event.body)
                judge.check(json.loads(event.body))


def test_every_version_is_written_once(store: RecordedStore, events: list[LineageEvent]) -> None:
    versions = [
        (dataset["name"], dataset["facets"]["version"]["datasetVersion"])
        for event in events
        for dataset in json.loads(event.body)["outputs"]
        if "version" in dataset["facets"]
    ]
    assert len(versions) == len(set(versions)) == store.artifacts


def names(datasets: list[Json]) -> set[tuple[str, str]]:
    return {(dataset["namespace"], dataset["name"]) for dataset in datasets}
