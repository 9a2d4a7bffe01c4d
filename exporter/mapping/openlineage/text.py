"""Text that every consumer stores: no NUL, no lone surrogates, no numbers that JSON cannot hold."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from exporter.mapping.openlineage.secret_text import masked_tree, without_password

if TYPE_CHECKING:
    from exporter.hierarchy import Value

MAX_TEXT = 10_000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_INT64 = 2**63
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URI_SAFE = "%:/?#@!$&'()*+,;=-._~"
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*:")
URL_LENGTH = 255


def clean_text(text: str) -> str:
    """Give the text with NUL and lone surrogates shown by the replacement character.

    PostgreSQL refuses NUL in text and `jsonb`; UTF-8 cannot hold a lone surrogate.
    """
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def bounded_text(text: str, limit: int = MAX_TEXT) -> str:
    """Give the cleaned text; a longer one is cut and ends with a note of its full length."""
    if len(text) <= limit:
        return text if text.isascii() and "\x00" not in text else clean_text(text)
    note = f"… [{len(text)} characters in all]"
    return clean_text(text[: limit - len(note)]) + note


def value_text(value: Value) -> str:
    """Spell a parameter's value: a string is itself, bytes are base64, anything else is JSON text.

    What a nested key names as a secret is `***`, and so are secrets in nested texts.
    NaN and the infinities are `NaN`, `Infinity` and `-Infinity`; integers are exact at any size.
    """
    if isinstance(value, str):
        return value
    if type(value) is int and -_INT64 <= value < _INT64:
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    plain = _plain(masked_tree(value))
    if isinstance(plain, str):
        return plain
    return json.dumps(plain, ensure_ascii=False, separators=(", ", ": "))


def safe_uri(uri: str) -> str:
    """Give a URI that every consumer parses: a path as `file://`, percent-encoded, no password.

    Limits: a longer one than 255 characters is cut and ends with a hash of the original.
    """
    text = clean_text(without_password(uri)).replace("\ufffd", "_")
    if text.startswith("/"):
        text = f"file://{text}" if not text.startswith("//") else f"file:{text}"
    elif not _SCHEME.match(text):
        text = f"file:///{text}"
    encoded = quote(_PERCENT.sub("%25", text), safe=_URI_SAFE)
    if "#" in encoded:
        before, _, after = encoded.partition("#")
        encoded = f"{before}#{after.replace('#', '%23')}"
    if len(encoded) <= URL_LENGTH:
        return encoded
    digest = hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    cut = encoded[: URL_LENGTH - 9]
    if "%" in cut[-2:]:
        cut = cut[: cut.rindex("%")]
    return f"{cut}-{digest}"


def finite(number: float | None) -> float | int | None:
    """Give the number if JSON has a spelling for it and 64 bits hold it, else nothing."""
    if number is None or isinstance(number, bool):
        return None
    if isinstance(number, int):
        return storable_int(number)
    return number if math.isfinite(number) else None


def unused(key: str, used: set[str]) -> str:
    """Give the key, numbered if it was used before, and remember it; none is empty."""
    unique, number = key or "_", 2
    while unique in used:
        unique, number = f"{key}#{number}", number + 1
    used.add(unique)
    return unique


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
