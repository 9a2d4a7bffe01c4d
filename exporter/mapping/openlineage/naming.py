r"""Names of jobs, datasets, runs and lanes.

Different originals never share a name: whatever cleaning changes gets a tail of its hash, and since
the dot separates `<pipeline>.<step>.<output>`, a dot inside one of them counts as a change. The
originals are kept in our own facets.

Source: Marquez' rules for namespaces (`[a-zA-Z:;=/0-9_\-.@+]{1,1024}`) and node ids,
https://github.com/MarquezProject/marquez/issues/2921; DataHub cuts a job's name at its first dot.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import string
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from exporter._version import __version__
from exporter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.hierarchy import RunSnapshot

Lane = Literal["run", "pipeline", "stack"]

# 255 in all, the length every catalog takes; a step's name must begin with its pipeline's, so each
# part has its share.
PIPELINE_LENGTH, STEP_LENGTH, OUTPUT_LENGTH = 120, 80, 53
NAME_LENGTH = 255
_NAMESPACE_PART_LENGTH = 200
_TAIL_DIGITS = 8

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NAME_CHANGES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff.]")
_NAMESPACE_CHANGES = re.compile(r"[^a-zA-Z0-9_\-.@+]")
_NAMESPACE_LITERAL = re.compile(r"[a-zA-Z:/0-9_\-.@+]*")
_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(:[0-9]+)?(/[A-Za-z0-9._~\-/]*)?")
_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TEMPLATE_FIELDS = frozenset({"tool", "repository", "stack"})

DEFAULT_NAMESPACE = "{tool}://{repository}/{stack}"
DEFAULT_BASE_URL = "https://pipeline-exporter.invalid"


def _default_types() -> dict[str, str]:
    return dict.fromkeys(
        ("ModelArtifact", "model_artifact", "Model", "PushedModel", "system.Model"), "MODEL"
    )


@dataclass(frozen=True, slots=True)
class LineageNaming:
    """How things are called in OpenLineage; `naming_from_yaml` reads a user's own."""

    base_url: str = DEFAULT_BASE_URL
    job_namespace: str = DEFAULT_NAMESPACE
    dataset_namespace: str = DEFAULT_NAMESPACE
    lane: Lane = "pipeline"
    default_dataset_type: str = "FILE"
    dataset_types: Mapping[str, str] = field(default_factory=_default_types)
    adapter_version: str = __version__


def naming_from_yaml(mapping: Mapping[str, Any]) -> LineageNaming:  # Any: parsed YAML, checked here
    """Read the keys of `mappings/openlineage.yaml`; what is absent has its default.

    Raises: ConfigError that names the key, for an unknown key or a value that would make events no
        catalog takes.
    """
    known = [f.name for f in fields(LineageNaming) if f.name != "adapter_version"]
    for key in mapping:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Known keys: " + ", ".join(known) + "."
            raise ConfigError(f"The OpenLineage mapping has an unknown key {key!r}.", hint=hint)
    values = dict(mapping)
    for key in ("job_namespace", "dataset_namespace"):
        if key in values:
            _check_template(key, values[key])
    if "base_url" in values:
        values["base_url"] = _checked_url(values["base_url"])
    if values.get("lane", "pipeline") not in get_args(Lane):
        raise ConfigError(
            f"lane in the OpenLineage mapping is {values['lane']!r}.",
            hint="Use run, pipeline or stack.",
        )
    types = values.get("dataset_types", {})
    if not isinstance(types, dict):
        raise ConfigError("dataset_types in the OpenLineage mapping is not a table of types.")
    for name in [values.get("default_dataset_type", "FILE"), *types.values()]:
        if not isinstance(name, str) or not _TYPE.fullmatch(name):
            raise ConfigError(
                f"The OpenLineage mapping names a dataset type {name!r}.",
                hint="Use capitals, digits and _, such as FILE, TABLE or MODEL.",
            )
    return LineageNaming(**values)


def clean_part(name: str, limit: int) -> str:
    """Make one part of a dotted name: no dot, no control character, no digit first, not empty.

    A name that needs no change keeps its spelling; a changed one ends with a hash of the original.
    """
    clean = _NAME_CHANGES.sub("_", name)
    if clean[:1].isdigit() or clean.startswith("//"):
        clean = f"_{clean}"
    return _with_tail(name, clean, limit)


def clean_namespace_part(name: str) -> str:
    """Make one part of a namespace of characters that every catalog takes."""
    return _with_tail(name, _NAMESPACE_CHANGES.sub("_", name), _NAMESPACE_PART_LENGTH)


def clean_name(name: str, limit: int = NAME_LENGTH) -> str:
    """Make a whole name, such as a file's path: as `clean_part`, but dots stay."""
    clean = _CONTROL.sub("_", name)
    if clean[:1].isdigit() or clean.startswith("//"):
        clean = f"_{clean}"
    return _with_tail(name, clean, limit)


@dataclass(frozen=True, slots=True)
class RunNames:
    """The names one run's events share."""

    job_namespace: str
    dataset_namespace: str
    pipeline: str
    lane: str

    @classmethod
    def of(cls, run: RunSnapshot, naming: LineageNaming, run_id: str) -> RunNames:
        """Work out the names of a run whose OpenLineage id is `run_id`."""
        parts = {
            "tool": clean_namespace_part(run.tool),
            "repository": clean_namespace_part(run.repository),
            "stack": clean_namespace_part(run.stack),
        }
        pipeline = clean_part(run.pipeline.name, PIPELINE_LENGTH)
        stack = f"{parts['repository']}/{parts['stack']}"
        lanes: dict[Lane, str] = {
            "run": run_id,
            "pipeline": f"{stack}/{pipeline}",
            "stack": stack,
        }
        return cls(
            job_namespace=naming.job_namespace.format_map(parts),
            dataset_namespace=naming.dataset_namespace.format_map(parts),
            pipeline=pipeline,
            lane=_short(lanes[naming.lane]),
        )

    def step(self, step_name: str) -> str:
        """Give the job name of a step."""
        return f"{self.pipeline}.{clean_part(step_name, STEP_LENGTH)}"

    def dataset(self, pipeline: str, step: str, output: str) -> str:
        """Give the logical name of what a step writes on an output: the same for every run."""
        return ".".join(
            (
                clean_part(pipeline, PIPELINE_LENGTH),
                clean_part(step, STEP_LENGTH),
                clean_part(output, OUTPUT_LENGTH),
            )
        )


def _with_tail(original: str, clean: str, limit: int) -> str:
    if clean == original and clean and len(clean) <= limit:
        return clean
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:_TAIL_DIGITS]
    return f"{clean[: limit - _TAIL_DIGITS - 1] or '_'}-{digest}"


def _short(lane: str) -> str:
    return _with_tail(lane, lane, NAME_LENGTH)


def _check_template(key: str, template: object) -> None:
    where = f"{key} in the OpenLineage mapping"
    if not isinstance(template, str) or not template:
        raise ConfigError(f"{where} is not a text.", hint=f"The default is {DEFAULT_NAMESPACE}.")
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"{where} is not a template: {error}.") from error
    for literal, name, spec, conversion in parsed:
        if not _NAMESPACE_LITERAL.fullmatch(literal):
            raise ConfigError(
                f"{where} has characters that catalogs refuse: {literal!r}.",
                hint="Letters, digits and : / _ - . @ + are safe.",
            )
        if name is not None and (name not in _TEMPLATE_FIELDS or spec or conversion):
            raise ConfigError(
                f"{where} has a field {{{name}}}.", hint="Use {tool}, {repository} and {stack}."
            )
    if len(template) > NAME_LENGTH:
        raise ConfigError(f"{where} is longer than {NAME_LENGTH} characters.")


def _checked_url(url: object) -> str:
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise ConfigError(
            f"base_url in the OpenLineage mapping is {url!r}.",
            hint="Use an http or https URL without query and fragment.",
        )
    return url.rstrip("/")
