"""What no pipeline of ours made is announced by a job, whatever a catalog is told of inputs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.lineage_samples import artifact, training_run

from exporter.config import load_mapping
from exporter.hierarchy import Artifact, Parameter, Port, RunSnapshot
from exporter.mapping.openlineage import (
    CatalogProfile,
    announced,
    naming_from_yaml,
    run_events,
)

NAMING = naming_from_yaml(load_mapping("openlineage"))
READ = frozenset({"pipelineExporter_read"})


def reading() -> RunSnapshot:
    """Make a run that reads its own outputs, another pipeline's, and two places outside."""
    run = training_run()
    theirs = artifact(80, "features", "table")
    assert theirs.producer is not None
    theirs = replace(theirs, producer=theirs.producer._replace(pipeline="feature_pipeline"))
    raw = Artifact("90", "DataArtifact", "s3://lake/raw.csv")
    step = replace(
        run.steps[0],
        inputs=(Port("raw", "90"), Port("table", "80")),
        parameters=(Parameter("orders", "s3://lake/orders.csv"),),
    )
    return replace(run, steps=(step, *run.steps[1:]), artifacts=(*run.artifacts, theirs, raw))


@pytest.mark.parametrize(
    "profile",
    [
        CatalogProfile("plain"),
        CatalogProfile("apart", input_facets="apart"),
        CatalogProfile("their namespace", own_facets=False, job_namespace="acme"),
        CatalogProfile("without", facets_without=tuple(READ), job_namespace="acme"),
        CatalogProfile("small", max_bytes=1_000, job_namespace="acme"),
        CatalogProfile("mapped", own_facets=False, namespaces={"s3://lake": "lake"}),
        CatalogProfile("ends only", own_facets=False, accepts=("COMPLETE",)),
    ],
    ids=lambda profile: profile.name,
)
def test_only_what_nobody_here_made_is_announced(profile: CatalogProfile) -> None:
    events = announced(run_events(reading(), NAMING, profile))
    assert [event.event_type for event in events] == ["START", "COMPLETE"] * 2
    told = [json.loads(event.body) for event in events]
    lake = dict(profile.namespaces).get("s3://lake", "s3://lake")
    outputs = [(one["namespace"], one["name"]) for event in told for one in event["outputs"]]
    assert outputs == [(lake, "raw.csv"), (lake, "orders.csv")]
    assert {event["job"]["namespace"] for event in told} == {
        profile.job_namespace or "zenml://acme/local_stack"
    }


def test_what_the_run_itself_showed_from_a_cache_is_not_announced() -> None:
    run = training_run()
    unknown = tuple(replace(one, producer=None) for one in run.artifacts)
    profile = CatalogProfile("their namespace", own_facets=False, job_namespace="acme")
    assert announced(run_events(replace(run, artifacts=unknown), NAMING, profile)) == ()


def test_a_run_without_events_announces_nothing() -> None:
    assert announced(()) == ()
    assert announced(run_events(training_run(), NAMING)) == ()
