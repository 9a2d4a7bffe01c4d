"""Destinations by transports of openlineage-python, each with a way to see what arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from exporter.config import OpenLineageSettings
from exporter.sinks.openlineage import Destination
from exporter.sinks.openlineage.client_config import ClientConfig
from exporter.sinks.openlineage.client_transport import TransportDestination, open_transport
from support.client_transports import RECORDING
from support.kafka_broker import KafkaBroker
from support.kafka_memory import MemoryProducer, memory_kafka

PLACES = ("class path", "composite", "kafka", "kafka in memory")

Place = tuple[Destination, Callable[[], list[str]]]


def opened(transport: Mapping[str, object], **more: object) -> Destination:
    """Open the destination `events` by a transport."""
    values = {"name": "events", "transport": transport, **more}
    settings = OpenLineageSettings.model_validate(values)
    return open_transport(settings)


def transport_place(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    """Give a destination of a kind of PLACES."""
    file = folder / "emitted.jsonl"
    recording = {"type": RECORDING, "path": str(file)}
    if kind == "class path":
        return opened(recording), lambda: _told(file.read_bytes().splitlines())
    if kind == "composite":
        other = {"type": RECORDING, "path": str(folder / "other.jsonl")}
        composite = {"type": "composite", "transports": [recording, other]}
        return opened(composite), lambda: _told(file.read_bytes().splitlines())
    if kind == "kafka in memory":
        producer = MemoryProducer()
        config = ClientConfig({"type": "kafka"}, "the settings")
        destination = TransportDestination("events", memory_kafka(producer), config, str)
        return destination, lambda: _told(value for _, value in producer.taken)
    broker: KafkaBroker = request.getfixturevalue("kafka_broker")
    kafka = {
        "type": "kafka",
        "topic": "lineage",
        "config": {"bootstrap.servers": broker.address},
    }
    return opened(kafka), lambda: _told(m.value for m in broker.messages("lineage"))


def _told(bodies: Iterable[bytes]) -> list[str]:
    events = [json.loads(body) for body in bodies]
    return [f"{event['job']['name']} {event['eventType']}" for event in events]
