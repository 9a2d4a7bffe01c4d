"""The law on stores that real software wrote: reading back what was exported gives the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.mlflow_server import empty_database
from support.stores import RECORDED, TFX, ZENML_05, ZENML_12
from support.sync_site import Site

import exporter
from exporter.hierarchy import canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.mlflow_server import MlflowServer

BACK_ENDS = ("server on SQLite", "server on PostgreSQL", "SQLite file")


@pytest.fixture(scope="module", params=BACK_ENDS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give a site whose three stacks were exported into one kind of MLflow."""
    kind: str = request.param
    folder = tmp_path_factory.mktemp("law")
    fixture = {BACK_ENDS[0]: "mlflow_server", BACK_ENDS[1]: "mlflow_server_on_postgres"}.get(kind)
    uri = empty_database(folder)
    if fixture is not None:
        server: MlflowServer = request.getfixturevalue(fixture)
        uri = server.url
    site = Site(folder, f"law-{folder.name}-{kind}", uri)
    for store in RECORDED:
        site.add_stack(
            store.database,
            store.name,
            roots=[store.folder],
            rewrite={f"/data/{store.name}": store.folder},
        )
    report = site.cycle().to_json()
    assert report["ok"], [e["error"] for e in report["errors"]][:3]
    return site


@pytest.fixture
def both(exported: Site) -> Iterator[tuple[exporter.Repository, exporter.Repository]]:
    """Give the history from its stores and the one from MLflow."""
    with (
        exporter.open_repository(exported.config_file()) as source,
        exporter.open_repository(
            tracking_uri=exported.tracking_uri, repository=exported.repository
        ) as back,
    ):
        yield source, back


def test_what_was_exported_reads_back_as_it_was(
    both: tuple[exporter.Repository, exporter.Repository],
) -> None:
    source, back = both
    assert sorted(back.stacks) == sorted(source.stacks)
    wanted = exporter.snapshot(source)
    assert len(wanted["runs"]) == sum(store.runs for store in RECORDED)
    assert canonical_bytes(exporter.snapshot(back)) == canonical_bytes(wanted)


def test_every_byte_that_was_copied_is_given_back(
    both: tuple[exporter.Repository, exporter.Repository],
) -> None:
    source, back = both
    compared = 0
    for ours, theirs in zip(back.get_pipelines(), source.get_pipelines(), strict=True):
        for run_back, run in zip(ours.get_runs(), theirs.get_runs(), strict=True):
            for step_back, step in zip(run_back.steps, run.steps, strict=True):
                for one, other in zip(step_back.outputs, step.outputs, strict=True):
                    assert one.files() == other.files()
                    for path, _ in other.files():
                        with one.open(path) as copy, other.open(path) as original:
                            assert copy.read() == original.read()
                            compared += 1
    assert compared >= sum(store.artifacts for store in RECORDED)


def test_values_producers_and_parents_are_those_of_the_source(
    both: tuple[exporter.Repository, exporter.Repository],
) -> None:
    source, back = both
    for store in (ZENML_05, ZENML_12):
        pipeline = back.get_pipeline("train_pipeline", stack_key=store.name)
        there = source.get_pipeline("train_pipeline", stack_key=store.name)
        assert (pipeline.key, pipeline.docstring) == (there.key, there.docstring)
        for run, run_there in zip(pipeline.get_runs(), there.get_runs(), strict=True):
            assert run.facts == run_there.facts
            for step, step_there in zip(run.steps, run_there.steps, strict=True):
                assert step == step_there
                assert step.parents == step_there.parents
                assert step.parameters == step_there.parameters
                for output, output_there in zip(step.outputs, step_there.outputs, strict=True):
                    assert output.producer == output_there.producer
                    if output.type != "ModelArtifact":
                        assert str(output.read()) == str(output_there.read())
    label = back.get_pipeline("boom-tfx", TFX.name).get_runs()[-1].get_step("MakeMetric")
    assert label.outputs["label"].read() == "hello"
