"""Runs that are half-written: what MLflow shows of them before their first seal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.hierarchy import Parameter, RunSnapshot, Step
from exporter.mapping.records_text import SEAL_TAG
from exporter.sinks.mlflow.reconcile import is_ours
from exporter.sinks.mlflow.tags import PARENT_TAG, UNIT_TAG

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from exporter.readback.experiments import TrackedPipeline
    from exporter.sinks.mlflow.bindings import FoundRun

BEGUN = f"tags.`{UNIT_TAG}` LIKE '%'"
FACT = "exporter.incomplete"


def incomplete_runs(
    found: Iterable[FoundRun], pipeline: TrackedPipeline, sealed: Container[str]
) -> list[RunSnapshot]:
    """Give the runs among `found` whose unit key is not `sealed`, as far as they are written.

    A step is there with its name, status and times; parameters, inputs, outputs, facts and the
    position in the source are not known yet. The fact `exporter.incomplete` tells such a run.
    """
    units: dict[str, list[FoundRun]] = {}
    for run in filter(is_ours, found):
        unit = run.tags.get(UNIT_TAG, "")
        if unit not in sealed:
            units.setdefault(unit, []).append(run)
    made = (_incomplete(unit, runs, pipeline) for unit, runs in units.items())
    return [run for run in made if run is not None]


def _incomplete(
    unit: str, runs: Sequence[FoundRun], pipeline: TrackedPipeline
) -> RunSnapshot | None:
    """Make a run of what there is; None where its parent is sealed by now, or deleted."""
    parents = [run for run in runs if run.key == unit]
    if not parents or any(parent.tags.get(SEAL_TAG) for parent in parents):
        return None
    parent = min(parents, key=lambda run: run.run_id)
    tags = parent.tags
    nested = [run for run in runs if run.tags.get(PARENT_TAG) == parent.run_id]
    return RunSnapshot(
        repository=pipeline.repository,
        stack=pipeline.stack,
        tool=tags.get("exporter.tool", ""),
        flavour="",
        pipeline=pipeline.record,
        name=tags.get("exporter.run", ""),
        seq=0,
        source_id=tags.get("exporter.source_id", parent.run_id),
        status=tags.get("exporter.status", ""),
        start=parent.start,
        end=parent.end,
        facts=(Parameter(FACT, True),),
        steps=tuple(_step(run) for run in sorted(nested, key=lambda r: (r.start, r.run_id))),
    )


def _step(run: FoundRun) -> Step:
    tags = run.tags
    attempt = tags.get("exporter.attempt", "")
    return Step(
        name=tags.get("exporter.step", run.name),
        source_id=tags.get("exporter.source_id", ""),
        entrypoint=tags.get("exporter.entrypoint", ""),
        status=tags.get("exporter.status", ""),
        attempt=int(attempt) if attempt.isascii() and attempt.isdecimal() else 1,
        start=run.start,
        end=run.end,
    )
