"""What a catalog takes, and in which order: one small profile for each.

Catalogs that speak OpenLineage differ in endpoint, batching, order, size and in what they make of a
facet. `mappings/catalogs/*.yaml` says so of each; a user copies one and changes it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping  # noqa: TC003 - the types of the fields are read at run time
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from exporter.errors import ConfigError

Transport = Literal["http", "file", "openlineage"]
Auth = Literal["none", "bearer", "api_key"]
Batch = Literal["single", "array", "events"]
Order = Literal["free", "runs"]
InputFacets = Literal["bare", "apart"]
FailedOutputs = Literal["declared", "none"]
Dots = Literal["keep", "replace"]
FirstDigit = Literal["prefix", "keep"]

SHORTEST_NAME, LONGEST_NAME = 60, 4_000
_NAMESPACE = re.compile(r"[a-zA-Z:/0-9_\-.@+]{1,1024}")
_JOB_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_ALWAYS = frozenset({"parent", "processing_engine", "jobType", "errorMessage"})
_FACETS = _ALWAYS | {
    "dataQualityMetrics", "dataSource", "datasetType", "documentation", "executionParameters",
    "jobDependencies", "lifecycleStateChange", "nominalTime", "outputStatistics", "ownership",
    "schema", "sourceCode", "sourceCodeLocation", "storage", "symlinks", "tags", "version",
    "pipelineExporter_artifact", "pipelineExporter_metrics", "pipelineExporter_model",
    "pipelineExporter_read", "pipelineExporter_run", "pipelineExporter_statistics",
}  # fmt: skip
_OF_EXACT_LINKS = frozenset({"pipelineExporter_artifact", "pipelineExporter_read"})
_AT_LEAST_ONE = frozenset({"lanes", "max_events", "tries"})
_EVENT_TYPES = ("START", "COMPLETE", "FAIL", "ABORT")


class ContentProfile(NamedTuple):
    """The part of a profile that decides what events say; equal ones share their events."""

    input_facets: InputFacets = "bare"
    failed_outputs: FailedOutputs = "declared"
    own_facets: bool = True
    facets_without: frozenset[str] = frozenset()
    job_namespace: str | None = None
    namespaces: tuple[tuple[str, str], ...] = ()
    job_types: tuple[tuple[str, str], ...] = ()
    dots: Dots = "keep"
    name_length: int = 255
    first_digit: FirstDigit = "prefix"
    accepts: frozenset[str] = frozenset(_EVENT_TYPES)
    edges_only: bool = False
    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CatalogProfile:
    """How one catalog is spoken to; `profile_from_yaml` reads one.

    `transport`: our own sender (`http`), a JSON-lines file, or a transport of openlineage-python.
    `probe`: a path that `doctor` reads, whose answer has the keys `probe_shows`.
    `batch`: one event a request, a bare array, or `{"events": [...]}`; at most `max_events`.
    `order`: `free`, or `runs`: whole pipeline runs, producers first, runs that share datasets one
        after the other in the order of their end (Marquez).
    `accepts`: the event types that are sent at all; with `edges_only` only events that have both
        inputs and outputs. `max_bytes`: the largest event, 0 for any.
    `refusals`: HTTP statuses, or `code` in the JSON body of a 5xx, that no later try will change.
    `tries`: how often an event is tried that the catalog itself fails on (other 5xx).
    `success`: numbers in the body of a 2xx that must be reached, such as `lineageEdgesCreated: 1`.
    `input_facets`: `bare` inputs carry namespace, name and what was read under a key of its own;
        `apart` ones also version and schema, where a catalog keeps a reader's facets apart.
    `facets_without`: facets, by key, that are not sent. `own_facets`: whether custom ones are.
    `namespaces`, `job_types`: replaced by the catalog's own; `job_namespace`, if set, is every
        job's namespace.
    `dots`: in a pipeline's, step's or output's own name; a name with one ends with a hash either
        way, since the dot is what separates the three. `name_length`: of jobs and datasets.
    `first_digit`: a file or table whose name begins with a digit gets a prefix where a catalog
        cannot show it otherwise (Marquez); with `keep` it joins what other producers report of it.
    `source_jobs`: whether what came from elsewhere is announced by a job. `exact_links`: whether a
        run that read an older version is linked to that one. See `docs/catalogs.md`.
    """

    name: str
    transport: Transport = "http"
    endpoint: str = "api/v1/lineage"
    probe: str = ""
    probe_shows: tuple[str, ...] = ()
    auth: Auth = "bearer"
    batch: Batch = "single"
    max_events: int = 1
    max_bytes: int = 0
    compress: bool = False
    lanes: int = 8
    order: Order = "free"
    accepts: tuple[str, ...] = _EVENT_TYPES
    edges_only: bool = False
    refusals: tuple[int, ...] = (400, 422)
    tries: int = 5
    success: Mapping[str, int] = field(default_factory=dict)
    input_facets: InputFacets = "bare"
    failed_outputs: FailedOutputs = "declared"
    own_facets: bool = True
    facets_without: tuple[str, ...] = ()
    job_namespace: str | None = None
    namespaces: Mapping[str, str] = field(default_factory=dict)
    job_types: Mapping[str, str] = field(default_factory=dict)
    dots: Dots = "keep"
    name_length: int = 255
    first_digit: FirstDigit = "prefix"
    source_jobs: bool = False
    exact_links: bool = False

    @property
    def content(self) -> ContentProfile:
        """Give the part that decides what events say."""
        return ContentProfile(
            input_facets=self.input_facets,
            failed_outputs=self.failed_outputs,
            own_facets=self.own_facets,
            facets_without=frozenset(self.facets_without),
            job_namespace=self.job_namespace,
            namespaces=tuple(sorted(self.namespaces.items())),
            job_types=tuple(sorted(self.job_types.items())),
            dots=self.dots,
            name_length=self.name_length,
            first_digit=self.first_digit,
            accepts=frozenset(self.accepts),
            edges_only=self.edges_only,
            max_bytes=self.max_bytes,
        )


def profile_from_yaml(name: str, mapping: Mapping[str, Any]) -> CatalogProfile:  # Any: parsed YAML
    """Read the keys of one of `mappings/catalogs/*.yaml`; what is absent has its default.

    Raises: ConfigError that names the profile and the key, for an unknown key or a wrong value.
    """
    kinds = get_type_hints(CatalogProfile)
    known = [one.name for one in fields(CatalogProfile) if one.name != "name"]
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Known keys: " + ", ".join(known) + "."
            raise ConfigError(
                f"The catalog profile {name!r} has an unknown key {key!r}.", hint=hint
            )
        values[key] = _checked(name, key, value, kinds[key])
        _check_meaning(name, key, values[key])
    profile = CatalogProfile(name=name, **values)
    left_out = _OF_EXACT_LINKS.intersection(profile.facets_without)
    if profile.exact_links and (profile.order == "free" or not profile.own_facets or left_out):
        raise _wrong(
            name,
            "exact_links",
            value=True,
            hint="It needs `order: runs` and the facets of our own (own_facets, facets_without).",
        )
    return profile


def _checked(name: str, key: str, value: Any, kind: Any) -> Any:  # Any: YAML values, type hints
    """Give the value as the field holds it."""
    choices = get_args(kind)
    if choices and all(isinstance(choice, str) for choice in choices):
        if value not in choices:
            raise _wrong(name, key, value, "Use " + ", ".join(choices[:-1]) + f" or {choices[-1]}.")
        return value
    if kind is bool or kind is int:
        if type(value) is not kind or (kind is int and value < 0):
            raise _wrong(
                name, key, value, "Use true or false." if kind is bool else "Use a number."
            )
        return value
    if isinstance(value, list):
        item = choices[0] if choices else str
        if kind not in (tuple[str, ...], tuple[int, ...]) or any(
            type(v) is not item for v in value
        ):
            raise _wrong(name, key, value, "Use a list of names or numbers.")
        return tuple(value)
    if isinstance(value, dict):
        item = choices[-1] if len(choices) == 2 else None
        if item not in (str, int) or any(
            type(k) is not str or type(v) is not item for k, v in value.items()
        ):
            raise _wrong(name, key, value, "Use `name: value` lines.")
        return dict(value)
    if (kind is str or str in choices) and isinstance(value, str):
        return value
    if value is None and type(None) in choices:
        return None
    raise _wrong(name, key, value, "See mappings/catalogs of this release.")


def _check_meaning(name: str, key: str, value: Any) -> None:  # Any: a value of the key's own type
    """Refuse what has the right type and would still make events that a catalog chokes on."""
    if key == "accepts" and not (value and set(value) <= set(_EVENT_TYPES)):
        raise _wrong(name, key, list(value), f"Use some of {', '.join(_EVENT_TYPES)}.")
    if key == "name_length" and not SHORTEST_NAME <= value <= LONGEST_NAME:
        raise _wrong(name, key, value, f"Use a number from {SHORTEST_NAME} to {LONGEST_NAME}.")
    if key in _AT_LEAST_ONE and value < 1:
        raise _wrong(name, key, value, "Use a number from 1 on.")
    if key == "facets_without":
        _check_facets(name, value)
    if key == "job_namespace" and value is not None and not _NAMESPACE.fullmatch(value):
        raise _wrong(name, key, value, _NAMESPACE_HINT)
    if key == "namespaces":
        for replacement in value.values():
            if not _NAMESPACE.fullmatch(replacement):
                raise _wrong(name, key, replacement, _NAMESPACE_HINT)
    if key == "job_types":
        for kind, replacement in value.items():
            if kind not in ("PIPELINE", "STEP") or not _JOB_TYPE.fullmatch(replacement):
                raise _wrong(
                    name, key, f"{kind}: {replacement}", "Replace PIPELINE and STEP by capitals."
                )


def _check_facets(name: str, left_out: tuple[str, ...]) -> None:
    if _ALWAYS.intersection(left_out):
        hint = f"These are always sent: {', '.join(sorted(_ALWAYS))}."
        raise _wrong(name, "facets_without", list(left_out), hint)
    for facet in left_out:
        if facet not in _FACETS:
            near = difflib.get_close_matches(facet, sorted(_FACETS), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "There is no such facet in our events."
            raise _wrong(name, "facets_without", facet, hint)


_NAMESPACE_HINT = "Use letters, digits and : / _ - . @ + only: catalogs refuse the rest."


def _wrong(name: str, key: str, value: object, hint: str) -> ConfigError:
    return ConfigError(f"{key} in the catalog profile {name!r} is {value!r}.", hint=hint)
