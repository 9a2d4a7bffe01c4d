"""Ways to send a finished event by a transport of openlineage-python, one class for each manner.

A sender takes a few events at once, no two of a lane, and says of each what became of it. It knows
transports, never the outbox. What leaves is the event as it stands in the outbox: the transports'
own `emit` is used only where it hands the event on unchanged and says when it fails.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from exporter.errors import SinkUnavailable
from exporter.sinks.openlineage.client_event import client_event
from exporter.sinks.openlineage.outcomes import (
    GENERIC,
    TRIES_ON_ERROR,
    Answer,
    Outcome,
    outcome_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.sinks.openlineage.destination import Destination, DueEvent
    from exporter.sinks.openlineage.outcomes import OutcomeRules

# openlineage-python and what its transports stand on come without types: their objects are Any.

_CONSOLE = logging.getLogger("exporter.openlineage.console")


class Sender(Protocol):
    """Sends events that no other one sent waits for."""

    @property
    def at_once(self) -> int:
        """How many events one call may bring."""

    def send(self, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Send events, no two of them of one lane, and say of each what became of it.

        Raises: SinkUnavailable, after the outcomes of what was sent.
        """

    def check(self, timeout_s: float) -> str:
        """Say in a few words what is there, without sending an event.

        Raises: SinkUnavailable if nobody is there, or lets us in.
        """

    def close(self) -> None:
        """Release connections. May be called twice."""


class EmitSender:
    """Any transport that has no sender of its own below: its `emit`, one event at a time."""

    at_once = 1

    def __init__(self, name: str, transport: Any, rules: OutcomeRules = GENERIC) -> None:
        self._name = name
        self._transport = transport
        self._rules = rules

    def send(self, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Emit; an HTTP status that is given or raised counts as it does for our own HTTP."""
        for event in events:
            try:
                given = self._transport.emit(client_event(event.body))
            except Exception as error:  # noqa: BLE001 - a stranger's code, which may raise anything
                yield outcome_of_error(self._name, event.seq, error, self._rules)
                continue
            answer = _answer_in(given)
            if answer is None:
                yield Outcome(event.seq, "ack")
            else:
                yield outcome_of(event.seq, answer, self._name, datetime.now(UTC), self._rules)

    def check(self, timeout_s: float) -> str:  # noqa: ARG002 - there is nobody to ask
        """Say that it is ready; transports have no way to ask the other side."""
        return "ready; it has no way to ask before the first event"

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()


class ConsoleSender:
    """The log, where the client's own console transport says nothing at its usual level."""

    at_once = 100

    def send(self, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Log each event at level info."""
        for event in events:
            _CONSOLE.info(event.body.decode("utf-8"))
            yield Outcome(event.seq, "ack")

    def check(self, timeout_s: float) -> str:  # noqa: ARG002 - there is nobody to ask
        """Say where events go."""
        return "events go to the log, at level info"

    def close(self) -> None:
        """Release nothing."""


class DataZoneSender:
    """Amazon DataZone by the transport's client; the content hash makes a repeat harmless there.

    Source: `clientToken` of
    https://docs.aws.amazon.com/datazone/latest/APIReference/API_PostLineageEvent.html
    """

    at_once = 1

    def __init__(self, name: str, transport: Any, rules: OutcomeRules = GENERIC) -> None:
        self._name = name
        self._transport = transport
        self._rules = rules

    def send(self, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Post each event's own bytes."""
        for event in events:
            try:
                self._transport.datazone.post_lineage_event(
                    domainIdentifier=self._transport.config.domain_id,
                    event=event.body,
                    clientToken=hashlib.sha256(event.body).hexdigest(),
                )
            except Exception as error:  # noqa: BLE001 - boto3 makes its classes at run time
                yield outcome_of_error(self._name, event.seq, error, self._rules)
            else:
                yield Outcome(event.seq, "ack")

    def check(self, timeout_s: float) -> str:  # noqa: ARG002 - asking would need more permissions
        """Name the domain; it is not asked."""
        return f"domain {self._transport.config.domain_id}; not asked before the first event"

    def close(self) -> None:
        """Close the client."""
        self._transport.datazone.close()


class GcpSender:
    """Google's lineage API by the transport's client; an id of the content makes repeats harmless.

    Source: `request_id` of
    https://cloud.google.com/data-catalog/docs/reference/data-lineage/rpc/google.cloud.datacatalog.lineage.v1
    """

    at_once = 1

    def __init__(self, name: str, transport: Any, rules: OutcomeRules = GENERIC) -> None:
        self._name = name
        self._transport = transport
        self._rules = rules
        self._used = False

    def send(self, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Hand over each event as the structure that the API takes."""
        for event in events:
            request = {
                "parent": self._transport.parent,
                "open_lineage": orjson.loads(event.body),
                "request_id": hashlib.sha256(event.body).hexdigest()[:36],
            }
            try:
                self._transport.client.process_open_lineage_run_event(request=request)
            except Exception as error:  # noqa: BLE001 - gRPC, credentials and network
                yield outcome_of_error(self._name, event.seq, error, self._rules)
            else:
                self._used = True
                yield Outcome(event.seq, "ack")

    def check(self, timeout_s: float) -> str:  # noqa: ARG002 - asking would need more permissions
        """Name the place; it is not asked."""
        return f"{self._transport.parent}; not asked before the first event"

    def close(self) -> None:
        """Close the connection, if there is one; the transport's own close would open it first."""
        if self._used:
            self._used = False
            self._transport.client.transport.close()


class DestinationSender:
    """One of our own destinations, where a transport stands for it among others."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.at_once = destination.page

    def send(self, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Send by the destination."""
        yield from self.destination.send(events, halted=lambda: False)

    def check(self, timeout_s: float) -> str:  # noqa: ARG002 - a destination has no such question
        """Say nothing of the other side."""
        return "not asked"

    def close(self) -> None:
        """Close the destination."""
        self.destination.close()


class TransformSender:
    """A transformer of the user's before another sender; what it makes is what leaves."""

    at_once = 1

    def __init__(
        self, name: str, transformer: Any, inner: Sender, rules: OutcomeRules = GENERIC
    ) -> None:
        self._name = name
        self._rules = rules
        self._transformer = transformer
        self._inner = inner

    def send(self, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Transform and send; an event that the transformer leaves out counts as taken."""
        from openlineage.client.serde import Serde

        for event in events:
            try:
                made = self._transformer.transform(client_event(event.body))
                body = None if made is None else Serde.to_json(made).encode("utf-8")
            except Exception as error:  # noqa: BLE001 - the user's own code
                yield outcome_of_error(self._name, event.seq, error, self._rules)
                continue
            if body is None:
                yield Outcome(event.seq, "ack")
            else:
                yield from self._inner.send([StandIn(event.seq, event.lane, body)])

    def check(self, timeout_s: float) -> str:
        """Ask the sender behind it."""
        return self._inner.check(timeout_s)

    def close(self) -> None:
        """Close the sender behind it."""
        self._inner.close()


class StandIn:
    """An event that stands for one of the outbox."""

    __slots__ = ("body", "ends_unit", "lane", "seq", "unit")

    def __init__(self, seq: int, lane: str, body: bytes) -> None:
        self.seq, self.lane, self.body = seq, lane, body
        self.unit, self.ends_unit = "", False


def outcome_of_error(
    name: str, seq: int, error: Exception, rules: OutcomeRules = GENERIC
) -> Outcome:
    """Say what an error of a transport means for the event, by the HTTP status where it has one.

    Raises: SinkUnavailable for an error that every event would meet.
    """
    status = _status(error)
    text = _text(error)
    if status is not None:
        response = getattr(error, "response", None)
        headers = getattr(response, "headers", None) or {}
        answer = Answer(
            status=status,
            content_type=headers.get("Content-Type", ""),
            location=headers.get("Location", ""),
            retry_after=headers.get("Retry-After", ""),
            body=getattr(response, "text", "") or text,
        )
        return outcome_of(seq, answer, name, datetime.now(UTC), rules)
    names = {kind.__name__ for kind in type(error).__mro__}
    if "Timeout" in names and "ConnectionError" not in names:
        return Outcome(seq, "retry", None, text)  # somebody is there, and may have taken it
    if _is_out_of_reach(error, names):
        raise SinkUnavailable(
            f"The OpenLineage destination {name!r} cannot be reached: {text}.",
            hint="Check its transport and its credentials.",
        ) from error
    return Outcome(seq, "retry", None, text, None, TRIES_ON_ERROR)


def _answer_in(given: Any) -> Answer | None:
    """Give the HTTP answer that a transport hands back, as the client's own HTTP does."""
    status = getattr(given, "status_code", None)
    if not isinstance(status, int):
        return None
    headers = getattr(given, "headers", None) or {}
    return Answer(
        status=status,
        content_type=headers.get("Content-Type", ""),
        location=headers.get("Location", ""),
        retry_after=headers.get("Retry-After", ""),
        body=str(getattr(given, "text", "")),
    )


def _status(error: BaseException) -> int | None:
    """Find the HTTP status in an error of requests, of boto3 or of Google's clients."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(response, "status_code", None)
    if found is None:
        found = getattr(error, "code", None)
    return int(found) if isinstance(found, int) and 300 <= found < 600 else None


def _is_out_of_reach(error: Exception, names: set[str]) -> bool:
    """Tell whether nobody is there, or whoever we are is not known here: no event's fault."""
    unknown = {"NoCredentialsError", "PartialCredentialsError", "NoRegionError"}
    unknown |= {"EndpointConnectionError", "DefaultCredentialsError", "RefreshError"}
    if names & unknown or "ConnectionError" in names:
        return True
    # What requests raises is an OSError too, be it the event's fault.
    return isinstance(error, OSError | ImportError) and "RequestException" not in names


def _text(error: Exception) -> str:
    """Give what an error says in one line; Google's have it apart from how the call went."""
    said = getattr(error, "message", None)
    text = said if isinstance(said, str) and said else str(error) or type(error).__name__
    return " ".join(text.split())[:2000].rstrip(".")
