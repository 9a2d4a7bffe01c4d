"""The tables of `mappings/openlineage.yaml`: recorded facts, parameters, and places."""

from __future__ import annotations

import difflib
import re
import string
from dataclasses import dataclass, fields
from fnmatch import translate
from typing import Any, TypeVar

from exporter.errors import ConfigError
from exporter.mapping.openlineage.places import PlaceRule

_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_LITERAL = re.compile(r"[a-zA-Z:/0-9_\-.@+]*")
_HOST = re.compile(r"(\{[a-z_]{1,30}\}|[a-zA-Z0-9.\-]|\*)*")
_PATH = re.compile(r"(\{[a-z_]{1,30}\}|[a-zA-Z0-9._/\-]|\*)*")
_PART = re.compile(r"[a-z_]{1,30}")
_BASIC = frozenset({"scheme", "user", "host", "port", "path"})
_WHERE = "in the OpenLineage mapping"


@dataclass(frozen=True, slots=True)
class FactNames:
    """Under which names a history may record something of a run or step."""

    nominal_time: tuple[str, ...] = ("nominal_time", "scheduled_time")
    commit: tuple[str, ...] = ("git_sha", "git_commit")
    repository: tuple[str, ...] = ("git_remote", "git_url")
    branch: tuple[str, ...] = ("git_branch",)
    code: tuple[str, ...] = ("source_code", "step_source")
    owners: tuple[str, ...] = ("owner", "owners", "author")
    tags: tuple[str, ...] = ("tags",)


@dataclass(frozen=True, slots=True)
class ParameterRules:
    """Which parameters name something outside: patterns of their names, `*` for anything."""

    ignored: tuple[str, ...] = ()
    outputs: tuple[str, ...] = (
        "*output*", "*target*", "*dest*", "*sink*", "*export*", "*save*", "*write*", "push*",
    )  # fmt: skip
    paths: tuple[str, ...] = ("input_base", "push_destination.*.base_directory")
    tables: tuple[str, ...] = ("table", "table_name")


_Section = TypeVar("_Section", FactNames, ParameterRules)


def fits(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a name fits one of the patterns, whatever its case."""
    lower = name.lower()
    return any(re.match(translate(pattern.lower()), lower) for pattern in patterns)


def section(kind: type[_Section], key: str, value: Any) -> _Section:  # Any: parsed YAML
    """Read a table whose values are lists of names. Raises: ConfigError."""
    if not isinstance(value, dict):
        raise ConfigError(f"{key} {_WHERE} is not a table.", hint="Write `name: [...]` lines.")
    known = [one.name for one in fields(kind)]
    for name, listed in value.items():
        if name not in known:
            raise ConfigError(
                f"{key} {_WHERE} has an unknown key {name!r}.", hint=_near(name, known)
            )
        if not isinstance(listed, list) or any(not isinstance(one, str) for one in listed):
            raise ConfigError(f"{key}.{name} {_WHERE} is not a list of names.")
    return kind(**{name: tuple(listed) for name, listed in value.items()})


def table_of_rules(value: Any) -> tuple[PlaceRule, ...]:  # Any: parsed YAML
    """Read `places`. Raises: ConfigError that names the rule by its number, from 1."""
    if not isinstance(value, list):
        raise ConfigError(f"places {_WHERE} is not a list of rules.")
    return tuple(
        _rule(f"Rule {number} of places {_WHERE}", one) for number, one in enumerate(value, 1)
    )


def _rule(where: str, value: Any) -> PlaceRule:  # Any: parsed YAML
    known = [one.name for one in fields(PlaceRule)]
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is not a table.")
    for key in value:
        if key not in known:
            raise ConfigError(f"{where} has an unknown key {key!r}.", hint=_near(key, known))
    values = dict(value)
    for key in ("schemes", "parts"):
        listed = values.get(key, [])
        if not isinstance(listed, list) or any(not isinstance(one, str) for one in listed):
            raise ConfigError(f"{where}: {key} is not a list of names.")
        values[key] = tuple(one.lower() if key == "schemes" else one for one in listed)
    values["port"] = str(values.get("port", ""))
    for key in ("namespace", "name", "type", "host", "path"):
        if not isinstance(values.get(key, ""), str):
            raise ConfigError(f"{where}: {key} is not a text.")
    defaults = values.get("defaults", {})
    if not isinstance(defaults, dict) or any(
        not isinstance(one, str) for pair in defaults.items() for one in pair
    ):
        raise ConfigError(f"{where}: defaults is not a table of names.")
    if not values["schemes"] or not values.get("namespace") or not values.get("name"):
        raise ConfigError(f"{where} lacks schemes, namespace or name.")
    if not _TYPE.fullmatch(values.get("type", "FILE")):
        raise ConfigError(f"{where}: type is {values['type']!r}.", hint="Such as FILE or TABLE.")
    _check_templates(where, values)
    return PlaceRule(**values)


def _check_templates(where: str, values: dict[str, Any]) -> None:  # Any: parsed YAML
    host, path = values.get("host", ""), values.get("path", "")
    if not _HOST.fullmatch(host):
        raise ConfigError(
            f"{where}: host is {host!r}.", hint="Such as {account}.example.com, * for any segment."
        )
    if not _PATH.fullmatch(path):
        raise ConfigError(f"{where}: path is {path!r}.", hint="Such as {project}/topics/{topic}.")
    named = set(re.findall(r"\{([a-z_]+)\}", host + path))
    if (host + path).count("{") != len(named):
        raise ConfigError(f"{where}: host and path name a part twice.")
    allowed = _BASIC | named | set(values["parts"])
    if not all(_PART.fullmatch(part) for part in named | set(values["parts"])):
        raise ConfigError(f"{where}: names of parts are lower-case letters and _.")
    for key in ("namespace", "name"):
        try:
            parsed = list(string.Formatter().parse(values[key]))
        except ValueError as error:
            raise ConfigError(f"{where}: {key} is not a template: {error}.") from error
        for literal, field, spec, conversion in parsed:
            if key == "namespace" and not _LITERAL.fullmatch(literal):
                raise ConfigError(f"{where}: {key} has characters that catalogs refuse.")
            if field is not None and (field not in allowed or spec or conversion):
                shown = ", ".join(sorted(allowed))
                raise ConfigError(f"{where}: {key} has a field {{{field}}}.", hint=f"Use {shown}.")


def _near(name: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."
