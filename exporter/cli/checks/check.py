"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from exporter.cli.exits import exit_code

if TYPE_CHECKING:
    from exporter.errors import ExporterError


@dataclass(frozen=True, slots=True)
class Check:
    """One part of a configuration and how it is; a problem has the exit code it asks for."""

    part: str
    status: Literal["ok", "warning", "problem"]
    message: str
    hint: str = ""
    exit_code: int = 0

    @classmethod
    def ok(cls, part: str, message: str) -> Check:
        """Say that a part is as it should be."""
        return cls(part, "ok", message)

    @classmethod
    def warning(cls, part: str, message: str, hint: str) -> Check:
        """Say that a part works, but perhaps not as meant."""
        return cls(part, "warning", message, hint)

    @classmethod
    def problem(cls, part: str, error: ExporterError) -> Check:
        """Say that a part does not work."""
        return cls(part, "problem", error.message, error.hint, exit_code(error))
