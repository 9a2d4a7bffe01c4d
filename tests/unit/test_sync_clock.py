"""Work that ends, and work that does not end when asked to."""

from __future__ import annotations

import threading
import time

from exporter.sync.clock import Stop, when_overdue


def test_work_that_ended_is_not_waited_for() -> None:
    began = time.monotonic()
    for _ in range(5):
        with when_overdue(Stop(), 60, lambda: None):
            pass
    assert time.monotonic() - began < 1


def test_work_that_goes_on_after_the_grace_is_broken_off() -> None:
    stop, acted = Stop(), threading.Event()
    with when_overdue(stop, 0.01, acted.set):
        stop.request()
        assert acted.wait(10)


def test_work_that_ends_within_the_grace_is_left_alone() -> None:
    stop, acted = Stop(), threading.Event()
    with when_overdue(stop, 60, acted.set):
        stop.request()
    assert not acted.is_set()
