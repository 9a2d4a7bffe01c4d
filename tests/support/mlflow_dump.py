"""What MLflow holds of an experiment, without its own ids, so that exports compare."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from exporter.mapping.mlflow import pages_tag
from exporter.mapping.records_text import decode_record

if TYPE_CHECKING:
    from exporter.sinks.mlflow.api import TrackingApi
    from exporter.sinks.mlflow.bindings import FoundRun

PAGES = ("exporter/graph.svg", "exporter/summary.html")
_EMPTY_IS_ABSENT = {"exporter.writing"}


def active_runs(api: TrackingApi, experiment_id: str) -> list[FoundRun]:
    """Give all active runs of an experiment."""
    return list(api.search(experiment_id, ""))


def dump(api: TrackingApi, experiment_id: str) -> list[dict[str, object]]:
    """Give every active run without MLflow's ids, sorted by key; parents named by their keys.

    Every sealed parent's record and pages are read and checked on the way.
    """
    runs = active_runs(api, experiment_id)
    keys = {run.run_id: run.key for run in runs}
    values: list[dict[str, object]] = []
    for run in runs:
        tags = {
            key: value
            for key, value in run.tags.items()
            if not (key in _EMPTY_IS_ABSENT and not value)
        }
        if "exporter.record" in tags and tags.get("exporter.complete"):
            decode_record(tags, partial(api.get_file, run.artifact_uri))
        if tags.get("exporter.pages"):
            pages = {path: api.get_file(run.artifact_uri, path) for path in PAGES}
            assert pages_tag(pages) == tags["exporter.pages"]
        if "mlflow.parentRunId" in tags:
            tags["mlflow.parentRunId"] = keys[tags["mlflow.parentRunId"]]
        if "exporter.mlflow_run" in tags:
            tags["exporter.mlflow_run"] = str(tags["exporter.mlflow_run"] == run.run_id)
        values.append(
            {
                "key": run.key,
                "name": run.name,
                "status": run.status,
                "times": [run.start, run.end],
                "params": sorted(run.params.items()),
                "metrics": sorted((k, repr(v), t) for k, (v, t) in run.metrics.items()),
                "tags": sorted(tags.items()),
                "datasets": sorted((d.name, d.digest) for d in run.datasets),
            }
        )
    return sorted(values, key=lambda value: str(value["key"]))


def dump_models(api: TrackingApi, experiment_id: str) -> list[dict[str, object]]:
    """Give every model without MLflow's ids, sorted; runs named by their keys.

    `MLmodel` of each is read on the way.
    """
    runs = {run.run_id: run for run in active_runs(api, experiment_id)}
    values: list[dict[str, object]] = []
    for model in api.models.search(experiment_id, ""):
        said = json.loads(api.get_file(model.artifact_location, "MLmodel"))
        assert said["model_id"] == model.model_id
        run = runs[model.run_id]
        values.append(
            {
                "name": model.name,
                "status": model.status,
                "run": run.key,
                "linked": model.model_id in run.models,
                "params": sorted(model.params.items()),
                "metrics": sorted(model.metrics),
                "tags": sorted(t for t in model.tags.items() if t[0] != "exporter.mlflow_run"),
            }
        )
    return sorted(values, key=str)
