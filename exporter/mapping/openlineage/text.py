"""Text that every consumer stores: no NUL, no lone surrogates, no numbers that JSON cannot hold."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.hierarchy import Value

MAX_TEXT = 10_000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_INT64 = 2**63


def clean_text(text: str) -> str:
    """Give the text with NUL and lone surrogates shown by the replacement character.

    PostgreSQL refuses NUL in text and `jsonb`; UTF-8 cannot hold a lone surrogate.
    """
    return _UNSTORABLE.sub("\ufffd", text)


def bounded_text(text: str, limit: int = MAX_TEXT) -> str:
    """Give the cleaned text; a longer one is cut and ends with a note of its full length."""
    if len(text) <= limit:
        return clean_text(text)
    note = f"… [{len(text)} characters in all]"
    return clean_text(text[: limit - len(note)]) + note


def value_text(value: Value) -> str:
    """Spell a parameter's value: a string is itself, bytes are base64, anything else is JSON text.

    NaN and the infinities are `NaN`, `Infinity` and `-Infinity`; integers are exact at any size.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    return json.dumps(plain, ensure_ascii=False, separators=(", ", ": "))


def storable_int(number: int | None) -> int | None:
    """Give the number if a signed 64-bit field can hold it, else nothing."""
    if number is None or not -_INT64 <= number < _INT64:
        return None
    return number


def _plain(value: Value) -> Any:  # Any: what json.dumps takes
    match value:
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case bool():
            return value
        case int():
            try:
                str(value)
            except ValueError:  # past the interpreter's limit on decimal digits
                return hex(value)
            return value
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value
