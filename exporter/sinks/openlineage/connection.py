"""One keep-alive connection to a catalog: the only door to the network in this package."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

from exporter.errors import SinkTransient, SinkUnavailable
from exporter.sinks.deadline import TimedSocket
from exporter.sinks.openlineage.outcomes import Answer
from exporter.sinks.plain_words import reason_of
from exporter.sinks.proxies import open_tunnel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.sinks.proxies import Proxy

_BODY_LIMIT = 65_536
_OF_A_BODY = frozenset({"Content-Type", "Content-Encoding"})


class Address(NamedTuple):
    """Where events go: the parts of the URL, and host and port as they may be shown."""

    is_tls: bool
    host: str
    port: int | None
    path: str
    shown: str


class _Request(NamedTuple):
    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]


class Connection:
    """Asks one thing after the other. Not thread-safe: a lane worker has its own.

    The time limit holds for a whole request and its answer, and for reaching each address of the
    host.
    """

    def __init__(
        self,
        destination: str,
        address: Address,
        headers: Mapping[str, str],
        timeout_s: float,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None,
    ) -> None:
        self._destination = destination
        self._address = address
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._tls = tls
        self._proxy = proxy
        self._root = ""
        if proxy is not None and not address.is_tls:
            self._root = address.shown
            if proxy.authorization is not None:
                self._headers["Proxy-Authorization"] = proxy.authorization
        self._open: http.client.HTTPConnection | None = None
        self._clock: TimedSocket | None = None

    def post(self, body: bytes, more: Mapping[str, str]) -> Answer:
        """Send a body, with more headers than the usual, and give the answer.

        Repeat: a connection that the server closed while it was idle is opened anew, and the body
            sent again.
        Raises: SinkUnavailable if nobody can be reached; SinkTransient if a connection was made but
            no answer came, in which case the body may have been taken.
        """
        return self._asked(_Request("POST", self._address.path, body, {**self._headers, **more}))

    def get(self, path: str, more: Mapping[str, str]) -> Answer:
        """Give the answer at another path of the same server.

        Raises: as `post`.
        """
        headers = {key: one for key, one in self._headers.items() if key not in _OF_A_BODY}
        return self._asked(_Request("GET", path, None, {**headers, **more}))

    def _asked(self, request: _Request) -> Answer:
        is_reused = self._open is not None
        try:
            return self._exchange(self._open or self._connect(), request)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if not is_reused:
                raise self._no_answer(error) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._no_answer(error) from error
        try:
            return self._exchange(self._connect(), request)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._no_answer(error) from error

    def close(self) -> None:
        """Close the connection. May be called twice; the next post opens it again."""
        if self._open is not None:
            self._open.close()
            self._open = self._clock = None

    def _connect(self) -> http.client.HTTPConnection:
        where = self._address
        made: http.client.HTTPConnection
        if where.is_tls:
            made = http.client.HTTPSConnection(where.host, where.port, context=self._tls)
        else:
            made = http.client.HTTPConnection(where.host, where.port)
        try:
            self._clock = made.sock = TimedSocket(self._reached(made), self._timeout_s)
        except ssl.SSLError as error:
            raise self._unreachable(
                error, "Check the certificate; SSL_CERT_FILE names your own authorities."
            ) from error
        except OSError as error:
            raise self._unreachable(error, "Is it running, and is url right?") from error
        self._open = made
        return made

    def _reached(self, made: http.client.HTTPConnection) -> socket.socket:
        near = self._proxy or made
        plain = socket.create_connection((near.host, near.port), timeout=self._timeout_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                return plain
            if self._proxy is not None:
                open_tunnel(plain, self._proxy, made.host, made.port, self._timeout_s)
            return self._tls.wrap_socket(plain, server_hostname=made.host)
        except OSError:
            plain.close()
            raise

    def _exchange(self, connection: http.client.HTTPConnection, request: _Request) -> Answer:
        if self._clock is not None:
            self._clock.renew(self._timeout_s)
        connection.request(*request._replace(path=self._root + request.path))
        response = connection.getresponse()
        text, is_whole = self._read(response)
        response.close()
        if response.will_close:
            self.close()
        return Answer(
            status=response.status,
            content_type=response.headers.get("Content-Type", ""),
            location=response.headers.get("Location", ""),
            retry_after=response.headers.get("Retry-After", ""),
            body=text,
            is_whole=is_whole,
        )

    def _read(self, response: http.client.HTTPResponse) -> tuple[str, bool]:
        """Read the body, and say whether it did not break off."""
        read, is_whole = bytearray(), True
        try:
            while part := response.read1(8192):
                read += part
                if len(read) > _BODY_LIMIT:
                    self.close()
                    break
            else:
                is_whole = not response.length
        except (OSError, http.client.HTTPException):
            is_whole = False
            self.close()
        return read.decode("utf-8", "replace"), is_whole

    def _unreachable(self, error: OSError, hint: str) -> SinkUnavailable:
        return SinkUnavailable(
            f"The OpenLineage destination {self._destination!r} at {self._address.shown} "
            f"cannot be reached: {reason_of(error)}{self._through}.",
            hint=hint,
        )

    @property
    def _through(self) -> str:
        return "" if self._proxy is None else self._proxy.through

    def _no_answer(self, error: Exception) -> SinkTransient:
        return SinkTransient(
            f"No answer from {self._address.shown}: {reason_of(error)}{self._through}."
        )
