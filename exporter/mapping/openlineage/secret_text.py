"""Texts and values as catalogs may show them: secrets are `***`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from exporter.mapping.secret_names import names_a_secret, names_a_secret_of_a_url

if TYPE_CHECKING:
    from exporter.hierarchy import Value

MASK = "***"
# A password may hold a slash or an at, as URL parsers of databases take it; `:8020/a@b` is a port.
_PASSWORD = re.compile(r"(?<=://)([^/?#\s:@\[]*):(?:[^/?#\s]*|(?![0-9]+(?:[/?#,]|\Z))[^\s\"'<>]*)@")
_TOKEN = re.compile(r"(?<=http://|ttps://)[^/?#\s:@]+@", re.IGNORECASE)
# `jdbc:oracle:thin:scott/tiger@//host/service`, where the password has a slash before it.
_OF_ORACLE = re.compile(
    r"(?P<before>\boracle:(?:thin|oci8?):[^/@\s\"']{0,200})/[^\s\"'<>]*@", re.IGNORECASE
)
_BEARER = re.compile(r"(?<=bearer )[\w.~+/\-]{8,}=*", re.IGNORECASE)
# `name=value`, in queries, connection strings and command lines.
_ASSIGNED = re.compile(
    r"(?<![\w.\-])(?P<name>[\w.\-]{1,100})(?P<between>[ \t]{0,3}=[ \t]{0,3})"
    r"(?P<value>\"[^\"]*\"|'[^']*'|\{[^{}]*\}|[^&;\s\"'<>#]+)"
)
# `name: value` on a line of its own, and `--name value`.
_ON_A_LINE = re.compile(
    r"^(?P<name>[ \t]*(?:- )?[\w.\-]{1,100})(?P<between>[ \t]{0,3}:[ \t]+)(?P<value>[^\s|>].*)$",
    re.MULTILINE,
)
_OPTION = re.compile(r"(?<!\S)(?P<name>--?[\w\-]{1,100})(?P<between> +)(?P<value>[^\s\-]\S*)")
# `"name": value`, also where the quotes are escaped.
_QUOTED = re.compile(
    r"(?P<name>(?P<quote>\\*[\"'])[^\"'\\]{1,100}(?P=quote))(?P<between>\s{0,9}:\s{0,9})"
    r"(?P<value>(?P<open>\\*[\"'])(?:(?!(?P=open))(?:\\.|[^\\]))*(?P=open)|[^\s,\[\]{}\"']+)"
)


def without_password(text: str) -> str:
    """Give the text with the secrets of URLs and connection strings in it shown as `***`.

    They are passwords, the lone user of a web address, which is a token, and what a query or
    another `name=value` names as a secret, such as the signature of a shared link.
    """
    if "@" in text and "://" in text:
        text = _PASSWORD.sub(rf"\1:{MASK}@", text)
        text = _TOKEN.sub(f"{MASK}@", text)
    if "@" in text and "oracle:" in text.lower():
        text = _OF_ORACLE.sub(rf"\g<before>/{MASK}@", text)
    return _ASSIGNED.sub(_assigned, text) if "=" in text else text


def without_secrets(text: str) -> str:
    """Give a text that may hold anything, JSON also, with what is named as a secret as `***`."""
    if text.lstrip()[:1] in {"{", "["}:
        try:
            tree = json.loads(text)
            shown = masked_tree(tree)
        except (ValueError, RecursionError):
            tree = shown = None  # no JSON, or too deep: what looks like it is found below
        if shown != tree:
            return json.dumps(shown, ensure_ascii=False, separators=(", ", ": "))
    text = without_password(text)
    if ":" in text:
        text = _QUOTED.sub(_quoted, _ON_A_LINE.sub(_named, text))
    if "--" in text:
        text = _OPTION.sub(_named, text)
    return _BEARER.sub(MASK, text)


def masked_tree(value: Value) -> Value:
    """Give a value with all that a key names as a secret, at any depth, as `***`."""
    match value:
        case str():
            return without_secrets(value)
        case list():
            return [masked_tree(item) for item in value]
        case dict():
            said = value.get("name", value.get("key"))
            is_pair = "value" in value and isinstance(said, str) and names_a_secret(said)
            return {
                key: MASK
                if names_a_secret(key) or (is_pair and key == "value")
                else masked_tree(item)
                for key, item in value.items()
            }
    return value


def _assigned(match: re.Match[str]) -> str:
    in_query = match.string[max(0, match.start() - 1) : match.start()] in {"?", "&", ";"}
    is_secret = names_a_secret_of_a_url if in_query else names_a_secret
    return f"{match['name']}{match['between']}{MASK}" if is_secret(match["name"]) else match[0]


def _named(match: re.Match[str]) -> str:
    is_secret = names_a_secret(match["name"])
    return f"{match['name']}{match['between']}{MASK}" if is_secret else match[0]


def _quoted(match: re.Match[str]) -> str:
    around = match["open"] or ""
    if names_a_secret(match["name"]):
        return f"{match['name']}{match['between']}{around}{MASK}{around}"
    inside = _QUOTED.sub(_quoted, match["value"])
    return f"{match['name']}{match['between']}{inside}"
