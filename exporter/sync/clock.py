"""Time as an argument: the one door to the clock, so that tests move it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_POLL_S = 0.5


class Clock(Protocol):
    """Tells the time and waits."""

    def now_ms(self) -> int:
        """Give the wall clock in UTC milliseconds."""

    def monotonic_s(self) -> float:
        """Give seconds that never run backwards."""

    def wait(self, seconds: float) -> None:
        """Wait, or return early when the work is to stop."""


class Stop:
    """A wish to stop, set by a signal; work looks at it between units."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        """Ask the work to end after the units under way."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Tell whether the work should end."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds`; True as soon as stopping is asked for."""
        return self._event.wait(seconds)


@contextmanager
def when_overdue(stop: Stop, seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Call `act`, in a thread, where the work still goes on `seconds` after it was asked to end."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_POLL_S):
            if stop.requested:
                if not ended.wait(seconds):
                    act()
                return

    watcher = threading.Thread(target=watch, name="overdue", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


class SystemClock:
    """The machine's clock; `wait` ends early when `stop` is requested."""

    def __init__(self, stop: Stop | None = None) -> None:
        self._stop = stop or Stop()

    def now_ms(self) -> int:
        """Give the wall clock in UTC milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Give seconds that never run backwards."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait, or return early when the work is to stop."""
        if seconds > 0:
            self._stop.wait(seconds)
