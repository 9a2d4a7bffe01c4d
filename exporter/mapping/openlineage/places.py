"""What a URI names, as every producer of OpenLineage names it: a file, a table, a topic.

Rules say how: `places` in `mappings/openlineage.yaml`. A model then stands in one graph with the
tables that dbt, Spark or Airflow report.

Source: https://openlineage.io/docs/spec/naming; of files, what the Spark integration sends.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping  # noqa: TC003 - the types of the fields are read at run time
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from exporter.mapping.openlineage.secret_text import without_password
from exporter.mapping.secret_names import names_a_secret_of_a_url

_URI = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.\-]*):"
    r"(?://(?:(?P<user>[^/?#]*)@)?(?P<authority>[^/?#]*))?"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)
_ARN = re.compile(r"(?P<scheme>arn:[a-z0-9-]+:[a-z0-9-]+):(?P<where>[^:/]*:[^:/]*):(?P<path>.+)")
# Of these all that follows is the object's name, also behind ? and #.
_OBJECTS = frozenset(
    {
        "file", "s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "wasb", "wasbs", "adl", "hdfs",
        "webhdfs", "viewfs", "dbfs", "oss", "cos", "cosn", "obs", "swift", "minio", "r2", "b2",
    }
)  # fmt: skip
_WEB = frozenset({"http", "https"})
_OF_A_VERSION = re.compile(r"\?versionId=[^?#&]*\Z|#[0-9]{16}\Z")
_PIECES = re.compile(r"(\{([a-z_]+)\}|\*|[^{}*]+)")
_LONGEST, _LONGEST_HOST = 4_000, 255
_TABLE_KEYS = ("table", "tablename", "table_name")
_SCHEMA_KEYS = ("schema", "currentschema")


class Place(NamedTuple):
    """A dataset's physical name, as the rules spell it; not cleaned yet."""

    namespace: str
    name: str
    type: str = "FILE"


@dataclass(frozen=True, slots=True)
class PlaceRule:
    """How URIs of some schemes are named.

    `namespace` and `name` are templates of `scheme`, `user`, `host`, `port`, `path` and what `host`
    and `parts` name. `host` is the host by its dotted segments, `*` for any one, `{a}-{b}` for two
    words in one: without a fit the rule does not apply. `parts` are the identifiers a table's path
    has, in order, apart by slash or dot; the host is the first of them where the namespace has no
    host. `defaults` fill in for parts that are missing.
    """

    schemes: tuple[str, ...]
    namespace: str
    name: str
    type: str = "FILE"
    port: str = ""
    host: str = ""
    path: str = ""
    parts: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> frozenset[str]:
        """Name what the templates use."""
        found = string.Formatter().parse(self.namespace + self.name)
        return frozenset(name for _, name, _, _ in found if name is not None)


class _Uri(NamedTuple):
    scheme: str
    user: str
    host: str
    port: str
    path: str
    query: Mapping[str, str]
    fragment: str
    whole_path: str
    """With what follows it, as far as that names an object."""


class Places:
    """Names URIs by rules; the first that fits wins."""

    def __init__(self, rules: tuple[PlaceRule, ...]) -> None:
        self._rules = rules

    @cached_property
    def _by_scheme(self) -> Mapping[str, list[PlaceRule]]:
        found: dict[str, list[PlaceRule]] = {}
        for rule in self._rules:
            for scheme in rule.schemes:
                found.setdefault(scheme, []).append(rule)
        return found

    def named(self, uri: str, table: str = "") -> Place | None:
        """Give the place that a URI names by a rule; None where no rule fits.

        `table` is said beside the URI, such as by another parameter.
        """
        parsed = _parsed(uri)
        if parsed is None:
            return None
        for rule in self._by_scheme.get(parsed.scheme, ()):
            place = _by_rule(rule, parsed, table)
            if place is not None:
                return place
        return None


def any_place(uri: str) -> Place | None:
    """Name a file or object by its place, whatever its scheme; None for a URI that names none."""
    if uri.startswith("/") and not uri.startswith("//"):
        return Place("file", uri)
    parsed = _parsed(uri)
    if parsed is None:
        return None
    if parsed.scheme == "file":
        if not parsed.path:
            return None
        return Place(f"file://{parsed.host}" if parsed.host else "file", parsed.whole_path)
    path = (parsed.whole_path if parsed.scheme in _OBJECTS else parsed.path).strip("/")
    if not parsed.host or not path:
        return None
    port = f":{parsed.port}" if parsed.port else ""
    return Place(f"{parsed.scheme}://{parsed.host}{port}", path)


def _parsed(uri: str) -> _Uri | None:
    text = uri.strip()
    if len(text) > _LONGEST:
        return None
    text = without_password(text)  # also one with a slash, which would end the host
    if found := _ARN.fullmatch(text):
        return _Uri(found["scheme"], "", found["where"], "", found["path"], {}, "", found["path"])
    if text[:5].lower() == "jdbc:":
        text = text[5:]
    found = _URI.fullmatch(text)
    if found is None:
        return None
    authority = (found["authority"] or "").split(",", 1)[0]  # the first of several brokers or nodes
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        host, port = authority, ""
    try:
        pairs = parse_qsl(found["query"] or "", max_num_fields=50)
    except ValueError:
        pairs = []
    shows_secrets = any(names_a_secret_of_a_url(key) for key, _ in pairs)
    behind = "" if shows_secrets else _OF_A_VERSION.sub("", text[found.end("path") :])
    return _Uri(
        found["scheme"].lower().split("+", 1)[0],
        (found["user"] or "").split(":", 1)[0],
        host,
        port,
        found["path"],
        {key.lower(): value for key, value in reversed(pairs)},
        found["fragment"] or "",
        found["path"] + behind if found["path"].strip("/") else found["path"],
    )


def _by_rule(rule: PlaceRule, uri: _Uri, table: str) -> Place | None:
    values = {
        "scheme": uri.scheme,
        "user": uri.user,
        "host": uri.host,
        "port": uri.port or rule.port,
        "path": uri.path.strip("/"),
    }
    if uri.scheme in _OBJECTS or (
        rule.type == "FILE" and not rule.parts and uri.scheme not in _WEB
    ):
        values["path"] = uri.whole_path.strip("/")
    for pattern, said, apart in ((rule.host, uri.host, "."), (rule.path, values["path"], "/")):
        segments = _segments(pattern, said, apart) if pattern else {}
        if segments is None:
            return None
        values.update(segments)
    if rule.parts:
        identifiers = _identifiers(rule, uri, table)
        if identifiers is None:
            return None
        values.update(identifiers)
    namespace = rule.namespace
    if not values["port"]:
        namespace = namespace.replace(":{port}", "")
    if any(not values.get(name) for name in rule.fields if name != "port"):
        return None
    return Place(namespace.format_map(values), rule.name.format_map(values), rule.type)


def _segments(pattern: str, text: str, apart: str) -> Mapping[str, str] | None:
    found = _pattern(pattern, apart).fullmatch(text) if len(text) <= _LONGEST_HOST else None
    return None if found is None else found.groupdict()


@lru_cache(maxsize=256)
def _pattern(pattern: str, apart: str) -> re.Pattern[str]:
    """Spell a pattern as an expression; the first of two words in a segment is short."""
    spelled = [
        f"[^{apart}]+"
        if piece == "*"
        else f"(?P<{name}>[^{apart}]+?)"
        if name
        else re.escape(piece)
        for piece, name in _PIECES.findall(pattern)
    ]
    return re.compile("".join(spelled))


def _identifiers(rule: PlaceRule, uri: _Uri, table: str) -> dict[str, str] | None:
    """Assign identifiers to a rule's parts in order; the table's are the last."""
    before = _split(unquote(uri.path))
    if "{host}" not in rule.namespace and not rule.host:
        before = _split(uri.host) + before
    said = table or next((uri.query[key] for key in _TABLE_KEYS if key in uri.query), uri.fragment)
    after = _split(said)
    count = len(rule.parts)
    if len(before) > count:
        return None
    if len(before) == count:
        after = []
    after = after[-count:]
    found = before[: count - len(after)] + after
    defaults = dict(rule.defaults)
    for key in _SCHEMA_KEYS:
        if key in uri.query and "schema" in rule.parts:
            defaults["schema"] = uri.query[key]
    missing = count - len(found)
    filled = [part for part in rule.parts if part in defaults][:missing]
    if not found or len(filled) < missing:
        return None
    given = iter(found)
    return {part: defaults[part] if part in filled else next(given) for part in rule.parts}


def _split(text: str) -> list[str]:
    return [part for piece in text.split("/") for part in piece.split(".") if part]
