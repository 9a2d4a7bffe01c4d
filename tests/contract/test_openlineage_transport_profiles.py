"""A catalog's profile decides how it is spoken to, whatever names its address."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from support.lineage_outbox import run_named
from support.openlineage_server import TAKEN, LineageServer, Reply

from exporter.config import OpenLineageSettings, load_mapping
from exporter.mapping.openlineage import (
    CatalogProfile,
    LineageNaming,
    profile_from_yaml,
    run_events,
)
from exporter.sinks.openlineage import Destination, HttpDestination, Outcome, open_destination
from exporter.sinks.openlineage.client_senders import outcome_of_error
from exporter.sinks.openlineage.client_transport import TransportDestination

Json = dict[str, Any]  # Any: JSON values

MARQUEZ = profile_from_yaml("marquez", load_mapping("catalogs/marquez"))
OURS = CatalogProfile(
    "ours", endpoint="in/lineage", refusals=(418, 503), tries=2, success={"edges": 1}
)
BODY = next(iter(run_events(run_named("r1"), LineageNaming()))).body
WAYS = ("transport", "openlineage.yml", "openlineage.yml with filters", "composite")
CLIENT = ("verify", "client in a composite")


class Due(NamedTuple):
    seq: int
    lane: str
    body: bytes = BODY
    unit: str = ""
    ends_unit: bool = False


def opened(way: str, url: str, profile: CatalogProfile, folder: Path, **more: Any) -> Destination:
    http: Json = {"type": "http", "url": url, **more}
    values: Json = {"name": "events", "transport": http}
    if way.startswith("openlineage.yml"):
        filters = [{"type": "exact", "match": "none"}] if "filters" in way else []
        file = folder / "openlineage.yml"
        file.write_text(yaml.safe_dump({"transport": http, "filters": filters}), encoding="utf-8")
        values = {"name": "events", "openlineage_config": str(file)}
    if way in CLIENT:
        http["verify"] = False
    if "composite" in way:
        values["transport"] = {"type": "composite", "transports": [http]}
    return open_destination(OpenLineageSettings.model_validate(values), profile)


def sent(destination: Destination, count: int = 1) -> list[Outcome]:
    try:
        events = [Due(seq, f"lane {seq}") for seq in range(count)]
        return list(destination.send(events, halted=lambda: False))
    finally:
        destination.close()


@pytest.mark.parametrize("way", [*WAYS, *CLIENT])
def test_the_profile_says_how_an_http_transport_is_spoken_to(
    lineage_server: LineageServer, tmp_path: Path, way: str
) -> None:
    lineage_server.answer = lambda _event: Reply(500, b"boom")
    (outcome,) = sent(opened(way, lineage_server.url, MARQUEZ, tmp_path))
    assert (outcome.action, outcome.tries) == ("retry", MARQUEZ.tries)
    (seen,) = lineage_server.seen
    assert (seen.path, seen.headers["Content-Encoding"]) == ("/api/v1/lineage", "gzip")


@pytest.mark.parametrize("way", [*WAYS, *CLIENT])
@pytest.mark.parametrize(
    ("reply", "action", "tries"),
    [
        (Reply(418), "dead", None),
        (Reply(503), "dead", None),
        (Reply(500), "retry", 2),
        (Reply(200, b'{"edges": 0}'), "dead", None),
        (Reply(200, b'{"edges": 1}'), "ack", None),
    ],
    ids=["refusal", "another refusal", "trouble", "no success", "success"],
)
def test_a_profile_of_the_users_own_reads_the_answers_to_a_transport(
    lineage_server: LineageServer,
    tmp_path: Path,
    way: str,
    reply: Reply,
    action: str,
    tries: int | None,
) -> None:
    lineage_server.answer = lambda _event: reply
    (outcome,) = sent(opened(way, lineage_server.url, OURS, tmp_path))
    assert outcome.action == action
    assert tries is None or outcome.tries == tries
    assert [seen.path for seen in lineage_server.seen] == ["/in/lineage"]


def test_a_transport_uses_as_many_connections_as_the_profile_allows(
    lineage_server: LineageServer, tmp_path: Path
) -> None:
    lineage_server.answer = lambda _event: TAKEN._replace(delay_s=0.05)
    sent(opened("transport", lineage_server.url, MARQUEZ, tmp_path), 24)
    assert len({seen.connection for seen in lineage_server.seen}) == MARQUEZ.lanes


def test_a_transport_brings_events_together_as_the_profile_says(
    lineage_server: LineageServer, tmp_path: Path
) -> None:
    together = CatalogProfile("together", batch="array", max_events=10)
    outcomes = sent(opened("transport", lineage_server.url, together, tmp_path), 5)
    assert [outcome.action for outcome in outcomes] == ["ack"] * 5
    (seen,) = lineage_server.seen
    assert len(seen.event) == 5


@pytest.mark.parametrize("way", ["transport", "verify"])
def test_what_a_transport_says_itself_wins_over_the_profile(
    lineage_server: LineageServer, tmp_path: Path, way: str
) -> None:
    by_key = CatalogProfile("by key", endpoint="elsewhere", auth="api_key")
    auth = {"type": "api_key", "apiKey": "open-sesame"}
    more = {"endpoint": "in/here", "auth": auth, "compression": "gzip"}
    destination = opened(way, lineage_server.url, by_key, tmp_path, **more)
    assert isinstance(destination, HttpDestination | TransportDestination)
    assert [outcome.action for outcome in sent(destination)] == ["ack"]
    (seen,) = lineage_server.seen
    assert (seen.path, seen.headers["Content-Encoding"]) == ("/in/here", "gzip")
    assert seen.headers["Authorization"] == "Bearer open-sesame"
    assert "X-API-Key" not in seen.headers


class _StatusError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"{code} said so")
        self.code = code


def test_a_status_in_an_error_of_any_transport_is_read_by_the_profile() -> None:
    assert outcome_of_error("events", 1, _StatusError(503), OURS).action == "dead"
    told = outcome_of_error("events", 1, _StatusError(500), OURS)
    assert (told.action, told.tries) == ("retry", 2)
