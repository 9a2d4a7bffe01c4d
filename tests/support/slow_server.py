"""A server on loopback that answers a byte at a time, always before anybody loses patience."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat

BETWEEN_S = 0.05
_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

NEVER_ENDING: dict[str, tuple[bytes, bytes]] = {
    "a header": (_JSON + b"X-Long: ", b"a"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the length of a chunk": (_JSON + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "a body": (_JSON + b"Content-Length: 100000\r\n\r\n", b" "),
}
"""What comes at once, and what then comes for ever."""


@contextmanager
def slow_server(at_once: bytes, for_ever: bytes) -> Iterator[str]:
    """Start a server that begins each answer so and never ends it; give its URL."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, at_once, for_ever, over))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, at_once: bytes, for_ever: bytes, over: threading.Event) -> None:
    answers = []
    while not over.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            break
        answers.append(threading.Thread(target=_answer, args=(connection, at_once, for_ever, over)))
        answers[-1].start()
    for answer in answers:
        answer.join()


def _answer(
    connection: socket.socket, at_once: bytes, for_ever: bytes, over: threading.Event
) -> None:
    with connection, suppress(OSError):
        connection.recv(100_000)
        for part in chain([at_once], repeat(for_ever)):
            connection.sendall(part)
            if over.wait(BETWEEN_S):
                return
