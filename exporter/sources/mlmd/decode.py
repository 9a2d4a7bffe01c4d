"""Property rows of ML Metadata as typed values.

A row is `(owner, name, is_custom, int, double, string, bytes, proto, bool)`; exactly one value is
not NULL. Structs are text: `mlmd-struct::` and the base64 of a serialized `google.protobuf.Struct`.
Source:
https://github.com/google/ml-metadata, `metadata_store/rdbms_metadata_access_object.cc`
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import TYPE_CHECKING, TypeAlias

from exporter.hierarchy import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.hierarchy import Value

# owner, name, is_custom, int, double, string, bytes, proto, bool
PropertyRow: TypeAlias = (
    "tuple[int, str, int, int | None, float | None, "
    "str | None, bytes | memoryview | None, bytes | memoryview | None, int | None]"
)

STRUCT_PREFIX = "mlmd-struct::"


def raw_value(row: PropertyRow) -> Value:
    """Give a row's value typed by its column; a struct is decoded, all NULL is None.

    SQLite may hold another type in a column of numbers or bytes: such a value is given as it is.
    """
    if row[5] is not None:
        text = row[5]
        return decode_struct(text) if text.startswith(STRUCT_PREFIX) else text
    if row[3] is not None:
        return row[3]
    if row[4] is not None:
        return float(row[4]) if isinstance(row[4], int) else row[4]
    blob = row[6] if row[6] is not None else row[7]
    if blob is not None:
        return bytes(blob) if isinstance(blob, memoryview) else blob
    return bool(row[8]) if isinstance(row[8], int) else row[8]


def native_property(row: PropertyRow) -> Parameter:
    """Read a property as the store typed it."""
    return Parameter(row[1], raw_value(row), None, not row[2])


def native_parameter(row: PropertyRow) -> Parameter:
    """Read a parameter as typed; a string that is a JSON container is decoded, its text kept."""
    text = row[5]
    if text is None or text.startswith(STRUCT_PREFIX) or text.lstrip()[:1] not in ("[", "{"):
        return native_property(row)
    try:
        return Parameter(row[1], json.loads(text), text, not row[2])
    except (ValueError, RecursionError):
        return native_property(row)


def json_parameter(row: PropertyRow) -> Parameter:
    """Read a parameter whose string is JSON; the text is kept where decoding loses something."""
    text = row[5]
    if text is None:
        return native_property(row)
    try:
        value: Value = json.loads(text)
        same = _spells(value, text)
    except (ValueError, RecursionError):
        return Parameter(row[1], text, text, not row[2])
    return Parameter(row[1], value, None if same else text, not row[2])


def _spells(value: Value, text: str) -> bool:
    """Tell whether `json.dumps` gives the text back; numbers, being the most, without asking it."""
    if isinstance(value, int | float) and repr(value) == text:
        return True
    return text in (json.dumps(value), json.dumps(value, ensure_ascii=False))


class Memo:
    """Decodes rows of one page; equal rows give one parameter, since stores repeat themselves."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, str, int, str], Parameter] = {}

    def parameter(self, row: PropertyRow, decode: Callable[[PropertyRow], Parameter]) -> Parameter:
        """Decode a row; a text only once."""
        text = row[5]
        if text is None:
            return decode(row)
        key = (decode, row[1], row[2], text)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = decode(row)
        return known


def decode_struct(text: str) -> Value:
    """Decode a struct; the text itself where it is none."""
    try:
        data = base64.b64decode(text[len(STRUCT_PREFIX) :], validate=True)
        return _struct(memoryview(data))
    except (binascii.Error, ValueError, IndexError, struct.error, RecursionError):
        return text


def _fields(data: memoryview) -> list[tuple[int, int, int | memoryview]]:
    """Split a message into (field number, wire type, payload)."""
    out: list[tuple[int, int, int | memoryview]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        payload: int | memoryview
        if wire == 0:
            payload, at = _varint(data, at)
        else:
            if wire == 2:
                size, at = _varint(data, at)
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise ValueError("a group or an unknown wire type")
            if at + size > len(data):
                raise ValueError("a field ends behind its message")
            payload = data[at : at + size]
            at += size
        out.append((number, wire, payload))
    return out


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than ten bytes")


def _bytes(payload: int | memoryview) -> memoryview:
    if isinstance(payload, int):
        raise ValueError("a number where a message is expected")  # noqa: TRY004 - a wire format error
    return payload


def _struct(data: memoryview) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for number, _, payload in _fields(data):
        if number != 1:
            continue
        key, value = "", None
        for inner, _, part in _fields(_bytes(payload)):
            if inner == 1:
                key = str(_bytes(part), "utf-8")
            elif inner == 2:
                value = _value(_bytes(part))
        out[key] = value
    return out


def _value(data: memoryview) -> Value:
    value: Value = None
    for number, _, payload in _fields(data):
        if number == 1:
            value = None
        elif number == 2:
            value = float(struct.unpack("<d", _bytes(payload))[0])
        elif number == 3:
            value = str(_bytes(payload), "utf-8")
        elif number == 4:
            value = bool(payload)
        elif number == 5:
            value = _struct(_bytes(payload))
        elif number == 6:
            value = [_value(_bytes(p)) for n, _, p in _fields(_bytes(payload)) if n == 1]
    return value
