"""Logs: structured events on standard error, JSON off a terminal, secrets taken out last."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from exporter.config.masking import Masker

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, WrappedLogger

    from exporter.config.settings import LogSettings

_OWN = "exporter"


def configure_logging(
    settings: LogSettings,
    *,
    masker: Callable[[str], str] | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send the log lines of this process, our own and the libraries', to `stream` in one form.

    Our own lines appear from `settings.level` on, the libraries' from warning on, with level debug
    all of them.
    The masker sees each finished line, so that nothing gets past it, tracebacks included.
    Repeat: the last call counts.
    """
    out = stream or sys.stderr
    as_json = settings.format == "json" or (settings.format == "auto" and not out.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=out.isatty() and not os.environ.get("NO_COLOR"))]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*before, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *render,
            _masking(masker or Masker()),
        ],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level if settings.level == "debug" else max(level, logging.WARNING))
    logging.getLogger(_OWN).setLevel(level)


def _masking(masker: Callable[[str], str]) -> structlog.typing.Processor:
    def mask(
        _logger: WrappedLogger, _method: str, line: EventDict | str
    ) -> Any:  # Any: the chain's end is text
        return masker(str(line))

    return mask
