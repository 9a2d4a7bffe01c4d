"""The proxy that the environment names for a server, as the standard library reads it.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY count. A server on loopback is always spoken to
directly: a proxy's own loopback is another one.
"""

from __future__ import annotations

import base64
import ipaddress
import urllib.request
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from exporter.errors import ConfigError
from exporter.sinks.deadline import TimedSocket

if TYPE_CHECKING:
    import socket

_LONGEST_HEAD = 64 * 1024  # of a proxy's answer


class Proxy(NamedTuple):
    """A proxy before a server. `shown` is for messages and holds no secret."""

    host: str
    port: int
    authorization: str | None
    shown: str

    @property
    def through(self) -> str:
        """What to add to a message about a server that could not be reached."""
        return f" (through the proxy {self.shown})"


def proxy_for(host: str, port: int, *, secure: bool, shown: str) -> Proxy | None:
    """Give the proxy that the environment names for a server; None where it is spoken to directly.

    `shown` is the server's address for messages.
    Raises: ConfigError for a proxy that does not speak plain HTTP, or whose address is none.
    """
    scheme = "https" if secure else "http"
    proxies = urllib.request.getproxies()
    named = proxies.get(scheme) or proxies.get("all")
    if not named or _is_loopback(host):
        return None
    if urllib.request.proxy_bypass(f"{bracketed(host)}:{port}"):
        return None
    parts = urlsplit(named if "://" in named else f"http://{named}")
    try:
        near = parts.port or 80
    except ValueError:
        near = 0
    if parts.scheme != "http" or not parts.hostname or not near:
        raise ConfigError(
            f"The environment names a proxy for {shown} that cannot be used.",
            hint=f"Set {scheme}_proxy to http://host:port, or name the server in no_proxy.",
        )
    authorization = None
    if parts.username is not None:
        authorization = basic(unquote(parts.username), unquote(parts.password or ""))
    return Proxy(parts.hostname, near, authorization, f"http://{bracketed(parts.hostname)}:{near}")


def open_tunnel(raw: socket.socket, proxy: Proxy, host: str, port: int, within_s: float) -> None:
    """Ask a proxy to pass bytes on to a server that speaks TLS.

    Raises: OSError where it does not.
    """
    target = f"{bracketed(host)}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    raw.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    # Read unbuffered: what follows the answer belongs to TLS.
    clock = TimedSocket(raw, within_s)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        clock.wait()
        byte = raw.recv(1)
        if not byte or len(answer) > _LONGEST_HEAD:
            raise ConnectionResetError
        answer += byte
    status = answer.split(b" ", 2)[1][:3].decode("latin-1") if b" " in answer else "nothing"
    if not status.startswith("2"):
        raise OSError(f"the proxy answered HTTP {status} to CONNECT")
    raw.settimeout(within_s)


def bracketed(host: str) -> str:
    """Give a host as URLs spell it, an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def basic(username: str, password: str) -> str:
    """Give the value of a header that shows a user and a password."""
    pair = f"{username}:{password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
