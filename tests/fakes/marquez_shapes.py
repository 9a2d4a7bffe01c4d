"""How the stand-in catalog shows what it remembers: as in the shapes of Marquez' GET answers.

Source: https://marquezproject.ai/docs/api
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fakes.marquez_rows import spelled

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from fakes.marquez_rows import Dataset, Job, JobVersion, Name, Run, Version
    from fakes.marquez_state import CatalogState

Json = dict[str, Any]  # Any: JSON values


def shown_namespace(name: str, time: datetime) -> Json:
    """Show a namespace."""
    return {
        "name": name,
        "createdAt": spelled(time),
        "updatedAt": spelled(time),
        "ownerName": "anonymous",
        "description": None,
        "isHidden": False,
    }


def shown_job(job: Job, state: CatalogState, *, latest: Run | None = None) -> Json:
    """Show a job; its latest run is its own unless another one is given."""
    if latest is None and job.current_run is not None:
        latest = state.runs.get(job.current_run)
    own = state.runs.get(job.current_run or "")
    parent = job.parent
    simple = job.name.name
    if parent is not None:
        simple = simple.removeprefix(f"{parent.name}.")
    return {
        "id": job.name._asdict(),
        "type": "BATCH",
        "name": job.name.name,
        "simpleName": simple,
        "parentJobName": None if parent is None else parent.name,
        "createdAt": spelled(job.created_at),
        "updatedAt": spelled(job.updated_at),
        "namespace": job.name.namespace,
        "inputs": _names(job.inputs),
        "outputs": _names(job.outputs),
        "location": job.location,
        "description": job.description,
        "latestRun": None if latest is None else shown_run(latest),
        "facets": {} if own is None else own.job_facets.shown(),
        "currentVersion": None if job.current_version is None else job.current_version.uuid,
        "labels": _labels(own),
        "tags": [],
    }


def shown_job_version(job: Job, version: JobVersion, state: CatalogState) -> Json:
    """Show one version of a job."""
    latest = state.runs.get(version.latest_run or "")
    return {
        "id": {**job.name._asdict(), "version": version.uuid},
        "name": job.name.name,
        "createdAt": spelled(version.created_at),
        "version": version.uuid,
        "namespace": job.name.namespace,
        "location": version.location,
        "inputs": _names(version.inputs),
        "outputs": _names(version.outputs),
        "latestRun": None if latest is None else shown_run(latest),
    }


def shown_run(run: Run) -> Json:
    """Show a run with the versions it is linked to."""
    lasted = None
    if run.started_at is not None and run.ended_at is not None:
        lasted = round((run.ended_at - run.started_at).total_seconds() * 1000)
    version = run.job_version
    return {
        "id": run.run_id,
        "createdAt": spelled(run.created_at),
        "updatedAt": spelled(run.updated_at),
        "nominalStartTime": run.nominal[0],
        "nominalEndTime": run.nominal[1],
        "state": run.state,
        "startedAt": spelled(run.started_at),
        "endedAt": spelled(run.ended_at),
        "durationMs": lasted,
        "args": {},
        "jobVersion": None if version is None else {**run.job._asdict(), "version": version.uuid},
        "facets": run.facets.shown(),
        "inputDatasetVersions": [
            {
                "datasetVersionId": _version_id(one),
                "facets": run.input_facets[one.dataset.name].shown(),
            }
            for one in run.inputs
        ],
        "outputDatasetVersions": [
            {
                "datasetVersionId": _version_id(one),
                "facets": run.output_facets[one.dataset.name].shown(),
            }
            for one in run.outputs
        ],
    }


def shown_dataset(name: Name, dataset: Dataset) -> Json:
    """Show a dataset under one of its names; every one is a table here."""
    current = dataset.current
    return {
        "id": name._asdict(),
        "type": "DB_TABLE",
        "name": name.name,
        "physicalName": dataset.name.name,
        "createdAt": spelled(dataset.created_at),
        "updatedAt": spelled(dataset.updated_at),
        "namespace": name.namespace,
        "sourceName": dataset.source,
        "fields": [] if current is None else current.fields,
        "tags": [],
        "lastModifiedAt": None if current is None else spelled(current.created_at),
        "lastLifecycleState": "" if current is None else current.lifecycle or "",
        "description": dataset.description,
        "currentVersion": None if current is None else current.uuid,
        "columnLineage": None,
        "facets": {} if current is None else current.facets.shown(),
        "deleted": dataset.deleted,
    }


def shown_version(name: Name, version: Version, state: CatalogState) -> Json:
    """Show one version of a dataset and the run that made it."""
    made_by = state.runs.get(version.run_id or "")
    return {
        "id": {**name._asdict(), "version": version.uuid},
        "type": "DB_TABLE",
        "name": name.name,
        "physicalName": version.dataset.name.name,
        "createdAt": spelled(version.created_at),
        "version": version.uuid,
        "namespace": name.namespace,
        "sourceName": version.source,
        "fields": version.fields,
        "tags": [],
        "lifecycleState": version.lifecycle or "",
        "description": version.dataset.description,
        "createdByRun": None if made_by is None else shown_run(made_by),
        "facets": version.facets.shown(),
    }


def _version_id(version: Version) -> Json:
    return {**version.dataset.name._asdict(), "version": version.uuid}


def _names(names: Iterable[Name]) -> list[Json]:
    return [name._asdict() for name in sorted(names)]


def _labels(run: Run | None) -> list[str]:
    kind = {} if run is None else run.job_facets.shown().get("jobType") or {}
    return [kind[key] for key in ("jobType", "integration") if kind.get(key)]
