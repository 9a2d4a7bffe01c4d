"""Tables that are copied show columns and figures in the events, with MLflow beside or without."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.command import run_command
from support.lineage_samples import specification
from support.stores import RECORDED
from support.zenml_stores import recorded_store

from exporter.config import settings_from
from exporter.sync.policy import Mappings

if TYPE_CHECKING:
    from pathlib import Path

    from support.stores import RecordedStore
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


@pytest.mark.parametrize("store", RECORDED, ids=lambda store: store.name)
def test_events_with_all_that_the_files_tell_follow_the_specification(
    site: Site, store: RecordedStore
) -> None:
    site.tracking_uri = None
    site.add_stack(
        store.database, roots=[store.folder], rewrite={f"/data/{store.name}": store.folder}
    )
    site.cycle()
    judge = specification()
    found = _events(site)
    for event in found:
        judge.check(event)
    assert any("schema" in d["facets"] for event in found for d in event["outputs"])


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


def test_an_event_that_no_leaving_out_makes_small_enough_is_a_dead_letter_of_that_catalog(
    site: Site,
) -> None:
    site.tracking_uri = None
    catalogs = site.folder / "mappings" / "catalogs"
    catalogs.mkdir(parents=True)
    (catalogs / "tiny.yaml").write_text("{transport: file, max_bytes: 1000}")
    site.more = {"mappings": str(site.folder / "mappings")}
    tiny = site.folder / "tiny.jsonl"
    site.destinations = [
        {"name": "events", "url": f"file://{site.events}"},
        {"name": "tiny", "url": f"file://{tiny}", "catalog": "tiny"},
    ]
    store = recorded_store("zenml-0.5.7")
    site.add_stack(store.database, roots=[store.folder], rewrite={store.recorded: store.folder})
    report = site.cycle()
    assert report.exit_code == 1
    assert len(_events(site)) == 46
    assert not tiny.exists()
    letters = run_command("dead", "list", "--json", "-c", site.config_file(), cwd=site.folder)
    assert "more than the 1,000 that the catalog takes" in letters.out


def test_a_users_own_mapping_keeps_the_rules_it_does_not_name(tmp_path: Path) -> None:
    (tmp_path / "openlineage.yaml").write_text("{statistics: false}")
    settings = settings_from(
        {
            "repository": "acme",
            "stacks": [{"key": "local", "source": "mlmd+sqlite:////srv/metadata.db"}],
            "mappings": str(tmp_path),
        }
    )
    naming = Mappings.load(settings).openlineage
    assert naming.statistics is False
    assert len(naming.places) > 20
