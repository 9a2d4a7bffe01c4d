"""How the hierarchy is named in MLflow, read from `mappings/mlflow.yaml`."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from exporter.errors import ConfigError
from exporter.hierarchy import history_key
from exporter.mapping.mlflow.plans import ExperimentPlan
from exporter.mapping.mlflow.registration import ModelRule, model_rules
from exporter.mapping.mlflow.text import TAG_LENGTH, short_name, shorten
from exporter.mapping.pipeline_text import encode_pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.hierarchy import PipelineRecord

EXPERIMENT_NAME_LENGTH = 250
_TEMPLATE_FIELDS = {
    "experiment": ("repository", "stack", "pipeline"),
    "run": ("repository", "stack", "pipeline", "run"),
    "step": ("repository", "stack", "pipeline", "run", "step", "attempt"),
    "retried_step": ("repository", "stack", "pipeline", "run", "step", "attempt"),
    "model": ("repository", "stack", "pipeline", "run", "step", "output"),
}


@dataclass(frozen=True, slots=True)
class MlflowNaming:
    """Templates and lists that a user may change; identity never depends on them.

    `not_datasets` are artifact types that are no datasets when a step consumes them; `fact_tags`
    gives facts of a run or step as tags; `metrics_per_run` bounds the metrics of one MLflow run,
    the rest is counted. `statistics` describes tables, with up to `top_values` values a column.
    `pages` puts a step graph and a summary among the run's artifacts.
    `logged_models` says whether outputs that are models become MLflow models, `models` which of
    these are registered.
    """

    experiment: str = "{repository}/{stack}/{pipeline}"
    run: str = "{run}"
    step: str = "{step}"
    retried_step: str = "{step} (attempt {attempt})"
    model: str = "{step}-{output}"
    not_datasets: frozenset[str] = frozenset()
    fact_tags: Mapping[str, str] = field(default_factory=dict)
    datasets_on_parent: bool = True
    metrics_per_run: int = 5_000
    statistics: bool = True
    top_values: int = 0
    logged_models: bool = True
    models: tuple[ModelRule, ...] = ()
    pages: bool = True


def naming_from_yaml(mapping: Mapping[str, Any]) -> MlflowNaming:  # Any: parsed YAML, checked here
    """Read the keys of `mappings/mlflow.yaml`; what is absent has its default.

    Raises: ConfigError that names the key, for an unknown key, a wrong type or a template that
    cannot be filled.
    """
    known = {f.name for f in fields(MlflowNaming)}
    values: dict[str, Any] = {}  # Any: one entry per field, of that field's type
    for key, value in mapping.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}."
            raise ConfigError(f"mappings/mlflow.yaml: unknown key {key!r}.", hint=hint)
        values[key] = _checked(key, value)
    return MlflowNaming(**values)


def _checked(key: str, value: Any) -> object:  # Any: parsed YAML
    where = f"mappings/mlflow.yaml: {key}"
    match key:
        case "experiment" | "run" | "step" | "retried_step" | "model":
            allowed = _TEMPLATE_FIELDS[key]
            try:
                if not isinstance(value, str) or not value.format(**dict.fromkeys(allowed, "x")):
                    raise ConfigError(f"{where} must be a template that is not empty.")
            except (KeyError, IndexError, ValueError, AttributeError) as error:
                names = ", ".join(f"{{{name}}}" for name in allowed)
                raise ConfigError(
                    f"{where}: {value!r} cannot be filled.", hint=f"Use {names}."
                ) from error
        case "not_datasets":
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ConfigError(f"{where} must be a list of artifact types.")
            return frozenset(value)
        case "fact_tags":
            if not isinstance(value, dict) or not all(
                isinstance(part, str) for pair in value.items() for part in pair
            ):
                raise ConfigError(f"{where} must map names of facts to tags.")
        case "models":
            return model_rules(value)
        case "datasets_on_parent" | "statistics" | "pages" | "logged_models":
            if not isinstance(value, bool):
                raise ConfigError(f"{where} must be true or false.")
        case _:
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ConfigError(f"{where} must be a number that is not negative.")
    return value


def plan_experiment(
    repository: str, stack: str, pipeline: PipelineRecord, naming: MlflowNaming
) -> ExperimentPlan:
    """Give the experiment of a pipeline; also of one without runs."""
    beside: Counter[str] = Counter()
    name = naming.experiment.format(repository=repository, stack=stack, pipeline=pipeline.name)
    key = history_key(repository, stack, None, pipeline.name)
    tags = {
        "exporter.key": key,
        "exporter.repository": shorten(repository, TAG_LENGTH, "", beside),
        "exporter.stack": shorten(stack, TAG_LENGTH, "", beside),
        "exporter.pipeline": shorten(pipeline.name, TAG_LENGTH, "", beside),
        **encode_pipeline(pipeline),
    }
    if pipeline.docstring:
        tags["mlflow.note.content"] = shorten(pipeline.docstring, TAG_LENGTH, "", beside)
    return ExperimentPlan(key, short_name(name or "_", EXPERIMENT_NAME_LENGTH, beside), tags)
