r"""Names of jobs, datasets, runs and lanes.

Different originals never share a name: whatever cleaning changes gets a tail of its hash, a name
that itself ends like one too, and since the dot separates `<pipeline>.<step>.<output>`, a dot
inside one of them counts as a change. The originals are kept in our own facets.

A place outside that only looks changed keeps its name: other producers report the same.

Source: Marquez' rules for namespaces (`[a-zA-Z:;=/0-9_\-.@+]{1,1024}`) and node ids,
https://github.com/MarquezProject/marquez/issues/2921; DataHub cuts a job's name at its first dot.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import string
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from exporter._version import __version__
from exporter.errors import ConfigError
from exporter.mapping.openlineage.places import PlaceRule  # noqa: TC001 - a field's type
from exporter.mapping.openlineage.profile import ContentProfile
from exporter.mapping.openlineage.rules import FactNames, ParameterRules, section, table_of_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.hierarchy import RunSnapshot
    from exporter.mapping.openlineage.places import Place

Lane = Literal["run", "pipeline", "stack"]
Dots = Literal["keep", "replace"]

# 255 in all, the length every catalog takes; a step's name must begin with its pipeline's, so each
# part has its share.
PIPELINE_LENGTH, STEP_LENGTH, OUTPUT_LENGTH = 120, 80, 53
NAME_LENGTH = 255
_NAMESPACE_PART_LENGTH, _NAMESPACE_LENGTH = 200, 1024
_TAIL_DIGITS = 8
# A tail has a letter, so that a name that ends with a date is not taken for one that was changed.
_TAIL = re.compile(r"-(?=[0-9]{0,7}[a-f])[0-9a-f]{8}\Z")

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NAMESPACE_CHANGES = re.compile(r"[^a-zA-Z0-9_\-.@+]")
_NAMESPACE_REFUSED = re.compile(r"[^a-zA-Z:/0-9_\-.@+]")
_NAMESPACE_LITERAL = re.compile(r"[a-zA-Z:/0-9_\-.@+]*")
_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(:[0-9]+)?(/[A-Za-z0-9._~\-/]*)?")
_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TEMPLATE_FIELDS = frozenset({"tool", "repository", "stack"})

_ANY = ContentProfile()

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
    statistics: bool = True
    source_code: str = ""
    facts: FactNames = field(default_factory=FactNames)
    parameters: ParameterRules = field(default_factory=ParameterRules)
    places: tuple[PlaceRule, ...] = ()
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
    _check_types(values)
    if not isinstance(values.get("statistics", True), bool):
        raise ConfigError("statistics in the OpenLineage mapping is true or false.")
    if "source_code" in values:
        _check_source_code(values["source_code"])
    if "facts" in values:
        values["facts"] = section(FactNames, "facts", values["facts"])
    if "parameters" in values:
        values["parameters"] = section(ParameterRules, "parameters", values["parameters"])
    if "places" in values:
        values["places"] = table_of_rules(values["places"])
    return LineageNaming(**values)


@lru_cache(maxsize=4096)  # the same few names come with every event
def clean_part(name: str, limit: int, *, dots: Dots = "replace") -> str:
    """Make one part of a dotted name: no control character, no digit first, not empty.

    A name that needs no change keeps its spelling; a changed one, and one with a dot whatever
    becomes of that, ends with a hash of the original.
    """
    dotted = "." in name
    clean = (
        name if not dotted and name.isascii() and name.isprintable() else _CONTROL.sub("_", name)
    )
    if dotted and (dots == "replace" or clean.startswith(".")):
        clean = clean.replace(".", "_")
    if _is_digit_first(clean) or clean.startswith("//"):
        clean = f"_{clean}"
    return _tailed(name, clean, limit) if dotted else _told_apart(name, clean, limit)


def clean_namespace_part(name: str) -> str:
    """Make one part of a namespace of characters that every catalog takes."""
    return _told_apart(name, _NAMESPACE_CHANGES.sub("_", name), _NAMESPACE_PART_LENGTH)


def clean_name(name: str, limit: int = NAME_LENGTH) -> str:
    """Make a whole name, such as a file's path: as `clean_part`, but dots stay."""
    return _told_apart(name, _shown(name), limit)


def clean_place(place: Place, profile: ContentProfile) -> tuple[str, str]:
    """Give namespace and name of a physical place within what catalogs take.

    A name whose first character is a digit keeps it where the profile says so: other producers
    report the same file or table, and the two should meet.
    """
    clean = _shown(place.name)
    if profile.first_digit == "keep" and clean == f"_{place.name}" and clean[1:2] != "/":
        clean = place.name
    namespace = _with_tail(
        place.namespace, _NAMESPACE_REFUSED.sub("_", place.namespace), _NAMESPACE_LENGTH
    )
    return namespace, _with_tail(place.name, clean, profile.name_length)


def _shown(name: str) -> str:
    clean = name if name.isascii() and name.isprintable() else _CONTROL.sub("_", name)
    return f"_{clean}" if _is_digit_first(clean) or clean.startswith("//") else clean


def _is_digit_first(name: str) -> bool:
    return "0" <= name[:1] <= "9"


@dataclass(frozen=True, slots=True)
class RunNames:
    """The names one run's events share."""

    job_namespace: str
    dataset_namespace: str
    pipeline: str
    lane: str
    profile: ContentProfile = _ANY

    @classmethod
    def of(
        cls,
        run: RunSnapshot,
        naming: LineageNaming,
        run_id: str,
        profile: ContentProfile = _ANY,
    ) -> RunNames:
        """Work out the names of a run whose OpenLineage id is `run_id`."""
        mapped = dict(profile.namespaces)
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
        job_namespace = naming.job_namespace.format_map(parts)
        dataset_namespace = naming.dataset_namespace.format_map(parts)
        return cls(
            job_namespace=profile.job_namespace or mapped.get(job_namespace, job_namespace),
            dataset_namespace=mapped.get(dataset_namespace, dataset_namespace),
            pipeline=_part(run.pipeline.name, PIPELINE_LENGTH, profile),
            lane=_short(lanes[naming.lane]),
            profile=profile,
        )

    def step(self, step_name: str) -> str:
        """Give the job name of a step."""
        return f"{self.pipeline}.{_part(step_name, STEP_LENGTH, self.profile)}"

    def dataset(self, pipeline: str, step: str, output: str) -> str:
        """Give the logical name of what a step writes on an output: the same for every run."""
        return ".".join(
            (
                _part(pipeline, PIPELINE_LENGTH, self.profile),
                _part(step, STEP_LENGTH, self.profile),
                _part(output, OUTPUT_LENGTH, self.profile),
            )
        )

    def place(self, place: Place) -> tuple[str, str]:
        """Give namespace and name of something outside, in the catalog's spelling."""
        namespace, name = clean_place(place, self.profile)
        return dict(self.profile.namespaces).get(namespace, namespace), name

    def own(self, name: str) -> tuple[str, str]:
        """Give namespace and name of a dataset that no place and no step names."""
        return self.dataset_namespace, clean_name(name, self.profile.name_length)


def _part(name: str, share: int, profile: ContentProfile) -> str:
    """Clean one part of a name; its share of the length is that of the whole."""
    limit = share * min(profile.name_length, NAME_LENGTH) // NAME_LENGTH
    return clean_part(name, limit, dots=profile.dots)


def _told_apart(original: str, clean: str, limit: int) -> str:
    """Give the clean name; one that reads like the changed form of another is changed itself."""
    if _TAIL.search(original):
        return _tailed(original, clean, limit)
    return _with_tail(original, clean, limit)


def _with_tail(original: str, clean: str, limit: int) -> str:
    if clean == original and clean and len(clean) <= limit:
        return clean
    return _tailed(original, clean, limit)


def _tailed(original: str, clean: str, limit: int) -> str:
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()
    if digest[:_TAIL_DIGITS].isdigit():
        digest = "abcdef"[int(digest[0]) % 6] + digest[1:]
    digest = digest[:_TAIL_DIGITS]
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


def _check_types(values: Mapping[str, Any]) -> None:  # Any: parsed YAML
    types = values.get("dataset_types", {})
    if not isinstance(types, dict):
        raise ConfigError("dataset_types in the OpenLineage mapping is not a table of types.")
    for name in [values.get("default_dataset_type", "FILE"), *types.values()]:
        if not isinstance(name, str) or not _TYPE.fullmatch(name):
            raise ConfigError(
                f"The OpenLineage mapping names a dataset type {name!r}.",
                hint="Use capitals, digits and _, such as FILE, TABLE or MODEL.",
            )


def _check_source_code(address: object) -> None:
    plain = address.replace("{commit}", "0") if isinstance(address, str) else None
    if plain is None or (plain and not _URL.fullmatch(plain)):
        raise ConfigError(
            f"source_code in the OpenLineage mapping is {address!r}.",
            hint="Use an http or https URL, {commit} for the commit, or leave it empty.",
        )


def _checked_url(url: object) -> str:
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise ConfigError(
            f"base_url in the OpenLineage mapping is {url!r}.",
            hint="Use an http or https URL without query and fragment.",
        )
    return url.rstrip("/")
