"""Which models are registered, under which name and aliases: `models` of `mappings/mlflow.yaml`.

Limits: names of registered models hold no `/` and no `:`; aliases hold letters, digits, `_` and
`-`, and are neither `latest` nor `v` and a number.
Source: mlflow/utils/validation.py of MLflow 3.17.2.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.errors import ConfigError
from exporter.mapping.mlflow.text import NAME_LENGTH, short_name

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

MODEL_FIELDS = ("repository", "stack", "pipeline", "step", "output")
_REFUSED_IN_NAME = re.compile(r"[/:]")
_ALIAS = re.compile(r"[\w-]{1,255}", re.ASCII)
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)


class Registration(NamedTuple):
    """A registered model that a model is to be a version of, and the aliases that follow it."""

    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRule:
    """Models of these stacks, pipelines, steps and outputs (shell patterns) get this name."""

    name: str
    stack: str = "*"
    pipeline: str = "*"
    step: str = "*"
    output: str = "*"
    aliases: tuple[str, ...] = ()

    def takes(self, names: Mapping[str, str]) -> bool:
        """Tell whether a model is meant; `names` has a value for each of `MODEL_FIELDS`."""
        patterns = (
            ("stack", self.stack),
            ("pipeline", self.pipeline),
            ("step", self.step),
            ("output", self.output),
        )
        return all(fnmatchcase(names[key], pattern) for key, pattern in patterns)


def registrations_of(
    rules: Sequence[ModelRule], names: Mapping[str, str], beside: Counter[str]
) -> tuple[Registration, ...]:
    """Give what a model is to be registered as: each name once, with the aliases of all rules."""
    found: dict[str, tuple[str, ...]] = {}
    for rule in rules:
        if rule.takes(names):
            name = registered_name(rule.name.format(**names), beside)
            found[name] = tuple(dict.fromkeys((*found.get(name, ()), *rule.aliases)))
    return tuple(Registration(name, aliases) for name, aliases in found.items())


def registered_name(name: str, beside: Counter[str]) -> str:
    """Make a name that MLflow takes for a registered model."""
    cleaned = short_name(_REFUSED_IN_NAME.sub("_", name).strip(), NAME_LENGTH, beside)
    is_path = posixpath.normpath(cleaned) == cleaned and not cleaned.startswith(".")
    return cleaned if cleaned and is_path else f"_{cleaned}"


def model_rules(value: Any) -> tuple[ModelRule, ...]:  # Any: parsed YAML, checked here
    """Read the list `models`.

    Raises: ConfigError that names the entry and the key, for an unknown key, a missing name, a
    wrong type, a template that cannot be filled or an alias that MLflow refuses.
    """
    if not isinstance(value, list):
        raise ConfigError(
            "mappings/mlflow.yaml: models must be a list.",
            hint="Write `- {pipeline: train, step: trainer, name: churn}` entries, or [].",
        )
    return tuple(_rule(f"mappings/mlflow.yaml: models[{i}]", item) for i, item in enumerate(value))


def _rule(where: str, value: Any) -> ModelRule:  # Any: parsed YAML
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must map keys to values.", hint="Such as {name: churn}.")
    known = [f.name for f in fields(ModelRule)]
    for key, item in value.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(known))}."
            raise ConfigError(f"{where}: unknown key {key!r}.", hint=hint)
        if key != "aliases" and not (isinstance(item, str) and item):
            raise ConfigError(f"{where}: {key} must be a text that is not empty.")
    if "name" not in value:
        raise ConfigError(f"{where} has no name.", hint="Add `name:`, the registered model's name.")
    try:
        value["name"].format(**dict.fromkeys(MODEL_FIELDS, "x"))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        names = ", ".join(f"{{{name}}}" for name in MODEL_FIELDS)
        raise ConfigError(
            f"{where}: name {value['name']!r} cannot be filled.", hint=f"Use {names}."
        ) from error
    return ModelRule(**{**value, "aliases": _aliases(where, value.get("aliases", []))})


def _aliases(where: str, value: Any) -> tuple[str, ...]:  # Any: parsed YAML
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{where}: aliases must be a list of texts.")
    for alias in value:
        if not _ALIAS.fullmatch(alias) or _RESERVED_ALIAS.fullmatch(alias):
            raise ConfigError(
                f"{where}: MLflow takes no alias {alias!r}.",
                hint="Letters, digits, _ and -; neither `latest` nor v and a number.",
            )
    return tuple(value)
