"""Results go to stdout, all else to stderr; tables are drawn for people, JSON for programs.

A reader that goes away (`| head`) ends the output, not the work: the exit code stays the work's.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from exporter.errors import ExporterError

if TYPE_CHECKING:
    from collections.abc import Iterable


def print_json(value: object) -> None:
    """Print one JSON object on stdout, secrets taken out of its texts."""
    _write(sys.stdout, _json_text(value) + "\n")


class JsonWithList:
    """Prints one JSON object whose first value is a list, a member at a time.

    Nothing is printed before the first member, or `end`: until then another object may be.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.has_begun = False

    def add(self, member: object) -> None:
        """Print the next member."""
        lead = "," if self.has_begun else self._head()
        _write(sys.stdout, f"{lead}\n    " + _json_text(member).replace("\n", "\n    "))
        self.has_begun = True

    def end(self, rest: dict[str, object]) -> None:
        """Print the other keys, at least one, and end the object."""
        lead = "\n  ]" if self.has_begun else f"{self._head()}]"
        _write(sys.stdout, f"{lead},{_json_text(rest)[1:]}\n")

    def _head(self) -> str:
        return f"{{\n  {json.dumps(self._name)}: ["


def print_line(text: str = "") -> None:
    """Print a result on stdout."""
    _write(sys.stdout, printable(text) + "\n")


def say(text: str) -> None:
    """Tell something on stderr."""
    _write(sys.stderr, printable(text) + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines that are safe already, without blanks at their ends; an empty first is none."""
    shown = [line.rstrip() for line in lines]
    _write(sys.stdout, "".join(f"{line}\n" for line in (shown if shown[0] else shown[1:])))


def printable(text: str) -> str:
    """Make text safe for a terminal: control characters and lone surrogates become escapes."""
    return "".join(char if char in "\n\t" else _visible(char) for char in text)


def one_line(text: str) -> str:
    """Make text safe for a cell or a line: as `printable`, and line ends become escapes too."""
    return "".join(map(_visible, text))


def counted(count: int, what: str) -> str:
    """Say how many there are of something: `1 problem`, `2,000 problems`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def flush() -> None:
    """Bring out what was printed, now, while an error can still be told."""
    for stream in (sys.stdout, sys.stderr):
        _write(stream, "")


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
    except OSError as error:
        _silence(stream)
        raise ExporterError(
            f"The output cannot be written: {error.strerror or error}.",
            hint="Check where it goes; what the command wrote elsewhere is written.",
        ) from error


def _silence(stream: TextIO) -> None:
    """Send the rest of a stream nowhere, so that nothing fails again, not even at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _json_text(value: object) -> str:
    masked = _masked(value)
    text = json.dumps(masked, ensure_ascii=False, indent=2, default=str)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(masked, indent=2, default=str)
    return text


def _masked(value: Any) -> Any:  # Any: JSON values
    from exporter.cli.context import mask

    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value
