"""Which names say that what they hold is a secret: of parameters, settings and parts of queries."""

from __future__ import annotations

import re
from functools import lru_cache

_LONGEST = 300
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_APART = re.compile(r"[^a-z0-9]+")

# Names are looked at in small letters, their words joined by `_`.
_SECRET = re.compile(
    r"(?:^|_)(?:"
    r"[a-z0-9]*(?:pass_?(?:word|wd|phrase|code)|pwd|secret|credential|(?:api|access)_?key)s?"
    r"|creds?|jaas"
    r"|(?:account|auth|private|encryption|decryption|signing|ssh|shared|master|subscription|hmac)"
    r"_?keys?"
    r"|(?:api|auth|oauth|access|bearer|refresh|session|security|sas)_?tokens?"
    r")(?=_|$)"
)
_SECRET_AT_THE_END = re.compile(
    r"(?:^|_)(?:authorization|cookies?|bearer|jwt|key_pem)$|^pass$"
    r"|(?:^|_)(?:db|database|user|login|admin|root|mysql|postgres|pg|smtp|ftp|redis)_pass$"
)
_TOKEN_AT_THE_END = re.compile(r"(?:^|(?:^|_)(?P<before>[a-z0-9]+)_)token$")
_SIGNATURE_AT_THE_END = re.compile(r"(?:^|_)sig(?:nature)?$")
_KEY_AT_THE_END = re.compile(r"(?:^|_)(?P<before>[a-z0-9]+)_key$")
_WHERE_OR_WHICH = re.compile(
    r"(?:_(?:prod|production|dev|development|stage|staging|test|qa|live|local|old|new|current"
    r"|previous|default|value|text|plain|base64|[0-9]+))+$"
)
# What only tells of a secret: where it lies, how long it is, what kind it has.
_ABOUT = re.compile(
    r"_(?:paths?|files?|filename|folder|dir|directory|location|ur[il]s?|endpoint|host|names?|types?"
    r"|kind|fields?|columns?|provider|mechanism|buffer|len|length|size|count|limit|max|min|ttl"
    r"|expiry|expires|expiration|timeout|version|format|mode|policy|enabled|required|strength"
    r"|pattern|regex|manager|store|backend|scope|arn|ref|env|variable|rotation|attempts|algorithm"
    r"|(?<!secret_)ids?)$"
)
_TOKENS_OF_TEXT = frozenset(
    {
        "bos", "eos", "sos", "eot", "eod", "pad", "padding", "sep", "separator", "cls",
        "mask", "unk", "unknown", "oov", "special", "sentinel", "start", "begin", "end",
        "stop", "first", "last", "next", "prev", "max", "min", "num", "per", "n", "forced",
        "decoder", "encoder", "additional", "extra", "image", "audio", "video", "text",
        "word", "char", "sub", "subword", "prompt", "query", "target", "source", "input",
        "output", "context", "newline", "blank", "empty", "null", "fill", "replacement",
        "placeholder", "prefix", "suffix", "split",
    }
)  # fmt: skip
_KEYS_OF_DATA = frozenset(
    {
        "primary", "foreign", "partition", "sort", "order", "join", "cluster", "range",
        "hash", "group", "cache", "row", "natural", "surrogate", "business", "unique",
        "composite", "index", "shard", "routing", "message", "lookup", "object", "dict",
        "map", "feature", "public",
    }
)  # fmt: skip


@lru_cache(maxsize=8192)
def names_a_secret(name: str) -> bool:
    """Tell whether a name says that its value is a secret: `DB_PASSWORD_PROD`, `apiKey`.

    What tells of a secret is none (`password_file`), nor are the tokens of texts (`max_tokens`,
    `pad_token`) and the keys of tables (`primary_key`).
    """
    return any(_is_secret(form) for form in _forms(name))


@lru_cache(maxsize=8192)
def names_a_secret_of_a_url(name: str) -> bool:
    """Tell the same of a name in a URL's query, where signatures and any keys let people in."""
    if names_a_secret(name):
        return True
    for form in _forms(name):
        key = _KEY_AT_THE_END.search(form)
        if _SIGNATURE_AT_THE_END.search(form) or (key and key["before"] not in _KEYS_OF_DATA):
            return True
    return False


def tells_of_a_secret(name: str) -> bool:
    """Tell whether a name ends as those do that say where a secret lies, or what it is like."""
    return any(_ABOUT.search(f"_{form}") for form in _forms(name))


def _forms(name: str) -> tuple[str, ...]:
    """Give a name in small letters, cut at capitals and digits, and not cut there."""
    told = name[-_LONGEST:]
    cut = "_".join(_PART.findall(told)).lower()
    whole = _APART.sub("_", told.lower()).strip("_")
    return (cut,) if cut == whole else (cut, whole)


def _is_secret(form: str) -> bool:
    told = _WHERE_OR_WHICH.sub("", form)
    if _ABOUT.search(told):
        return False
    if _SECRET.search(told) or _SECRET_AT_THE_END.search(told):
        return True
    token = _TOKEN_AT_THE_END.search(told)
    return token is not None and token["before"] not in _TOKENS_OF_TEXT
