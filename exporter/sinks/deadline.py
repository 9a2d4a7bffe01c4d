"""A time limit for a whole exchange, where a socket has one only for each single wait.

A server that sends a byte now and then, or `100 Continue` for ever, would hold its caller for ever.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer

_SLACK_S = 0.05


class TimedSocket:
    """A socket for `http.client`, all of whose waits together end when the time is up.

    It has what that module uses. A wait raises TimeoutError once the time is up.
    """

    def __init__(self, inner: socket.socket, seconds: float) -> None:
        self._inner = inner
        self._end = time.monotonic() + seconds
        self._limit_s = 0.0

    def renew(self, seconds: float) -> None:
        """Begin to count anew."""
        self._end = time.monotonic() + seconds

    def wait(self) -> None:
        """Let the next wait last as long as is left, or a few hundredths of a second longer.

        Raises: TimeoutError if nothing is.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if abs(left - self._limit_s) > _SLACK_S:  # each change is a call of the kernel
            self._inner.settimeout(left)
            self._limit_s = left

    def sendall(self, data: bytes) -> None:
        """Send all, as the socket does."""
        self.wait()
        self._inner.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - the one mode there is
        """Give a reader."""
        return io.BufferedReader(_Reader(self, self._inner.makefile("rb", buffering=0)))

    def close(self) -> None:
        """Close the socket, once its readers are closed."""
        self._inner.close()


class _Reader(io.RawIOBase):
    """Reads from a socket, and asks before each wait how long it may last."""

    def __init__(self, clock: TimedSocket, inner: socket.SocketIO) -> None:
        self._clock = clock
        self._inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        self._clock.wait()
        return self._inner.readinto(buffer)

    def close(self) -> None:
        self._inner.close()
        super().close()
