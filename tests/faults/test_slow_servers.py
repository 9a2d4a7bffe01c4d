"""A server that drips its answer: the time limit holds for the whole, not for each byte."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lineage_outbox import LineageOutbox, opened_outbox, run_named
from support.slow_server import NEVER_ENDING, slow_server

from exporter.errors import SinkTransient
from exporter.sinks.mlflow.rest import RestApi
from exporter.sinks.mlflow.transport import Connection, OutcomeUnknown, address_of
from exporter.sinks.openlineage import HttpDestination, deliver

LIMIT_S = 0.4
PATIENCE_S = 10.0

every_way = pytest.mark.parametrize("way", NEVER_ENDING.values(), ids=NEVER_ENDING.keys())


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[LineageOutbox]:
    with opened_outbox(tmp_path) as opened:
        yield opened


@every_way
def test_a_catalog_that_drips_its_answer_is_given_up_in_time(
    outbox: LineageOutbox, way: tuple[bytes, bytes]
) -> None:
    outbox.queue([run_named("r1")])
    with slow_server(*way) as url:
        destination = HttpDestination("slow", url, timeout_s=LIMIT_S)
        began = time.monotonic()
        deliver(outbox.ledger, outbox, destination, clock=outbox.clock, stop=outbox.stop)
        assert time.monotonic() - began < PATIENCE_S
        destination.close()


@every_way
def test_an_mlflow_that_drips_its_answer_is_given_up_in_time(way: tuple[bytes, bytes]) -> None:
    with slow_server(*way) as url:
        api = RestApi(url, timeout_s=LIMIT_S, sleep=lambda _seconds: None)
        began = time.monotonic()
        with pytest.raises(SinkTransient):
            api.create_run("1", "n", 5, {})
        assert time.monotonic() - began < PATIENCE_S
        api.close()


def test_a_file_that_drips_is_given_up_in_time() -> None:
    with slow_server(*NEVER_ENDING["a body"]) as url:
        connection = Connection(address_of(url), timeout_s=LIMIT_S)
        assert connection.open("/file").status == 200
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="no answer in time"):
            list(connection.blocks())
        assert time.monotonic() - began < PATIENCE_S
        connection.close()
