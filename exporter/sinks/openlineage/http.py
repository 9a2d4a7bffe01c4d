"""A catalog that takes OpenLineage events over HTTP, one event a request.

No batches: there is no endpoint for them that all catalogs share, and an answer to many events does
not say which one was refused.
"""

from __future__ import annotations

import base64
import gzip
import queue
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from exporter._version import __version__
from exporter.errors import ConfigError, SinkTransient, SinkUnavailable
from exporter.sinks.openlineage.connection import Address, Connection
from exporter.sinks.openlineage.outcomes import Outcome, is_trouble, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from exporter.sinks.openlineage.destination import DueEvent

_PAGE = 500
_TROUBLES_IN_A_ROW = 5
_GZIP_LEVEL = 1


class HttpDestination:
    """Sends the events of up to `lanes` lanes side by side, those of one lane strictly in order."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        endpoint: str = "api/v1/lineage",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        lanes: int = 8,
        compress: bool = False,
    ) -> None:
        """Take the settings; nothing is contacted yet.

        Raises: ConfigError if the URL names no host.
        """
        self._name = name
        self._compress = compress
        self._secrets = tuple(secret for secret in (token,) if secret)
        address, credentials = _address(name, url, endpoint)
        sent = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"pipeline-exporter/{__version__}",
        }
        if compress:
            sent["Content-Encoding"] = "gzip"
        if credentials is not None:
            sent["Authorization"] = f"Basic {credentials}"
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        sent.update(headers or {})
        tls = ssl.create_default_context() if address.is_tls else None
        self._connections = [Connection(name, address, sent, timeout_s, tls) for _ in range(lanes)]
        self._lock = threading.Lock()
        self._troubles = 0

    @property
    def name(self) -> str:
        """The destination's name in the settings."""
        return self._name

    @property
    def page(self) -> int:
        """How many events one call should bring."""
        return _PAGE

    def send(
        self, events: Sequence[DueEvent], *, halted: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """Send events and say of each, as soon as it is answered, what became of it.

        Order: within a lane as given; after a `retry` the rest of its lane stays unsent.
        Repeat: harmless for the catalog's graph, for run ids are fixed; an event whose answer was
            lost is sent again.
        Raises: SinkUnavailable, after the outcomes of what was sent: nobody there, credentials
            refused, a wrong address, or trouble with several events in a row.
        """
        lanes: dict[str, list[DueEvent]] = {}
        for event in events:
            lanes.setdefault(event.lane, []).append(event)
        waiting: queue.SimpleQueue[list[DueEvent]] = queue.SimpleQueue()
        for lane in lanes.values():
            waiting.put(lane)
        told: queue.SimpleQueue[Outcome | SinkUnavailable | None] = queue.SimpleQueue()
        halt = threading.Event()

        def is_halted() -> bool:
            return halt.is_set() or halted()

        workers = self._connections[: len(lanes)]
        failure: SinkUnavailable | None = None
        with ThreadPoolExecutor(max(1, len(workers)), f"lineage-{self._name}") as pool:
            futures = [
                pool.submit(self._work, connection, waiting, told, is_halted)
                for connection in workers
            ]
            try:
                left = len(futures)
                while left:
                    outcome = told.get()
                    if outcome is None:
                        left -= 1
                    elif isinstance(outcome, SinkUnavailable):
                        failure = failure or outcome
                        halt.set()
                    else:
                        yield outcome
            finally:
                halt.set()
        for future in futures:
            future.result()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Close the connections. May be called twice."""
        for connection in self._connections:
            connection.close()

    def _work(
        self,
        connection: Connection,
        waiting: queue.SimpleQueue[list[DueEvent]],
        told: queue.SimpleQueue[Outcome | SinkUnavailable | None],
        halted: Callable[[], bool],
    ) -> None:
        """Send lane after lane until none is left; the last word is None."""
        try:
            while not halted():
                try:
                    lane = waiting.get_nowait()
                except queue.Empty:
                    return
                for event in lane:
                    if halted():
                        return
                    outcome = self._send_one(connection, event)
                    told.put(outcome)
                    self._count_trouble(outcome)
                    if outcome.action == "retry":
                        break
        except SinkUnavailable as error:
            told.put(error)
        finally:
            told.put(None)

    def _send_one(self, connection: Connection, event: DueEvent) -> Outcome:
        body = gzip.compress(event.body, _GZIP_LEVEL, mtime=0) if self._compress else event.body
        try:
            answer = connection.post(body)
        except SinkTransient as error:
            return Outcome(event.seq, "retry", None, error.message)
        outcome = outcome_of(event.seq, answer, self._name, datetime.now(UTC))
        return outcome._replace(body=self._masked(outcome.body))

    def _count_trouble(self, outcome: Outcome) -> None:
        """Give up on the destination when several events in a row meet trouble and none passes."""
        with self._lock:
            self._troubles = self._troubles + 1 if is_trouble(outcome) else 0
            troubles = self._troubles
        if troubles >= _TROUBLES_IN_A_ROW:
            said = f"HTTP {outcome.status}" if outcome.status is not None else outcome.body
            raise SinkUnavailable(
                f"The OpenLineage destination {self._name!r} is in trouble: {troubles} events in a "
                f"row were not taken, the last with: {said}",
                hint="They are kept and sent in a later cycle.",
            )

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _address(name: str, url: str, endpoint: str) -> tuple[Address, str | None]:
    """Join URL and endpoint; give the address and the credentials in it as Basic auth."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigError(
            f"The url of the OpenLineage destination {name!r} is no web address.",
            hint="Write http://host:5000, https://… or file:///srv/out/events.jsonl.",
        )
    base, wanted = parts.path.strip("/"), endpoint.strip("/")
    joined = base if not wanted or base.endswith(wanted) else f"{base}/{wanted}".strip("/")
    path = "/" + quote(joined, safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += f"?{parts.query}"
    credentials = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = base64.b64encode(pair.encode("utf-8")).decode("ascii")
    host_shown = f"[{host}]" if ":" in host else host
    shown = f"{parts.scheme}://{host_shown}{'' if port is None else f':{port}'}"
    return Address(parts.scheme == "https", host, port, path, shown), credentials
