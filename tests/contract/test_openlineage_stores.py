"""Events of histories that real ZenML and TFX wrote."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from support.lineage_samples import OWN_SCHEMAS, specification
from support.stores import MAPPINGS, RECORDED, RecordedStore

from exporter.hierarchy import RunSnapshot
from exporter.mapping.openlineage import LineageNaming, run_events
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


@pytest.fixture
def events(store: RecordedStore) -> list[LineageEvent]:
    return [event for run in runs_of(store) for event in run_events(run, LineageNaming())]


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
    events: list[LineageEvent],
) -> None:
    written: set[tuple[str, str]] = set()
    for event in events:
        body = json.loads(event.body)
        assert names(body["inputs"]) <= written
        written |= names(body["outputs"])


def test_every_version_is_written_once(store: RecordedStore, events: list[LineageEvent]) -> None:
    versions = [
        (dataset["name"], dataset["facets"]["version"]["datasetVersion"])
        for event in events
        for dataset in json.loads(event.body)["outputs"]
        if dataset["facets"]
    ]
    assert len(versions) == len(set(versions)) == store.artifacts


def names(datasets: list[Json]) -> set[tuple[str, str]]:
    return {(dataset["namespace"], dataset["name"]) for dataset in datasets}
