"""Catalogs behind the proxy that the environment names."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest
from support.forward_proxy import forward_proxy
from support.lineage_outbox import run_named
from support.openlineage_server import LineageServer, Reply
from support.secured_server import secured_server

from exporter.errors import ConfigError, SinkUnavailable
from exporter.mapping.openlineage import LineageNaming, run_events
from exporter.sinks.openlineage import Destination, HttpDestination

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = [event.body for event in run_events(run_named("r1"), LineageNaming())]
NAME = "catalog.test"  # known to the certificate and to the proxy, to nobody else


class Due(NamedTuple):
    seq: int
    body: bytes
    lane: str = "a"
    unit: str = ""
    ends_unit: bool = False


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def sent(destination: Destination) -> list[str]:
    """Send all events; give what became of each."""
    try:
        due = [Due(seq, body) for seq, body in enumerate(EVENTS)]
        return [outcome.action for outcome in destination.send(due, halted=lambda: False)]
    finally:
        destination.close()


def port_of(server: LineageServer) -> int:
    return urlsplit(server.url).port or 0


def test_plain_http_goes_through_a_proxy_by_its_whole_address(
    lineage_server: LineageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = port_of(lineage_server)
    with forward_proxy(port) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert sent(HttpDestination("events", f"http://192.168.7.7:{port}")) == ["ack"] * len(
            EVENTS
        )
    (head,) = proxy.heads  # one connection is kept
    assert head.startswith(f"POST http://192.168.7.7:{port}/api/v1/lineage HTTP/1.1\r\n")
    assert f"\r\nHost: 192.168.7.7:{port}\r\n" in head
    assert "Proxy-Authorization: Basic YW5uOnBAc3M=" in head
    assert len(lineage_server.seen) == len(EVENTS)
    assert {seen.path for seen in lineage_server.seen} == {"/api/v1/lineage"}


def test_tls_goes_through_a_proxy_as_a_tunnel_that_sees_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secured_server(tmp_path, NAME) as server, forward_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        trusting = ssl.create_default_context(cafile=server.certificate)
        destination = HttpDestination("events", f"https://{NAME}", token="hidden", tls=trusting)
        assert sent(destination) == ["ack"] * len(EVENTS)
    for head in proxy.heads:
        assert head.startswith(f"CONNECT {NAME}:443 HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic YW5uOnBAc3M=" in head
        assert "\r\nAuthorization" not in head


def test_a_catalog_on_loopback_and_one_of_no_proxy_are_spoken_to_directly(
    lineage_server: LineageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "http://ann:hidden@127.0.0.1:9")
    assert sent(HttpDestination("events", lineage_server.url)) == ["ack"] * len(EVENTS)
    with pytest.raises(SinkUnavailable, match=r"through the proxy http://127\.0\.0\.1:9\)") as told:
        sent(HttpDestination("events", "http://catalog.invalid"))
    assert "hidden" not in str(told.value)
    monkeypatch.setenv("no_proxy", ".invalid")
    with pytest.raises(SinkUnavailable) as told:
        sent(HttpDestination("events", "http://catalog.invalid"))
    assert "proxy" not in told.value.message


def test_a_proxy_that_asks_for_credentials_gives_up_no_event(
    lineage_server: LineageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineage_server.answer = lambda _: Reply(407)
    monkeypatch.setenv("http_proxy", lineage_server.url)
    with pytest.raises(SinkUnavailable, match="a proxy that asks for credentials") as told:
        sent(HttpDestination("events", "http://catalog.invalid"))
    assert "http://user:password@host:port" in (told.value.hint or "")


def test_a_password_that_a_proxy_repeats_is_masked(
    lineage_server: LineageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineage_server.answer = lambda _: Reply(422, b"no good: Basic YW5uOnBAc3M=")
    with forward_proxy(port_of(lineage_server)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        destination = HttpDestination("events", "http://catalog.invalid")
        (outcome, *_) = destination.send([Due(1, EVENTS[0])], halted=lambda: False)
        destination.close()
    assert outcome.action == "dead"
    assert "no good" in outcome.body
    assert "YW5uOnBAc3M" not in outcome.body


def test_a_proxy_of_another_kind_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "socks5://ann:hidden@127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"names a proxy for https://catalog\.test") as told:
        HttpDestination("events", f"https://{NAME}")
    assert "hidden" not in f"{told.value.message} {told.value.hint}"
