"""One keep-alive connection to a tracking server, written for many small requests.

A server with several workers leaves header and body of a reply in two packets and waits for our
acknowledgement of the first (https://github.com/Kludex/uvicorn/issues/3149): TCP_QUICKACK before
each read saves about 40 ms per request. Where the platform has none, every request has a connection
of its own, which avoids the wait too.

The environment may name a proxy, see `exporter.sinks.proxies`.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from exporter.errors import ConfigError, CorruptArtifact
from exporter.sinks.deadline import TimedSocket
from exporter.sinks.mlflow.answers import Answer
from exporter.sinks.plain_words import reason_of
from exporter.sinks.proxies import basic, bracketed, open_tunnel, proxy_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_IDLE_S = 2.0  # uvicorn closes after 5 s of silence
_CONNECT_TIMEOUT_S = 10.0
_BLOCK = 256 * 1024


class NotSent(Exception):  # noqa: N818 - reads as the event at the call site
    """No connection: the server saw nothing of the request."""


class NotTrusted(NotSent):
    """The server's certificate is signed by nobody that we trust, or for another name."""


class OutcomeUnknown(Exception):  # noqa: N818 - reads as the event at the call site
    """The connection broke after sending began: the server may have acted."""


class NotHttp(OutcomeUnknown):
    """What answered does not speak HTTP."""


class Streamed(NamedTuple):
    """A body read from a file while it is sent."""

    file: BinaryIO
    size: int


class Address(NamedTuple):
    """Where a server is. `shown` is for messages and holds no secret."""

    secure: bool
    host: str
    port: int
    prefix: str
    authorization: str | None
    shown: str


def address_of(
    tracking_uri: str,
    *,
    username: str | None = None,
    password: str | None = None,
    token: str | None = None,
) -> Address:
    """Take a tracking URI apart.

    Credentials given here win over those in the URI, and those over the environment's.

    Raises: ConfigError for a URI without a host or with a port that is none.
    """
    parts = urlsplit(tracking_uri)
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError("sinks.mlflow.tracking_uri: the port is not a number.") from error
    if not parts.hostname:
        raise ConfigError(
            "sinks.mlflow.tracking_uri names no host.", hint="It looks like http://mlflow:5000."
        )
    secure = parts.scheme == "https"
    if username is None and token is None and parts.username is not None:
        username, password = unquote(parts.username), unquote(parts.password or "")
    if username is None and token is None:
        username = os.environ.get("MLFLOW_TRACKING_USERNAME")
        password = os.environ.get("MLFLOW_TRACKING_PASSWORD")
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    authorization = None
    if username is not None:
        authorization = basic(username, password or "")
    elif token:
        authorization = f"Bearer {token}"
    if authorization is not None and not (authorization.isascii() and authorization.isprintable()):
        raise ConfigError(
            "sinks.mlflow: the credentials hold a line break or a character that is not ASCII.",
            hint="Look for a line break at the end of the token.",
        )
    host = parts.hostname
    port = port or (443 if secure else 80)
    prefix = parts.path.rstrip("/")
    shown = f"{parts.scheme}://{bracketed(host)}:{port}{prefix}"
    return Address(secure, host, port, prefix, authorization, shown)


class Connection:
    """A connection of one thread. Never sends a request twice; that is for the caller to decide.

    The time limit holds for the head of an answer as a whole and for its body as a whole; where a
    file is sent or fetched, for each block of it.
    """

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._clock: TimedSocket | None = None
        self._response: http.client.HTTPResponse | None = None
        self._last_used = 0.0
        self._proxy = proxy_for(
            address.host, address.port, secure=address.secure, shown=address.shown
        )
        self._prefix = address.prefix
        default = 443 if address.secure else 80
        host = bracketed(address.host)
        lines = [
            f"Host: {host}" if address.port == default else f"Host: {host}:{address.port}",
            "User-Agent: pipeline-exporter",
            "Accept: application/json",
        ]
        if address.authorization is not None:
            lines.append(f"Authorization: {address.authorization}")
        if self._proxy is not None and not address.secure:
            self._prefix = address.shown
            if self._proxy.authorization is not None:
                lines.append(f"Proxy-Authorization: {self._proxy.authorization}")
        if QUICKACK is None:
            lines.append("Connection: close")
        self._headers = "\r\n".join(lines)

    def send(
        self, method: str, path: str, body: bytes | Streamed, headers: Mapping[str, str]
    ) -> Answer:
        """Send one request and read its answer whole.

        Raises: NotSent or OutcomeUnknown; whatever reading a streamed body raises, the connection
        then being closed.
        """
        connection = self._connected()
        try:
            return self._exchange(connection, method, path, body, headers)
        except http.client.RemoteDisconnected as error:  # a bad status line to the library
            raise OutcomeUnknown(reason_of(error)) from error
        except http.client.BadStatusLine as error:
            raise NotHttp(reason_of(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise OutcomeUnknown(reason_of(error)) from error
        finally:
            if self._socket is connection and self._last_used == 0.0:
                self.close()

    def open(self, path: str) -> Answer:
        """Ask for a file; a good answer comes without its body, which `blocks` then gives.

        The connection is of no other use until it is closed. Raises: NotSent or OutcomeUnknown.
        """
        self.close()
        connection = self._connected()
        try:
            response = self._begin(connection, "GET", path, b"", {})
            self._response = response
            self._renew()
            body = b"" if response.status == 200 else response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise OutcomeUnknown(reason_of(error)) from error
        return _answer(response, body)

    def blocks(self) -> Iterator[bytes]:
        """Give the body that `open` left. Raises: OutcomeUnknown where it breaks off."""
        response = self._response
        while response is not None:
            self._renew()
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise OutcomeUnknown(reason_of(error)) from error
            if not block:
                if response.length:
                    raise OutcomeUnknown(f"{response.length} bytes are missing")
                return
            yield block

    def _exchange(
        self,
        connection: socket.socket,
        method: str,
        path: str,
        body: bytes | Streamed,
        headers: Mapping[str, str],
    ) -> Answer:
        self._last_used = (
            0.0  # until the answer is read whole, the connection is not fit for another request
        )
        response = self._begin(connection, method, path, body, headers)
        try:
            self._renew()
            answer = _answer(response, response.read())
            if not response.will_close:
                self._last_used = time.monotonic()
        finally:
            response.close()
        return answer

    def _begin(
        self,
        connection: socket.socket,
        method: str,
        path: str,
        body: bytes | Streamed,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        """Send a request and read the head of its answer."""
        size = body.size if isinstance(body, Streamed) else len(body)
        extra = "".join(f"\r\n{name}: {value}" for name, value in headers.items())
        head = (
            f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}{extra}"
            f"\r\nContent-Length: {size}\r\n\r\n"
        ).encode("latin-1")
        connection.settimeout(self._timeout_s)
        if isinstance(body, Streamed):
            connection.sendall(head)
            _stream(connection, body)
        else:
            connection.sendall(head + body)
        if QUICKACK is not None:
            connection.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        self._clock = TimedSocket(connection, self._timeout_s)
        response = http.client.HTTPResponse(cast("socket.socket", self._clock), method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        return response

    def _renew(self) -> None:
        if self._clock is not None:
            self._clock.renew(self._timeout_s)

    def _connected(self) -> socket.socket:
        if self._socket is not None and time.monotonic() - self._last_used < _IDLE_S:
            return self._socket
        self.close()
        context = _tls_context() if self._address.secure else None
        near = self._proxy or self._address
        within_s = min(_CONNECT_TIMEOUT_S, self._timeout_s)
        try:
            raw = socket.create_connection((near.host, near.port), timeout=within_s)
        except OSError as error:
            raise NotSent(self._blame(error)) from error
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                if self._proxy is not None:
                    open_tunnel(raw, self._proxy, self._address.host, self._address.port, within_s)
                raw = context.wrap_socket(raw, server_hostname=self._address.host)
        except ssl.SSLCertVerificationError as error:
            raw.close()
            raise NotTrusted(self._blame(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raw.close()
            raise NotSent(self._blame(error)) from error
        self._socket = raw
        return raw

    def _blame(self, error: Exception) -> str:
        """Say what went wrong, and that a proxy was in between."""
        return f"{reason_of(error)}{'' if self._proxy is None else self._proxy.through}"

    def break_off(self) -> None:
        """End a request under way in another thread: it raises OutcomeUnknown there."""
        connection = self._socket
        if connection is not None:
            with suppress(OSError):  # closed meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._response is not None:
            self._response.close()
            self._response = None
        if self._socket is not None:
            self._socket.close()
            self._socket = self._clock = None


def _answer(response: http.client.HTTPResponse, body: bytes) -> Answer:
    return Answer(
        response.status,
        response.getheader("Content-Type", ""),
        response.getheader("Retry-After"),
        body,
    )


def _stream(connection: socket.socket, body: Streamed) -> None:
    left = body.size
    while left:
        try:
            block = body.file.read(min(_BLOCK, left))
        except OSError as error:
            raise CorruptArtifact(f"A file could not be read: {reason_of(error)}.") from error
        if not block:
            raise CorruptArtifact("A file became shorter while it was copied.")
        connection.sendall(block)
        left -= len(block)


def _tls_context() -> ssl.SSLContext:
    """Give the system's trust, or what MLflow's own variables for it say.

    Raises: ConfigError for a file that a variable names and that cannot be read.
    """
    trusted = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    client = os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
    try:
        if trusted and Path(trusted).is_dir():
            context = ssl.create_default_context(capath=trusted)
        else:
            context = ssl.create_default_context(cafile=trusted or None)
        if client:
            context.load_cert_chain(client)
    except OSError as error:
        raise ConfigError(
            f"A certificate for the connection to MLflow cannot be read: {reason_of(error)}.",
            hint="Check MLFLOW_TRACKING_SERVER_CERT_PATH and MLFLOW_TRACKING_CLIENT_CERT_PATH.",
        ) from error
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"1", "true"}:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
