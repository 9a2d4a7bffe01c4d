"""What settings say about URLs: where relative ones point, and which are the same."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

_SQLITE = re.compile(
    r"(?P<scheme>(?:mlmd\+|mlflow\+)?sqlite(?:\+\w+)?)://(?P<path>/[^?]*)?(?P<query>\?.*)?",
    re.DOTALL,
)
_DEFAULT_PORTS = {"mysql": 3306, "mariadb": 3306, "postgresql": 5432, "http": 80, "https": 443}


def scheme_of(url: str) -> str:
    """Give the scheme in small letters, '' where there is none (a path)."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.\-]+):", url)
    return match[1].lower() if match else ""


def anchored_sqlite(url: str, folder: Path) -> str:
    """Make the file of an SQLite URL absolute, from `folder`; other URLs stay as they are.

    Source: three slashes are a relative path, four an absolute one,
    https://docs.sqlalchemy.org/en/20/core/engines.html#sqlite
    """
    match = _SQLITE.fullmatch(url)
    if match is None or not match["path"]:
        return url
    path = match["path"][1:]
    if not path or path == ":memory:" or path.startswith("file:"):
        return url
    absolute = anchored_path(path, folder)
    return f"{match['scheme']}:///{absolute}{match['query'] or ''}"


def sqlite_file(url: str) -> str:
    """Give the path of the file that a URL of SQLite names, '' for any other URL."""
    scheme, _, rest = url.partition(":///")
    kind = scheme.removeprefix("mlmd+").removeprefix("mlflow+").partition("+")[0]
    return rest.partition("?")[0] if kind == "sqlite" else ""


def anchored_path(path: str, folder: Path) -> str:
    """Make a path absolute, `~` and relative ones from `folder`; symlinks stay as they are."""
    return os.path.normpath(folder / Path(path).expanduser())


def anchored_place(place: str, folder: Path) -> str:
    """Make a path absolute; a URL stays as it is."""
    return place if "://" in place else anchored_path(place, folder)


def file_url_path(url: str) -> str:
    """Give the path that a `file:` URL names.

    Raises: ValueError if it names another host or no path.
    """
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"}:
        raise ValueError("write a file URL with three slashes: file:///srv/out/events.jsonl")
    path = unquote(parts.path)
    if path in {"", "/"} or path.endswith("/"):
        raise ValueError("a file URL names a file, such as file:///srv/out/events.jsonl")
    return path


def same_place(url: str) -> str:
    """Give one text for all URLs that lead to the same database or file, credentials left out."""
    if match := _SQLITE.fullmatch(url):
        path = (match["path"] or "/")[1:]
        return f"sqlite:{path if path.startswith('file:') else os.path.realpath(path)}"
    parts = urlsplit(url.removeprefix("mlmd+").removeprefix("mlflow+"))
    dialect = parts.scheme.split("+")[0].lower()
    dialect = {"mariadb": "mysql", "postgres": "postgresql"}.get(dialect, dialect)
    try:
        port = parts.port or _DEFAULT_PORTS.get(dialect)
    except ValueError:
        port = None
    host = (parts.hostname or "localhost").lower()
    return f"{dialect}://{host}:{port}/{parts.path.strip('/')}"
