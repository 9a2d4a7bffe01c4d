"""The same event by openlineage-python's classes: the peer of a benchmark, the oracle of a test."""

from __future__ import annotations

from typing import Any

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    data_quality_metrics_dataset,
    dataset_type_dataset,
    dataset_version_dataset,
    datasource_dataset,
    documentation_job,
    error_message_run,
    execution_parameters_run,
    job_dependencies_run,
    job_type_job,
    lifecycle_state_change_dataset,
    nominal_time_run,
    output_statistics_output_dataset,
    ownership_job,
    parent_run,
    processing_engine_run,
    schema_dataset,
    source_code_job,
    source_code_location_job,
    storage_dataset,
    symlinks_dataset,
    tags_run,
)

Json = dict[str, Any]  # Any: a parsed event

_CLASSES: dict[str, Any] = {  # Any: the client's classes
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
    "parent": parent_run.ParentRunFacet,
    "executionParameters": execution_parameters_run.ExecutionParametersRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "nominalTime": nominal_time_run.NominalTimeRunFacet,
    "tags": tags_run.TagsRunFacet,
    "jobDependencies": job_dependencies_run.JobDependenciesRunFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    "documentation": documentation_job.DocumentationJobFacet,
    "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet,
    "sourceCode": source_code_job.SourceCodeJobFacet,
    "ownership": ownership_job.OwnershipJobFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet,
    "dataSource": datasource_dataset.DatasourceDatasetFacet,
    "symlinks": symlinks_dataset.SymlinksDatasetFacet,
    "storage": storage_dataset.StorageDatasetFacet,
    "schema": schema_dataset.SchemaDatasetFacet,
    "dataQualityMetrics": data_quality_metrics_dataset.DataQualityMetricsDatasetFacet,
    "lifecycleStateChange": lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
}


def by_the_client(event: Json) -> RunEvent:
    """Build an event by the client's classes from its contents, own facets left out."""
    return RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=RunState[event["eventType"]],
        run=Run(event["run"]["runId"], _made(event["run"]["facets"])),
        job=Job(event["job"]["namespace"], event["job"]["name"], _made(event["job"]["facets"])),
        inputs=[
            InputDataset(d["namespace"], d["name"], facets=_made(d.get("facets", {})))
            for d in event["inputs"]
        ],
        outputs=[
            OutputDataset(
                d["namespace"],
                d["name"],
                facets=_made(d["facets"]),
                outputFacets=_made(d.get("outputFacets", {})),
            )
            for d in event["outputs"]
        ],
    )


def standard_part(event: Json) -> Json:
    """Give an event without our own facets, which the client has no classes for."""
    dataset_keys = ("facets", "inputFacets", "outputFacets")
    return {
        **event,
        "run": {**event["run"], "facets": _standard(event["run"]["facets"])},
        "job": {**event["job"], "facets": _standard(event["job"]["facets"])},
        **{
            side: [
                {key: _standard(v) if key in dataset_keys else v for key, v in dataset.items()}
                for dataset in event[side]
            ]
            for side in ("inputs", "outputs")
        },
    }


def _standard(facets: Json) -> Json:
    return {key: facet for key, facet in facets.items() if key in _CLASSES}


def _made(facets: Json) -> dict[str, Any]:  # Any: the client's classes
    return {key: _built(key, facet) for key, facet in facets.items() if key in _CLASSES}


def _built(key: str, value: Json) -> Any:  # Any: the client's classes
    """Make one facet of the client's class, the producer ours."""
    given = {name: item for name, item in value.items() if not name.startswith("_")}
    parts = _PARTS.get(key)
    if parts is not None:
        given = parts(given)
    return _CLASSES[key](**given, producer=value["_producer"])


def _parent(given: Json) -> Json:
    root = given["root"]
    return {
        "run": parent_run.Run(**given["run"]),
        "job": parent_run.Job(**given["job"]),
        "root": parent_run.Root(
            run=parent_run.RootRun(**root["run"]), job=parent_run.RootJob(**root["job"])
        ),
    }


def _dependencies(given: Json) -> Json:
    return {
        "upstream": [
            job_dependencies_run.JobDependency(
                job=job_dependencies_run.JobIdentifier(**one["job"]),
                run=job_dependencies_run.RunIdentifier(**one["run"]) if "run" in one else None,
            )
            for one in given["upstream"]
        ]
    }


def _metrics(given: Json) -> Json:
    made = {
        name: data_quality_metrics_dataset.ColumnMetrics(**one)
        for name, one in given["columnMetrics"].items()
    }
    return {**given, "columnMetrics": made}


_PARTS: dict[str, Any] = {  # Any: functions from a facet's fields to those of the client's class
    "parent": _parent,
    "jobDependencies": _dependencies,
    "dataQualityMetrics": _metrics,
    "executionParameters": lambda given: {
        "parameters": [
            execution_parameters_run.ExecutionParameter(**one) for one in given["parameters"]
        ]
    },
    "tags": lambda given: {"tags": [tags_run.TagsRunFacetFields(**one) for one in given["tags"]]},
    "ownership": lambda given: {"owners": [ownership_job.Owner(**one) for one in given["owners"]]},
    "symlinks": lambda given: {
        "identifiers": [symlinks_dataset.Identifier(**one) for one in given["identifiers"]]
    },
    "schema": lambda given: {
        "fields": [schema_dataset.SchemaDatasetFacetFields(**one) for one in given["fields"]]
    },
}
