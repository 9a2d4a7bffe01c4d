"""Keeping secrets out of what people read. It knows text only, never settings."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

from exporter.mapping.secret_names import (
    names_a_secret,
    names_a_secret_of_a_url,
    tells_of_a_secret,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"

_USERINFO = re.compile(
    r"(?P<before>[a-z][a-z0-9+.\-]*://[^\s/:@\"'<>]*:)[^\s\"'<>]*@", re.IGNORECASE
)
_TOKEN_USER = re.compile(r"(?P<before>https?://)[^\s/:@\"'<>]+@", re.IGNORECASE)
_QUERY = re.compile(r"[?&](?P<name>[\w.\-]{1,100})=(?P<value>[^&\s\"'<>#]*)")

# What transports hold besides, such as `custom_headers`; better too much is masked than too little.
_OF_TRANSPORTS = re.compile(r"token|signature|headers|cookie|authorization", re.IGNORECASE)

_AUTHORIZATION = re.compile(
    r"(?:basic|bearer|token|apikey|digest) +(?P<credentials>.+)", re.IGNORECASE
)

_SHORTEST = 4  # a shorter word would blank out ordinary text, and is no secret


def mask_url(text: str) -> str:
    """Hide the passwords and tokens of every URL in a text; all else stays as it is."""
    text = _USERINFO.sub(rf"\g<before>{MASK}@", text)
    text = _TOKEN_USER.sub(rf"\g<before>{MASK}@", text)
    return _QUERY.sub(_without_value, text)


def url_secrets(url: str) -> tuple[str, ...]:
    """Give the secret parts of a URL, as written and as they read without percent signs.

    User and password are also given as the header of basic authorization has them.
    """
    found: list[str] = []
    user_info = r"[a-z][a-z0-9+.\-]*://(?P<user>[^/:@]*):(?P<password>.*?)@"
    if match := re.match(user_info, url, re.IGNORECASE):
        found += [match["password"], _basic(unquote(match["user"]), unquote(match["password"]))]
    query = r"[?&](?P<name>[\w.\-]{1,100})=(?P<value>[^&#]*)"
    found += [m["value"] for m in re.finditer(query, url) if names_a_secret_of_a_url(m["name"])]
    return tuple(dict.fromkeys(form for word in found for form in (word, unquote(word)) if form))


def tree_secrets(tree: object) -> tuple[str, ...]:
    """Give the secrets in a nested configuration: by the names of its keys, and in its URLs."""
    found: list[str] = []

    def walk(value: object, *, is_secret: bool) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                name = str(key)
                more = _OF_TRANSPORTS.search(name) and not tells_of_a_secret(name)
                walk(item, is_secret=is_secret or names_a_secret(name) or bool(more))
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item, is_secret=is_secret)
        elif isinstance(value, str):
            found.extend((value,) if is_secret else url_secrets(value))
        elif is_secret and isinstance(value, int) and not isinstance(value, bool):
            found.append(str(value))

    walk(tree, is_secret=False)
    return tuple(dict.fromkeys(found))


class Masker:
    """Replaces known secrets, and the passwords of URLs, in any text.

    The longest secret is replaced first, so that one that begins with another leaves no tail
    behind. A secret is found as it is, percent-encoded and as the password of a basic authorization
    header; of one such as `Bearer x` also what follows the scheme.
    """

    def __init__(
        self, secrets: Iterable[str] = (), *, basic: Iterable[tuple[str, str]] = ()
    ) -> None:
        words = [word for secret in secrets for word in _with_credentials(secret)]
        forms = {form for word in words for form in _spellings(word) if len(word) >= _SHORTEST}
        forms |= {_basic(user, password) for user, password in basic}
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """Give the text without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return mask_url(text)


def _without_value(match: re.Match[str]) -> str:
    if not names_a_secret_of_a_url(match["name"]):
        return match[0]
    return match[0].removesuffix(match["value"]) + MASK


def _basic(user: str, password: str) -> str:
    """Give the credentials of a basic authorization header."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _with_credentials(secret: str) -> tuple[str, ...]:
    """Give a secret and, where it is the whole of an authorization header, its credentials."""
    match = _AUTHORIZATION.fullmatch(secret)
    return (secret,) if match is None else (secret, match["credentials"])


def _spellings(secret: str) -> tuple[str, ...]:
    """Give the ways a secret is written in messages, URLs, reprs and JSON."""
    return (
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    )
