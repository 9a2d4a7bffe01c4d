"""How a flavour encodes its history, as data: `mappings/sources/*.yaml`, checked here once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from exporter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

Document = dict[str, Any]  # Any: YAML values, checked key by key below
ParameterDecoder = Literal["json", "native"]

_SHAPE: dict[str, frozenset[str]] = {
    "contexts": frozenset({"pipeline", "run", "node", "cache"}),
    "events": frozenset({"inputs", "outputs"}),
    "step": frozenset({"name", "hidden", "parameters", "output_names", "statuses", "other_status"}),
    "artifact": frozenset({"name", "materializer", "data_type", "versions"}),
    "run": frozenset({"stack"}),
}


@dataclass(frozen=True, slots=True)
class StackNaming:
    """Where a run's own stack is named: a property of a context holding JSON with a field."""

    context: str
    property: str
    field: str


@dataclass(frozen=True, slots=True)
class FlavourProfile:
    """Names and tables of one flavour; decoders and the pairing of ports are code."""

    name: str
    tool: str
    pipeline_types: frozenset[str]
    run_types: frozenset[str]
    node_types: frozenset[str]
    cache_types: frozenset[str]
    input_events: frozenset[int]
    output_events: frozenset[int]
    statuses: Mapping[int, str]
    other_status: str
    parameters: ParameterDecoder
    name_property: str | None = None
    hidden: tuple[str, ...] = ()
    output_prefix: str = ""
    output_suffix: str = ""
    artifact_name: tuple[str, ...] = ()
    materializer: tuple[str, ...] = ()
    data_type: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    run_stack: StackNaming | None = None


def load_profiles(*folders: Path) -> dict[str, FlavourProfile]:
    """Read every `*.yaml` of the folders; a later folder's file replaces an earlier namesake.

    Raises: ConfigError naming the file and the key.
    """
    documents: dict[str, Document] = {}
    for folder in folders:
        for path in sorted(Path(folder).glob("*.yaml")):
            try:
                loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                raise ConfigError(
                    f"The source mapping {path} cannot be read: {error}.",
                    hint="Correct the file or remove it.",
                ) from error
            documents[path.stem] = loaded
    return profiles_from_documents(documents)


def profiles_from_documents(documents: Mapping[str, Document]) -> dict[str, FlavourProfile]:
    """Build the profiles of YAML documents by name, following `extends:`.

    Raises: ConfigError for an unknown key, a missing key or an `extends:` that leads nowhere.
    """
    return {name: _profile(name, _merged(name, documents, ())) for name in documents}


def _merged(name: str, documents: Mapping[str, Document], seen: tuple[str, ...]) -> Document:
    document = documents.get(name)
    if name in seen or not isinstance(document, dict):
        chain = " -> ".join((*seen, name))
        raise ConfigError(
            f"The source mapping {chain} is not a mapping that can be used.",
            hint="`extends:` must name another file of the folder, without a circle.",
        )
    own = {key: value for key, value in document.items() if key != "extends"}
    base = document.get("extends")
    return own if base is None else _deep(_merged(str(base), documents, (*seen, name)), own)


def _deep(base: Document, over: Document) -> Document:
    out = dict(base)
    for key, value in over.items():
        below = out.get(key)
        out[key] = (
            _deep(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
        )
    return out


def _profile(name: str, document: Document) -> FlavourProfile:
    _check_keys(name, document)
    contexts, events, step = document["contexts"], document["events"], document["step"]
    artifact, run = document.get("artifact", {}), document.get("run", {})
    outputs = step.get("output_names", {})
    try:
        return FlavourProfile(
            name=name,
            tool=str(document["tool"]),
            pipeline_types=frozenset(contexts["pipeline"]),
            run_types=frozenset(contexts["run"]),
            node_types=frozenset(contexts.get("node", ())),
            cache_types=frozenset(contexts.get("cache", ())),
            input_events=frozenset(int(n) for n in events["inputs"]),
            output_events=frozenset(int(n) for n in events["outputs"]),
            statuses={int(k): str(v) for k, v in step["statuses"].items()},
            other_status=str(step["other_status"]),
            parameters=_decoder(name, step["parameters"]),
            name_property=step.get("name"),
            hidden=tuple(step.get("hidden", ())),
            output_prefix=str(outputs.get("prefix", "")),
            output_suffix=str(outputs.get("suffix", "")),
            artifact_name=tuple(artifact.get("name", ())),
            materializer=tuple(artifact.get("materializer", ())),
            data_type=tuple(artifact.get("data_type", ())),
            versions=dict(artifact.get("versions", {})),
            run_stack=StackNaming(**run["stack"]) if "stack" in run else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"The source mapping {name} is incomplete or of the wrong shape: {error}.",
            hint="Compare it with mappings/sources/zenml-0.5.yaml.",
        ) from error


def _check_keys(name: str, document: Document) -> None:
    unknown = sorted(set(document) - set(_SHAPE) - {"tool"})
    for section, known in _SHAPE.items():
        value = document.get(section, {})
        if not isinstance(value, dict):
            unknown.append(section)
            continue
        unknown += [f"{section}.{key}" for key in value if key not in known]
    missing = [key for key in ("tool", "contexts", "events", "step") if key not in document]
    if unknown or missing:
        raise ConfigError(
            f"The source mapping {name} has unknown keys {unknown} and lacks {missing}.",
            hint="Compare it with mappings/sources/zenml-0.5.yaml.",
        )


def _decoder(name: str, word: object) -> ParameterDecoder:
    if word != "json" and word != "native":  # noqa: PLR1714 - tells mypy
        raise ConfigError(
            f"The source mapping {name} names the parameter decoder {word!r}.",
            hint="There are: json, native.",
        )
    return word
