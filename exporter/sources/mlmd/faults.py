"""Database drivers' errors as what a source may raise; nothing else reads drivers' messages."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from exporter.errors import SourceError, SourceUnavailable, StoreUnreadable

_HOT_JOURNAL_HINT = (
    "Its writer crashed and left a journal that only a write can roll back: copy the database "
    "and the file beside it ending in -journal to another folder, open the copy once with the "
    "sqlite3 tool, and use the copy."
)

# SQLite result names (sqlite_errorname) → (class, what happened, hint)
_SQLITE: dict[str, tuple[type[SourceError], str, str]] = {
    "SQLITE_BUSY": (
        SourceUnavailable,
        "is locked by a writer",
        "A pipeline is writing; the next cycle tries again.",
    ),
    "SQLITE_LOCKED": (SourceUnavailable, "is locked", "The next cycle tries again."),
    "SQLITE_READONLY": (StoreUnreadable, "has a hot journal", _HOT_JOURNAL_HINT),
    "SQLITE_CORRUPT": (
        StoreUnreadable,
        "is damaged",
        "Check it with `PRAGMA integrity_check` and restore it from a backup.",
    ),
    "SQLITE_NOTADB": (
        StoreUnreadable,
        "is not a SQLite database",
        "Name the ML Metadata database file of the store.",
    ),
    "SQLITE_CANTOPEN": (
        SourceUnavailable,
        "cannot be opened",
        "Check the permissions of the file and of its folder.",
    ),
    "SQLITE_IOERR": (SourceUnavailable, "cannot be read from its disk", "Check the file system."),
}

# (word in the driver's message, what happened, hint): SourceUnavailable, the first that fits
_SERVER: tuple[tuple[str, str, str], ...] = (
    ("password", "refused the user or password", "Check the credentials in `source`."),
    ("access denied", "refused the user or password", "Check the credentials in `source`."),
    ("authentication", "refused the user or password", "Check the credentials in `source`."),
    ("permission denied", "does not let this user read the tables", "Grant SELECT on the store."),
    ("command denied", "does not let this user read the tables", "Grant SELECT on the store."),
    (
        "does not exist",
        "has no such database or user",
        "Check the name of the database in `source`.",
    ),
    ("unknown database", "has no such database", "Check the name of the database in `source`."),
    ("translate host", "has a host name that does not resolve", "Check the host in `source`."),
    ("resolve host", "has a host name that does not resolve", "Check the host in `source`."),
    ("name or service", "has a host name that does not resolve", "Check the host in `source`."),
    ("refused", "refused the connection", "Is the server running on that host and port?"),
    ("can't connect", "cannot be reached", "Is the server running on that host and port?"),
    ("timeout", "did not answer in time", "The next cycle tries again."),
    ("timed out", "did not answer in time", "The next cycle tries again."),
)


def is_undecodable(error: BaseException) -> bool:
    """Tell whether SQLite met text that is not UTF-8."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, sqlite3.OperationalError) and "decode to UTF-8" in str(cause)


def translated(error: Exception, place: str) -> SourceError:
    """Give the error to raise for a driver's error at `place`, which must not hold a password."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(cause, sqlite3.Error):
        name = getattr(cause, "sqlite_errorname", "") or ""
        for known, (kind, what, hint) in _SQLITE.items():
            if name.startswith(known):
                return kind(f"The store {place} {what}.", hint=hint)
        return StoreUnreadable(
            f"The store {place} cannot be read: {cause}.",
            hint="Is it an ML Metadata database of schema 6 to 10?",
        )
    text = f"{type(cause).__name__} {cause}".lower()
    for word, what, hint in _SERVER:
        if word in text:
            return SourceUnavailable(f"The store {place} {what}.", hint=hint)
    return SourceUnavailable(
        f"The store {place} cannot be read ({type(cause).__name__}).",
        hint="Check that the server runs and the URL in `source` is right.",
    )


DRIVER_ERRORS = (SQLAlchemyError, sqlite3.Error)
