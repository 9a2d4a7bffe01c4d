"""What openlineage-python is configured to send by: `transport:`, openlineage.yml, OPENLINEAGE_*.

The same places in the same order as the client's own reading of them, without its side effects: no
variable is written, a file that cannot be read is an error and not an empty configuration, and
where nothing is configured nothing is printed in place of being sent.
Source: https://openlineage.io/docs/client/python/configuration
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from exporter.config.resources import load_yaml_mapping
from exporter.errors import ConfigError, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO = "auto"
"""The value of `openlineage_config` that looks where openlineage-python looks."""

_PREFIX = "OPENLINEAGE__"
_OF_URL = "OPENLINEAGE__TRANSPORT__TRANSPORTS__DEFAULT_HTTP"
_NOT_APPLIED = ("facets", "tags", "dataset")

Tree = dict[str, Any]  # Any: what YAML and JSON hold


class ClientSettings(Protocol):
    """What the settings say of a destination that openlineage-python sends to."""

    @property
    def name(self) -> str:
        """What the destination is called."""

    @property
    def transport(self) -> Mapping[str, Any] | None:
        """The transport, written out."""

    @property
    def openlineage_config(self) -> str | None:
        """The openlineage.yml that has it, or `auto`."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """A transport as openlineage-python takes it, and where it was found.

    `filters` are the jobs that the user's openlineage.yml leaves out; `not_applied` its sections
    that would change events, which leave as they are.
    """

    transport: Tree
    found_in: str
    filters: tuple[Tree, ...] = ()
    not_applied: tuple[str, ...] = ()


def client_config(
    settings: ClientSettings, environ: Mapping[str, str] | None = None
) -> ClientConfig:
    """Give the transport of the settings, or the one that openlineage-python would take.

    Order: openlineage.yml wins over OPENLINEAGE__ variables, these over OPENLINEAGE_URL; a
        transport written out in the settings wins over all.
    Raises: ConfigError if none is configured or a file cannot be read; SinkUnavailable while
        OPENLINEAGE_DISABLED is true.
    """
    variables = os.environ if environ is None else environ
    refuse_switched_off(settings.name, variables)
    if settings.transport is not None:
        return ClientConfig(_copied(dict(settings.transport)), "the settings")
    return _found(settings, variables)


def refuse_switched_off(name: str, variables: Mapping[str, str]) -> None:
    """Pass where nothing switches OpenLineage off, as all its clients are switched off.

    Raises: SinkUnavailable while OPENLINEAGE_DISABLED is true.
    """
    if variables.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        raise SinkUnavailable(
            f"The OpenLineage destination {name!r} is switched off by OPENLINEAGE_DISABLED.",
            hint="Its events wait; unset the variable, or take the destination out.",
        )


def _found(settings: ClientSettings, variables: Mapping[str, str]) -> ClientConfig:
    file = _file(settings, variables)
    written = load_yaml_mapping(file) if file is not None else {}
    tree = _merged(_from_variables(_with_url(variables)), written)
    transport = tree.get("transport")
    if not isinstance(transport, dict | None):
        raise ConfigError(
            f"`transport` in {file} is no section.", hint="Write `name: value` lines below it."
        )
    if not transport or not transport.get("type"):
        transport = _http_of(variables)
    if transport is None:
        looked = f"{file} and the" if file is not None else "No openlineage.yml was found, and the"
        raise ConfigError(
            f"No transport is configured for the OpenLineage destination {settings.name!r}: "
            f"{looked} OPENLINEAGE_ variables name none.",
            hint="Write `transport:` with its `type` into openlineage.yml, or set OPENLINEAGE_URL.",
        )
    filters = tree.get("filters") or []
    return ClientConfig(
        transport=_copied(transport),
        found_in=str(file) if file is not None and written.get("transport") else "OPENLINEAGE_*",
        filters=tuple(one for one in filters if isinstance(one, dict)),
        not_applied=tuple(name for name in _NOT_APPLIED if tree.get(name)),
    )


def _file(settings: ClientSettings, variables: Mapping[str, str]) -> Path | None:
    wanted = settings.openlineage_config
    if wanted is not None and wanted != AUTO:
        if not Path(wanted).is_file():
            raise ConfigError(
                f"There is no file {wanted}, the openlineage_config of {settings.name!r}.",
                hint="Correct the path, or write `auto` to look where openlineage-python looks.",
            )
        return Path(wanted)
    home = Path("~/.openlineage/openlineage.yml").expanduser()
    named = [Path(path)] if (path := variables.get("OPENLINEAGE_CONFIG")) else []
    for place in (*named, Path.cwd() / "openlineage.yml", home):
        if place.is_file() and os.access(place, os.R_OK):
            return place
    return None


def _with_url(variables: Mapping[str, str]) -> dict[str, str]:
    """Give the variables with OPENLINEAGE_URL spelled out as one more transport of a composite."""
    spelled = dict(variables)
    url = variables.get("OPENLINEAGE_URL")
    if not url or any(name.startswith(_OF_URL) for name in variables):
        return spelled
    parts = {"TYPE": "http", "URL": url}
    if key := variables.get("OPENLINEAGE_API_KEY"):
        parts["AUTH"] = json.dumps({"type": "api_key", "apiKey": key})
    if endpoint := variables.get("OPENLINEAGE_ENDPOINT"):
        parts["ENDPOINT"] = endpoint
    spelled |= {f"{_OF_URL}__{name}": value for name, value in parts.items()}
    if variables.get("OPENLINEAGE__TRANSPORT__TYPE") == "async_http":
        for name in ("URL", "AUTH", "ENDPOINT"):
            if name in parts and not variables.get(f"OPENLINEAGE__TRANSPORT__{name}"):
                spelled[f"OPENLINEAGE__TRANSPORT__{name}"] = parts[name]
    return spelled


def _from_variables(variables: Mapping[str, str]) -> Tree:
    """Read OPENLINEAGE__A__B=value as {a: {b: value}}, values as JSON where they are JSON."""
    tree: Tree = {}
    for name in sorted((n for n in variables if n.startswith(_PREFIX)), reverse=True):
        *steps, last = name.removeprefix(_PREFIX).lower().split("__")
        here = tree
        for step in steps:
            below = here.setdefault(step, {})
            if not isinstance(below, dict):
                raise ConfigError(
                    f"{name} points into a value that another OPENLINEAGE__ variable sets.",
                    hint="Unset one of the two.",
                )
            here = below
        try:
            here[last] = json.loads(variables[name])
        except ValueError:
            here[last] = variables[name]
    return tree


def _http_of(variables: Mapping[str, str]) -> Tree | None:
    url = variables.get("OPENLINEAGE_URL")
    if not url:
        return None
    http: Tree = {"type": "http", "url": url}
    if endpoint := variables.get("OPENLINEAGE_ENDPOINT"):
        http["endpoint"] = endpoint
    if key := variables.get("OPENLINEAGE_API_KEY"):
        http["auth"] = {"type": "api_key", "apiKey": key}
    return http


def _merged(below: Tree, above: Tree) -> Tree:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        both = isinstance(value, dict) and isinstance(known, dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _copied(tree: Tree) -> Tree:
    """Copy sections and lists: the client's factory takes keys out of what it is given."""

    def copied(value: Any) -> Any:  # Any: what YAML holds
        if isinstance(value, dict):
            return {key: copied(item) for key, item in value.items()}
        return [copied(item) for item in value] if isinstance(value, list | tuple) else value

    return {key: copied(value) for key, value in tree.items()}
