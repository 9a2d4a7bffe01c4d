"""Sends requests to a tracking server, and again where that has no second effect and may help."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from exporter.errors import SinkRateLimited, SinkTransient, SinkUnavailable
from exporter.sinks.mlflow.answers import error_of, not_mlflow
from exporter.sinks.mlflow.transport import (
    Address,
    Connection,
    NotHttp,
    NotSent,
    NotTrusted,
    OutcomeUnknown,
    Streamed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.sinks.mlflow.answers import Answer

_UNANSWERED = 3  # tries in a row, of whatever request, after which the server counts as hanging
_FAILED = 3  # requests in a row, of whatever thread, after which the server counts as in trouble
_OF_A_GATEWAY = frozenset({502, 503, 504})
_DELAYS_S = (0.0, 0.2, 1.0, 3.0)  # before each further try
_LONGEST_WAIT_S = 20.0  # a server that asks for more gets its way: the unit waits, not the thread


class Asker:
    """Asks one server on a keep-alive connection of each thread."""

    def __init__(self, address: Address, timeout_s: float, sleep: Callable[[float], None]) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[Connection] = []
        self._broken_off = False
        self._has_answered = False
        self._troubled = 0  # requests in a row that were given up, of all threads
        self._silent = 0  # tries in a row that timed out, of all threads

    @property
    def requests(self) -> int:
        """Count what this thread has sent, repeats included."""
        return getattr(self._local, "requests", 0)

    def connection(self) -> Connection:
        """Give a connection of its own, which its user closes."""
        return Connection(self._address, timeout_s=self._timeout_s)

    def break_off(self) -> None:
        """End what is under way in all threads, and send nothing more."""
        with self._lock:
            self._broken_off = True
            connections = list(self._connections)
        for connection in connections:
            connection.break_off()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
        self._local = threading.local()

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Streamed,
        headers: Mapping[str, str],
        what: str,
        *,
        once: bool,
        exchange: Callable[[], Answer] | None = None,
    ) -> Answer:
        """Send a request; again where that has no second effect and may help.

        `exchange` is one try, where it is to be other than on the thread's own connection.

        Raises: SinkUnavailable without a connection; SinkTransient where the outcome of a request
        sent `once` is not known or the tries are used up; SinkRateLimited where the server asks for
        a long pause. SinkUnavailable as well where that is the server's trouble, not the request's.
        """
        one_try = exchange or partial(self._try, method, path, body, headers)
        tries = iter(_DELAYS_S)
        while True:
            try:
                answer = self._unless_broken_off(one_try, what)
            except NotTrusted as error:
                raise SinkUnavailable(
                    f"MLflow at {self._address.shown} cannot be reached: {error}.",
                    hint="Name the certificate of its authority in SSL_CERT_FILE or "
                    "MLFLOW_TRACKING_SERVER_CERT_PATH.",
                ) from error
            except NotSent as error:
                if self._wait_for_next(tries) and self._rewound(body):
                    continue
                raise SinkUnavailable(
                    f"MLflow at {self._address.shown} cannot be reached: {error}.",
                    hint="Is the server running, and is sinks.mlflow.tracking_uri right?",
                ) from error
            except OutcomeUnknown as error:
                self._note_silence(error, what)
                if not once and self._wait_for_next(tries) and self._rewound(body):
                    continue
                raise SinkTransient(
                    f"MLflow at {self._address.shown}: {what} had no clear outcome: {error}.",
                    request=what,
                    unclear=True,
                ) from error
            self._silent = 0
            self._has_answered = True
            if answer.status < 400:
                self._troubled = 0
                return answer
            failure = error_of(answer, what, self._address.shown)
            if not isinstance(failure, SinkTransient):
                self._troubled = 0
                return answer
            if once:
                raise self._in_trouble(failure, answer.status)
            wait = failure.retry_after_s if isinstance(failure, SinkRateLimited) else 0.0
            if wait > _LONGEST_WAIT_S or not self._wait_for_next(tries, wait):
                raise self._in_trouble(failure, answer.status)
            if not self._rewound(body):
                raise failure

    def _in_trouble(self, failure: SinkTransient, status: int) -> SinkTransient | SinkUnavailable:
        """Tell a server that is in trouble from one that fails on a request.

        A gateway before it says so, or request after request, of whatever thread, fails.
        """
        with self._lock:
            self._troubled += 1
            troubled = self._troubled
        is_passed_on = status in _OF_A_GATEWAY and not isinstance(failure, SinkRateLimited)
        if not is_passed_on and troubled < _FAILED:
            return failure
        return SinkUnavailable(
            f"{failure.message} It is in trouble.",
            hint=failure.hint or "Nothing is lost: a later cycle goes on where this one stopped.",
            unclear=True,
        )

    def _try(
        self, method: str, path: str, body: bytes | Streamed, headers: Mapping[str, str]
    ) -> Answer:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self.connection()
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        self._local.requests = self.requests + 1
        return connection.send(method, path, body, headers)

    def open(self, connection: Connection, path: str) -> Answer:
        """Ask for a file on a connection of its own: a try, for `send` to make."""
        self._local.requests = self.requests + 1
        return connection.open(path)

    def _note_silence(self, error: OutcomeUnknown, what: str) -> None:
        """Count a try that timed out; any answer begins the count anew.

        Raises: SinkUnavailable where that makes the server one that hangs.
        """
        if not isinstance(error.__cause__, TimeoutError):
            return
        with self._lock:
            self._silent += 1
            hangs = self._silent >= _UNANSWERED
        if hangs:
            raise SinkUnavailable(
                f"MLflow at {self._address.shown} takes requests and does not answer "
                f"({what}: {error}).",
                hint="Is its database reachable, and has it workers left?",
                request=what,
                unclear=True,
            ) from error

    def _unless_broken_off(self, one_try: Callable[[], Answer], what: str) -> Answer:
        """Try once.

        Raises: SinkUnavailable where `break_off` came before or meanwhile, or where something that
        has never answered as a server of HTTP does speaks another language.
        """
        try:
            if not self._broken_off:
                return one_try()
        except OutcomeUnknown as error:
            if isinstance(error, NotHttp) and not self._has_answered:
                raise not_mlflow(self._address.shown, f"{what}: {error}") from error
            if not self._broken_off:
                raise
        raise SinkUnavailable(
            f"MLflow at {self._address.shown} did not answer {what} in the time left after the "
            "signal to stop.",
            hint="Nothing is lost: the next cycle completes what was under way.",
            request=what,
            unclear=True,
        )

    def _wait_for_next(self, tries: Iterator[float], at_least: float = 0.0) -> bool:
        delay = next(tries, None)
        if delay is None:
            return False
        if max(delay, at_least) > 0:
            self._sleep(max(delay, at_least))
        return True

    def _rewound(self, body: bytes | Streamed) -> bool:
        """Tell whether the body can be sent from its begin again."""
        if isinstance(body, Streamed):
            if not body.file.seekable():
                return False
            body.file.seek(0)
        return True
