"""Makes the MLflow models of a unit equal to its plan, from whatever MLflow holds of them now.

A model is created with its tags, gets its files and `MLmodel`, becomes ready and is linked to the
run of its step; only then is the run sealed. Last it is registered, where the mapping says so.
Killed at any point, the same call again completes the work: a model is found by its unit and run,
what is not ready is written again, duplicates and models of replaced runs are deleted.
Models are ours when they carry `exporter.unit` and name their own run in `exporter.mlflow_run`; a
copy that another tool made carries a foreign one.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from exporter.mapping.mlflow import MLMODEL, mlmodel_text
from exporter.mapping.mlflow.logged_models import DIGEST_TAG
from exporter.sinks.mlflow.models_api import PARAMS_AT_ONCE, READY, FoundModel
from exporter.sinks.mlflow.registry import Registrar
from exporter.sinks.mlflow.tags import ARTIFACT_TAG, GONE_TAG, SELF_TAG, UNIT_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.mapping.mlflow import LoggedModelPlan, MetricPoint
    from exporter.sinks.mlflow.writer import UnitWriter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ModelRun(NamedTuple):
    """The run of a step: `linked` are the models that it has as outputs, `created` says it is new.

    `metrics` are those of its plan.
    """

    run_id: str
    created: bool
    linked: frozenset[str] = frozenset()
    metrics: Sequence[MetricPoint] = ()


class ModelReconciler:
    """The models of one unit."""

    def __init__(self, writer: UnitWriter, experiment_id: str, *, repair: bool = False) -> None:
        self._writer = writer
        self._api = writer.api.models
        self._registrar = Registrar(writer.api.registry, writer.api.models, repair=repair)
        self._experiment_id = experiment_id
        self._plan = writer.plan
        self._repair = repair
        self._kept: list[tuple[LoggedModelPlan, FoundModel]] = []
        self._stale: list[FoundModel] = []

    def write_new(self, runs: Mapping[str, ModelRun]) -> None:
        """Write the models of a unit that MLflow does not know. Repeat: second models."""
        self._write(runs, [])

    def apply(self, runs: Mapping[str, ModelRun], *, may_be_stale: bool) -> None:
        """Make the models of a unit right; `runs` are those that its steps have from now on.

        Nothing is asked where the unit has no model, unless there `may_be_stale` ones.
        Repeat: one search, and nothing is written.
        """
        if self._plan.models or may_be_stale:
            condition = f"tags.`{UNIT_TAG}` = '{self._plan.unit}'"
            found = self._api.search(self._experiment_id, condition)
            self._write(runs, [model for model in found if _is_ours(model)])
        if not self._plan.models:
            self._retire_stale()  # now: once their runs are gone, nobody would look for them

    def finish(self) -> None:
        """Register the models, then delete those that are none any more.

        It comes after the seal: a registry that refuses holds back no history.
        Repeat: a request or two for each registration.
        Raises: SinkTerminal where the registry refuses.
        """
        for plan, model in self._kept:
            for registration in plan.registrations:
                made = self._registrar.register(registration, plan, model)
                self._writer.tally.models_registered += made
        self._retire_stale()

    def _write(self, runs: Mapping[str, ModelRun], found: Sequence[FoundModel]) -> None:
        count = Counter(plan.step_key for plan in self._plan.models)
        only: dict[str, str] = {}
        for plan in self._plan.models:
            run = runs.get(plan.step_key)
            if run is None:
                continue
            mine = [m for m in found if _is_of(m, plan, run)]
            model = min(mine, key=lambda m: _rank(m, plan, run), default=None)
            if model is None and self._was_deleted(plan, run, found):
                continue
            if model is None or _digest(model) != plan.digest:
                model = self._create(plan, run)
            self._complete(plan, run, model)
            self._kept.append((plan, model))
            if count[plan.step_key] == 1:
                only[plan.step_key] = model.model_id
                self._link_metrics(run, model)
        self._writer.model_of = only
        self._stale = list(self._stale_of(runs, found))

    def _stale_of(
        self, runs: Mapping[str, ModelRun], found: Sequence[FoundModel]
    ) -> Iterator[FoundModel]:
        """Give the models of runs that are replaced or gone, and those that others replace.

        What belongs to a run that somebody deleted is left alone, and so is a model whose artifact
        has no copy any more.
        """
        kept = {model.model_id for _, model in self._kept}
        current = {run.run_id for run in runs.values()}
        untouched = {p.artifact_id for p in self._plan.models if p.step_key not in runs}
        planned = {p.artifact_id for p in self._plan.models} | set(self._plan.homes)
        for model in found:
            artifact = model.tags.get(ARTIFACT_TAG)
            is_stale = model.run_id not in current or artifact in planned
            if model.model_id not in kept and is_stale and artifact not in untouched:
                yield model

    def _create(self, plan: LoggedModelPlan, run: ModelRun) -> FoundModel:
        tags = {**plan.tags, SELF_TAG: run.run_id, DIGEST_TAG: plan.digest}
        model = self._api.create(
            self._experiment_id,
            plan.model.name,
            model_type=plan.model.model_type,
            run_id=run.run_id,
            tags=tags,
            params=plan.model.params[:PARAMS_AT_ONCE],
        )
        self._writer.tally.models += 1
        return model

    def _complete(self, plan: LoggedModelPlan, run: ModelRun, model: FoundModel) -> None:
        """Bring a model to its end: parameters, files, ready, an output of its run."""
        if model.status != READY:
            rest = [pair for pair in plan.model.params if pair[0] not in model.params]
            for start in range(0, len(rest), PARAMS_AT_ONCE):
                self._api.log_params(model.model_id, rest[start : start + PARAMS_AT_ONCE])
            self._send_files(plan, model)
            self._api.finish(model.model_id)
        if model.model_id not in run.linked:
            self._api.link(run.run_id, model.model_id)

    def _send_files(self, plan: LoggedModelPlan, model: FoundModel) -> None:
        root = model.artifact_location
        for file, path in plan.files:
            self._writer.send_file(plan.artifact_id, file, root, path)
        said = mlmodel_text(
            plan.model,
            model_id=model.model_id,
            run_id=model.run_id,
            created=_utc_text(plan.created),
            artifact_path=root,
            size=plan.size,
        )
        own = () if plan.model.has_own else ((MLMODEL, said),)
        for path, text in (*plan.model.texts, *own):
            content = text.encode("utf-8")
            self._writer.api.put_file(root, path, io.BytesIO(content), len(content))

    def _link_metrics(self, run: ModelRun, model: FoundModel) -> None:
        """Show the metrics of a run on its only model; a new run's are written so at once."""
        missing = [p for p in run.metrics if p.key not in model.metrics and not math.isnan(p.value)]
        if missing and not run.created:
            self._writer.log(run.run_id, metrics=missing, model_id=model.model_id)

    def _was_deleted(
        self, plan: LoggedModelPlan, run: ModelRun, found: Sequence[FoundModel]
    ) -> bool:
        """Tell whether somebody deleted the model of a run in MLflow: it stays so until repair."""
        if self._repair:
            return False
        alive = {model.model_id for model in found}
        for model_id in sorted(run.linked - alive):
            model = self._api.get(model_id)
            if model is not None and _is_ours(model) and _is_of(model, plan, run):
                self._writer.tally.models_left_deleted += 1
                return True
        return False

    def _retire_stale(self) -> None:
        """Delete the models that are none any more, marked as ours to delete.

        One that a registered version still refers to stays: its files are that version's.
        """
        for model in self._stale:
            if GONE_TAG not in model.tags:
                self._api.set_tags(model.model_id, {GONE_TAG: "replaced"})
            if not self._registrar.is_registered(model):
                self._api.delete(model.model_id)
        self._stale = []


def _is_ours(model: FoundModel) -> bool:
    return bool(model.tags.get(UNIT_TAG)) and model.tags.get(SELF_TAG) == model.run_id


def _is_of(model: FoundModel, plan: LoggedModelPlan, run: ModelRun) -> bool:
    """Tell whether a model is one of this artifact, of this very run, and not given up."""
    is_same = model.tags.get(ARTIFACT_TAG) == plan.artifact_id and model.run_id == run.run_id
    return is_same and GONE_TAG not in model.tags


def _digest(model: FoundModel) -> str:
    return model.tags.get(DIGEST_TAG, "")


def _rank(model: FoundModel, plan: LoggedModelPlan, run: ModelRun) -> tuple[bool, bool, bool, str]:
    """Order duplicates: as planned, ready, linked, smallest id."""
    return (
        _digest(model) != plan.digest,
        model.status != READY,
        model.model_id not in run.linked,
        model.model_id,
    )


def _utc_text(moment_ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=moment_ms)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
