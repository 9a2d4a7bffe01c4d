"""What every verb starts with: the settings, the masker of their secrets, logs, the signals."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from exporter.config import Masker

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from exporter.config import LogSettings, Settings
    from exporter.sync.clock import Stop

DRAINING = "Stopping after the runs under way; a second signal stops at once."
_ONE_WISH_S = 1.0

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


def stop_on_signals(stop: Stop, notice: str = "") -> None:
    """Let the first SIGINT or SIGTERM ask for a clean stop, and the second end the process at once.

    The second leaves with 130 or 143; what was under way is completed by the next cycle. Those
    within a second of the first are the same wish: terminals and process managers signal a process
    and its group. `notice` is told on stderr at the first.
    """
    first_s = 0.0

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's own form
        nonlocal first_s
        if stop.requested:
            if time.monotonic() - first_s > _ONE_WISH_S:
                os._exit(128 + number)
            return
        first_s = time.monotonic()
        stop.request()
        if notice:
            # Past the buffer: the signal may have come in the middle of a write to it.
            with suppress(OSError):
                os.write(2, f"{notice}\n".encode())

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
