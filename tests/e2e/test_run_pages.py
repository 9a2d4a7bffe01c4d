"""The step graph and the summary page of every run, in a real MLflow and by the history API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from mlflow.artifacts import list_artifacts
from support.command import run_command
from support.stores import RECORDED, TFX, ZENML_05

from exporter import open_repository
from exporter.mapping.mlflow import pages_tag

if TYPE_CHECKING:
    from support.stores import RecordedStore
    from support.sync_site import Site

    from exporter import Repository

GRAPH, SUMMARY = "exporter/graph.svg", "exporter/summary.html"


def add(site: Site, store: RecordedStore) -> None:
    site.add_stack(
        store.database, roots=[store.folder], rewrite={f"/data/{store.name}": store.folder}
    )


def stored_pages(site: Site) -> dict[tuple[str, str], dict[str, str]]:
    """Give the pages in MLflow by pipeline and run, checked against the tag that names them."""
    api = site.api()
    try:
        pages = {}
        for run in site.runs():
            if "mlflow.parentRunId" not in run.tags and "exporter.pages" in run.tags:
                held = {path: api.get_file(run.artifact_uri, path) for path in (GRAPH, SUMMARY)}
                assert pages_tag(held) == run.tags["exporter.pages"]
                shown = {path: content.decode() for path, content in held.items()}
                pages[run.tags["exporter.pipeline"], run.tags["exporter.run"]] = shown
        return pages
    finally:
        api.close()


def drawn(repository: Repository) -> dict[tuple[str, str], str]:
    return {
        (pipeline.name, run.name): run.visualize().svg
        for pipeline in repository.get_pipelines()
        for run in pipeline.get_runs()
    }


@pytest.mark.parametrize("store", RECORDED, ids=lambda store: store.name)
def test_every_run_of_a_store_holds_its_pages_and_draws_itself_alike_on_both_sides(
    site: Site, store: RecordedStore
) -> None:
    add(site, store)
    report = site.cycle().to_json()
    assert report["ok"]
    assert report["mlflow"]["files"] > 0
    pages = stored_pages(site)
    assert len(pages) == store.runs
    assert sum(page[GRAPH].count('class="name"') for page in pages.values()) == store.steps
    with open_repository(site.config_file()) as source:
        assert drawn(source) == {run: page[GRAPH] for run, page in pages.items()}
        for (pipeline, name), page in pages.items():
            for step in source.get_pipeline(pipeline).get_run(name).steps:
                assert step.name in page[SUMMARY]
    with open_repository(tracking_uri=site.tracking_uri, repository=site.repository) as read_back:
        assert drawn(read_back) == {run: page[GRAPH] for run, page in pages.items()}
    assert all(re.search(r">copied</td>", page[SUMMARY]) for page in pages.values())


def test_pages_are_listed_among_the_artifacts_of_the_pipeline_run_only(site: Site) -> None:
    add(site, ZENML_05)
    site.cycle()
    for run in site.runs():
        listed = list_artifacts(
            run_id=run.run_id, artifact_path="exporter", tracking_uri=site.tracking_uri
        )
        wanted = [] if "mlflow.parentRunId" in run.tags else [GRAPH, SUMMARY]
        assert [file.path for file in listed if not file.is_dir] == wanted


def test_pages_come_and_go_with_the_mapping_without_a_run_made_anew(site: Site) -> None:
    folder = site.folder / "maps"
    folder.mkdir()
    (folder / "mlflow.yaml").write_text("pages: false\n")
    site.more["mappings"] = str(folder)
    add(site, TFX)
    site.cycle()
    assert stored_pages(site) == {}
    ids = {run.run_id for run in site.runs()}
    (folder / "mlflow.yaml").write_text("pages: true\n")
    report = site.cycle(full=True).to_json()
    assert report["mlflow"]["runs_created"] == report["mlflow"]["files"] == 0
    assert len(stored_pages(site)) == TFX.runs
    assert site.cycle(full=True).to_json()["mlflow"]["runs_updated"] == 0
    (folder / "mlflow.yaml").write_text("pages: false\n")
    site.cycle(full=True)
    assert stored_pages(site) == {}
    assert {run.run_id for run in site.runs()} == ids


def test_the_plan_names_the_pages_that_run_will_send(site: Site) -> None:
    add(site, ZENML_05)
    config = site.config_file()
    units = run_command("plan", "-c", config, "--json").json["units"]
    planned = {unit["parent"]["tags"]["exporter.run"]: unit["pages"] for unit in units}
    site.cycle()
    for (_, run), pages in stored_pages(site).items():
        assert planned[run] == {
            path: f"{len(content.encode())} bytes" for path, content in pages.items()
        }
