"""A real HTTP server on loopback that records OpenLineage events and answers as it is told."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import pytest

from support.quiet_server import serving

Json = dict[str, Any]  # Any: a parsed event


class Reply(NamedTuple):
    """What the server does with one event."""

    status: int = 201
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}
    delay_s: float = 0.0
    drop: bool = False
    """Close the connection without an answer."""
    break_off: bool = False
    """Promise a longer body than is sent."""
    close_after: bool = False
    """Close the connection after the answer without having said so."""


class Seen(NamedTuple):
    """One request: when it came and was answered, on which connection, what it held."""

    path: str
    headers: Mapping[str, str]
    event: Json
    connection: int
    came_s: float
    answered_s: float


TAKEN = Reply()


@dataclass
class LineageServer:
    """The recording server; `answer` decides about each event, by default all are taken."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answer: Callable[[Json], Reply] = lambda _event: TAKEN
    lock: threading.Lock = field(default_factory=threading.Lock)

    def told(self) -> list[str]:
        """Give `job eventType` of each request, in the order of their arrival."""
        return [f"{s.event['job']['name']} {s.event['eventType']}" for s in self.seen]


@pytest.fixture
def lineage_server() -> Iterator[LineageServer]:
    """Start a recording server on a free port, and stop it."""
    server = LineageServer()
    with serving(_handler_for(server)) as server.url:
        yield server


def _handler_for(server: LineageServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            came_s = time.monotonic()
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                raw = gzip.decompress(raw)
            try:
                event = json.loads(raw)
            except ValueError:  # as catalogs do: refused, and nothing kept
                self._reply(Reply(400, b'{"code":400,"message":"Unable to process JSON"}'))
                return
            with server.lock:
                reply = server.answer(event)
            if reply.delay_s:
                time.sleep(reply.delay_s)
            # Before the answer leaves: whoever has it may look at once at what was seen.
            with server.lock:
                server.seen.append(
                    Seen(
                        self.path,
                        dict(self.headers),
                        event,
                        self.client_address[1],
                        came_s,
                        time.monotonic(),
                    )
                )
            if not reply.drop:
                self._reply(reply)
            if reply.drop or reply.break_off or reply.close_after:
                self.close_connection = True

        def _reply(self, reply: Reply) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            promised = len(reply.body) + (10 if reply.break_off else 0)
            self.send_header("Content-Length", str(promised))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    return Handler
