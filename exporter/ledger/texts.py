"""Text columns that hold any Python string, also what a database refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

_MARK = "\ufdd0"  # a code point reserved to mean nothing
_REFUSED = re.compile("[\x00\ud800-\udfff\ufdd0]")
_MARKED = re.compile(_MARK + "([0-9a-f]{4})")


def storable(text: str) -> str:
    """Spell a string so that every database stores it: NUL and lone surrogates in hexadecimal."""
    return _REFUSED.sub(lambda found: f"{_MARK}{ord(found[0]):04x}", text)


def restored(text: str) -> str:
    """Give back the string that `storable` spelled."""
    if _MARK not in text:
        return text
    return _MARKED.sub(lambda found: chr(int(found[1], 16)), text)


class AnyText(TypeDecorator[str]):
    """Text without limits on its characters; equal strings are stored equal."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Spell the string for the database."""
        return None if value is None else storable(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Give back the string; Any is what a driver returns."""
        return None if value is None else restored(value)
