"""From the command line's words to an exit code; nothing a user can cause ends in a traceback."""

from __future__ import annotations

import os
import re
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from exporter.cli.exits import PARTIAL, show_error, show_failure
from exporter.cli.output import flush, print_line, say
from exporter.cli.signals import INTERRUPTED, ignore_signals
from exporter.cli.version import show_version
from exporter.errors import ExporterError

if TYPE_CHECKING:
    from types import TracebackType

PROGRAM = "pipeline-exporter"
_TRACEBACK = "EXPORTER_TRACEBACK"
# What typer puts behind the name of an argument.
_TYPE = re.compile(r"^(  [A-Z]+) <[^>]*>", re.MULTILINE)
_HELP = frozenset({"-h", "--help"})


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    _open_standard_streams()
    words = sys.argv[1:] if arguments is None else arguments
    sys.excepthook = _told_as_a_bug
    try:
        code = _run(words)
        flush()
    except ExporterError as error:
        code = show_error(error, as_json=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    ignore_signals()
    sys.exit(code)


def _run(words: list[str]) -> int:
    import typer

    from exporter.cli.app import app

    if words[:1] == ["--version"]:
        return show_version(as_json="--json" in words)
    command = typer.main.get_command(app)
    if not _HELP.isdisjoint(words):
        print_line(_TYPE.sub(r"\1", _named(command, words).get_help()))
        return 0
    # typer carries click inside itself since 0.26; both call the class for wrong usage this.
    usage_error: Any = import_module(typer.BadParameter.__module__).UsageError  # Any: see above
    try:
        code = app(words, prog_name=PROGRAM, standalone_mode=False)
    except usage_error as error:
        return _wrong_usage(error, words, _named(command, words).command_path)
    except typer.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _named(command: Any, words: list[str]) -> Any:  # Any: click's, which has two homes
    """Give the context of the verb that the words name, or of the last one they get right.

    The words are not parsed: typer imports pydantic for that, and help is to come at once.
    """
    context = command.context_class(command, info_name=PROGRAM, **command.context_settings)
    for word in words:
        known = getattr(context.command, "commands", {})
        if word in known:
            inner = known[word]
            settings = inner.context_settings
            context = inner.context_class(inner, info_name=word, parent=context, **settings)
    return context


def _wrong_usage(error: Any, words: list[str], path: str) -> int:  # Any: click's, see above
    message = str(error.format_message()).rstrip()
    if message and not message.startswith("Usage:"):
        message = message if message.endswith((".", "?")) else f"{message}."
        hint = f"See `{path} --help`."
        if words[:1] == ["run"] and "--dry-run" in words:
            hint = f"`{PROGRAM} plan` shows what `run` would write."
        return show_failure("UsageError", message, hint, "--json" in words)
    say(error.ctx.get_help() if error.ctx is not None else message)
    return int(error.exit_code)


def _open_standard_streams() -> None:
    """Make the three streams usable: a closed one is the null device, odd characters are escaped.

    Repeat: does nothing more. Without this a database opened later would become stream 1.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)  # Any: a text stream, or what a program put there
        if stream is None:
            # The process's own output stream, open as long as the process is.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _told_as_a_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Tell an exception that nobody foresaw as one line; it is our mistake, not the user's."""
    from exporter.cli.context import mask

    message = f"{kind.__name__}: {error}"
    hint = f"This is a bug of the exporter; {_TRACEBACK}=1 in the environment shows where it is."
    show_failure("InternalError", message, hint, "--json" in sys.argv, PARTIAL)
    if os.environ.get(_TRACEBACK):
        say(mask("".join(traceback.format_exception(kind, error, trace))))
