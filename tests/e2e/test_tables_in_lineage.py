"""Tables that are copied show columns and figures in the events, with MLflow beside or without."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.zenml_stores import recorded_store

if TYPE_CHECKING:
    from support.sync_site import Site

Json = dict[str, Any]  # Any: a parsed event


def _events(site: Site) -> list[Json]:
    return [json.loads(line) for line in site.events.read_text(encoding="utf-8").splitlines()]


def _train(site: Site) -> list[Json]:
    """Give the facets of every version of the training set."""
    return [
        dataset["facets"]
        for event in _events(site)
        for dataset in event["outputs"]
        if dataset["name"] == "train_pipeline.importer.train"
    ]


@pytest.mark.parametrize("with_mlflow", [True, False], ids=["with-mlflow", "alone"])
def test_a_training_set_shows_its_columns_and_how_many_rows(
    site: Site, *, with_mlflow: bool
) -> None:
    if not with_mlflow:
        site.tracking_uri = None
    store = recorded_store("zenml-0.5.7")
    site.add_stack(store.database, roots=[store.folder], rewrite={store.recorded: store.folder})
    site.cycle()
    for facets in _train(site):
        assert [one["name"] for one in facets["schema"]["fields"]] == [
            "sepal_length",
            "sepal_width",
            "petal_length",
            "petal_width",
            "target",
        ]
        assert facets["dataQualityMetrics"]["rowCount"] > 0
        assert facets["storage"]["fileFormat"] == "parquet"
        assert facets["pipelineExporter_statistics"]["columns"][0]["nulls"] == 0
    assert len(_train(site)) == 1


def test_metrics_of_a_step_are_in_its_last_event(site: Site) -> None:
    site.tracking_uri = None
    store = recorded_store("zenml-0.5.7")
    site.add_stack(store.database, roots=[store.folder], rewrite={store.recorded: store.folder})
    site.cycle()
    found = {
        metric["key"]
        for event in _events(site)
        if event["job"]["name"] == "train_pipeline.evaluator"
        for metric in event["run"]["facets"].get("pipelineExporter_metrics", {"metrics": []})[
            "metrics"
        ]
    }
    assert "accuracy" in found


def test_two_destinations_get_what_their_catalogs_take(site: Site) -> None:
    site.tracking_uri = None
    other = site.folder / "edges.jsonl"
    site.destinations = [
        {"name": "events", "url": f"file://{site.events}"},
        {"name": "edges", "url": f"file://{other}", "catalog": "openmetadata"},
    ]
    store = recorded_store("zenml-0.5.7")
    site.add_stack(store.database, roots=[store.folder], rewrite={store.recorded: store.folder})
    site.cycle()
    told = [json.loads(line) for line in other.read_text(encoding="utf-8").splitlines()]
    assert told
    assert {event["eventType"] for event in told} == {"COMPLETE"}
    assert all(event["inputs"] and event["outputs"] for event in told)
    assert len(told) < len(_events(site))
