"""A destination that is reached by a transport of openlineage-python: Kafka, Google, Amazon.

HTTP goes by our own sender; it is faster and says what became of each event. All else is the
client's transport, behind a sender that knows how it fails.
"""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Protocol

import orjson

from exporter.config.masking import Masker, tree_secrets
from exporter.errors import ConfigError, SinkUnavailable
from exporter.sinks.openlineage.client_build import build_sender
from exporter.sinks.openlineage.client_config import ClientSettings, client_config
from exporter.sinks.openlineage.client_senders import DestinationSender
from exporter.sinks.openlineage.outcomes import GENERIC, Outcome, is_trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from datetime import timedelta

    from exporter.mapping.openlineage.profile import CatalogProfile
    from exporter.sinks.openlineage.client_config import ClientConfig, Tree
    from exporter.sinks.openlineage.client_senders import Sender
    from exporter.sinks.openlineage.destination import Destination, DueEvent

_PAGE = 500
_TROUBLES_IN_A_ROW = 5


class TransportDestination:
    """Sends events by a sender, lane after lane, and says of each what became of it."""

    def __init__(
        self, name: str, sender: Sender, config: ClientConfig, mask: Callable[[str], str]
    ) -> None:
        self._name = name
        self._sender = sender
        self._mask = mask
        self._left_out = _job_filter(name, config.filters)
        self._troubles = 0
        self.config = config

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
        """Send events, side by side only what is of different lanes; say what became of each.

        Order: within a lane as given; after a `retry` the rest of its lane stays unsent, after a
            `dead` of a run that leaves whole all but the last event of that run.
        Repeat: sends again. A job that a filter of openlineage.yml leaves out counts as taken.
        Raises: SinkUnavailable, after the outcomes of what was sent.
        """
        waiting, stopped, refused = list(events), set[str](), dict[str, str]()
        while waiting and not halted():
            group, waiting = _next_group(waiting, stopped, refused, self._sender.at_once)
            sent = {event.seq: event for event in group}
            last = None
            for outcome in self._sent(group):
                if outcome.action == "retry":
                    stopped.add(sent[outcome.seq].lane)
                if outcome.action == "dead" and sent[outcome.seq].unit:
                    refused.setdefault(sent[outcome.seq].lane, sent[outcome.seq].unit)
                self._troubles = self._troubles + 1 if is_trouble(outcome) else 0
                last = outcome
                yield outcome
            if last is not None and self._troubles >= _TROUBLES_IN_A_ROW:
                raise self._in_trouble(last)

    def check(self, timeout_s: float) -> str:
        """Say in a few words what is at the other end; nothing is sent.

        Raises: SinkUnavailable if nobody is there, or lets us in.
        """
        try:
            return self._mask(self._sender.check(timeout_s))
        except SinkUnavailable as error:
            raise self._masked(error) from error

    def close(self) -> None:
        """Release connections. May be called twice."""
        self._sender.close()

    def _sent(self, group: Sequence[DueEvent]) -> Generator[Outcome, None, None]:
        kept = [event for event in group if not self._left_out(event.body)]
        left_out = {event.seq for event in group} - {event.seq for event in kept}
        yield from (Outcome(seq, "ack") for seq in sorted(left_out))
        try:
            for outcome in self._sender.send(kept) if kept else ():
                yield outcome._replace(body=self._mask(outcome.body))
        except SinkUnavailable as error:
            raise self._masked(error) from error

    def _masked(self, error: SinkUnavailable) -> SinkUnavailable:
        return SinkUnavailable(self._mask(error.message), hint=error.hint)

    def _in_trouble(self, last: Outcome) -> SinkUnavailable:
        troubles, self._troubles = self._troubles, 0
        return SinkUnavailable(
            f"The OpenLineage destination {self._name!r} is in trouble: {troubles} events in a row "
            f"were not taken, the last with: {last.body}",
            hint="They are kept and sent in a later cycle.",
        )


class TransportSettings(ClientSettings, Protocol):
    """What the settings say of such a destination."""

    @property
    def timeout(self) -> timedelta:
        """How long to wait for it."""


def open_transport(settings: TransportSettings, profile: CatalogProfile = GENERIC) -> Destination:
    """Make the destination; nothing is contacted yet.

    What the transport itself says wins over the catalog's profile.

    Raises: ConfigError if no transport is configured, or it lacks a package or a setting;
        SinkUnavailable while OPENLINEAGE_DISABLED is true.
    """
    config = client_config(settings)
    mask = Masker(tree_secrets(config.transport))
    timeout_s = settings.timeout.total_seconds()
    # The client logs what it then raises, at times with the whole configuration.
    level = os.environ.get("OPENLINEAGE_CLIENT_LOGGING", "").upper()
    logging.getLogger("openlineage").setLevel(
        logging.getLevelNamesMapping().get(level, logging.CRITICAL)
    )
    sender = build_sender(
        settings.name,
        config.transport,
        profile=profile,
        timeout_s=timeout_s,
        mask=mask,
        found_in=config.found_in,
    )
    if isinstance(sender, DestinationSender) and not config.filters:
        return sender.destination
    return TransportDestination(settings.name, sender, config, mask)


def _next_group(
    waiting: list[DueEvent], stopped: set[str], refused: dict[str, str], at_once: int
) -> tuple[list[DueEvent], list[DueEvent]]:
    """Take the next events, no two of a lane; give them and what is left of lanes that go on."""
    group: list[DueEvent] = []
    left: list[DueEvent] = []
    lanes: set[str] = set()
    for position, event in enumerate(waiting):
        if len(group) == at_once:
            left += waiting[position:]
            break
        if event.lane in stopped:
            continue
        if event.lane in refused and not (event.unit == refused[event.lane] and event.ends_unit):
            continue
        if event.lane in lanes:
            left.append(event)
        else:
            lanes.add(event.lane)
            group.append(event)
    return group, left


def _job_filter(name: str, filters: Iterable[Tree]) -> Callable[[bytes], bool]:
    """Give the function that tells whether openlineage.yml leaves a job's event out.

    Source: `filters` in https://openlineage.io/docs/client/python/configuration
    """
    exact: set[str] = set()
    patterns: list[re.Pattern[str]] = []
    for one in filters:
        kind, match, regex = one.get("type"), one.get("match"), one.get("regex")
        wrong = ""
        if kind == "exact" and isinstance(match, str):
            exact.add(match)
        elif kind == "regex" and isinstance(regex, str):
            try:
                patterns.append(re.compile(regex))
            except re.error as error:
                wrong = f"its regex is none ({error})"
        else:
            wrong = "it needs `type: exact` and `match`, or `type: regex` and `regex`"
        if wrong:
            raise ConfigError(
                f"A filter of the OpenLineage destination {name!r} is wrong: {wrong}.",
                hint="Correct it in openlineage.yml.",
            )

    def left_out(body: bytes) -> bool:
        if not exact and not patterns:
            return False
        job = orjson.loads(body)["job"]["name"]
        return job in exact or any(pattern.match(job) for pattern in patterns)

    return left_out
