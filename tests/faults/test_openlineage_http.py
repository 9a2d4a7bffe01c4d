"""What a catalog can answer, and what becomes of the event, its lane and its destination."""

from __future__ import annotations

import base64
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from support.lineage_outbox import LineageOutbox, opened_outbox, run_named
from support.openlineage_server import TAKEN, LineageServer, Reply

from exporter.errors import ConfigError, SinkUnavailable
from exporter.mapping.openlineage import CatalogProfile
from exporter.sinks.openlineage import DeliveryReport, HttpDestination, deliver
from exporter.sinks.openlineage.outcomes import (
    Answer,
    Outcome,
    outcome_of,
    pause_s,
)
from exporter.sinks.retry_after import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


Json = dict[str, Any]  # Any: a parsed event
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[LineageOutbox]:
    with opened_outbox(tmp_path) as opened:
        yield opened


def sent(
    outbox: LineageOutbox, server: LineageServer, **options: Any
) -> DeliveryReport:  # Any: as they are
    destination = HttpDestination("events", server.url, timeout_s=0.5, **options)
    try:
        return deliver(outbox.ledger, outbox, destination, clock=outbox.clock, stop=outbox.stop)
    finally:
        destination.close()


def only_for(job: str, reply: Reply, *, times: int = 10**9) -> Any:  # Any: an answering function
    left = [times]

    def answer(event: Json) -> Reply:
        if event["job"]["name"] == job and event["eventType"] == "START" and left[0] > 0:
            left[0] -= 1
            return reply
        return TAKEN

    return answer


@pytest.mark.parametrize("status", [400, 409, 410, 413, 422, 431, 207])
def test_a_refused_event_is_a_dead_letter_and_its_lane_goes_on(
    outbox: LineageOutbox, lineage_server: LineageServer, status: int
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = only_for(
        "train_pipeline.importer", Reply(status, b'{"message": "no such thing"}')
    )
    report = sent(outbox, lineage_server)
    assert (report.delivered, report.dead, report.retried) == (5, 1, 0)
    (letter,) = outbox.dead()
    assert "no such thing" in letter.error
    assert str(status) in letter.kind


def test_marquez_500_that_means_400_is_a_dead_letter_at_once(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = only_for(
        "train_pipeline.importer", Reply(500, b'{"code": 400, "message": "Unable to process"}')
    )
    assert sent(outbox, lineage_server).dead == 1
    assert len(lineage_server.seen) == 6


def test_an_event_the_catalog_fails_on_holds_its_lane_for_five_tries_only(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1"), run_named("r1", pipeline="other")])
    lineage_server.answer = only_for("train_pipeline.importer", Reply(500, b"boom"))
    first = sent(outbox, lineage_server)
    assert [line for line in lineage_server.told() if line.startswith("other")][-1] == (
        "other COMPLETE"
    )
    assert (first.delivered, first.dead) == (7, 0)
    outbox.clock.ms += 3_600_000
    second = sent(outbox, lineage_server)
    assert (second.delivered, second.dead) == (4, 1)
    tries = [line for line in lineage_server.told() if line == "train_pipeline.importer START"]
    assert len(tries) == 5
    assert outbox.counts().pending == 0


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_trouble_is_waited_out_in_order(
    outbox: LineageOutbox, lineage_server: LineageServer, status: int
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = only_for("train_pipeline.importer", Reply(status), times=2)
    report = sent(outbox, lineage_server)
    assert (report.delivered, report.retried, report.dead) == (6, 2, 0)
    assert lineage_server.told() == [
        "train_pipeline START",
        *["train_pipeline.importer START"] * 3,
        "train_pipeline.importer COMPLETE",
        "train_pipeline.trainer START",
        "train_pipeline.trainer COMPLETE",
        "train_pipeline COMPLETE",
    ]
    assert 3 <= sum(outbox.clock.waits) <= 4


def test_retry_after_is_honoured(outbox: LineageOutbox, lineage_server: LineageServer) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = only_for(
        "train_pipeline", Reply(429, headers={"Retry-After": "7"}), times=1
    )
    assert sent(outbox, lineage_server).delivered == 6
    assert outbox.clock.waits == [7.0]


def test_a_long_retry_after_is_left_to_a_later_cycle(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = only_for(
        "train_pipeline", Reply(429, headers={"Retry-After": "600"}), times=1
    )
    assert sent(outbox, lineage_server).delivered == 0
    assert outbox.clock.waits == []
    outbox.clock.ms += 600_000
    assert sent(outbox, lineage_server).delivered == 6


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(401), "credentials"),
        (Reply(403), "credentials"),
        (Reply(404), "endpoint"),
        (Reply(405), "endpoint"),
        (Reply(415), "endpoint"),
        (Reply(301, headers={"Location": "https://elsewhere.example/"}), "elsewhere.example"),
        (Reply(307), "Redirects are not followed"),
        (Reply(200, b"<html>hello</html>", "text/html; charset=utf-8"), "web page"),
    ],
)
def test_an_answer_that_all_would_get_stops_the_destination_and_condemns_nothing(
    outbox: LineageOutbox, lineage_server: LineageServer, reply: Reply, said: str
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = lambda _event: reply
    with pytest.raises(SinkUnavailable, match=said):
        sent(outbox, lineage_server)
    assert len(lineage_server.seen) == 1
    assert outbox.counts() == (6, 0, 0)
    lineage_server.answer = lambda _event: TAKEN
    assert sent(outbox, lineage_server).delivered == 6


def test_nobody_there_stops_this_destination_without_counting_a_try(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = HttpDestination("events", f"http://127.0.0.1:{taken.getsockname()[1]}")
        for _ in range(30):
            with pytest.raises(SinkUnavailable, match="cannot be reached"):
                deliver(outbox.ledger, outbox, nobody, clock=outbox.clock, stop=outbox.stop)
    assert sent(outbox, lineage_server).delivered == 6


def test_a_name_that_does_not_resolve_is_said(outbox: LineageOutbox) -> None:
    outbox.queue([run_named("r1")])
    nobody = HttpDestination("events", "http://no-such-host.invalid:5000", timeout_s=2)
    with pytest.raises(SinkUnavailable, match=r"no-such-host\.invalid"):
        deliver(outbox.ledger, outbox, nobody, clock=outbox.clock, stop=outbox.stop)


def test_an_answer_that_never_comes_is_tried_again(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = only_for("train_pipeline.importer", Reply(delay_s=1.2), times=1)
    report = sent(outbox, lineage_server)
    assert (report.delivered, report.retried) == (6, 1)


def test_a_connection_dropped_without_an_answer_is_tried_again(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = only_for("train_pipeline.importer", Reply(drop=True), times=3)
    assert sent(outbox, lineage_server).delivered == 6


def test_an_answer_that_breaks_off_after_its_status_counts(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = lambda _event: Reply(201, b"{", break_off=True)
    report = sent(outbox, lineage_server)
    assert (report.delivered, report.retried, len(lineage_server.seen)) == (6, 0, 6)


def test_a_server_that_hangs_up_between_events_costs_no_try(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = lambda _event: Reply(201, close_after=True)
    report = sent(outbox, lineage_server)
    assert (report.delivered, report.retried) == (6, 0)


def test_trouble_with_everything_gives_up_early_and_keeps_all(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1", pipeline=f"p{number}") for number in range(40)])
    lineage_server.answer = lambda _event: Reply(503, b"no backend")
    with pytest.raises(SinkUnavailable, match="503"):
        sent(outbox, lineage_server, lanes=4)
    assert len(lineage_server.seen) <= 9
    assert outbox.counts().pending == 240
    outbox.clock.ms += 3_600_000
    lineage_server.answer = lambda _event: TAKEN
    assert sent(outbox, lineage_server).delivered == 240


def test_what_was_delivered_before_the_trouble_is_noted_and_counted(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = only_for("train_pipeline.trainer", Reply(401))
    destination = HttpDestination("events", lineage_server.url)
    report = DeliveryReport()
    with pytest.raises(SinkUnavailable):
        deliver(
            outbox.ledger, outbox, destination, clock=outbox.clock, stop=outbox.stop, report=report
        )
    destination.close()
    assert outbox.counts() == (3, 3, 0)
    assert report.delivered == 3


def test_lanes_go_side_by_side_and_each_one_at_a_time(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1", pipeline=f"p{number}") for number in range(6)])
    lineage_server.answer = lambda _event: Reply(201, delay_s=0.02)
    assert sent(outbox, lineage_server, lanes=3).delivered == 36
    lanes: dict[str, list[tuple[float, float]]] = {}
    for seen in lineage_server.seen:
        lane = seen.event["job"]["name"].split(".")[0]
        lanes.setdefault(lane, []).append((seen.came_s, seen.answered_s))
    for times in lanes.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(times))
    spans = [(times[0][0], times[-1][1]) for times in lanes.values()]
    together = max(sum(a <= start < b for a, b in spans) for start, _ in spans)
    assert together == 3
    assert len({seen.connection for seen in lineage_server.seen}) == 3


def test_the_request_is_what_the_specification_asks_for(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    sent(outbox, lineage_server, token="s3cret", endpoint="/x/lineage", compress=True)
    seen = lineage_server.seen[0]
    assert seen.path == "/x/lineage"
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["Content-Encoding"] == "gzip"
    assert seen.headers["Authorization"] == "Bearer s3cret"
    assert seen.headers["User-Agent"].startswith("pipeline-exporter/")


@pytest.mark.parametrize(
    ("suffix", "endpoint", "path"),
    [
        ("", "api/v1/lineage", "/api/v1/lineage"),
        ("/", "api/v1/lineage", "/api/v1/lineage"),
        ("/gms", "api/v1/lineage", "/gms/api/v1/lineage"),
        ("/api/v1/lineage", "api/v1/lineage", "/api/v1/lineage"),
        ("/hook?key=a%20b", "", "/hook?key=a%20b"),
    ],
)
def test_url_and_endpoint_are_joined(
    outbox: LineageOutbox, lineage_server: LineageServer, suffix: str, endpoint: str, path: str
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.url += suffix
    sent(outbox, lineage_server, endpoint=endpoint)
    assert {seen.path for seen in lineage_server.seen} == {path}


def test_secrets_appear_in_no_message_and_no_dead_letter(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = lambda _event: Reply(400, b"bad header Bearer s3cret")
    sent(outbox, lineage_server, token="s3cret")
    assert all("s3cret" not in letter.error for letter in outbox.dead())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        outbox.queue([run_named("r2")])
        nobody = HttpDestination("events", f"http://me:hidden@127.0.0.1:{port}", token="s3cret")
        with pytest.raises(SinkUnavailable) as caught:
            deliver(outbox.ledger, outbox, nobody, clock=outbox.clock, stop=outbox.stop)
    assert "hidden" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("user", "options", "repeated"),
    [
        ("", {"headers": {"X-Key": "topsecret"}}, "topsecret"),
        ("", {"headers": {"Authorization": "Token topsecret"}}, "topsecret"),
        ("", {"headers": {"X-Key": "top/secret"}}, "top%2Fsecret"),
        ("", {"token": "topsecret"}, "Bearer topsecret"),
        ("me:top%2Fsecret@", {}, "top/secret"),
        ("me:top%2Fsecret@", {}, "top%2Fsecret"),
        ("me:topsecret@", {}, base64.b64encode(b"me:topsecret").decode()),
        ("me:topsecret@", {"token": "another"}, base64.b64encode(b"me:topsecret").decode()),
        ("topsecret@", {}, "topsecret"),
        ("topsecret@", {}, base64.b64encode(b"topsecret:").decode()),
    ],
)
@pytest.mark.parametrize("as_batch", [False, True], ids=["single", "batch"])
def test_what_a_catalog_repeats_of_its_credentials_is_masked(
    outbox: LineageOutbox,
    lineage_server: LineageServer,
    user: str,
    options: dict[str, Any],
    repeated: str,
    *,
    as_batch: bool,
) -> None:
    outbox.queue([run_named("r1")])
    lineage_server.answer = lambda _event: Reply(400, f"we got <{repeated}>".encode())
    lineage_server.url = lineage_server.url.replace("//", f"//{user}")
    if as_batch:
        options = {**options, "profile": CatalogProfile("b", batch="array", max_events=3)}
    assert sent(outbox, lineage_server, **options).dead == 6
    for letter in outbox.dead():
        assert repeated not in letter.error
        assert "we got <" in letter.error
        assert "***" in letter.error


def test_a_redirect_is_told_without_the_secrets_in_it(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    there = {"Location": "https://me:hidden@elsewhere.example/?key=topsecret"}
    lineage_server.answer = lambda _event: Reply(301, headers=there)
    with pytest.raises(SinkUnavailable, match=r"elsewhere\.example") as caught:
        sent(outbox, lineage_server, token="topsecret")
    assert "topsecret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "marquez:5000", "ftp://host", "http://", "http://[::1", "http://h:x"]
)
def test_an_address_that_is_none_is_said_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="no web address"):
        HttpDestination("events", url)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("86400", 3600.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e300", 3600.0),
        ("soon", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), None),
        ("Mon, 23 Nov 2026 12:00:10 -0000", 10.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(header: str, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


def test_pauses_double_up_to_an_hour() -> None:
    pauses = [pause_s(tries, 0, None) for tries in range(1, 21)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == 3600
    assert 8 * 3600 < sum(pauses) < 12 * 3600
    assert pause_s(1, 0, 10_000.0) == 3600


def test_every_status_has_an_outcome() -> None:
    for status in range(200, 600):
        answer = Answer(status, "application/json", "", "", "{}")
        try:
            outcome = outcome_of(1, answer, "events", NOW)
        except SinkUnavailable:
            assert status in {401, 403, 404, 405, 407, 415} or 300 <= status < 400
        else:
            assert isinstance(outcome, Outcome)
            assert (outcome.action == "ack") == (status < 300 and status != 207)


EDGES = CatalogProfile("edges", success={"edges": 1})


def _answer(body: str) -> Answer:
    return Answer(200, "application/json", "", "", body)


@pytest.mark.parametrize(
    "body",
    [
        *("", "{}", "null", "0", '{"edg', '{"edges": null}', '{"edges": "1"}', '{"edges": 0}'),
        *('{"edges": 0.0}', '{"edges": true}', '{"success": false}', "Service warming up"),
    ],
)
def test_without_the_number_that_a_profile_asks_for_there_is_no_success(body: str) -> None:
    outcome = outcome_of(1, _answer(body), "c", NOW, EDGES)
    assert outcome.action == "dead"
    assert outcome.body == (body or "An empty body, which has no edges.")


def test_an_answer_that_breaks_off_before_the_number_asked_for_is_tried_again(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    broken = Reply(200, b'{"edg', break_off=True)
    answers = iter([broken])
    lineage_server.answer = lambda _event: next(answers, Reply(200, b'{"edges": 1}'))
    report = sent(outbox, lineage_server, profile=EDGES)
    assert (report.dead, report.retried) == (0, 1)


@pytest.mark.parametrize("body", ['{"edges": 1}', '{"edges": 2.0}'])
def test_the_number_that_a_profile_asks_for_is_a_success(body: str) -> None:
    assert outcome_of(1, _answer(body), "c", NOW, EDGES).action == "ack"


@pytest.mark.parametrize(
    ("body", "action"),
    [
        ('{"failed_events": [], "summary": {"received": 1, "failed": 1}}', "dead"),
        ('{"failed_events": [], "summary": {"failed": 1, "retriable": true}}', "retry"),
        ('{"failed_events": [0]}', "dead"),
        ('{"status": "failure"}', "dead"),
        ('{"failed_events": [], "summary": {"received": 1, "failed": 0}}', "ack"),
        ('{"status": "success"}', "ack"),
        ('{"failed": 0}', "ack"),
    ],
)
def test_a_success_that_counts_failures_is_none(body: str, action: str) -> None:
    assert outcome_of(1, _answer(body), "c", NOW).action == action


def test_a_token_for_a_catalog_that_is_shown_none_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(ConfigError, match="a token is given"):
        HttpDestination("c", "http://x", token="t", profile=CatalogProfile("silent", auth="none"))
