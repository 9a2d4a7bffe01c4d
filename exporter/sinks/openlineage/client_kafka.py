"""Kafka by the producer of openlineage-python's transport: an event counts once the broker says so.

The transport's own `emit` would only log a delivery that failed, and return.
Source: https://github.com/OpenLineage/OpenLineage/blob/main/client/python/src/openlineage/client/transport/kafka.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from exporter.errors import SinkUnavailable
from exporter.sinks.openlineage.outcomes import TRIES_ON_ERROR, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.sinks.openlineage.destination import DueEvent

_AT_ONCE = 500
_PURGE_S = 5.0
_TOO_LARGE = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_MSG_SIZE", "INVALID_RECORD"})
_OF_ALL = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_AUTHENTICATION",
        "_FATAL",
        "_MSG_TIMED_OUT",
        "_PURGE_INFLIGHT",
        "_PURGE_QUEUE",
        "_RESOLVE",
        "_SSL",
        "_TIMED_OUT",
        "_TRANSPORT",
        "_UNKNOWN_PARTITION",
        "_UNKNOWN_TOPIC",
        "CLUSTER_AUTHORIZATION_FAILED",
        "SASL_AUTHENTICATION_FAILED",
        "TOPIC_AUTHORIZATION_FAILED",
        "TOPIC_EXCEPTION",
        "UNKNOWN_TOPIC_OR_PART",
    }
)


class Fault(NamedTuple):
    """What the broker or the producer says is wrong: librdkafka's name for it, and its words."""

    code: str
    text: str

    @classmethod
    def of(cls, error: Any) -> Fault:  # Any: confluent-kafka's KafkaError, which has no types
        """Take over what an error of the producer's says."""
        return cls(error.name(), error.str())

    @classmethod
    def in_exception(cls, raised: Exception) -> Fault:
        """Take over the error that a KafkaException holds; others are raised again."""
        error = raised.args[0] if raised.args else None
        if not hasattr(error, "name") or not hasattr(error, "str"):
            raise raised
        return cls.of(error)


class KafkaErrors:
    """Remembers what the producer last complained of; its complaints name brokers, not events."""

    def __init__(self) -> None:
        self._last = ""

    def note(self, error: Any) -> None:  # Any: confluent-kafka has no types
        """Take in a complaint: the producer's `error_cb`."""
        fault = Fault.of(error)
        # "All brokers are down" follows the complaint that says why.
        if not self._last or fault.code != "_ALL_BROKERS_DOWN":
            self._last = fault.text

    def last(self) -> str:
        """Give the last complaint, '' if there is none, and forget it."""
        told, self._last = self._last, ""
        return told


class KafkaSender:
    """Produces one event of each lane, waits until all are answered, then says so of each.

    Order: an event is produced after the broker took the one before it in its lane; events of one
        pipeline have one key and stay in one partition.
    Repeat: adds the event to the topic again; consumers know it by its run id and type.
    """

    at_once = _AT_ONCE

    def __init__(self, name: str, transport: Any, errors: KafkaErrors, timeout_s: float) -> None:
        """Take the client's KafkaTransport, whose producer it uses."""
        self._name = name
        self._transport = transport
        self._errors = errors
        self._timeout_s = timeout_s

    def send(self, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Produce, wait for the broker, tell; what it has not answered in time is taken back."""
        producer = self._transport.producer
        answers: dict[int, Fault | None] = {}
        for event in events:
            self._produce(producer, event, answers)
        if producer.flush(self._timeout_s):
            producer.purge()
            producer.flush(_PURGE_S)
        failed: Fault | None = None
        for event in events:
            fault = answers.get(event.seq, _UNANSWERED)
            if fault is None:
                yield Outcome(event.seq, "ack")
                continue
            said = f"{fault.code}: {fault.text}"
            if fault.code in _TOO_LARGE:
                yield Outcome(event.seq, "dead", None, said)
            elif fault.code in _OF_ALL:
                failed = failed or fault
            else:
                yield Outcome(event.seq, "retry", None, said, None, TRIES_ON_ERROR)
        if failed is not None:
            raise self._unavailable(failed)

    def check(self, timeout_s: float) -> str:
        """Ask the brokers for their topics; asking for one by name could create it."""
        try:
            known = self._transport.producer.list_topics(timeout=timeout_s)
        except Exception as error:
            raise self._unavailable(Fault.in_exception(error)) from error
        topic = known.topics.get(self._transport.topic)
        brokers = f"{len(known.brokers)} broker{'' if len(known.brokers) == 1 else 's'}"
        if topic is None:
            return f"{brokers}; the topic {self._transport.topic!r} is not there yet"
        return f"{brokers}, topic {self._transport.topic!r}, {len(topic.partitions)} partitions"

    def close(self) -> None:
        """Give the producer up; nothing is waiting in it."""
        self._transport.close(timeout=0)

    def _produce(self, producer: Any, event: DueEvent, answers: dict[int, Fault | None]) -> None:
        """Hand an event to the producer; `answers` learns what became of it, at once or later."""
        seq = event.seq

        def told(error: Any, _message: object) -> None:  # Any: as above
            answers[seq] = None if error is None else Fault.of(error)

        try:
            producer.produce(
                topic=self._transport.topic,
                key=self._transport.message_key or message_key(event.body),
                value=event.body,
                on_delivery=told,
            )
        except BufferError:
            answers[seq] = _FULL
        except Exception as error:  # noqa: BLE001 - its class is the optional package's
            answers[seq] = Fault.in_exception(error)

    def _unavailable(self, fault: Fault) -> SinkUnavailable:
        # What we took back ourselves had no answer.
        said = _UNANSWERED if fault.code.startswith("_PURGE_") else fault
        why = self._errors.last() or said.text
        topic = self._transport.topic
        return SinkUnavailable(
            f"The OpenLineage destination {self._name!r} did not take events for the Kafka topic "
            f"{topic!r}: {why} ({said.code}).",
            hint="Check bootstrap.servers, the credentials and the topic of its transport.",
        )


_UNANSWERED = Fault("_TIMED_OUT", "no broker answered in time")
_FULL = Fault("_QUEUE_FULL", "the producer's queue is full")


def message_key(body: bytes) -> str:
    """Give the key by which all events of a pipeline go to one partition, as the client makes it.

    Source: the root job, else the parent's, else the run's own: `KafkaTransport` of
    openlineage-python.
    """
    event = orjson.loads(body)
    parent = event["run"].get("facets", {}).get("parent") or {}
    job = (parent.get("root") or {}).get("job") or parent.get("job") or event["job"]
    return f"run:{job['namespace']}/{job['name']}"
