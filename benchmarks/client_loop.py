"""The peer of an export: the same content by `MlflowClient` as it comes, one call after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from exporter.mapping.mlflow import PAGES_TAG, pages_tag
from exporter.sinks.mlflow.holding import seal_tags
from exporter.sinks.mlflow.tags import PARENT_TAG

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.tracking import MlflowClient

    from exporter.mapping.mlflow import DatasetPlan, RunPlan, UnitPlan


def export_batched(client: MlflowClient, experiment_id: str, plan: UnitPlan) -> None:
    """Log a unit with one call for all parameters, metrics and late tags of each run."""
    _export(client, experiment_id, plan, _batch)


def export_one_by_one(client: MlflowClient, experiment_id: str, plan: UnitPlan) -> None:
    """Log a unit with `log_param`, `log_metric` and `set_tag`, as examples in the manual do."""
    _export(client, experiment_id, plan, _singly)


def _export(
    client: MlflowClient,
    experiment_id: str,
    plan: UnitPlan,
    log: Callable[[MlflowClient, RunPlan, str, dict[str, str]], None],
) -> None:
    """Leave in MLflow what the exporter leaves there, tag for tag."""
    parent = _begin(client, experiment_id, plan.parent, {})
    for child in plan.children:
        run_id = _begin(client, experiment_id, child, {PARENT_TAG: parent})
        log(client, child, run_id, seal_tags(plan, child.key, run_id, {}))
    _pages(client, plan, parent)
    pages = {PAGES_TAG: pages_tag(plan.pages)}
    log(client, plan.parent, parent, seal_tags(plan, plan.unit, parent, pages))


def _pages(client: MlflowClient, plan: UnitPlan, run_id: str) -> None:
    for path, content in plan.pages.items():
        client.log_text(run_id, content.decode("utf-8"), path)


def _begin(client: MlflowClient, experiment_id: str, run: RunPlan, more: dict[str, str]) -> str:
    made = client.create_run(
        experiment_id, start_time=run.start, tags={**run.tags, **more}, run_name=run.name
    )
    return str(made.info.run_id)


def _batch(client: MlflowClient, run: RunPlan, run_id: str, tags: dict[str, str]) -> None:
    client.log_batch(
        run_id,
        metrics=[Metric(m.key, m.value, m.timestamp, 0) for m in run.metrics],
        params=[Param(key, value) for key, value in run.params.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )
    _end(client, run, run_id)


def _singly(client: MlflowClient, run: RunPlan, run_id: str, tags: dict[str, str]) -> None:
    for key, value in run.params.items():
        client.log_param(run_id, key, value)
    for point in run.metrics:
        client.log_metric(run_id, point.key, point.value, point.timestamp)
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
    _end(client, run, run_id)


def _end(client: MlflowClient, run: RunPlan, run_id: str) -> None:
    if run.datasets:
        client.log_inputs(run_id, datasets=list(map(_dataset, run.datasets)))
    client.set_terminated(run_id, run.status, run.end)


def _dataset(plan: DatasetPlan) -> DatasetInput:
    dataset = Dataset(
        name=plan.name,
        digest=plan.digest,
        source_type=plan.source_type,
        source=plan.source,
        schema=plan.schema or None,
        profile=plan.profile or None,
    )
    return DatasetInput(dataset, [InputTag(key, value) for key, value in plan.tags])
