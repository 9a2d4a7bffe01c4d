"""The command line run in the test's own process, for what needs no process of its own."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from exporter.cli import context, start
from exporter.config import Masker
from support.command import Ended, without_traceback

Told = Callable[..., Ended]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Give a function that runs the command line on words and tells how it ended."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(context, "_masker", Masker())
    numbers = (signal.SIGINT, signal.SIGTERM)
    signals = {number: signal.getsignal(number) for number in numbers}
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run_here(*words: object) -> Ended:
        with pytest.raises(SystemExit) as exited:
            start.run([str(word) for word in words])
        return without_traceback(Ended(int(exited.value.code or 0), *capsys.readouterr()))

    yield run_here
    for number, handler in signals.items():
        signal.signal(number, handler)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
