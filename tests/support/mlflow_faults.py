"""A server that answers as a script says, to see what the sink makes of it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from exporter.sinks.mlflow import asking
from support.quiet_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


def try_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sink try as often as ever, without its pauses, which are told by their own tests."""
    monkeypatch.setattr(asking, "_DELAYS_S", (0.0,) * len(asking._DELAYS_S))


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `cut` sends none, `drop` half the body, `after_s` waits first."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    cut: bool = False
    drop: bool = False
    after_s: float = 0.0


def error_reply(status: int, code: str = "", message: str = "said", **headers: str) -> Reply:
    """Give an error as MLflow spells it."""
    body = json.dumps({"error_code": code, "message": message}).encode()
    pairs = [("Content-Type", "application/json")]
    pairs += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Reply(status, body, tuple(pairs))


@dataclass
class ScriptedServer:
    """A running server: its replies in order, the last one for ever, and what it was asked."""

    url: str
    replies: list[Reply]
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    connections: int = 0

    def next_reply(self) -> Reply:
        """Give the next answer of the script."""
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@contextmanager
def scripted_server(*replies: Reply) -> Iterator[ScriptedServer]:
    """Run a server on loopback that answers with `replies` until the block ends."""
    script = ScriptedServer("", list(replies))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            script.connections += 1

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            script.asked.append((self.command, self.path, body))
            script.authorizations.append(self.headers.get("Authorization"))
            reply = script.next_reply()
            if reply.after_s:
                time.sleep(reply.after_s)
            if reply.cut:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.drop else reply.body)
            self.close_connection = self.close_connection or reply.drop

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the names http.server calls

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with serving(Handler) as script.url:
        yield script
