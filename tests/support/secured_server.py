"""A TLS server on loopback that takes every event."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from support.certificates import self_signed
from support.quiet_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SecuredServer(NamedTuple):
    """Where it listens, and the certificate that it shows."""

    url: str
    certificate: Path

    @property
    def port(self) -> int:
        """The port of its address."""
        return urlsplit(self.url).port or 0


@contextmanager
def secured_server(folder: Path, *names: str) -> Iterator[SecuredServer]:
    """Run a server whose certificate is for 127.0.0.1 and `names` until the block ends."""
    made = self_signed(folder, *names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    with serving(_Handler, context) as url:
        yield SecuredServer(url, made.certificate)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""
