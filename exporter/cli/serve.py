"""`serve`: cycles on a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from exporter.cli.context import read_settings
from exporter.cli.signals import stop_on_signals
from exporter.service import Service
from exporter.sync.clock import Stop

if TYPE_CHECKING:
    from pathlib import Path


def serve_forever(config: Path | None, *, migrate: bool) -> int:
    """Serve until a signal; 0 after a clean stop."""
    settings = read_settings(config, is_service=True)
    log = structlog.stdlib.get_logger("exporter")
    stop = Stop()
    stop_on_signals(stop, "serve")
    return Service(settings, stop, log, migrate=migrate).run()
