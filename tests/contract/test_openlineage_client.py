"""The public client as an oracle: its classes say the same as our plain values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    dataset_type_dataset,
    dataset_version_dataset,
    documentation_job,
    error_message_run,
    execution_parameters_run,
    job_type_job,
    parent_run,
    processing_engine_run,
)
from openlineage.client.serde import Serde
from support.lineage_samples import failed_run, training_run

from exporter.hierarchy import RunSnapshot
from exporter.mapping.openlineage import LineageNaming, run_events

NAMING = LineageNaming()
Json = dict[str, Any]  # Any: a parsed event

_RUN_FACETS = {
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
    "parent": parent_run.ParentRunFacet,
    "executionParameters": execution_parameters_run.ExecutionParametersRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
}
_JOB_FACETS = {
    "jobType": job_type_job.JobTypeJobFacet,
    "documentation": documentation_job.DocumentationJobFacet,
}
_DATASET_FACETS = {
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet,
}


@pytest.mark.parametrize("run", [training_run(), failed_run()], ids=["completed", "failed"])
def test_the_clients_classes_serialise_to_the_same_event(run: RunSnapshot) -> None:
    for event in run_events(run, NAMING):
        body = json.loads(event.body)
        theirs = json.loads(Serde.to_json(by_the_client(body)))
        assert without_empty_facets(theirs) == without_empty_facets(standard_part(body))


def by_the_client(event: Json) -> RunEvent:
    """Build the event by the client's classes from its contents."""
    return RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=RunState[event["eventType"]],
        run=Run(event["run"]["runId"], made(event["run"]["facets"], _RUN_FACETS)),
        job=Job(
            event["job"]["namespace"],
            event["job"]["name"],
            made(event["job"]["facets"], _JOB_FACETS),
        ),
        inputs=[InputDataset(d["namespace"], d["name"]) for d in event["inputs"]],
        outputs=[
            OutputDataset(d["namespace"], d["name"], facets=made(d["facets"], _DATASET_FACETS))
            for d in event["outputs"]
        ],
    )


def made(facets: Json, classes: dict[str, Any]) -> dict[str, Any]:  # Any: the client's classes
    """Make the facets that the client knows."""
    return {key: built(classes[key], facets[key]) for key in facets if key in classes}


def built(kind: Any, value: Json) -> Any:  # Any: the client's classes
    """Make one facet of the client's class, the producer ours."""
    fields = {key: item for key, item in value.items() if not key.startswith("_")}
    if kind is parent_run.ParentRunFacet:
        root = fields["root"]
        fields = {
            "run": parent_run.Run(**fields["run"]),
            "job": parent_run.Job(**fields["job"]),
            "root": parent_run.Root(
                run=parent_run.RootRun(**root["run"]), job=parent_run.RootJob(**root["job"])
            ),
        }
    elif kind is execution_parameters_run.ExecutionParametersRunFacet:
        fields["parameters"] = [
            execution_parameters_run.ExecutionParameter(**p) for p in fields["parameters"]
        ]
    return kind(**fields, producer=value["_producer"])


def standard_part(event: Json) -> Json:
    """Give the event without our own facets, which the client has no classes for."""
    kept: Json = json.loads(json.dumps(event))
    kept["run"]["facets"].pop("pipelineExporter_run")
    for dataset in kept["inputs"]:
        dataset.pop("inputFacets")
    for dataset in kept["outputs"]:
        dataset["facets"].pop("pipelineExporter_artifact", None)
    return kept


def without_empty_facets(value: Any) -> Any:  # Any: JSON
    """Leave out facets that are empty: the client spells them out, and they say nothing."""
    if isinstance(value, list):
        return [without_empty_facets(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: without_empty_facets(item)
        for key, item in value.items()
        if item != {} or not key.lower().endswith("facets")
    }
