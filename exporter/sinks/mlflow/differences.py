"""What separates a run in MLflow from its plan. Pure: it only compares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from exporter.mapping.records_text import SEAL_TAG, WRITING_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.mapping.mlflow import DatasetPlan, MetricPoint, RunPlan, WrittenKeys
    from exporter.sinks.mlflow.bindings import FoundRun

FieldKind = Literal["name", "status", "start", "end", "param", "metric", "tag", "dataset"]

_OURS = "exporter."


class FieldDifference(NamedTuple):
    """One field of a run: what its plan says and what MLflow has, None where that is nothing.

    A metric is (value, time), a dataset its digest; times are UTC milliseconds.
    """

    kind: FieldKind
    name: str
    planned: object
    found: object

    @property
    def immutable(self) -> bool:
        """Tell whether MLflow lets nobody put it right: what is there stays there."""
        return self.kind == "start" or (
            self.kind in {"param", "metric", "dataset"} and self.found is not None
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """What is to be written to make a run equal to its plan.

    `replace` says that something immutable differs: no write can make this run right.
    """

    params: tuple[tuple[str, str], ...] = ()
    metrics: tuple[MetricPoint, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    stale_tags: tuple[str, ...] = ()
    datasets: tuple[DatasetPlan, ...] = ()
    update: bool = False
    rename: bool = False
    replace: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.params
            or self.metrics
            or self.tags
            or self.stale_tags
            or self.datasets
            or self.update
            or self.replace
        )


def compare(
    plan: RunPlan,
    wanted_tags: Mapping[str, str],
    found: FoundRun,
    written_keys: Callable[[], WrittenKeys | None],
) -> Difference:
    """Say what separates `found` from `plan`; `wanted_tags` are all tags, the seal too.

    Tags of other tools are not looked at, nor are parameters and metrics that we never wrote.
    `written_keys` says which we did, and is asked only about a run that has more than its plan;
    None is for "not known", and then all count as ours.
    """
    fields = list(differing_fields(plan, wanted_tags, found, written_keys))
    missing = {(field.kind, field.name) for field in fields if field.found is None}
    found_sets = {(dataset.name, dataset.digest) for dataset in found.datasets}
    return Difference(
        params=tuple(pair for pair in plan.params.items() if ("param", pair[0]) in missing),
        metrics=tuple(point for point in plan.metrics if ("metric", point.key) in missing),
        tags=tuple(pair for pair in wanted_tags.items() if found.tags.get(pair[0]) != pair[1]),
        stale_tags=tuple(_stale(wanted_tags, found)),
        datasets=tuple(d for d in plan.datasets if (d.name, d.digest) not in found_sets),
        update=any(field.kind in {"name", "status", "end"} for field in fields),
        rename=plan.name != found.name,
        replace=any(field.immutable for field in fields),
    )


def differing_fields(
    plan: RunPlan,
    wanted_tags: Mapping[str, str],
    found: FoundRun,
    written_keys: Callable[[], WrittenKeys | None],
) -> Iterator[FieldDifference]:
    """Give every field in which `found` is not as planned; see `compare` for the arguments."""
    heads: tuple[tuple[FieldKind, object, object], ...] = (
        ("name", plan.name, found.name),
        ("status", plan.status, found.status),
        ("start", plan.start, found.start),
        ("end", plan.end, found.end),
    )
    for kind, planned, now in heads:
        if planned != now:
            yield FieldDifference(kind, "", planned, now)
    yield from _differing_values(plan, found, written_keys)
    for key, value in wanted_tags.items():
        if found.tags.get(key) != value:
            yield FieldDifference("tag", key, value, found.tags.get(key))
    for key in _stale(wanted_tags, found):
        yield FieldDifference("tag", key, None, found.tags[key])
    yield from _differing_datasets(plan, found)


def _differing_values(
    plan: RunPlan, found: FoundRun, written_keys: Callable[[], WrittenKeys | None]
) -> Iterator[FieldDifference]:
    """Compare parameters and metrics; what people added is passed over."""
    points = {point.key: point for point in plan.metrics}
    more_params = [key for key in found.params if key not in plan.params]
    more_metrics = [key for key in found.metrics if key not in points]
    written = written_keys() if more_params or more_metrics else None
    for key, value in plan.params.items():
        if found.params.get(key) != value:
            yield FieldDifference("param", key, value, found.params.get(key))
    for key in more_params:
        if written is None or key in written.params:
            yield FieldDifference("param", key, None, found.params[key])
    for key, point in points.items():
        held = found.metrics.get(key)
        if held is None or not _same_point(point, held):
            yield FieldDifference("metric", key, (point.value, point.timestamp), held)
    for key in more_metrics:
        if written is None or written.has_metric(key):
            yield FieldDifference("metric", key, None, found.metrics[key])


def _differing_datasets(plan: RunPlan, found: FoundRun) -> Iterator[FieldDifference]:
    planned = {(dataset.name, dataset.digest) for dataset in plan.datasets}
    there = {(dataset.name, dataset.digest) for dataset in found.datasets}
    for dataset in plan.datasets:
        if (dataset.name, dataset.digest) not in there:
            yield FieldDifference("dataset", dataset.name, dataset.digest, None)
    for held in found.datasets:
        if held.ours and (held.name, held.digest) not in planned:
            yield FieldDifference("dataset", held.name, None, held.digest)


def _stale(wanted: Mapping[str, str], found: FoundRun) -> Iterator[str]:
    for key in found.tags:
        if key.startswith(_OURS) and key not in wanted and key not in {WRITING_TAG, SEAL_TAG}:
            yield key


def _same_point(planned: MetricPoint, found: tuple[float, int]) -> bool:
    value, timestamp = found
    if timestamp != planned.timestamp:
        return False
    return value == planned.value or (math.isnan(value) and math.isnan(planned.value))
