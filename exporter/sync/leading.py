"""Holding the lease while a cycle works."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from exporter.errors import LeaseLost, StateUnavailable

if TYPE_CHECKING:
    from types import TracebackType

    from exporter.ledger import Lease, Ledger

LEASE_TTL_S = 30.0


def process_name() -> str:
    """Give a name for this process that no other process ever has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Leadership:
    """Holds the lease, renewing it in the background; a context manager.

    Raises: LeaseHeld on entering when another process leads; LeaseLost from `lease` once it was
    taken over.
    """

    def __init__(self, ledger: Ledger, owner: str, *, ttl_s: float = LEASE_TTL_S) -> None:
        self._ledger = ledger
        self._owner = owner
        self._ttl_s = ttl_s
        self._lease: Lease | None = None
        self._lost: LeaseLost | None = None
        self._renewed_s = 0.0
        self._renewing = threading.Lock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def lease(self) -> Lease:
        """Give the lease as last renewed.

        One that may have run out, since the process was paused, is renewed first.
        Raises: LeaseLost, StateUnavailable.
        """
        if self._lost is None and self._lease is not None and self._age_s() >= self._ttl_s:
            self._renew_now()
        if self._lost is not None:
            raise self._lost
        if self._lease is None:
            raise LeaseLost("The lease is not held.", hint="Start a new cycle.")
        return self._lease

    def __enter__(self) -> Self:
        began_s = time.monotonic()
        self._lease = self._ledger.leases.acquire(self._owner, self._ttl_s)
        self._renewed_s = began_s
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        if self._lease is not None and self._lost is None:
            try:
                self._ledger.leases.release(self._lease)
            except StateUnavailable:
                if error is None:
                    raise
        self._lease = None

    def _renew(self) -> None:
        while not self._done.wait(self._ttl_s / 3):
            if self._lease is None or self._lost is not None:
                return
            with suppress(LeaseLost, StateUnavailable):
                # Lost: `lease` says so from now on. Unavailable: tried again at the next beat, and
                # every write checks the token, so nothing stale can be written.
                self._renew_now()

    def _age_s(self) -> float:
        return time.monotonic() - self._renewed_s

    def _renew_now(self) -> None:
        with self._renewing:
            if self._lease is None or self._lost is not None:
                return
            began_s = time.monotonic()
            try:
                self._lease = self._ledger.leases.renew(self._lease)
            except LeaseLost as lost:
                self._lost = lost
                raise
            self._renewed_s = began_s
