"""A proxy in front of a tracking server that kills the exporter at a chosen request."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from support.quiet_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

# before: the request never reaches the server. during: it does, nobody waits for the answer.
# after: the server has answered, the exporter never learns it.
Moment = Literal["before", "during", "after"]


class KillingProxy:
    """Counts the requests that pass, and kills a process at one of them."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._lock = threading.Lock()
        self._victim: int | None = None
        self._at: int | None = None
        self._moment: Moment = "before"
        self.count = 0
        self.killed = False

    def arm(self, *, at: int, moment: Moment) -> None:
        """Kill the next victim at its request number `at`, counted from 1."""
        self.count, self.killed = 0, False
        self._at, self._moment, self._victim = at, moment, None

    def disarm(self) -> None:
        """Let everything pass and count from nothing."""
        self.count, self.killed, self._at, self._victim = 0, False, None, None

    def watch(self, pid: int) -> None:
        """Name the process to kill."""
        self._victim = pid

    def passes(self, handler: BaseHTTPRequestHandler) -> None:
        """Forward one request, unless this is the one that kills."""
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        with self._lock:
            self.count += 1
            fatal = self._at is not None and self.count == self._at
            late = self._at is not None and self.count > self._at
        if late or (fatal and self._moment == "before"):
            self._kill(handler)
            return
        connection = http.client.HTTPConnection(
            str(self._target.hostname), self._target.port, timeout=60
        )
        headers = {k: v for k, v in handler.headers.items() if k.lower() != "connection"}
        connection.request(handler.command, handler.path, body, headers)
        if fatal and self._moment == "during":
            self._kill(handler)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if fatal:
            self._kill(handler)
            return
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def _kill(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            if not self.killed and self._victim is not None:
                self.killed = True
                os.kill(self._victim, signal.SIGKILL)
        handler.close_connection = True


@contextmanager
def killing_proxy(target: str) -> Iterator[tuple[KillingProxy, str]]:
    """Give a proxy for a server and the address to use instead of the server's."""
    proxy = KillingProxy(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.connection.setsockopt(
                6, 1, 1
            )  # TCP_NODELAY: a proxy must not add stalls of its own

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, OSError):
                self.close_connection = True

        def _pass(self) -> None:
            proxy.passes(self)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 - the base's names

    with serving(Handler) as url:
        yield proxy, url
