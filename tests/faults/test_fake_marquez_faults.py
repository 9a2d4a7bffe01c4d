"""The stand-in catalog fails as it is told: it refuses, tarries, cuts off, dies, and counts."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
from urllib.parse import urlsplit

import pytest
from fakes.marquez import FakeMarquez, running_catalog
from support.catalog_answers import post, post_raw, status_of
from support.lineage_catalogs import Teller
from support.openlineage_server import Reply

# What a client sees when the connection is closed on it.
CLOSED = (http.client.HTTPException, urllib.error.URLError, ConnectionError)


@pytest.fixture
def teller(marquez: FakeMarquez) -> Teller:
    return Teller(marquez.url, "zenml://acme/local")


def test_an_answer_instead_leaves_nothing(marquez: FakeMarquez, teller: Teller) -> None:
    marquez.before = lambda _event: Reply(503, b"later", "text/plain", {"Retry-After": "7"})
    assert post_raw(marquez.url, json.dumps(teller.event("START", "job", "r")).encode()) == (
        503,
        b"later",
    )
    assert (marquez.state.runs, marquez.posts, marquez.replies) == ({}, 1, [503])


def test_an_answer_may_depend_on_the_event(marquez: FakeMarquez, teller: Teller) -> None:
    marquez.before = lambda event: Reply(500) if event["job"]["name"] == "bad" else None
    assert [teller.tell("START", name, name) for name in ("bad", "good")] == [500, 201]
    assert teller.jobs() == {"good"}


def test_a_late_answer_comes_after_the_event_was_applied(
    marquez: FakeMarquez, teller: Teller
) -> None:
    marquez.before = lambda _event: Reply(delay_s=0.2)
    began = time.monotonic()
    assert teller.tell("START", "job", "r") == 201
    assert time.monotonic() - began >= 0.2
    assert teller.run("r")["state"] == "RUNNING"


@pytest.mark.parametrize("reply", [Reply(drop=True), Reply(body=b"{", break_off=True)])
def test_who_is_cut_off_does_not_know_that_the_event_was_taken(
    marquez: FakeMarquez, teller: Teller, reply: Reply
) -> None:
    marquez.before = lambda _event: reply
    with pytest.raises(CLOSED):
        teller.tell("START", "job", "r")
    marquez.before = lambda _event: None
    assert teller.run("r")["state"] == "RUNNING"


def test_a_connection_may_be_closed_before_the_event_is_taken(
    marquez: FakeMarquez, teller: Teller
) -> None:
    marquez.before = lambda _event: Reply(500, drop=True)
    with pytest.raises(CLOSED):
        teller.tell("START", "job", "r")
    assert marquez.state.events == []


def test_it_dies_after_so_many_posts_and_comes_back_with_all_it_knew(
    marquez: FakeMarquez, teller: Teller
) -> None:
    marquez.dies_after = 2
    assert [teller.tell("START", "job", run) for run in ("a", "b")] == [201, 201]
    with pytest.raises(CLOSED):
        teller.tell("START", "job", "c")
    with pytest.raises(CLOSED):
        status_of(marquez.url, "/namespaces")
    marquez.revive()
    assert teller.tell("START", "job", "c") == 201
    assert (len(marquez.state.runs), marquez.posts) == (3, 3)


def test_whoever_waits_is_told_of_each_event_before_its_answer(
    marquez: FakeMarquez, teller: Teller
) -> None:
    told: list[str] = []
    marquez.after = lambda event: told.append(event["eventType"])
    marquez.before = lambda event: Reply(500) if event["eventType"] == "FAIL" else None
    for kind in ("START", "FAIL", "COMPLETE"):
        teller.tell(kind, "job", "r")
    assert told == ["START", "COMPLETE"]


def test_it_counts_what_is_under_way_at_once(marquez: FakeMarquez, teller: Teller) -> None:
    teller.tell("START", "job", "r")
    assert (marquez.most_under_way, marquez.together) == (1, set())


def test_many_events_go_over_one_connection(marquez: FakeMarquez, teller: Teller) -> None:
    address = urlsplit(marquez.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    for number in range(20):
        body = json.dumps(teller.event("START", "job", f"r{number}"))
        connection.request("POST", "/api/v1/lineage", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (201, b"")
    connection.close()
    assert len(marquez.state.runs) == 20


def test_it_stops_with_its_block() -> None:
    with running_catalog(takes_s=0.01) as catalog:
        assert catalog.takes_s == 0.01
        assert status_of(catalog.url, "/namespaces") == 200
    with pytest.raises(CLOSED):
        post(catalog.url, {})
