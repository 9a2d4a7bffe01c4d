"""From an error to what the user sees: one line, a hint, an exit code."""

from __future__ import annotations

from exporter.cli.output import print_json, say
from exporter.errors import (
    ConfigError,
    ExporterError,
    LeaseHeld,
    LeaseLost,
    NotFound,
    SchemaTooNew,
    SchemaTooOld,
    SinkUnavailable,
    SourceUnavailable,
    StateError,
    StateUnavailable,
    StoreUnreadable,
)

OK, PARTIAL, USAGE, HELD, UNREACHABLE = 0, 1, 2, 3, 4

# The first class an error is an instance of decides.
EXIT_CODES: tuple[tuple[type[ExporterError], int], ...] = (
    (ConfigError, USAGE),
    (NotFound, USAGE),
    (StoreUnreadable, USAGE),
    (SchemaTooNew, USAGE),
    (SchemaTooOld, USAGE),
    (LeaseHeld, HELD),
    (SourceUnavailable, UNREACHABLE),
    (SinkUnavailable, UNREACHABLE),
    (StateUnavailable, UNREACHABLE),
    (LeaseLost, HELD),
    (StateError, USAGE),
    (ExporterError, PARTIAL),
)


def exit_code(error: ExporterError) -> int:
    """Give the documented exit code for an error that ended the command."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def show_error(error: ExporterError, *, as_json: bool) -> int:
    """Say what happened on stderr (and as an object on stdout with --json); give the exit code."""
    kind = type(error).__name__
    return show_failure(kind, error.message, error.hint, as_json, exit_code(error))


def show_failure(kind: str, message: str, hint: str, as_json: bool, code: int = USAGE) -> int:
    """Say that the command failed, in the one form all failures have; give the exit code."""
    from exporter.cli.context import mask

    if as_json:
        print_json({"ok": False, "error": {"kind": kind, "message": message, "hint": hint}})
    say(mask(f"error: {message} {hint}".rstrip()))
    return code
