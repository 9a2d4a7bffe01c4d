"""The models that a unit holds, as MLflow models of the steps that wrote them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.hierarchy import iso_from_ms
from exporter.hierarchy.status import mlflow_status
from exporter.mapping.mlflow.features import columns_of
from exporter.mapping.mlflow.measures import moment
from exporter.mapping.mlflow.models import plan_model
from exporter.mapping.mlflow.registration import Registration, registrations_of
from exporter.mapping.mlflow.text import TAG_LENGTH, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.hierarchy import Artifact, FileRecord, RunSnapshot, Step, Value
    from exporter.mapping.mlflow.models import ModelPlan
    from exporter.mapping.mlflow.naming import MlflowNaming
    from exporter.mapping.mlflow.plans import RunPlan, Upload

DIGEST_TAG = "exporter.model"
NOTE_TAG = "mlflow.note.content"


@dataclass(frozen=True, slots=True)
class LoggedModelPlan:
    """One artifact of a step as an MLflow model of the step's run.

    `files` are (file of the artifact, path in the model's folder). `created` is when the step
    ended, UTC milliseconds. `tags` lack only what needs MLflow's own ids. `digest` changes with
    anything that would make MLflow's model another one.
    """

    step_key: str
    artifact_id: str
    model: ModelPlan
    files: tuple[tuple[FileRecord, str], ...]
    created: int
    tags: Mapping[str, str]
    digest: str
    registrations: tuple[Registration, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the model's files, without what is written beside them."""
        return sum(file.size for file, _ in self.files)


def plan_logged_models(
    run: RunSnapshot,
    children: Sequence[RunPlan],
    uploads: Sequence[Upload],
    artifacts: Mapping[str, Artifact],
    naming: MlflowNaming,
    read: Mapping[str, Value],
) -> tuple[LoggedModelPlan, ...]:
    """Give the models among the outputs whose files this unit holds, in the order of `uploads`.

    `read` has what was read of small outputs and models, by artifact id.

    An artifact that another unit holds, such as that of a cached step, is a model there. Only those
    of steps and runs that ended well are to be registered.
    """
    if not naming.logged_models:
        return ()
    steps = {child.key: (step, child) for step, child in zip(run.steps, children, strict=True)}
    plans = []
    for upload in uploads:
        step, child = steps[upload.step_key]
        port = next((p.name for p in step.outputs if p.artifact == upload.artifact_id), None)
        if port is not None:
            names = {
                "repository": run.repository,
                "stack": run.stack,
                "pipeline": run.pipeline.name,
                "step": step.name,
                "output": port,
            }
            artifact = artifacts[upload.artifact_id]
            columns = columns_of(artifact, read.get(artifact.id))
            plan = _plan(run, step, child, artifact, names, naming, columns)
            plans += [] if plan is None else [plan]
    return tuple(plans)


def _plan(
    run: RunSnapshot,
    step: Step,
    child: RunPlan,
    artifact: Artifact,
    names: Mapping[str, str],
    naming: MlflowNaming,
    columns: Sequence[Mapping[str, object]],
) -> LoggedModelPlan | None:
    model = plan_model(
        artifact,
        name=naming.model.format(**names, run=run.name),
        parameters=step.parameters,
        columns=columns,
    )
    if model is None or artifact.content is None:
        return None
    created = max(1, child.start if step.end is None else moment(step.end, Counter()))
    targets = dict(model.files)
    files = tuple((f, targets[f.path]) for f in artifact.content.files if f.path in targets)
    beside: Counter[str] = Counter()  # the record holds all of this whole
    tags = {
        "exporter.unit": child.tags["exporter.unit"],
        "exporter.run": run.name,
        **{f"exporter.{key}": value for key, value in names.items()},
        **dict(model.tags),
        NOTE_TAG: f"Output `{names['output']}` of step `{names['step']}` in run `{run.name}`, "
        f"written {iso_from_ms(created)}.",
    }
    tags = {key: shorten(value, TAG_LENGTH, "", beside) for key, value in tags.items() if value}
    return LoggedModelPlan(
        step_key=child.key,
        artifact_id=artifact.id,
        model=model,
        files=files,
        created=created,
        tags=tags,
        digest=_digest(model, files, tags),
        registrations=registrations_of(naming.models, names, beside)
        if {child.status, mlflow_status(run.status)} == {"FINISHED"}
        else (),
    )


def _digest(
    model: ModelPlan, files: Sequence[tuple[FileRecord, str]], tags: Mapping[str, str]
) -> str:
    """Give 32 hex digits over what a model says and holds."""
    said = [
        model.name,
        model.model_type,
        model.flavors,
        model.signature,
        [[target, file.size, file.sha256] for file, target in files],
        model.texts,
        model.params,
        sorted(tags.items()),
    ]
    return hashlib.sha256(json.dumps(said).encode("ascii")).hexdigest()[:32]
