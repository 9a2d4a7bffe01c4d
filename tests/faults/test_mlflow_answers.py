"""What the sink makes of every kind of answer, and of none."""

from __future__ import annotations

import io
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.mlflow_faults import Reply, error_reply, scripted_server, try_again_at_once
from support.mlflow_samples import Files, five_steps, plan
from support.mlflow_server import free_port

from exporter.errors import (
    ConfigError,
    SinkError,
    SinkRateLimited,
    SinkTerminal,
    SinkTransient,
    SinkUnavailable,
)
from exporter.sinks.mlflow import ExperimentBinding, MlflowSink, transport
from exporter.sinks.mlflow.answers import (
    AlreadyExists,
    Answer,
    InactiveRun,
    MissingResource,
    error_of,
)
from exporter.sinks.mlflow.rest import RestApi
from exporter.sinks.mlflow.transport import address_of

HTML = Reply(200, b"<!doctype html><title>Sign in</title>", (("Content-Type", "text/html"),))
CREATED = Reply(
    body=b'{"run": {"info": {"run_id": "r1", "artifact_uri": "mlflow-artifacts:/1/r1/artifacts"}}}'
)


def api_at(url: str, *, timeout_s: float = 5.0) -> tuple[RestApi, list[float]]:
    """Give an API that notes its pauses instead of sleeping."""
    pauses: list[float] = []
    return RestApi(url, timeout_s=timeout_s, sleep=pauses.append), pauses


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error_reply(400, "INVALID_PARAMETER_VALUE"), SinkTerminal),
        (error_reply(400, "RESOURCE_ALREADY_EXISTS"), AlreadyExists),
        (error_reply(400, "X", "The run must be in the 'active' state. Is deleted."), InactiveRun),
        (error_reply(400, "BAD_REQUEST", "(sqlite3.IntegrityError) UNIQUE"), SinkTransient),
        (error_reply(400, "BAD_REQUEST", "(psycopg.errors.UniqueViolation) dup"), SinkTransient),
        (Reply(400, b"Bad Request", (("Content-Type", "text/html"),)), SinkUnavailable),
        (error_reply(401), SinkUnavailable),
        (error_reply(403), SinkUnavailable),
        (error_reply(404, "RESOURCE_DOES_NOT_EXIST"), MissingResource),
        (Reply(404, b"Not Found", (("Content-Type", "text/plain"),)), SinkUnavailable),
        (Reply(404, b'{"detail": "Not Found"}'), SinkUnavailable),
        (error_reply(409), SinkTerminal),
        (Reply(413, b"too large"), SinkTerminal),
        (error_reply(408), SinkTransient),
        (error_reply(429), SinkRateLimited),
        (error_reply(500), SinkTransient),
        (
            Reply(502, b"<html>bad gateway</html>", (("Content-Type", "text/html"),)),
            SinkUnavailable,
        ),
        (error_reply(503), SinkUnavailable),
        (error_reply(504), SinkUnavailable),
        (Reply(301, b"", (("Location", "https://elsewhere"),)), SinkUnavailable),
        (HTML, SinkUnavailable),
        (Reply(200, b"[]"), SinkUnavailable),
        (Reply(200, b'{"truncated": '), SinkUnavailable),
    ],
)
def test_every_answer_has_its_error(reply: Reply, expected: type[SinkError]) -> None:
    with scripted_server(reply) as server:
        api, _ = api_at(server.url)
        with pytest.raises(expected) as caught:
            api.set_experiment_tag("1", "a", "b")
        api.close()
    assert type(caught.value) is expected
    assert "127.0.0.1" in caught.value.message


def test_a_passing_failure_is_tried_again_with_growing_pauses() -> None:
    with scripted_server(error_reply(503), error_reply(500), Reply(cut=True), Reply()) as server:
        api, pauses = api_at(server.url)
        api.set_experiment_tag("1", "a", "b")
        api.close()
    assert len(server.asked) == 4
    assert pauses == sorted(pauses)


def test_tries_are_bounded() -> None:
    with scripted_server(error_reply(500)) as server:
        api, pauses = api_at(server.url)
        with pytest.raises(SinkTransient):
            api.set_experiment_tag("1", "a", "b")
        api.close()
    assert len(server.asked) == 5
    assert sum(pauses) < 10


@pytest.mark.parametrize("reply", [error_reply(500), error_reply(429)], ids=["500", "429"])
def test_a_server_that_fails_request_after_request_is_in_trouble(reply: Reply) -> None:
    replies = [reply] * 10 + [Reply()] + [reply]
    with scripted_server(*replies) as server:
        api, _ = api_at(server.url)
        for _ in range(2):
            with pytest.raises(SinkTransient):
                api.set_experiment_tag("1", "a", "b")
        api.set_experiment_tag("1", "a", "b")  # an answer that is none begins the count anew
        for _ in range(2):
            with pytest.raises(SinkTransient):
                api.set_experiment_tag("1", "a", "b")
        with pytest.raises(SinkUnavailable, match="in trouble"):
            api.set_experiment_tag("1", "a", "b")
        api.close()


def test_answers_without_what_mlflow_says_in_them_are_not_mlflow() -> None:
    with scripted_server(Reply()) as server:
        api, _ = api_at(server.url)
        for ask in (
            lambda: api.experiment("1"),
            lambda: api.experiment_by_name("n"),
            lambda: api.create_experiment("n", {}),
            lambda: api.create_run("1", "n", 0, {}),
        ):
            with pytest.raises(SinkUnavailable, match="does not answer as an MLflow server"):
                ask()
        api.close()


def test_a_short_retry_after_is_honoured_and_a_long_one_handed_on() -> None:
    with scripted_server(error_reply(429, Retry_After="7"), Reply()) as server:
        api, pauses = api_at(server.url)
        api.set_experiment_tag("1", "a", "b")
        assert pauses == [7.0]
        api.close()
    with scripted_server(error_reply(503, Retry_After="600")) as server:
        api, pauses = api_at(server.url)
        with pytest.raises(SinkRateLimited) as caught:
            api.set_experiment_tag("1", "a", "b")
        assert caught.value.retry_after_s == 600
        assert len(server.asked) == 1
        api.close()


@pytest.mark.parametrize(
    ("header", "seconds"), [("31536000", 3600.0), ("1e300", 3600.0), ("inf", 1.0), ("soon", 1.0)]
)
def test_a_pause_that_a_server_asks_for_is_at_most_an_hour(header: str, seconds: float) -> None:
    failure = error_of(Answer(429, "", header, b""), "x", "y")
    assert isinstance(failure, SinkRateLimited)
    assert failure.retry_after_s == seconds


@pytest.mark.parametrize(
    "reply",
    [Reply(cut=True), error_reply(500), error_reply(503), Reply(body=CREATED.body, drop=True)],
)
def test_a_create_is_never_sent_twice(reply: Reply) -> None:
    with scripted_server(reply) as server:
        api, _ = api_at(server.url)
        with pytest.raises((SinkTransient, SinkUnavailable)):
            api.create_run("1", "n", 5, {})
        assert len(server.asked) == 1
        api.close()


def test_a_create_without_an_answer_in_time_has_an_unclear_outcome() -> None:
    with scripted_server(Reply(body=CREATED.body, after_s=1.0)) as server:
        api, _ = api_at(server.url, timeout_s=0.2)
        with pytest.raises(SinkTransient, match="no clear outcome") as caught:
            api.create_run("1", "n", 5, {})
        assert caught.value.context["unclear"] is True
        assert len(server.asked) == 1
        api.close()


def test_a_create_after_a_silence_does_not_use_the_old_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with scripted_server(Reply(), CREATED) as server:
        api, _ = api_at(server.url)
        api.set_experiment_tag("1", "a", "b")
        monkeypatch.setattr(transport, "_IDLE_S", 0.0)
        api.create_run("1", "n", 5, {})
        assert server.connections == 2
        api.close()


def test_one_connection_serves_many_requests() -> None:
    with scripted_server(Reply()) as server:
        api, _ = api_at(server.url)
        for _ in range(5):
            api.set_experiment_tag("1", "a", "b")
        assert server.connections == 1
        assert api.requests == 5
        api.close()


def test_without_quickack_every_request_has_its_own_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "QUICKACK", None)
    with scripted_server(Reply()) as server:
        api, _ = api_at(server.url)
        for _ in range(3):
            api.set_experiment_tag("1", "a", "b")
        assert server.connections == 3
        api.close()


def test_a_refused_connection_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    try_again_at_once(monkeypatch)
    sink = MlflowSink(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SinkUnavailable, match="connection refused") as caught:
        sink.check()
    assert "tracking_uri" in caught.value.hint
    sink.close()


def test_an_unknown_host_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    try_again_at_once(monkeypatch)
    sink = MlflowSink("http://no-such-host.invalid:5000")
    with pytest.raises(SinkUnavailable, match="host name is not known"):
        sink.check()


def test_a_login_page_is_not_an_mlflow() -> None:
    with scripted_server(HTML) as server:
        sink = MlflowSink(server.url)
        with pytest.raises(SinkUnavailable, match="text/html") as caught:
            sink.check()
        assert "tracking_uri" in caught.value.hint
        sink.close()


def test_https_to_a_port_without_tls_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    try_again_at_once(monkeypatch)
    with scripted_server(Reply()) as server:
        sink = MlflowSink(server.url.replace("http://", "https://"))
        with pytest.raises(SinkUnavailable, match="does not speak TLS; try http://"):
            sink.check()
        sink.close()


@contextmanager
def _greeting_server(greeting: bytes) -> Iterator[str]:
    """Run a server that speaks first and speaks no HTTP, as NATS and Redis do."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(greeting)
            self.request.recv(65_536)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_something_that_speaks_no_http_is_not_an_mlflow() -> None:
    with _greeting_server(b'INFO {"server_id": "x"}\r\n') as url:
        api, pauses = api_at(url)
        with pytest.raises(SinkUnavailable, match="does not answer as an MLflow server") as caught:
            api.version()
        api.close()
    assert pauses == []
    assert caught.value.hint == "Is sinks.mlflow.tracking_uri right?"
    assert "INFO" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "given", "header"),
    [
        ("http://ann:p%40ss@{host}", {}, "Basic YW5uOnBAc3M="),
        ("http://{host}", {"username": "ann", "password": "p@ss"}, "Basic YW5uOnBAc3M="),
        ("http://{host}", {"token": "abc"}, "Bearer abc"),
        ("http://{host}", {}, None),
    ],
)
def test_credentials_are_sent_and_never_shown(
    uri: str, given: dict[str, str], header: str | None
) -> None:
    with scripted_server(error_reply(401)) as server:
        host = server.url.removeprefix("http://")
        sink = MlflowSink(uri.format(host=host), **given)  # type: ignore[arg-type]  # all are texts
        with pytest.raises(SinkUnavailable) as caught:
            sink.check()
        assert server.authorizations == [header]
        shown = f"{caught.value} {caught.value.hint} {caught.value.context}"
        assert "p@ss" not in shown
        assert "p%40ss" not in shown
        assert "abc" not in shown
        sink.close()


def test_credentials_come_from_mlflows_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0k")
    with scripted_server(error_reply(403)) as server:
        sink = MlflowSink(server.url)
        with pytest.raises(SinkUnavailable):
            sink.check()
        assert server.authorizations == ["Bearer t0k"]
        sink.close()


@pytest.mark.parametrize("uri", ["http://", "http://host:port", "ftp://host", "databricks", ""])
def test_an_address_that_cannot_work_is_a_configuration_error(uri: str) -> None:
    with pytest.raises(ConfigError, match="tracking_uri"):
        MlflowSink(uri)


def test_an_address_may_have_a_prefix_and_ipv6() -> None:
    address = address_of("https://mlflow.example/team/")
    assert (address.port, address.prefix, address.shown) == (
        443, "/team", "https://mlflow.example:443/team",
    )  # fmt: skip
    assert address_of("http://[::1]:5000").shown == "http://[::1]:5000"
    with scripted_server(Reply()) as server:
        api, _ = api_at(f"{server.url}/team")
        api.set_experiment_tag("1", "a", "b")
        assert server.asked[0][1].startswith("/team/api/2.0/mlflow/")
        api.close()


def test_an_upload_is_sent_again_from_its_begin() -> None:
    with scripted_server(error_reply(503), Reply(cut=True), Reply()) as server:
        api, _ = api_at(server.url)
        api.put_file("mlflow-artifacts:/1/r/artifacts", "outputs/a", io.BytesIO(b"12345"), 5)
        assert [body for _, _, body in server.asked] == [b"12345"] * 3
        api.close()


def test_an_unclear_create_inside_a_unit_reaches_the_caller() -> None:
    unit = plan(five_steps())
    with scripted_server(CREATED, Reply(cut=True)) as server:
        sink = MlflowSink(server.url)
        with pytest.raises(SinkTransient, match="runs/create"):
            sink.apply(
                unit,
                ExperimentBinding("1", "mlflow-artifacts:/1", existed=True),
                fresh=True,
                open_file=Files().open,
            )
        assert len(server.asked) == 2
        sink.close()


def test_certificates_are_checked_unless_mlflows_variable_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert transport._tls_context().verify_mode is ssl.CERT_REQUIRED
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    assert transport._tls_context().verify_mode is ssl.CERT_NONE


def test_a_server_that_never_answers_is_out_of_reach_after_three_tries() -> None:
    with scripted_server(Reply(after_s=0.6)) as server:
        api, _ = api_at(server.url, timeout_s=0.1)
        with pytest.raises(SinkTransient):
            api.create_run("1", "n", 5, {})
        with pytest.raises(SinkUnavailable, match="does not answer"):
            api.set_experiment_tag("1", "a", "b")
        assert len(server.asked) == 3
        server.replies[:] = [Reply()]
        api.set_experiment_tag("1", "a", "b")
        server.replies[:] = [Reply(after_s=0.6)]
        with pytest.raises(SinkTransient):
            api.create_run("1", "n", 5, {})
        api.close()
