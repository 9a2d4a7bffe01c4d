"""Why a server could not be talked to, in words that say what to look at."""

from __future__ import annotations

import http.client
import socket
import ssl

# What OpenSSL says where the other side answered, and not in TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")


_MEANINGS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ConnectionRefusedError,), "nobody listens there (connection refused)"),
    ((TimeoutError,), "no answer in time"),
    ((socket.gaierror,), "there is no such host (the host name is not known)"),
    (
        (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError),
        "the connection was closed before an answer",
    ),
    ((http.client.HTTPException,), "it does not speak HTTP"),
)


def reason_of(error: BaseException) -> str:
    """Say what an error of a connection means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError) and any(word in str(error).upper() for word in _NO_TLS):
        return "it does not speak TLS; try http://"
    for kinds, meaning in _MEANINGS:
        if isinstance(error, kinds):
            return meaning
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__
