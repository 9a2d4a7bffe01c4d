"""A catalog that takes OpenLineage events over HTTP, as its profile says."""

from __future__ import annotations

import base64
import gzip
import queue
import ssl
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from exporter._version import __version__
from exporter.config.masking import Masker, url_secrets
from exporter.errors import ConfigError, SinkTransient, SinkUnavailable
from exporter.sinks.openlineage.batches import batches_of, outcomes_of_batch, wrapped
from exporter.sinks.openlineage.connection import Address, Connection
from exporter.sinks.openlineage.outcomes import GENERIC, Outcome, is_trouble, outcome_of
from exporter.sinks.proxies import bracketed, proxy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from exporter.mapping.openlineage.profile import CatalogProfile
    from exporter.sinks.openlineage.destination import DueEvent
    from exporter.sinks.openlineage.outcomes import Action, Answer

_PAGE = 8_000  # at the end of each page connections wait for the last lanes of it
_TROUBLES_IN_A_ROW = 4
_GZIP_LEVEL = 1
_TOKENS = 16  # the newest, which answers may still repeat
_NO_EVENT = b"{"
_IS_IT_RIGHT = "Is url right, and is it a web server?"


class Told(NamedTuple):
    """What a catalog answered to a question, and at which address, as it may be shown."""

    address: str
    answer: Answer


class HttpDestination:
    """Sends the events of up to `lanes` lanes side by side, those of one lane strictly in order."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        profile: CatalogProfile = GENERIC,
        endpoint: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        lanes: int | None = None,
        compress: bool | None = None,
        root: str | None = None,
        tls: ssl.SSLContext | None = None,
        bearer: Callable[[], str | None] | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        """Take the settings, which win over the profile; nothing is contacted yet.

        The profile's `probe` lies below `root`, which is the URL without the endpoint unless given.
        `bearer` gives the authorization of each request, unless `headers` have one; `secrets` are
        not shown, whoever repeats them.
        The environment may name a proxy, see `exporter.sinks.proxies`.
        Raises: ConfigError if the URL names no host, if a token is given that the profile does not
            show, or for a proxy that cannot be used.
        """
        self._name = name
        self._profile = profile
        self._compress = compress = profile.compress if compress is None else compress
        endpoint = profile.endpoint if endpoint is None else endpoint
        address, basic = _address(name, url, endpoint)
        self._address = address
        self._probe_path = _probe_path(url if root is None else root, endpoint, profile)
        sent = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"pipeline-exporter/{__version__}",
        }
        if compress:
            sent["Content-Encoding"] = "gzip"
        shown: dict[str, str] = {}
        if basic is not None:
            shown["Authorization"] = f"Basic {basic}"
        if token is not None:
            name_it, value = _credentials(profile, token)
            shown[name_it] = value
        shown.update(headers or {})
        sent.update(shown)
        port = address.port or (443 if address.is_tls else 80)
        proxy = proxy_for(address.host, port, secure=address.is_tls, shown=address.shown)
        # A catalog may repeat what it was shown, in an answer or where it redirects to.
        self._secrets = [*secrets, *shown.values(), *_secrets_of(url)]
        for_proxy = proxy and (proxy.authorization or "").removeprefix("Basic ")
        self._secrets += [one for one in (token, basic, for_proxy) if one]
        self._mask = Masker(self._secrets)
        is_shown = any(name_it.lower() == "authorization" for name_it in headers or {})
        self._bearer = None if is_shown else bearer
        self._tokens: deque[str] = deque(maxlen=_TOKENS)
        self._token_lock = threading.Lock()
        trust = (tls or ssl.create_default_context()) if address.is_tls else None
        self._connections = [
            Connection(name, address, sent, timeout_s, trust, proxy)
            for _ in range(profile.lanes if lanes is None else lanes)
        ]
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

    def probe(self) -> Told:
        """Read the page by which the profile knows its catalog.

        Raises: SinkUnavailable if there is no answer.
        """
        return self._told(self._probe_path, self._get)

    def try_out(self) -> Told:
        """Post what is no event, as events are posted: where they are taken it is refused.

        Raises: SinkUnavailable if there is no answer.
        """
        body = self._encoded(_NO_EVENT)
        return self._told(
            self._address.path, lambda connection: connection.post(body, self._authorized())
        )

    def _get(self, connection: Connection) -> Answer:
        return connection.get(self._probe_path, self._authorized())

    def _told(self, path: str, ask: Callable[[Connection], Answer]) -> Told:
        address = self._mask(self._address.shown + path)
        try:
            answer = ask(self._connections[0])
        except SinkTransient as error:
            raise SinkUnavailable(
                f"{address} cannot be asked. {self._mask(error.message)}", hint=_IS_IT_RIGHT
            ) from error
        return Told(address, answer._replace(location=self._mask(answer.location)))

    def send(
        self, events: Sequence[DueEvent], *, halted: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """Send events and say of each, as soon as it is answered, what became of it.

        Order: within a lane as given; after a `retry` the rest of its lane stays unsent, after a
            `dead` of a run that leaves whole all but the last event of that run.
        Repeat: harmless for the catalog's graph, for run ids are fixed; an event whose answer was
            lost is sent again.
        Raises: SinkUnavailable, after the outcomes of what was sent: nobody there, credentials
            refused, a wrong address, or trouble with several events in a row.
        """
        lanes = self._lanes(events)
        waiting: queue.SimpleQueue[list[DueEvent]] = queue.SimpleQueue()
        for lane in lanes:
            waiting.put(lane)
        told: queue.SimpleQueue[Outcome | SinkUnavailable | None] = queue.SimpleQueue()
        halt = threading.Event()
        noted = {event.seq: threading.Event() for event in events if event.ends_unit}

        def is_halted() -> bool:
            return halt.is_set() or halted()

        workers = self._connections[: len(lanes)]
        failure: SinkUnavailable | None = None
        with ThreadPoolExecutor(max(1, len(workers)), f"lineage-{self._name}") as pool:
            futures = [
                pool.submit(self._work, connection, waiting, told, noted, is_halted)
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
                        if outcome.seq in noted:
                            noted[outcome.seq].set()
            finally:
                halt.set()
                for one in noted.values():
                    one.set()
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
        noted: Mapping[int, threading.Event],
        halted: Callable[[], bool],
    ) -> None:
        """Send lane after lane until none is left; the last word is None.

        A run is begun only when the end of the one before was `noted`: a process that is killed
        leaves one run in doubt, not two that read each other's datasets.
        """
        try:
            while not halted():
                try:
                    lane = waiting.get_nowait()
                except queue.Empty:
                    return
                refused = ""
                for batch in self._batches(lane):
                    if halted():
                        return
                    if refused and not (batch[0].unit == refused and batch[0].ends_unit):
                        continue
                    actions: list[Action] = []
                    for outcome in map(self._masked, self._send_batch(connection, batch)):
                        told.put(outcome)
                        self._count_trouble(outcome)
                        actions.append(outcome.action)
                    if "retry" in actions:
                        break
                    if actions[-1] == "dead":
                        refused = batch[0].unit
                    if batch[-1].ends_unit:
                        noted[batch[-1].seq].wait()
        except SinkUnavailable as error:
            told.put(error)
        finally:
            told.put(None)

    def _lanes(self, events: Sequence[DueEvent]) -> list[list[DueEvent]]:
        """Give the events lane by lane; a catalog that takes batches has one lane for all."""
        lanes: dict[str, list[DueEvent]] = {}
        for event in events:
            lanes.setdefault("" if self._takes_batches else event.lane, []).append(event)
        return list(lanes.values())

    @property
    def _takes_batches(self) -> bool:
        return self._profile.batch != "single" and self._profile.max_events > 1

    def _batches(self, lane: Sequence[DueEvent]) -> Iterator[Sequence[DueEvent]]:
        if self._takes_batches:
            return batches_of(lane, self._profile.max_events, self._profile.max_bytes)
        return ([event] for event in lane)

    def _send_batch(self, connection: Connection, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Send events together; those that the answer leaves in doubt one by one, in order.

        Raises: SinkUnavailable, after the outcomes of those that were answered before.
        """
        if len(events) == 1:
            yield self._send_one(connection, events[0])
            return
        try:
            answer = self._post(connection, events)
        except SinkTransient as error:
            yield Outcome(events[0].seq, "retry", None, error.message)
            return
        known = outcomes_of_batch(events, answer, self._name, datetime.now(UTC), self._profile)
        for event in events:
            outcome = known.get(event.seq) or self._send_one(connection, event)
            yield outcome
            if outcome.action == "retry" and len(known) < len(events):
                return

    def _send_one(self, connection: Connection, event: DueEvent) -> Outcome:
        limit = self._profile.max_bytes
        if limit and len(event.body) > limit:
            said = f"The event has {len(event.body):,} bytes, and the catalog takes {limit:,}."
            return Outcome(event.seq, "dead", None, said)
        try:
            answer = self._post(connection, [event])
        except SinkTransient as error:
            return Outcome(event.seq, "retry", None, error.message)
        return outcome_of(event.seq, answer, self._name, datetime.now(UTC), self._profile)

    def _post(self, connection: Connection, events: Sequence[DueEvent]) -> Answer:
        body = wrapped([event.body for event in events], self._profile.batch)
        answer = connection.post(self._encoded(body), self._authorized())
        return answer._replace(location=self._mask(answer.location))

    def _authorized(self) -> Mapping[str, str]:
        """Give the header of the token that counts now, which no message then shows.

        Raises: SinkUnavailable if there is none to be had.
        """
        if self._bearer is None:
            return {}
        with self._token_lock:
            try:
                shown = self._bearer()
                if shown and not (shown.isascii() and shown.isprintable()):
                    raise ValueError("what it was given is no token")  # noqa: TRY301
            except Exception as error:  # noqa: BLE001 - strangers' code, and it may quote a secret
                raise SinkUnavailable(
                    f"The OpenLineage destination {self._name!r} has no token to show: "
                    f"{self._mask(' '.join(str(error).split())).rstrip('.')}.",
                    hint="Check `auth` of its transport.",
                ) from None
            if shown and shown not in self._tokens:
                self._tokens.append(shown)
                self._mask = Masker([*self._secrets, *self._tokens])
        return {"Authorization": shown} if shown else {}

    def _encoded(self, body: bytes) -> bytes:
        return gzip.compress(body, _GZIP_LEVEL, mtime=0) if self._compress else body

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

    def _masked(self, outcome: Outcome) -> Outcome:
        return outcome._replace(body=self._mask(outcome.body))


def _credentials(profile: CatalogProfile, token: str) -> tuple[str, str]:
    """Give the header by which a catalog wants to be shown a token. Raises: ConfigError."""
    if profile.auth == "none":
        raise ConfigError(
            f"The catalog profile {profile.name!r} says `auth: none`, and a token is given.",
            hint="Take the token out, or write a profile of your own with `auth: bearer`.",
        )
    if profile.auth == "api_key":
        return "X-API-Key", token
    return "Authorization", f"Bearer {token}"


def _probe_path(url: str, endpoint: str, profile: CatalogProfile) -> str:
    """Give the path of the profile's probe, below the URL without the endpoint."""
    parts = urlsplit(url)
    root = parts.path.strip("/").removesuffix(endpoint.strip("/")).strip("/")
    path, _, asked = profile.probe.partition("?")
    query = "&".join(filter(None, (asked, parts.query)))
    return _quoted(f"{root}/{path}".strip("/")) + (f"?{query}" if query else "")


def _quoted(path: str) -> str:
    return "/" + quote(path, safe="/%:@!$&'()*+,;=~-._")


def _secrets_of(url: str) -> tuple[str, ...]:
    """Give what is secret in a URL; a user without a password is a token."""
    parts = urlsplit(url)
    alone = parts.username if parts.password is None else None
    return url_secrets(url) if not alone else (*url_secrets(url), alone, unquote(alone))


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
    path = _quoted(joined)
    if parts.query:
        path += f"?{parts.query}"
    credentials = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = base64.b64encode(pair.encode("utf-8")).decode("ascii")
    shown = f"{parts.scheme}://{bracketed(host)}{'' if port is None else f':{port}'}"
    return Address(parts.scheme == "https", host, port, path, shown), credentials
