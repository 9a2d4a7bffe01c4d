"""Texts as MLflow and every database behind it take them; what had to change is counted.

Limits: parameter 6,000, tag 8,000, keys and run names 250 characters; keys of parameters and
metrics hold letters, digits and `_ - . / :` and space, and are normal paths. PostgreSQL takes no
NUL, UTF-8 no lone surrogate. Beyond the limits a server cuts silently or refuses, depending on its
database, so the cut is made here.
Source: mlflow/utils/validation.py of MLflow 3.17.2.
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Container

    from exporter.hierarchy import Value
    from exporter.hierarchy.values import Json

PARAM_LENGTH = 6_000
TAG_LENGTH = 8_000
KEY_LENGTH = 250
NAME_LENGTH = 250
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REFUSED_IN_KEY = re.compile(r"[^\w.\-/: ]")


def text_hash(text: str) -> str:
    """Give the sha256 of any text, lone surrogates included."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def clean_text(text: str, beside: Counter[str]) -> str:
    """Replace what a database refuses by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    cleaned = _UNSTORABLE.sub(_REPLACEMENT, text)
    if cleaned != text:
        beside["characters_replaced"] += 1
    return cleaned


def shorten(text: str, limit: int, kind: str, beside: Counter[str]) -> str:
    """Clean a text and cut it to `limit`; a cut one ends with its length and sha256."""
    cleaned = clean_text(text, beside)
    if len(cleaned) <= limit:
        return cleaned
    beside[kind] += 1
    tail = f"… [{len(text)} characters, sha256 {text_hash(text)[:16]}]"
    return cleaned[: limit - len(tail)] + tail


def short_name(text: str, limit: int, beside: Counter[str]) -> str:
    """Clean a name and cut it to `limit`; a tail of the hash keeps different names apart."""
    cleaned = clean_text(text, beside)
    if len(cleaned) <= limit:
        return cleaned
    beside["names_shortened"] += 1
    return f"{cleaned[: limit - 13]}~{text_hash(text)[:12]}"


def clean_key(key: str, taken: Container[str]) -> str:
    """Make a parameter or metric key that MLflow takes and that is not `taken`.

    A key that needs no change keeps its spelling; a changed one ends with a hash of the original.
    """
    cleaned = plain_key(key)
    if cleaned == key and len(key) <= KEY_LENGTH and key not in taken:
        return key
    number = 0
    while True:
        tail = text_hash(f"{key}#{number}" if number else key)[:8]
        candidate = f"{cleaned[: KEY_LENGTH - 9]}_{tail}"
        if candidate not in taken:
            return candidate
        number += 1


def plain_key(key: str) -> str:
    """Replace what MLflow refuses in a key; different keys may become equal."""
    cleaned = _REFUSED_IN_KEY.sub("_", key)
    if _is_normal(cleaned):
        return cleaned
    cleaned = cleaned.replace("/", "_")
    return cleaned if _is_normal(cleaned) else f"_{cleaned}"


def _is_normal(key: str) -> bool:
    return posixpath.normpath(key) == key and key != "." and not key.startswith(("..", "/"))


def value_text(value: Value) -> str:
    """Spell a parameter: a string is itself, anything else JSON (`null`, `1.0`, `NaN`)."""
    if isinstance(value, str):
        return value
    return json.dumps(_plain(value), ensure_ascii=False, separators=(", ", ": "))


def _plain(value: Value) -> Json:
    match value:
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case bool() | None:
            return value
        case int() if value.bit_length() > 14_000:  # CPython refuses more than 4,300 decimal digits
            return hex(value)
    return value
