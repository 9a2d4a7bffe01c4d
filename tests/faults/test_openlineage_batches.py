"""Events that leave together: what an answer to several means for each, and for their lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.openlineage_server import TAKEN, LineageServer, Reply

from exporter.errors import SinkUnavailable
from exporter.mapping.openlineage import CatalogProfile
from exporter.sinks.openlineage import HttpDestination, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator


BATCHES = CatalogProfile("batches", batch="array", max_events=3)


class Due(NamedTuple):
    seq: int
    lane: str = "lane"
    unit: str = ""
    ends_unit: bool = False

    @property
    def body(self) -> bytes:
        return b'{"n": %d}' % self.seq


def by_batch(
    server: LineageServer, count: int, profile: CatalogProfile = BATCHES, **options: Any
) -> Iterator[Outcome]:
    """Send events of one lane by batches of three."""
    destination = HttpDestination("events", server.url, profile=profile, **options)
    try:
        yield from destination.send([Due(seq) for seq in range(count)], halted=lambda: False)
    finally:
        destination.close()


def numbers(server: LineageServer) -> list[list[int]]:
    """Give the numbers of the events in each request."""
    requests: list[Any] = [seen.event for seen in server.seen]
    return [[event["n"] for event in request] for request in requests]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_after_trouble_with_a_batch_the_rest_of_its_lane_stays_unsent(
    lineage_server: LineageServer, status: int
) -> None:
    def answer(told: Any) -> Reply:  # Any: what was sent, here a list
        return Reply(status) if told[0]["n"] == 3 else TAKEN

    lineage_server.answer = answer
    outcomes = [(o.seq, o.action) for o in by_batch(lineage_server, 9)]
    assert outcomes == [(0, "ack"), (1, "ack"), (2, "ack"), (3, "retry")]
    assert numbers(lineage_server) == [[0, 1, 2], [3, 4, 5]]


def test_a_retry_among_single_events_of_a_refused_batch_ends_their_lane(
    lineage_server: LineageServer,
) -> None:
    def answer(told: Any) -> Reply:  # Any: as above
        return Reply(400) if len(told) > 1 else Reply(503) if told[0]["n"] == 1 else TAKEN

    lineage_server.answer = answer
    assert [(o.seq, o.action) for o in by_batch(lineage_server, 6)] == [(0, "ack"), (1, "retry")]
    assert numbers(lineage_server) == [[0, 1, 2], [0], [1]]


def test_what_a_batch_answer_says_of_each_event_is_all_told(lineage_server: LineageServer) -> None:
    failed = b'{"failed_events": [{"index": 1, "reason": "busy", "retriable": true}]}'
    lineage_server.answer = lambda _told: Reply(200, failed)
    outcomes = [(o.seq, o.action) for o in by_batch(lineage_server, 6)]
    assert outcomes == [(0, "ack"), (1, "retry"), (2, "ack")]
    assert numbers(lineage_server) == [[0, 1, 2]]


def test_what_was_answered_before_a_stop_is_told(lineage_server: LineageServer) -> None:
    def answer(told: Any) -> Reply:  # Any: as above
        return Reply(400) if len(told) > 1 else Reply(401) if told[0]["n"] == 2 else TAKEN

    lineage_server.answer = answer
    sending = by_batch(lineage_server, 6)
    assert [(o.seq, o.action) for o in (next(sending), next(sending))] == [(0, "ack"), (1, "ack")]
    with pytest.raises(SinkUnavailable, match="credentials"):
        next(sending)
    assert numbers(lineage_server) == [[0, 1, 2], [0], [1], [2]]


def test_each_single_event_of_a_refused_batch_counts_when_it_is_answered(
    lineage_server: LineageServer,
) -> None:
    def answer(told: Any) -> Reply:  # Any: as above
        return Reply(400) if len(told) > 1 else TAKEN._replace(delay_s=0.3)

    lineage_server.answer = answer
    sending = by_batch(lineage_server, 3)
    assert next(sending).seq == 0
    assert len(lineage_server.seen) == 2
    assert [outcome.seq for outcome in sending] == [1, 2]


def test_a_number_that_a_batch_does_not_reach_for_each_event_leaves_all_in_doubt(
    lineage_server: LineageServer,
) -> None:
    lineage_server.answer = lambda told: Reply(200, b'{"edges": %d}' % min(len(told), 2))
    wants = CatalogProfile("wants", batch="array", max_events=3, success={"edges": 1})
    outcomes = [(o.seq, o.action) for o in by_batch(lineage_server, 5, wants)]
    assert outcomes == [(0, "ack"), (1, "ack"), (2, "ack"), (3, "ack"), (4, "ack")]
    assert numbers(lineage_server) == [[0, 1, 2], [0], [1], [2], [3, 4]]
