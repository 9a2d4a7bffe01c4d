"""Makes MLflow equal to a plan from whatever it holds of the unit now.

Only differences are written, an equal unit costs its search alone. A run whose parameters or
metrics would have to change is replaced by a new one, since they are immutable in MLflow. The seal
comes last, so that whoever reads sees the last whole version; killed at any point, the same call
again completes the work.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from exporter.errors import DeletedInSink
from exporter.mapping.mlflow import (
    PAGES_TAG,
    SERIES_TAG,
    Home,
    MetricPoint,
    WrittenKeys,
)
from exporter.mapping.records_text import SEAL_TAG, WRITING_TAG
from exporter.sinks.mlflow.bindings import FoundRun, FoundUnit
from exporter.sinks.mlflow.differences import Difference, compare
from exporter.sinks.mlflow.holding import Holding, by_key, rank
from exporter.sinks.mlflow.mending import Root, mend_files
from exporter.sinks.mlflow.models import ModelReconciler, ModelRun
from exporter.sinks.mlflow.tags import GONE_TAG, PARENT_TAG, SELF_TAG, UNIT_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exporter.hierarchy import RunSnapshot
    from exporter.mapping.mlflow import RunPlan, Upload
    from exporter.sinks.mlflow.api import TrackingApi
    from exporter.sinks.mlflow.writer import UnitWriter


def is_ours(run: FoundRun) -> bool:
    """Tell our runs from copies other tools made: a copy carries the id of its original."""
    return bool(run.key) and run.tags.get(SELF_TAG, run.run_id) == run.run_id


def look_up(api: TrackingApi, experiment_id: str, unit: str, *, deleted: bool = False) -> FoundUnit:
    """Read all runs of a unit that are ours."""
    found = api.search(experiment_id, f"tags.`{UNIT_TAG}` = '{unit}'", deleted=deleted)
    return FoundUnit(unit, tuple(filter(is_ours, found)))


class Reconciler:
    """One reconciliation of one unit."""

    def __init__(
        self, writer: UnitWriter, experiment_id: str, *, bound: Mapping[str, str], repair: bool
    ) -> None:
        self._writer = writer
        self._plan = writer.plan
        self._api = writer.api
        self._experiment_id = experiment_id
        self._bound = bound
        self._repair = repair
        self._parent: FoundRun | None = None
        self._holding = Holding(self._plan, None, self._api.get_file)
        self._stored: dict[Home, str | None] | None = None
        self._models = ModelReconciler(writer, experiment_id, repair=repair)
        self.left_deleted: list[str] = []

    def apply(self, found: FoundUnit) -> dict[str, str]:
        """Write what is missing or wrong, and give key → run id."""
        groups = self._revived(by_key(found.runs))
        parents = sorted(groups.pop(self._plan.unit, []), key=self._rank)
        parent = parents[0] if parents else None
        self._parent = parent
        self._holding = Holding(self._plan, parent, self._api.get_file)
        difference = self._parent_difference(parent)
        if parent is not None and difference and parent.tags.get(WRITING_TAG) != self._plan.digest:
            self._api.log_batch(parent.run_id, tags=[(WRITING_TAG, self._plan.digest)])
        parent_target = self._target(self._plan.parent, parent, difference, None)
        targets: dict[str, Target] = {self._plan.unit: parent_target}
        steps = [
            self._prepare_step(child, groups.pop(child.key, []), parent_target.run_id)
            for child in self._plan.children
            if child.key not in self.left_deleted
        ]
        targets |= {step.target.plan.key: step.target for step in steps}
        self._upload(targets)
        if self._repair:
            mend_files(self._writer, self._found_as_they_are(targets), parent)
        may_be_stale = bool(groups) or any(step.superseded for step in steps)
        self._models.apply(
            {step.target.plan.key: _model_run(step) for step in steps}, may_be_stale=may_be_stale
        )
        for step in steps:
            self._write_step(step)
        for runs in groups.values():
            self._retire(runs)
        self._seal_parent(parent, parent_target, difference)
        for superseded in parents:
            if superseded.run_id != parent_target.run_id:
                self._writer.delete(superseded.run_id)
        self._models.finish()
        return {key: target.run_id for key, target in targets.items()}

    def _prepare_step(self, plan: RunPlan, found: list[FoundRun], parent_id: str) -> StepWork:
        """Choose or create the run of a step."""
        kept = min(found, key=self._rank, default=None)
        difference = Difference(replace=True)
        if kept is not None:
            sealing = self._writer.seal_of(plan, kept.run_id)
            wanted = {**plan.tags, PARENT_TAG: parent_id, **sealing}
            difference = compare(plan, wanted, kept, partial(self._holding.keys_of, plan.key))
        target = self._target(plan, kept, difference, parent_id)
        superseded = [run.run_id for run in found if run.run_id != target.run_id]
        return StepWork(target, kept, difference, superseded)

    def _write_step(self, work: StepWork) -> None:
        """Make the run of a step right and whole, then delete those it replaces."""
        if work.target.created:
            self._writer.fill(work.target.plan, work.target.run_id)
        elif work.kept is not None and work.difference:
            self._write(work.target.plan, work.kept, work.difference, {})
        for run_id in work.superseded:
            self._writer.delete(run_id)

    def _target(
        self,
        plan: RunPlan,
        kept: FoundRun | None,
        difference: Difference,
        parent_id: str | None,
    ) -> Target:
        """Give the run that is to hold a plan; a new one takes over what people added."""
        if kept is not None and not difference.replace:
            described = kept.tags.get(SERIES_TAG) == plan.tags.get(SERIES_TAG)
            return Target(plan, kept.run_id, kept.artifact_uri, created=False, described=described)
        if kept is not None:
            plan = with_additions(plan, kept, self._holding.keys_of(plan.key))
        made = self._writer.create(plan, parent_id)
        return Target(plan, made.run_id, made.artifact_uri, created=True)

    def _write(
        self, plan: RunPlan, run: FoundRun, difference: Difference, last: Mapping[str, str]
    ) -> None:
        """Write differences into a run, the tags of `last` in the last request but for removals."""
        if difference.datasets:
            self._writer.log_inputs(run.run_id, difference.datasets)
        if difference.update:
            name = plan.name if difference.rename else None
            self._api.update_run(run.run_id, status=plan.status, end=plan.end, name=name)
        self._writer.log(
            run.run_id,
            params=difference.params,
            metrics=difference.metrics,
            tags={**dict(difference.tags), **last}.items(),
        )
        for key in difference.stale_tags:
            self._api.delete_tag(run.run_id, key)
        self._writer.tally.updated.add(run.run_id)

    def _upload(self, targets: Mapping[str, Target]) -> None:
        """Store the files that MLflow lacks: new ones, and those of runs that were made anew."""
        for upload in self._plan.uploads:
            target = targets.get(upload.step_key)
            if target is None:
                continue
            if target.created or not self._is_stored(upload):
                self._writer.upload(upload, target.artifact_uri)
            elif not target.described:
                self._writer.describe(upload, target.artifact_uri)

    def _found_as_they_are(self, targets: Mapping[str, Target]) -> dict[str, Root]:
        """Give the runs that were not made anew, by key."""
        return {key: Root(t.run_id, t.artifact_uri) for key, t in targets.items() if not t.created}

    def _is_stored(self, upload: Upload) -> bool:
        """Tell whether the last whole version of the unit holds these very files at this place."""
        if upload.held or (self._parent is not None and _is_sealed(self._parent, self._plan.seal)):
            return True
        if self._stored is None:
            run, homes = self._holding.last_whole or (None, {})
            self._stored = {} if run is None else _contents_by_home(run, homes)
        place = Home(upload.step_key, upload.path)
        return upload.sha256 is not None and self._stored.get(place) == upload.sha256

    def _retire(self, runs: Iterable[FoundRun]) -> None:
        """Delete the runs of a step that is no longer there, marked as ours to delete."""
        for run in runs:
            self._api.log_batch(run.run_id, tags=[(GONE_TAG, "step")])
            self._writer.delete(run.run_id)

    def _seal_parent(self, parent: FoundRun | None, target: Target, difference: Difference) -> None:
        if not target.created and not difference:
            return
        is_new = target.created or parent is None or parent.tags.get(WRITING_TAG)
        held = "" if is_new or parent is None else parent.tags.get(PAGES_TAG, "")
        self._writer.put_pages(target.artifact_uri, held)
        self._writer.put_record(target.artifact_uri)
        if target.created or parent is None:
            self._writer.fill(target.plan, target.run_id)
            return
        last = {**self._writer.pages_held(), SEAL_TAG: self._plan.seal, WRITING_TAG: ""}
        self._write(target.plan, parent, difference, last)

    def _parent_difference(self, parent: FoundRun | None) -> Difference:
        if parent is None:
            return Difference(replace=True)
        plan = self._plan.parent
        wanted = self._holding.wanted_of_parent(self._writer.seal_of(plan, parent.run_id))
        return compare(plan, wanted, parent, partial(self._holding.keys_of, plan.key))

    def _rank(self, run: FoundRun) -> tuple[bool, bool, bool, str]:
        """Order duplicates, the one to keep first."""
        return rank(run, self._plan, self._bound)

    def _revived(self, groups: dict[str, list[FoundRun]]) -> dict[str, list[FoundRun]]:
        """Take deleted runs into account: what people deleted stays so, or comes back by repair.

        Raises: DeletedInSink for a deleted parent without repair.
        """
        wanted = [self._plan.unit, *(child.key for child in self._plan.children)]
        missing = [key for key in wanted if key not in groups]
        had_parent = self._plan.unit in groups
        if not missing or (had_parent and not any(key in self._bound for key in missing)):
            return groups
        deleted = look_up(self._api, self._experiment_id, self._plan.unit, deleted=True)
        dead = by_key(run for run in deleted.runs if GONE_TAG not in run.tags)
        dead = {key: dead[key] for key in missing if key in dead}
        if not dead:
            return groups
        if self._repair:
            for key, runs in dead.items():
                chosen = min(runs, key=self._rank)
                self._api.restore_run(chosen.run_id)
                self._writer.tally.updated.add(chosen.run_id)
                groups[key] = [chosen]
            return groups
        if not had_parent and self._plan.unit in dead:
            run = min(dead[self._plan.unit], key=self._rank)
            raise DeletedInSink(
                f"Run {run.name!r} was deleted in MLflow (run {run.run_id}).",
                hint="It stays deleted; `pipeline-exporter run --repair` brings it back.",
                unit=self._plan.unit,
                run_id=run.run_id,
            )
        self.left_deleted = [key for key in dead if key in self._bound]
        return groups


class Target(NamedTuple):
    """The MLflow run that is to hold a plan; `described` says that its tables are so already."""

    plan: RunPlan
    run_id: str
    artifact_uri: str
    created: bool
    described: bool = False


class StepWork(NamedTuple):
    """What is to be done for one nested run."""

    target: Target
    kept: FoundRun | None
    difference: Difference
    superseded: list[str]


def with_additions(plan: RunPlan, old: FoundRun, written: WrittenKeys | None) -> RunPlan:
    """Take over what people added to a run that is replaced: tags, parameters, metrics."""
    tags = {k: v for k, v in old.tags.items() if not k.startswith(("exporter.", "mlflow."))}
    if written is None:
        return replace(plan, tags={**tags, **plan.tags})
    params = {k: v for k, v in old.params.items() if k not in written.params}
    planned = {point.key for point in plan.metrics}
    added = tuple(
        MetricPoint(key, value, timestamp)
        for key, (value, timestamp) in old.metrics.items()
        if key not in planned and not written.has_metric(key)
    )
    return replace(
        plan,
        tags={**tags, **plan.tags},
        params={**params, **plan.params},
        metrics=(*plan.metrics, *added),
    )


def _model_run(step: StepWork) -> ModelRun:
    target, kept = step.target, step.kept
    linked = frozenset[str]() if target.created or kept is None else frozenset(kept.models)
    return ModelRun(target.run_id, target.created, linked, target.plan.metrics)


def _is_sealed(run: FoundRun, seal: str) -> bool:
    return run.tags.get(SEAL_TAG) == seal and not run.tags.get(WRITING_TAG)


def _contents_by_home(run: RunSnapshot, homes: Mapping[str, Home]) -> dict[Home, str | None]:
    return {
        homes[artifact.id]: artifact.content.sha256
        for artifact in run.artifacts
        if artifact.id in homes and artifact.content is not None
    }
