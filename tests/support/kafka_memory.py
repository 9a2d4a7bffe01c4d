"""A Kafka producer in memory that fails as it is told, in the shapes of confluent-kafka."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

from exporter.sinks.openlineage.client_kafka import KafkaErrors, KafkaSender


class BrokerFault(NamedTuple):
    """An error as librdkafka's: a name and words."""

    code: str
    words: str

    def name(self) -> str:
        return self.code

    def str(self) -> str:
        return self.words


class ProduceError(Exception):
    """What `produce` raises: it holds the error."""


Told = Callable[[BrokerFault | None, object], None]


@dataclass
class MemoryProducer:
    """Holds what a broker would hold; `fault` decides about each message.

    A fault named `silence` is a broker that never answers, `raise …` one that `produce` raises.
    """

    fault: Callable[[bytes], str] = lambda _value: ""
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    waiting: list[tuple[str, bytes, Told]] = field(default_factory=list)
    flushes: int = 0

    def produce(self, *, topic: str, key: str, value: bytes, on_delivery: Told) -> None:
        name = self.fault(value)
        if name.startswith("raise "):
            raise ProduceError(BrokerFault(name.removeprefix("raise "), "at once"))
        self.waiting.append((key, value, on_delivery))

    def flush(self, timeout: float = -1) -> int:
        self.flushes += 1
        silent = []
        for key, value, told in self.waiting:
            name = self.fault(value)
            if name == "silence":
                silent.append((key, value, told))
            elif name:
                told(BrokerFault(name, "the broker said so"), None)
            else:
                self.taken.append((key, value))
                told(None, None)
        self.waiting = silent
        return len(silent)

    def purge(self) -> None:
        for _, _, told in self.waiting:
            told(BrokerFault("_PURGE_QUEUE", "purged"), None)
        self.waiting = []

    def list_topics(self, timeout: float) -> Any:  # Any: as confluent-kafka has none
        topic = SimpleNamespace(partitions={0: None, 1: None})
        return SimpleNamespace(brokers={1: None}, topics={"lineage": topic})


class MemoryTransport:
    """Stands for the client's KafkaTransport over that producer."""

    topic = "lineage"
    message_key: str | None = None

    def __init__(self, producer: MemoryProducer) -> None:
        self.producer = producer

    def close(self, timeout: float) -> bool:
        return True


def memory_kafka(producer: MemoryProducer) -> KafkaSender:
    """Give the sender over a producer in memory."""
    return KafkaSender("events", MemoryTransport(producer), KafkaErrors(), timeout_s=1.0)
