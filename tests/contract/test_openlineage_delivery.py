"""Delivery through a real ledger: every destination takes each event once and in order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.lineage_outbox import LineageOutbox, opened_outbox, run_named
from support.transport_places import PLACES, transport_place

from exporter.errors import LeaseLost
from exporter.sinks.openlineage import FileDestination, HttpDestination, deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.openlineage_server import LineageServer

    from exporter.sinks.openlineage import DeliveryReport, Destination

EVENTS_PER_RUN = 6


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[LineageOutbox]:
    with opened_outbox(tmp_path) as opened:
        yield opened


@pytest.fixture(params=["file", "http", *PLACES])
def place(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[Destination, Callable[[], list[str]]]:
    """Give a destination of each kind and a way to see what it holds."""
    if request.param == "file":
        path = tmp_path / "out" / "events.jsonl"
        return FileDestination("events", path), lambda: _told_by_file(path)
    if request.param != "http":
        return transport_place(request.param, request, tmp_path)
    server: LineageServer = request.getfixturevalue("lineage_server")
    return HttpDestination("events", server.url, lanes=4), server.told


def _told_by_file(path: Path) -> list[str]:
    events = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [f"{event['job']['name']} {event['eventType']}" for event in events]


def run_delivery(outbox: LineageOutbox, destination: Destination) -> DeliveryReport:
    return deliver(outbox.ledger, outbox, destination, clock=outbox.clock, stop=outbox.stop)


def test_every_event_arrives_once_in_its_lanes_order(
    outbox: LineageOutbox, place: tuple[Destination, Callable[[], list[str]]]
) -> None:
    destination, told = place
    pipelines = ["alpha", "beta", "gamma"]
    queued = outbox.queue([run_named("r1", pipeline=name) for name in pipelines])
    report = run_delivery(outbox, destination)
    assert (report.delivered, report.dead, report.retried) == (queued, 0, 0)
    assert queued == 3 * EVENTS_PER_RUN
    for name in pipelines:
        assert [line for line in told() if line.startswith(name)] == [
            f"{name} START",
            f"{name}.importer START",
            f"{name}.importer COMPLETE",
            f"{name}.trainer START",
            f"{name}.trainer COMPLETE",
            f"{name} COMPLETE",
        ]
    assert outbox.counts().pending == 0


def test_a_second_delivery_sends_nothing(
    outbox: LineageOutbox, place: tuple[Destination, Callable[[], list[str]]]
) -> None:
    destination, told = place
    outbox.queue([run_named("r1")])
    run_delivery(outbox, destination)
    outbox.queue([run_named("r1")])
    assert run_delivery(outbox, destination).delivered == 0
    assert len(told()) == EVENTS_PER_RUN


def test_many_pages_are_sent_in_one_call(
    outbox: LineageOutbox, place: tuple[Destination, Callable[[], list[str]]]
) -> None:
    destination, told = place
    queued = outbox.queue([run_named(f"r{number}") for number in range(200)])
    assert run_delivery(outbox, destination).delivered == queued == len(told()) == 1200


def test_a_wish_to_stop_leaves_the_rest_for_later(
    outbox: LineageOutbox, place: tuple[Destination, Callable[[], list[str]]]
) -> None:
    destination, told = place
    outbox.queue([run_named("r1")])
    outbox.stop.requested = True
    assert run_delivery(outbox, destination).delivered == 0
    outbox.stop.requested = False
    assert run_delivery(outbox, destination).delivered == len(told()) == EVENTS_PER_RUN


def test_who_has_lost_the_lease_notes_nothing(
    outbox: LineageOutbox, place: tuple[Destination, Callable[[], list[str]]]
) -> None:
    destination, _ = place
    outbox.queue([run_named("r1")])
    outbox.ledger.leases.release(outbox.lease)
    outbox.ledger.leases.acquire("another", 600)
    with pytest.raises(LeaseLost):
        run_delivery(outbox, destination)
    assert outbox.counts().pending == EVENTS_PER_RUN


def test_closing_twice_is_harmless(
    place: tuple[Destination, Callable[[], list[str]]],
) -> None:
    destination, _ = place
    destination.close()
    destination.close()
