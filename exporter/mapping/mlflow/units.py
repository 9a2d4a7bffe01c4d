"""One pipeline run becomes one plan: parent run, nested runs, uploads, record, seal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from exporter.errors import SinkTerminal
from exporter.hierarchy import run_key, step_key
from exporter.hierarchy.status import mlflow_status
from exporter.mapping.mlflow.datasets import consumed_datasets
from exporter.mapping.mlflow.features import feature_file
from exporter.mapping.mlflow.logged_models import plan_logged_models
from exporter.mapping.mlflow.measures import (
    MetricTable,
    ParamTable,
    moment,
    step_numbers,
)
from exporter.mapping.mlflow.naming import plan_experiment
from exporter.mapping.mlflow.note import run_note, step_note
from exporter.mapping.mlflow.pages import pages_of
from exporter.mapping.mlflow.plans import DatasetPlan, RunPlan, UnitPlan
from exporter.mapping.mlflow.tables import SERIES_TAG, TableFacts, series_of, table_numbers
from exporter.mapping.mlflow.text import (
    KEY_LENGTH,
    NAME_LENGTH,
    TAG_LENGTH,
    short_name,
    shorten,
    value_text,
)
from exporter.mapping.mlflow.uploads import place_artifacts, uploads_of
from exporter.mapping.records_text import encode_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.hierarchy import Artifact, Parameter, RunSnapshot, Step, UnitKey, Value
    from exporter.mapping.homes import Home
    from exporter.mapping.mlflow.naming import MlflowNaming

_SCALAR_BYTES = 64 * 1024


class Known(NamedTuple):
    """What was read of the artifacts' bytes, by artifact id.

    `described` names the steps whose runs hold descriptions of tables, by key.
    """

    scalars: Mapping[str, Value]
    tables: Mapping[str, TableFacts | None]
    described: frozenset[str] = frozenset()


# TFX writes these as one small file.
_VALUE_TYPES = frozenset({"Integer", "Float", "Boolean", "JsonValue"})


def wanted_scalars(run: RunSnapshot) -> tuple[str, ...]:
    """Name the outputs of which a little is worth reading, each once.

    Small JSON and value files for metrics, and the beginning of models that say what they take.
    """
    shown = {port.artifact for step in run.steps for port in step.outputs}
    return tuple(a.id for a in run.artifacts if a.id in shown and _may_be_scalar(a))


def _may_be_scalar(artifact: Artifact) -> bool:
    content = artifact.content
    if content is not None and content.state == "referenced":
        kind = artifact.data_type or artifact.type
        return kind.startswith("builtins.") or kind in _VALUE_TYPES
    if feature_file(artifact) is not None:
        return True
    if content is None or content.state != "copied" or len(content.files) != 1:
        return False
    file = content.files[0]
    name = file.path or artifact.uri
    return file.size <= _SCALAR_BYTES and name.endswith((".json", "/value"))


def plan_unit(
    run: RunSnapshot,
    homes: Mapping[str, Home],
    naming: MlflowNaming,
    scalars: Mapping[str, Value] | None = None,
    tables: Mapping[str, TableFacts | None] | None = None,
) -> UnitPlan:
    """Say what MLflow should hold of one pipeline run.

    `run` has the contents of its artifacts filled in. `homes` says where artifacts that were copied
    before are, under this unit or another; a copied artifact this run outputs that has no home is
    uploaded by the first step that wrote it, else by the first that shows it. `scalars` holds
    decoded small outputs by artifact id, for metrics; `tables` what was described, None for a
    table that could not be.

    Repeat: the same arguments give the same plan, byte for byte.
    Raises: SinkTerminal when two steps share a name and attempt, since nothing could tell them
    apart later.
    """
    beside: Counter[str] = Counter()
    known = Known(scalars or {}, tables or {})
    beside["tables_undescribed"] = sum(facts is None for facts in known.tables.values())
    unit = run_key(run)
    keys = [step_key(run, step) for step in run.steps]
    if len(set(keys)) != len(keys):
        raise SinkTerminal(
            f"Run {run.name!r} has two steps with one name and attempt.", unit=unit, run=run.name
        )
    artifacts = {artifact.id: artifact for artifact in run.artifacts}
    placed = place_artifacts(run, keys, homes)
    uploads = uploads_of(artifacts, placed, homes, set(keys), known.tables)
    known = known._replace(described=frozenset(u.step_key for u in uploads if u.derived))
    children = tuple(
        _plan_step(run, step, key, unit, artifacts, naming, known, beside)
        for step, key in zip(run.steps, keys, strict=True)
    )
    parent = _plan_parent(run, unit, children, artifacts, naming, known, beside)
    record = encode_record(run, placed)
    if record.file is not None:
        beside["records_as_file"] += 1
    return UnitPlan(
        unit=unit,
        experiment=plan_experiment(run.repository, run.stack, run.pipeline, naming),
        parent=parent,
        children=children,
        uploads=uploads,
        models=plan_logged_models(run, children, uploads, artifacts, naming, known.scalars),
        homes=placed,
        new_homes={a: home for a, home in placed.items() if a not in homes},
        record=record.tags,
        record_file=record.file,
        pages=pages_of(run) if naming.pages else {},
        seal=record.seal,
        kept_beside={kind: count for kind, count in sorted(beside.items()) if count},
    )


def _plan_step(
    run: RunSnapshot,
    step: Step,
    key: UnitKey,
    unit: UnitKey,
    artifacts: dict[str, Artifact],
    naming: MlflowNaming,
    known: Known,
    beside: Counter[str],
) -> RunPlan:
    params = ParamTable(beside)
    params.add("", step.parameters)
    metrics = MetricTable(naming.metrics_per_run, beside)
    metrics.add("", _numbers(step, artifacts, known).items(), _metric_time(run, step))
    template = naming.step if step.attempt <= 1 else naming.retried_step
    name = template.format(
        repository=run.repository,
        stack=run.stack,
        pipeline=run.pipeline.name,
        run=run.name,
        step=step.name,
        attempt=step.attempt,
    )
    own = {
        "exporter.key": key,
        "exporter.unit": unit,
        "exporter.step": step.name,
        "exporter.status": step.status,
        "exporter.source_id": step.source_id,
        "exporter.entrypoint": step.entrypoint,
        "exporter.attempt": str(step.attempt),
        "mlflow.source.name": step.entrypoint or step.name,
        "mlflow.note.content": step_note(step, artifacts),
    }
    if key in known.described:
        own[SERIES_TAG] = series_of(step)
    status = mlflow_status(step.status)
    return RunPlan(
        key=key,
        name=_run_name(name, beside),
        status=status,
        start=_step_start(run, step, beside),
        end=None if status == "RUNNING" or step.end is None else moment(step.end, beside),
        params=params.values,
        metrics=tuple(metrics.points.values()),
        tags=_tags(_shared_tags(run) | own, step.facts, naming, beside),
        datasets=consumed_datasets(run, step, artifacts, naming, known.tables),
    )


def _plan_parent(
    run: RunSnapshot,
    unit: UnitKey,
    children: Sequence[RunPlan],
    artifacts: dict[str, Artifact],
    naming: MlflowNaming,
    known: Known,
    beside: Counter[str],
) -> RunPlan:
    """Plan the parent, which shows its steps' parameters and metrics under `<step>.`."""
    repeated: Counter[str] = Counter()  # what a step's run counted already is not counted again
    params = ParamTable(repeated)
    metrics = MetricTable(naming.metrics_per_run, repeated)
    last_attempt = {step.name: step for step in run.steps}
    for step in last_attempt.values():
        params.add(f"{step.name}.", step.parameters)
        numbers = _numbers(step, artifacts, known)
        metrics.add(f"{step.name}.", numbers.items(), _metric_time(run, step))
    datasets: dict[tuple[str, str], DatasetPlan] = {}
    if naming.datasets_on_parent:
        for child in children:
            for dataset in child.datasets:
                datasets.setdefault((dataset.name, dataset.digest), dataset)
    name = naming.run.format(
        repository=run.repository, stack=run.stack, pipeline=run.pipeline.name, run=run.name
    )
    own = {
        "exporter.key": unit,
        "exporter.unit": unit,
        "exporter.status": run.status,
        "exporter.source_id": run.source_id,
        "mlflow.source.name": run.pipeline.name,
        "mlflow.note.content": run_note(run),
    }
    if run.run_stack is not None:
        own["exporter.run_stack"] = run.run_stack
    status = mlflow_status(run.status)
    return RunPlan(
        key=unit,
        name=_run_name(name, beside),
        status=status,
        start=_run_start(run, beside),
        end=None if status == "RUNNING" or run.end is None else moment(run.end, beside),
        params=params.values,
        metrics=tuple(metrics.points.values()),
        tags=_tags(_shared_tags(run) | own, run.facts, naming, beside),
        datasets=tuple(datasets.values()),
    )


def _numbers(step: Step, artifacts: Mapping[str, Artifact], known: Known) -> dict[str, float | int]:
    """Give a step's numbers: what its outputs hold, and the sizes of its tables."""
    return {
        **dict(table_numbers(step, known.tables)),
        **dict(step_numbers(step, artifacts, known.scalars)),
    }


def _shared_tags(run: RunSnapshot) -> dict[str, str]:
    return {
        "exporter.repository": run.repository,
        "exporter.stack": run.stack,
        "exporter.pipeline": run.pipeline.name,
        "exporter.run": run.name,
        "exporter.tool": run.tool,
        "mlflow.source.type": "JOB",
    }


def _tags(
    own: Mapping[str, str],
    facts: Sequence[Parameter],
    naming: MlflowNaming,
    beside: Counter[str],
) -> dict[str, str]:
    """Give the tags that have a value; the exporter's own words win over facts of the source."""
    tags: dict[str, str] = {}
    for fact in facts:
        name = naming.fact_tags.get(fact.name)
        if name is not None and fact.value is not None:
            tags[name[:KEY_LENGTH]] = value_text(fact.value)
    tags.update(own)
    return {
        key: shorten(value, TAG_LENGTH, "tags_shortened", beside)
        for key, value in tags.items()
        if value
    }


def _run_name(name: str, beside: Counter[str]) -> str:
    """Give a name that is never empty: MLflow would make one up."""
    return short_name(name, NAME_LENGTH, beside).strip() or "(unnamed)"


def _run_start(run: RunSnapshot, beside: Counter[str]) -> int:
    """Give the recorded start, else the first known moment of the run."""
    if run.start is not None:
        return moment(run.start, beside)
    beside["times_unknown"] += 1
    known = [at for step in run.steps for at in (step.start, step.end) if at is not None]
    return moment(min([*known, *([] if run.end is None else [run.end])], default=1), Counter())


def _step_start(run: RunSnapshot, step: Step, beside: Counter[str]) -> int:
    if step.start is not None:
        return moment(step.start, beside)
    beside["times_unknown"] += 1
    return moment(step.end, Counter()) if step.end is not None else _run_start(run, Counter())


def _metric_time(run: RunSnapshot, step: Step) -> int:
    """Give the step's end, so that the same value is the same point however often it is sent.

    MLflow takes no metric from before 1970.
    """
    at = step.end if step.end is not None else _step_start(run, step, Counter())
    return max(1, moment(at, Counter()))
