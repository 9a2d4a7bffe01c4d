"""What every verb starts with: the settings, the masker of their secrets, logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.config import Masker

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config import LogSettings, Settings

_masker = Masker()


def mask(text: str) -> str:
    """Take out of a text every secret of the settings loaded so far, and the passwords of URLs."""
    return _masker(text)


def read_settings(config: Path | None, *, is_service: bool = False) -> Settings:
    """Load the settings, remember their secrets for masking, and send the logs to stderr.

    Raises: ConfigError.
    """
    global _masker  # noqa: PLW0603 - one process, one command, one set of secrets
    from exporter.config import load_settings

    settings = load_settings(config)
    _masker = settings.masker()
    log_to_stderr(settings.log, is_service=is_service)
    return settings


def log_to_stderr(log: LogSettings | None = None, *, is_service: bool = False) -> None:
    """Send the logs to stderr: a service's as configured, those of a verb as lines for people."""
    from exporter.config import LogSettings
    from exporter.config.logging import configure_logging

    wanted = log or LogSettings(level="warning")
    if not is_service and wanted.format == "auto":
        wanted = LogSettings(level=wanted.level, format="console")
    configure_logging(wanted, masker=mask)
