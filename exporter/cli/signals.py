"""SIGINT and SIGTERM, from the first moment of the process to its last.

Nothing heavy is imported here: the handlers must stand before anything that takes long.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from exporter.sync.clock import Stop

INTERRUPTED = 130
_DRAINING = (
    "Stopping after the runs under way; "
    "a second signal, a second or more after the first, stops at once."
)
# What the verbs that end cleanly say at the first signal; a service says it in its log.
_NOTICES = {
    "run": _DRAINING,
    "verify": _DRAINING,
    "serve": "",
    "demo": "Stopping the demo; what it made so far stays.",
}
_ONE_WISH_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Lets the first signal ask for a clean stop, and the second end the process at once.

    The second leaves with 130 or 143; what was under way is completed by the next cycle. Those
    within a second of the first are the same wish: terminals and process managers signal a process
    and its group.
    """

    def __init__(self, notice: str) -> None:
        self._notice = notice
        self._first_s = 0.0
        self._stop: Stop | None = None
        self.number: int | None = None  # the first signal's, once there was one

    def install(self) -> None:
        """Handle both signals from now on."""
        for number in _SIGNALS:
            signal.signal(number, self)

    def tell(self, stop: Stop) -> None:
        """Say who is to hear of the wish, which may have come already."""
        self._stop = stop
        if self.number is not None:
            stop.request()

    def exit_code(self) -> int:
        """Give the code of a verb that a signal breaks off; 0 where there was none."""
        return 0 if self.number is None else 128 + self.number

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's form
        """Handle a signal."""
        if self.number is not None:
            if time.monotonic() - self._first_s > _ONE_WISH_S:
                os._exit(128 + number)
            return
        self._first_s = time.monotonic()
        self.number = number
        if self._stop is not None:
            self._stop.request()
        if self._notice:
            _write_past_buffers(self._notice)


def heed_signals(words: Sequence[str]) -> None:
    """Remember a wish to stop from now on, where the verb that the words name ends cleanly.

    Other verbs are interrupted, which is told here: whoever catches it may be a library.
    """
    verb = words[0] if words else ""
    if verb in _NOTICES:
        StopSignals(_NOTICES[verb]).install()
    elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.default_int_handler)
    _write_past_buffers("Interrupted.")
    signal.default_int_handler(number, frame)


def stop_on_signals(stop: Stop, verb: str) -> StopSignals:
    """Let SIGINT and SIGTERM ask the work of a verb to end; one that came before counts."""
    signals = signal.getsignal(signal.SIGINT)
    if not isinstance(signals, StopSignals):
        signals = StopSignals(_NOTICES[verb])
        signals.install()
    signals.tell(stop)
    return signals


def ignore_signals() -> None:
    """Let the exit code stand from now on: the work is done, and its result is told."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _write_past_buffers(text: str) -> None:
    """Tell something on stderr: the signal may have come in the middle of a write to its buffer."""
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())
