"""Typed values: what a parameter can hold, spelled so that JSON keeps the type.

`{"t": "int|float|str|bool|none|list|dict|bytes", "v": …}`; int, float and bytes are text, dicts are
lists of pairs in source order. So `1`, `1.0`, `True` and `"1"` stay four values, and NaN, infinity
and 200-digit integers survive.
"""

from __future__ import annotations

import base64
from typing import TypeAlias, cast

Value: TypeAlias = "bool | int | float | str | bytes | list[Value] | dict[str, Value] | None"
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_NONE: dict[str, Json] = {"t": "none", "v": None}


def encode_value(value: Value) -> dict[str, Json]:
    """Spell a value with its type; `decode_value` gives it back exactly.

    Raises: TypeError for a type that no source can deliver.
    """
    if value is None:
        return _NONE
    match value:
        case bool():
            return {"t": "bool", "v": value}
        case str():
            return {"t": "str", "v": value}
        case int():
            return {"t": "int", "v": _int_text(value)}
        case float():
            return {"t": "float", "v": repr(value)}
        case bytes():
            return {"t": "bytes", "v": base64.b64encode(value).decode("ascii")}
        case list():
            return {"t": "list", "v": [encode_value(item) for item in value]}
        case dict():
            return {"t": "dict", "v": [[key, encode_value(item)] for key, item in value.items()]}
    raise TypeError(f"a history value cannot be a {type(value).__name__}")


def decode_value(spelled: dict[str, Json]) -> Value:
    """Give back the value that `encode_value` spelled.

    Raises: ValueError, TypeError or KeyError for anything else.
    """
    kind, v = spelled["t"], spelled["v"]
    match kind, v:
        case "none", None:
            return None
        case "bool", bool():
            return v
        case "str", str():
            return v
        case "int", str():
            return _int_from_text(v)
        case "float", str():
            return float(v)
        case "bytes", str():
            return base64.b64decode(v)
        case "list", list():
            return [decode_value(cast("dict[str, Json]", item)) for item in v]
        case "dict", list():
            pairs = cast("list[tuple[str, dict[str, Json]]]", v)
            return {key: decode_value(item) for key, item in pairs}
    raise ValueError(f"not a typed value: {kind!r}")


def _int_text(value: int) -> str:
    """Write any integer; past CPython's limit on decimal digits (4,300) as hexadecimal."""
    try:
        return str(value)
    except ValueError:
        return hex(value)


def _int_from_text(text: str) -> int:
    return int(text, 16) if text.lstrip("-").startswith("0x") else int(text)
