"""Which experiments of MLflow are pipelines that the exporter wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from exporter.hierarchy import PipelineRecord, history_key
from exporter.mapping.pipeline_text import decode_pipeline
from exporter.readback.faults import reading

if TYPE_CHECKING:
    from exporter.sinks.mlflow.api import ExperimentState, TrackingApi

_OURS = "tags.`exporter.key` LIKE '%'"


class TrackedPipeline(NamedTuple):
    """A pipeline and the experiment that holds its runs."""

    repository: str
    stack: str
    record: PipelineRecord
    experiment_id: str


def tracked_pipelines(api: TrackingApi) -> list[TrackedPipeline]:
    """Give the pipelines of all repositories; of experiments with one key, that with the least id.

    A copy that another tool made of an experiment has its tags, and a later id.
    Raises: SourceUnavailable, StoreUnreadable.
    """
    with reading():
        states = list(api.experiments(_OURS))
    states.sort(key=lambda state: (len(state.experiment_id), state.experiment_id))
    found: dict[str, TrackedPipeline] = {}
    for state in states:
        pipeline = _tracked(state)
        if pipeline is not None:
            found.setdefault(state.tags["exporter.key"], pipeline)
    return list(found.values())


def _tracked(state: ExperimentState) -> TrackedPipeline | None:
    """Take an experiment's tags as a pipeline; None where they do not agree with its key."""
    tags = state.tags
    repository, stack = tags.get("exporter.repository", ""), tags.get("exporter.stack", "")
    record = decode_pipeline(tags) or PipelineRecord(tags.get("exporter.pipeline", ""), 0, "")
    if tags["exporter.key"] != history_key(repository, stack, None, record.name):
        return None
    return TrackedPipeline(repository, stack, record, state.experiment_id)
