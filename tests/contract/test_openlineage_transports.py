"""Transports of openlineage-python: what leaves is our event, and a failure is never silent."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.serde import Serde
from support.client_transports import RECORDING
from support.kafka_broker import KafkaBroker
from support.kafka_memory import MemoryProducer, memory_kafka
from support.lineage_outbox import LineageOutbox, opened_outbox, run_named
from support.openlineage_server import LineageServer, Reply
from support.quiet_server import serving
from support.stores import MAPPINGS, RECORDED, RecordedStore
from support.transport_places import opened

from exporter.errors import ConfigError, SinkUnavailable
from exporter.hierarchy import RunSnapshot
from exporter.mapping.openlineage import LineageNaming, run_events
from exporter.sinks.openlineage import Destination, HttpDestination, deliver
from exporter.sinks.openlineage.client_config import ClientConfig
from exporter.sinks.openlineage.client_event import client_event
from exporter.sinks.openlineage.client_kafka import message_key
from exporter.sinks.openlineage.client_senders import GcpSender, StandIn, outcome_of_error
from exporter.sinks.openlineage.client_transport import TransportDestination
from exporter.sources.mlmd import load_profiles, open_mlmd

EVENTS_PER_RUN = 6
OUT_OF_REACH = "support.client_transports.OutOfReachTransport"


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[LineageOutbox]:
    with opened_outbox(tmp_path) as box:
        yield box


def sent(outbox: LineageOutbox, destination: Destination) -> tuple[int, int, int]:
    """Deliver what is queued; give how many events were delivered, put off and given up."""
    report = deliver(outbox.ledger, outbox, destination, clock=outbox.clock, stop=outbox.stop)
    return report.delivered, report.retried, report.dead


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def over_memory(producer: MemoryProducer) -> TransportDestination:
    config = ClientConfig({"type": "kafka"}, "the settings")
    return TransportDestination("events", memory_kafka(producer), config, str)


# What leaves


@pytest.mark.parametrize("store", RECORDED, ids=lambda store: store.name)
def test_the_clients_event_says_the_same_as_ours(store: RecordedStore) -> None:
    history = open_mlmd(
        store.url, repository="acme", stack="local", profiles=load_profiles(MAPPINGS)
    )
    try:
        ids = [head.source_id for p in history.pipelines() for head in history.heads(p)]
        runs = [run for run in history.runs(ids) if isinstance(run, RunSnapshot)]
    finally:
        history.close()
    assert len(runs) == store.runs
    for run in runs:
        for event in run_events(run, LineageNaming()):
            assert json.loads(Serde.to_json(client_event(event.body))) == json.loads(event.body)


def test_kafka_holds_our_bytes_and_a_pipelines_events_in_one_partition(
    outbox: LineageOutbox, kafka_broker: KafkaBroker
) -> None:
    outbox.queue([run_named("r1", pipeline=name) for name in ("alpha", "beta")])
    bodies = outbox.bodies()
    kafka = {
        "type": "kafka",
        "topic": "lineage",
        "config": {"bootstrap.servers": kafka_broker.address},
    }
    destination = opened(kafka)
    assert sent(outbox, destination) == (2 * EVENTS_PER_RUN, 0, 0)
    destination.close()
    messages = kafka_broker.messages("lineage")
    assert sorted(message.value for message in messages) == sorted(bodies)
    for name in ("alpha", "beta"):
        key = f"run:zenml://acme/local_stack/{name}"
        own = [message for message in messages if message.key == key]
        assert len({message.partition for message in own}) == 1
        assert [m.value for m in own] == [b for b in bodies if message_key(b) == key]


def test_a_key_of_the_users_own_is_taken(outbox: LineageOutbox, kafka_broker: KafkaBroker) -> None:
    outbox.queue([run_named("r1")])
    servers = {"bootstrap.servers": kafka_broker.address}
    kafka = {"type": "kafka", "topic": "one", "messageKey": "all", "config": servers}
    assert sent(outbox, opened(kafka))[0] == EVENTS_PER_RUN
    assert {message.key for message in kafka_broker.messages("one")} == {"all"}


# Kafka's failures


def test_a_broker_that_is_gone_leaves_everything_queued(
    outbox: LineageOutbox, kafka_broker: KafkaBroker
) -> None:
    outbox.queue([run_named("r1")])
    kafka_broker.stop()
    config = {"bootstrap.servers": kafka_broker.address, "sasl.password": "open-sesame"}
    kafka = {"type": "kafka", "topic": "lineage", "config": config}
    destination = opened(kafka, timeout="1s")
    with pytest.raises(SinkUnavailable) as caught:
        sent(outbox, destination)
    assert "'lineage': " in caught.value.message
    assert "Connection refused" in caught.value.message
    assert "open-sesame" not in str(caught.value)
    assert outbox.counts().pending == EVENTS_PER_RUN


def test_a_broker_that_never_answers_is_given_up_in_time(
    outbox: LineageOutbox, kafka_broker: KafkaBroker
) -> None:
    outbox.queue([run_named("r1")])
    config = {"bootstrap.servers": kafka_broker.address, "security.protocol": "SSL"}
    destination = opened({"type": "kafka", "topic": "lineage", "config": config}, timeout="2s")
    with pytest.raises(SinkUnavailable, match="no broker answered in time"):
        sent(outbox, destination)
    assert outbox.counts().pending == EVENTS_PER_RUN


def test_a_delivery_that_the_broker_refuses_is_no_success(outbox: LineageOutbox) -> None:
    outbox.queue([run_named("r1", pipeline=name) for name in ("alpha", "beta")])
    producer = MemoryProducer(lambda value: "NOT_ENOUGH_REPLICAS" if b"alpha" in value else "")
    destination = over_memory(producer)
    delivered, retried, dead = sent(outbox, destination)
    assert (delivered, dead) == (EVENTS_PER_RUN, 0)
    assert retried > 0
    assert outbox.counts().pending == EVENTS_PER_RUN
    assert not any(b"alpha" in value for _, value in producer.taken)


@pytest.mark.parametrize("fault", ["MSG_SIZE_TOO_LARGE", "raise MSG_SIZE_TOO_LARGE"])
def test_an_event_that_is_too_large_is_a_dead_letter_and_its_lane_goes_on(
    outbox: LineageOutbox, fault: str
) -> None:
    outbox.queue([run_named("r1")])
    large = outbox.bodies()[1]
    producer = MemoryProducer(lambda value: fault if value == large else "")
    assert sent(outbox, over_memory(producer)) == (EVENTS_PER_RUN - 1, 0, 1)
    (letter,) = outbox.dead()
    assert "MSG_SIZE_TOO_LARGE" in str(letter)


@pytest.mark.parametrize(
    "fault", ["silence", "TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "_MSG_TIMED_OUT"]
)
def test_what_every_event_would_meet_stops_the_destination(
    outbox: LineageOutbox, fault: str
) -> None:
    outbox.queue([run_named("r1")])
    with pytest.raises(SinkUnavailable):
        sent(outbox, over_memory(MemoryProducer(lambda _value: fault)))
    counts = outbox.counts()
    assert (counts.pending, counts.dead) == (EVENTS_PER_RUN, 0)


def test_a_message_that_no_broker_answers_is_taken_back() -> None:
    producer = MemoryProducer(lambda _value: "silence")
    body = next(iter(run_events(run_named("r1"), LineageNaming()))).body
    with pytest.raises(SinkUnavailable, match="no broker answered in time"):
        list(over_memory(producer).send([StandIn(1, "a", body)], halted=lambda: False))
    assert producer.waiting == []


@given(faults=st.lists(st.sampled_from(["", "NOT_ENOUGH_REPLICAS", "MSG_SIZE_TOO_LARGE"])))
def test_a_lane_stops_at_its_first_event_that_is_put_off(faults: list[str]) -> None:
    body = next(iter(run_events(run_named("r1"), LineageNaming()))).body
    events = [StandIn(seq, f"lane {seq % 3}", body + b" " * seq) for seq in range(len(faults))]
    fault_of = {event.body: fault for event, fault in zip(events, faults, strict=True)}
    producer = MemoryProducer(lambda value: fault_of[value])
    outcomes = {}
    try:
        for outcome in over_memory(producer).send(events, halted=lambda: False):
            outcomes[outcome.seq] = outcome.action
    except SinkUnavailable:
        return  # trouble with several in a row: what was told stands
    for lane in range(3):
        own = [event.seq for event in events if event.seq % 3 == lane]
        first = next((i for i, seq in enumerate(own) if faults[seq] == "NOT_ENOUGH_REPLICAS"), 99)
        assert [seq for seq in own if seq in outcomes] == own[: first + 1]


# Several at once


def test_a_composite_has_taken_an_event_only_if_all_have(
    outbox: LineageOutbox, tmp_path: Path
) -> None:
    outbox.queue([run_named("r1")])
    good = {"type": RECORDING, "path": str(tmp_path / "good")}
    bad = {"type": RECORDING, "path": str(tmp_path / "bad"), "refuse": "trainer COMPLETE"}
    composite = {"type": "composite", "transports": {"a": bad, "b": good}}
    delivered, retried, dead = sent(outbox, opened(composite))
    assert (delivered, dead) == (4, 0)
    assert retried > 0
    assert outbox.counts().pending == 2
    assert len(lines(tmp_path / "bad")) == 4
    assert len(lines(tmp_path / "good")) > 4


def test_a_composite_that_stops_at_the_first_success_needs_only_one(
    outbox: LineageOutbox, tmp_path: Path
) -> None:
    outbox.queue([run_named("r1")])
    composite = {
        "type": "composite",
        "continue_on_success": False,
        "sort_transports": True,
        "transports": [
            {"type": RECORDING, "path": str(tmp_path / "second"), "priority": 1},
            {"type": OUT_OF_REACH, "priority": 2},
        ],
    }
    assert sent(outbox, opened(composite)) == (EVENTS_PER_RUN, 0, 0)
    assert len(lines(tmp_path / "second")) == EVENTS_PER_RUN


def test_a_child_out_of_reach_makes_the_composite_wait(
    outbox: LineageOutbox, tmp_path: Path
) -> None:
    outbox.queue([run_named("r1")])
    good = {"type": RECORDING, "path": str(tmp_path / "good")}
    composite = {"type": "composite", "transports": [{"type": OUT_OF_REACH}, good]}
    with pytest.raises(SinkUnavailable, match="nobody there"):
        sent(outbox, opened(composite))
    assert outbox.counts().pending == EVENTS_PER_RUN
    assert len(lines(tmp_path / "good")) == 1


# HTTP as openlineage-python is configured for it


@pytest.mark.parametrize("kind", ["http", "async_http"])
def test_plain_http_goes_by_our_own_sender(
    outbox: LineageOutbox, lineage_server: LineageServer, kind: str
) -> None:
    outbox.queue([run_named("r1")])
    http = {
        "type": kind,
        "url": lineage_server.url,
        "endpoint": "in/here",
        "auth": {"type": "api_key", "apiKey": "open-sesame"},
        "custom_headers": {"X-Team": "ml"},
        "compression": "gzip",
    }
    destination = opened(http)
    assert isinstance(destination, HttpDestination)
    assert sent(outbox, destination) == (EVENTS_PER_RUN, 0, 0)
    seen = lineage_server.seen[0]
    assert (seen.path, seen.headers["Authorization"]) == ("/in/here", "Bearer open-sesame")
    assert (seen.headers["X-Team"], seen.headers["Content-Encoding"]) == ("ml", "gzip")


def test_http_without_a_look_at_certificates_goes_by_our_own_sender_too(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    destination = opened({"type": "http", "url": lineage_server.url, "verify": False})
    assert isinstance(destination, HttpDestination)
    lineage_server.answer = lambda _event: Reply(503, b"{}")
    events = [StandIn(1, "a", outbox.bodies()[0])]
    (outcome,) = destination.send(events, halted=lambda: False)
    assert (outcome.action, outcome.status) == ("retry", 503)
    assert len(lineage_server.seen) == 1
    lineage_server.answer = lambda _event: Reply(422, b'{"errors":["no"]}')
    (outcome,) = destination.send(events, halted=lambda: False)
    assert (outcome.action, outcome.status, outcome.body) == ("dead", 422, '{"errors":["no"]}')
    lineage_server.answer = lambda _event: Reply(401)
    with pytest.raises(SinkUnavailable, match="credentials"):
        list(destination.send(events, halted=lambda: False))


def test_a_transformer_of_the_users_shapes_what_leaves(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    transform = {
        "type": "transform",
        "transformer_class": "support.client_transports.Renaming",
        "transformer_properties": {"namespace": "theirs"},
        "transport": {"type": "http", "url": lineage_server.url},
    }
    assert sent(outbox, opened(transform)) == (EVENTS_PER_RUN, 0, 0)
    assert {seen.event["job"]["namespace"] for seen in lineage_server.seen} == {"theirs"}
    assert len(lineage_server.seen) == 4


def test_datadog_gets_each_event_by_one_request(
    outbox: LineageOutbox, lineage_server: LineageServer
) -> None:
    outbox.queue([run_named("r1")])
    datadog = {"type": "datadog", "apiKey": "open-sesame", "site": lineage_server.url}
    assert sent(outbox, opened(datadog)) == (EVENTS_PER_RUN, 0, 0)
    assert len(lineage_server.seen) == EVENTS_PER_RUN
    assert lineage_server.seen[0].headers["Authorization"] == "Bearer open-sesame"


# Amazon and Google


class _Aws:
    """A server that answers every request as it is told, and remembers them."""

    def __init__(self) -> None:
        self.status = 200
        self.code = ""
        self.seen: list[tuple[str, bytes, str]] = []


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[_Aws, str]]:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    state = _Aws()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.seen.append((self.path, body, self.headers.get("Client-Token", "")))
            answer = json.dumps({"id": "e", "domainId": "d", "message": "said so"}).encode()
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(answer)))
            if state.code:
                self.send_header("x-amzn-ErrorType", state.code)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    with serving(Handler) as url:
        yield state, url


def test_datazone_gets_our_bytes_under_a_token_of_their_content(
    outbox: LineageOutbox, aws: tuple[_Aws, str]
) -> None:
    state, url = aws
    outbox.queue([run_named("r1")])
    bodies = outbox.bodies()
    datazone = {"type": "amazon_datazone_api", "domainId": "dzd_1", "endpointOverride": url}
    assert sent(outbox, opened(datazone)) == (EVENTS_PER_RUN, 0, 0)
    assert [body for _, body, _ in state.seen] == bodies
    assert state.seen[0][0] == "/v2/domains/dzd_1/lineage/events"
    tokens = [token for _, _, token in state.seen]
    assert len(set(tokens)) == EVENTS_PER_RUN
    assert all(1 <= len(token) <= 128 for token in tokens)


@pytest.mark.parametrize(
    ("status", "code", "action"),
    [
        (400, "ValidationException", "dead"),
        (429, "ThrottlingException", "retry"),
        (500, "InternalServerException", "retry"),
        (403, "AccessDeniedException", "stop"),
        (404, "ResourceNotFoundException", "stop"),
    ],
)
def test_what_datazone_answers_counts_as_from_any_catalog(
    aws: tuple[_Aws, str], status: int, code: str, action: str
) -> None:
    state, url = aws
    state.status, state.code = status, code
    datazone = {"type": "amazon_datazone_api", "domainId": "dzd_1", "endpointOverride": url}
    body = next(iter(run_events(run_named("r1"), LineageNaming()))).body
    told = opened(datazone).send([StandIn(1, "a", body)], halted=lambda: False)
    if action == "stop":
        with pytest.raises(SinkUnavailable):
            list(told)
        return
    (outcome,) = told
    assert (outcome.action, outcome.status) == (action, status)
    assert code in outcome.body


class _Google:
    """Stands for the client's GCPLineageTransport over a client that answers as it is told."""

    parent = "projects/p/locations/l"

    def __init__(self, fails: Callable[[], None]) -> None:
        self.client = self
        self.requests: list[dict[str, Any]] = []  # Any: JSON
        self._fails = fails

    def process_open_lineage_run_event(self, *, request: dict[str, Any]) -> None:  # Any: JSON
        self.requests.append(request)
        self._fails()


class _GoogleError(Exception):
    """A google.api_core error: its `code` is the HTTP status."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{code} said so")
        self.code = code


def test_google_gets_our_event_under_an_id_of_its_content(outbox: LineageOutbox) -> None:
    outbox.queue([run_named("r1")])
    bodies = outbox.bodies()
    google = _Google(lambda: None)
    config = ClientConfig({"type": "gcplineage"}, "the settings")
    destination = TransportDestination("events", GcpSender("events", google), config, str)
    assert sent(outbox, destination) == (EVENTS_PER_RUN, 0, 0)
    assert [request["open_lineage"] for request in google.requests] == [
        json.loads(body) for body in bodies
    ]
    ids = [request["request_id"] for request in google.requests]
    assert len(set(ids)) == EVENTS_PER_RUN
    assert {len(one) for one in ids} == {36}


@pytest.mark.parametrize(("code", "action"), [(400, "dead"), (429, "retry"), (503, "retry")])
def test_what_google_answers_counts_as_from_any_catalog(code: int, action: str) -> None:
    def fails() -> None:
        raise _GoogleError(code)

    body = next(iter(run_events(run_named("r1"), LineageNaming()))).body
    (outcome,) = GcpSender("events", _Google(fails)).send([StandIn(1, "a", body)])
    assert (outcome.action, outcome.status) == (action, code)


# Configurations that cannot be


@pytest.mark.parametrize(
    ("transport", "said"),
    [
        ({"type": "kafak"}, "'kafak', which there is not"),
        ({"type": "kafka", "topic": "t"}, "`config` not passed"),
        ({"type": "composite", "transports": []}, "`transports` are empty"),
        ({"type": "composite", "transports": [{"url": "x"}]}, "has no `type`"),
        ({"type": "no.such.Transport"}, "Failed to import"),
        ({"type": "http", "url": "here"}, "web address"),
        ({"type": "http", "url": "x", "verify": False}, "url"),
        ({"type": "datadog", "apiKey": "open-sesame", "site": "mars"}, "Invalid site"),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) else "",
)
def test_a_transport_that_cannot_be_made_is_told_in_one_line(
    transport: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(transport)
    assert said in caught.value.message
    assert "'events'" in caught.value.message
    assert "\n" not in str(caught.value)
    assert "open-sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("transport", "package", "extra"),
    [
        (
            {"type": "kafka", "topic": "t", "config": {"bootstrap.servers": "x:1"}},
            "confluent_kafka",
            "kafka",
        ),
        ({"type": "gcplineage", "project_id": "p"}, "google.cloud.datacatalog_lineage_v1", "gcp"),
        ({"type": "amazon_datazone_api", "domainId": "d"}, "boto3", "datazone"),
    ],
    ids=["kafka", "gcp", "datazone"],
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, transport: dict[str, object], package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError) as caught:
        opened(transport)
    assert package.partition(".")[0] in caught.value.message
    assert "is not installed" in caught.value.message
    assert f"pipeline-exporter[{extra}]" in caught.value.hint


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("http://x:1"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
_KINDS = ("http", "kafka", "composite", "transform", "datadog", "amazon_datazone_api", "file")
_KEYS = (
    *("url", "auth", "timeout", "custom_headers", "compression", "verify", "endpoint", "retry"),
    *("config", "topic", "transports", "sort_transports", "transport", "transformer_class"),
    *("apiKey", "site", "log_file_path", "priority", "domainId", "region"),
)


@given(
    kind=st.sampled_from(_KINDS) | st.text(min_size=1, max_size=8),
    values=st.dictionaries(st.sampled_from(_KEYS), _JUNK, max_size=5),
)
def test_whatever_a_transport_is_given_it_opens_or_is_a_mistake_in_the_settings(
    kind: str, values: dict[str, object]
) -> None:
    try:
        opened({"type": kind, **values}).close()
    except ConfigError as error:
        told = str(error)
        assert "'events'" in told


class _TimeoutError(OSError):
    """As the error of requests is called."""


_TimeoutError.__name__ = "Timeout"


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (_TimeoutError("slow"), "retry"),
        (ValueError("no"), "retry"),
        (PermissionError("no"), "stop"),
        (ConnectionResetError("no"), "stop"),
        (TimeoutError("no"), "stop"),
        (ModuleNotFoundError("no"), "stop"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_what_is_no_events_fault_condemns_no_event(error: Exception, action: str) -> None:
    if action == "stop":
        with pytest.raises(SinkUnavailable, match="no"):
            outcome_of_error("events", 1, error)
    else:
        assert outcome_of_error("events", 1, error).action == action


def test_a_secret_that_a_transport_repeats_is_masked(outbox: LineageOutbox, tmp_path: Path) -> None:
    outbox.queue([run_named("r1")])
    recording = {
        "type": RECORDING,
        "path": str(tmp_path / "out"),
        "refuse": " ",
        "says": "key open-sesame is wrong",
        "apiKey": "open-sesame",
    }
    events = [StandIn(1, "a", outbox.bodies()[0])]
    (outcome,) = opened(recording).send(events, halted=lambda: False)
    assert outcome.body == "key *** is wrong"
