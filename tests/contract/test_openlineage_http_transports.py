"""HTTP in every spelling of openlineage-python: by our own sender, so nothing is lost silently."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from support.client_transports import TOKENS
from support.lineage_outbox import run_named
from support.openlineage_server import LineageServer, Reply
from support.quiet_server import serving
from support.secured_server import secured_server

from exporter.config import OpenLineageSettings
from exporter.errors import ConfigError, SinkUnavailable
from exporter.mapping.openlineage import LineageNaming, run_events
from exporter.sinks.openlineage import Destination, HttpDestination, Outcome, open_destination

Json = dict[str, Any]  # Any: JSON values

EVENT = next(iter(run_events(run_named("r1"), LineageNaming()))).body
ELSEWHERE = Reply(302, headers={"Location": "/login"})
SECRET = "open-sesame-9"


class Due(NamedTuple):
    seq: int = 1
    lane: str = "a"
    body: bytes = EVENT
    unit: str = ""
    ends_unit: bool = False


def sent(destination: Destination, count: int = 1) -> list[Outcome]:
    try:
        events = [Due(seq) for seq in range(count)]
        return list(destination.send(events, halted=lambda: False))
    finally:
        destination.close()


def opened(**values: object) -> Destination:
    return open_destination(OpenLineageSettings.model_validate({"name": "events", **values}))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def _by_transport(**more: object) -> Callable[[str, Path, pytest.MonkeyPatch], Destination]:
    return lambda url, _here, _patch: opened(transport={"type": "http", "url": url, **more})


def _by_file_and_url(url: str, here: Path, patch: pytest.MonkeyPatch) -> Destination:
    tree = {"transport": {"type": "http", "url": url}}
    (here / "openlineage.yml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    patch.setenv("OPENLINEAGE_URL", url)
    return opened(openlineage_config="auto")


def _by_variables(url: str, here: Path, patch: pytest.MonkeyPatch) -> Destination:
    patch.setenv("OPENLINEAGE_URL", url)
    patch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "async_http")
    return opened(openlineage_config="auto")


def _by_datadog(url: str, here: Path, patch: pytest.MonkeyPatch) -> Destination:
    return opened(transport={"type": "datadog", "apiKey": SECRET, "site": url})


SPELLINGS = {
    "plain": _by_transport(),
    "verify": _by_transport(verify=False),
    "a class that gives tokens": _by_transport(auth={"type": TOKENS, "token": "t"}),
    "unknown keys": _by_transport(surprise=1),
    "file and OPENLINEAGE_URL": _by_file_and_url,
    "async_http by variables": _by_variables,
}
every_spelling = pytest.mark.parametrize("spelling", SPELLINGS)


@every_spelling
@pytest.mark.parametrize(
    "reply", [ELSEWHERE, Reply(200, b"<html>", "text/html")], ids=["redirect", "web page"]
)
def test_a_login_page_counts_as_no_success(
    lineage_server: LineageServer,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    spelling: str,
    reply: Reply,
) -> None:
    lineage_server.answer = lambda _event: reply
    destination = SPELLINGS[spelling](lineage_server.url, here, monkeypatch)
    assert isinstance(destination, HttpDestination)
    with pytest.raises(SinkUnavailable, match=r"redirects|web page"):
        sent(destination)
    assert len(lineage_server.seen) == 1


@every_spelling
def test_an_answer_that_names_failures_is_no_success(
    lineage_server: LineageServer, here: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    failed = b'{"failed_events": [{"index": 0, "reason": "nope", "retriable": false}]}'
    lineage_server.answer = lambda _event: Reply(200, failed)
    (outcome,) = sent(SPELLINGS[spelling](lineage_server.url, here, monkeypatch))
    assert outcome.action == "dead"
    assert "nope" in outcome.body


def test_the_clients_own_http_inside_another_transport_follows_no_redirect(
    lineage_server: LineageServer, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineage_server.answer = lambda _event: ELSEWHERE
    with pytest.raises(SinkUnavailable, match="redirects to /login"):
        sent(_by_datadog(lineage_server.url, here, monkeypatch))
    assert len(lineage_server.seen) == 1


# Tokens that the client fetches


class TokenPlace(NamedTuple):
    url: str
    asked: list[str]


@contextmanager
def token_place(status: int, answer: Mapping[str, object]) -> Iterator[TokenPlace]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    with serving(Handler) as url:
        yield TokenPlace(f"{url}/token", asked)


def _auth(kind: str, endpoint: str) -> Json:
    if kind == "jwt":
        return {"type": "jwt", "apiKey": SECRET, "tokenEndpoint": endpoint}
    return {"type": kind, "clientId": "c", "clientSecret": SECRET, "tokenEndpoint": endpoint}


@pytest.mark.parametrize("kind", ["jwt", "oauth2"])
def test_a_token_that_the_client_fetches_is_shown_and_masked(
    lineage_server: LineageServer, kind: str
) -> None:
    lineage_server.answer = lambda _event: Reply(400, b'{"message": "who is fetched-token-1?"}')
    with token_place(200, {"access_token": "fetched-token-1", "expires_in": 3600}) as place:
        auth = _auth(kind, place.url)
        transport = {"type": "http", "url": lineage_server.url, "auth": auth}
        destination = opened(transport=transport)
        assert isinstance(destination, HttpDestination)
        outcomes = sent(destination, 3)
    assert [outcome.action for outcome in outcomes] == ["dead"] * 3
    assert {seen.headers["Authorization"] for seen in lineage_server.seen} == {
        "Bearer fetched-token-1"
    }
    assert len(place.asked) == 1
    assert "fetched-token-1" not in str(outcomes)


def test_without_a_token_to_be_had_the_destination_stops_and_tells_no_secret(
    lineage_server: LineageServer,
) -> None:
    with token_place(500, {}) as place:
        auth = _auth("jwt", f"{place.url}?api_key={SECRET}")
        transport = {"type": "http", "url": lineage_server.url, "auth": auth}
        with pytest.raises(SinkUnavailable, match="no token to show") as caught:
            sent(opened(transport=transport))
    assert SECRET not in str(caught.value)
    assert not lineage_server.seen


# Certificates


def test_certificates_are_looked_at_as_the_transport_says(tmp_path: Path) -> None:
    with secured_server(tmp_path) as server:
        certificate = server.certificate
        http: Json = {"type": "http", "url": server.url}
        with pytest.raises(SinkUnavailable, match="cannot be reached"):
            sent(opened(transport=http))
        trusting: list[Json] = [
            {"verify": False},
            {"verify": str(certificate)},
            {"sslContext": {"caCertPath": str(certificate)}},
            {"verify": False, "ssl_context": {"ca_cert_path": str(certificate)}},
        ]
        for more in trusting:
            (outcome,) = sent(opened(transport=http | more))
            assert outcome.action == "ack", more


def test_a_certificate_that_cannot_be_read_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.pem")
    for more in ({"verify": missing}, {"sslContext": {"clientCertPath": missing}}):
        with pytest.raises(ConfigError, match="certificate cannot be read"):
            opened(transport={"type": "http", "url": "https://x", **more})
