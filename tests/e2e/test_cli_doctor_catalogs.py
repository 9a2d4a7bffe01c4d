"""`doctor` on catalogs: who answers, whether it lets us in, whether it takes events there."""

from __future__ import annotations

import base64
import gzip
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.command import write_zenml_config
from support.here import Told
from support.quiet_server import serving

Json = dict[str, Any]  # Any: parsed JSON


class Page(NamedTuple):
    """What is at a path."""

    status: int = 200
    body: bytes = b"{}"
    kind: str = "application/json"
    location: str = ""


REFUSES = Page(500, b'{"code":400,"message":"Unable to process JSON"}')
HTML = Page(200, b"<html>Sign in</html>", "text/html; charset=utf-8")
PROBE = "GET /api/v1/namespaces?limit=1"
EVENTS = "POST /api/v1/lineage"


@dataclass
class Site:
    """A web server whose pages a test writes; `asked` is what it was asked, and with what."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            request = f"{self.command} {self.path}"
            served.asked.append((request, body, dict(self.headers)))
            page = served.pages.get(request, Page(404, b'{"code":404}'))
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(page.body)))
            if page.location:
                self.send_header("Location", page.location)
            self.end_headers()
            self.wfile.write(page.body)

        do_GET = do_POST = _answer  # noqa: N815 - the base names them

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    with serving(Handler) as served.url:
        yield served


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checks(told: Told, here: Path, destination: str, *, code: int) -> list[Json]:
    """Run `doctor` on one destination; give what it says of it."""
    write_zenml_config(here, sinks=f"{{openlineage: [{{name: catalog, {destination}}}]}}")
    ended = told("doctor", "--json")
    assert ended.code == code, ended.out
    return [check for check in ended.json["checks"] if check["part"] == "openlineage catalog"]


def test_a_marquez_in_good_health_has_two_lines_and_gets_no_event(
    here: Path, told: Told, site: Site
) -> None:
    site.pages = {PROBE: Page(200, b'{"namespaces":[]}'), EVENTS: REFUSES}
    whose, takes = checks(told, here, f"catalog: marquez, url: '{site.url}'", code=0)
    assert whose["message"] == f"{site.url}/api/v1/namespaces?limit=1 answers as marquez does"
    refused = "takes events: it refused what is none (HTTP 500)"
    assert takes["message"] == f"{site.url}/api/v1/lineage {refused}"
    assert [(request, body) for request, body, _ in site.asked] == [(PROBE, b""), (EVENTS, b"{")]


@pytest.mark.parametrize(
    "page",
    [Page(200, b'{"other":1}'), Page(200, b"[1]"), HTML, Page(404), Page(500, b"")],
    ids=["other keys", "a list", "web page", "404", "500"],
)
def test_another_catalog_than_the_one_that_was_named_is_a_warning(
    here: Path, told: Told, site: Site, page: Page
) -> None:
    site.pages = {PROBE: page, EVENTS: REFUSES}
    whose, takes = checks(told, here, f"catalog: marquez, url: '{site.url}'", code=0)
    assert (whose["status"], takes["status"]) == ("warning", "ok")
    assert "does not answer as marquez does" in whose["message"]
    assert whose["hint"]


@pytest.mark.parametrize(
    ("page", "status", "said"),
    [
        (Page(400), "ok", "takes events"),
        (Page(422, b"", "text/plain"), "ok", "takes events"),
        (Page(401), "problem", "refuses our credentials (HTTP 401)"),
        (Page(403), "problem", "refuses our credentials (HTTP 403)"),
        (Page(404), "problem", "takes no events: it answers HTTP 404"),
        (Page(405), "problem", "takes no events: it answers HTTP 405"),
        (HTML, "problem", "takes no events: it answers a web page"),
        (HTML._replace(status=500), "problem", "takes no events: it answers a web page"),
        (Page(307, location="/elsewhere"), "problem", "redirects to /elsewhere (HTTP 307)"),
        (Page(200), "warning", "took what is no event (HTTP 200)"),
        (Page(204, b""), "warning", "took what is no event (HTTP 204)"),
        (Page(503), "warning", "answers HTTP 503"),
        (Page(500, b"oops", "text/plain"), "warning", "answers HTTP 500"),
    ],
    ids=lambda value: value.status if isinstance(value, Page) else None,
)
def test_what_an_endpoint_answers_is_told_in_one_line(
    here: Path, told: Told, site: Site, page: Page, status: str, said: str
) -> None:
    site.pages = {EVENTS: page}
    code = 4 if status == "problem" else 0
    (check,) = checks(told, here, f"url: '{site.url}', token: open-sesame", code=code)
    assert check["status"] == status
    assert said in check["message"]
    assert bool(check["hint"]) is (status != "ok")
    assert "open-sesame" not in str(check)
    assert "\n" not in check["message"]


def test_the_token_is_shown_to_the_catalog(here: Path, told: Told, site: Site) -> None:
    site.pages = {PROBE: Page(200, b'{"namespaces":[]}'), EVENTS: REFUSES}
    checks(told, here, f"catalog: marquez, url: '{site.url}', token: open-sesame", code=0)
    assert {headers["Authorization"] for _, _, headers in site.asked} == {"Bearer open-sesame"}


def test_an_endpoint_in_the_url_is_not_written_twice(here: Path, told: Told, site: Site) -> None:
    site.pages = {EVENTS: REFUSES}
    checks(told, here, f"url: '{site.url}/api/v1/lineage'", code=0)
    assert [request for request, _, _ in site.asked] == [EVENTS]


def test_a_profile_of_the_users_own_says_where_to_ask(here: Path, told: Told, site: Site) -> None:
    folder = here / "maps" / "catalogs"
    folder.mkdir(parents=True)
    (folder / "ours.yaml").write_text("{endpoint: in/here, probe: about, probe_shows: [build]}\n")
    site.pages = {"GET /about": Page(200, b'{"build":7}'), "POST /in/here": REFUSES}
    write_zenml_config(
        here,
        sinks=f"{{openlineage: [{{name: catalog, catalog: ours, url: '{site.url}'}}]}}",
        more="mappings: maps",
    )
    ended = told("doctor", "--json")
    assert ended.code == 0, ended.out
    assert [request for request, _, _ in site.asked] == ["GET /about", "POST /in/here"]


@pytest.mark.parametrize(
    ("way", "page"),
    [
        ("catalog: marquez, url: '{url}'", PROBE),
        ("catalog: marquez, url: '{url}/api/v1/lineage'", PROBE),
        ("catalog: marquez, url: '{url}/base/'", "GET /base/api/v1/namespaces?limit=1"),
        ("catalog: marquez, url: '{url}?key=a%20b'", f"{PROBE}&key=a%20b"),
        ("catalog: marquez, transport: {{type: http, url: '{url}'}}", PROBE),
        ("catalog: marquez, transport: {{type: http, url: '{url}', endpoint: in/here}}", PROBE),
    ],
)
def test_the_catalogs_own_page_is_asked_where_it_lies(
    here: Path, told: Told, site: Site, way: str, page: str
) -> None:
    site.pages = {page: Page(200, b'{"namespaces":[]}')}
    whose, _ = checks(told, here, way.format(url=site.url), code=4)
    assert whose["status"] == "ok"
    assert site.asked[0][0] == page


@pytest.mark.parametrize(
    ("way", "name", "shown"),
    [
        ("url: '{url}', token: open-sesame", "Authorization", "Bearer open-sesame"),
        ("catalog: ours, url: '{url}', token: open-sesame", "X-API-Key", "open-sesame"),
        (
            "transport: {{type: http, url: '{me}'}}",
            "Authorization",
            f"Basic {base64.b64encode(b'me:open-sesame').decode()}",
        ),
        (
            "transport: {{type: http, url: '{url}', auth: {{type: api_key, apiKey: {key}}}}}",
            "Authorization",
            "Bearer open-sesame",
        ),
        (
            "transport: {{type: http, url: '{url}', custom_headers: {{X-Key: open-sesame}}}}",
            "X-Key",
            "open-sesame",
        ),
    ],
    ids=["token", "key", "user", "transport", "headers"],
)
def test_doctor_shows_a_catalog_what_delivery_shows_it(
    here: Path, told: Told, site: Site, way: str, name: str, shown: str
) -> None:
    folder = here / "maps" / "catalogs"
    folder.mkdir(parents=True)
    (folder / "ours.yaml").write_text("{auth: api_key}\n")
    site.pages = {EVENTS: REFUSES}
    me = site.url.replace("//", "//me:open-sesame@")
    way = way.format(url=site.url, me=me, key="open-sesame")
    sinks = f"{{openlineage: [{{name: catalog, {way}}}]}}"
    write_zenml_config(here, sinks=sinks, more="mappings: maps")
    ended = told("doctor", "--json")
    assert ended.code == 0, ended.out
    assert "open-sesame" not in ended.out
    ((request, body, headers),) = site.asked
    assert (request, body, headers[name]) == (EVENTS, b"{", shown)


def test_what_is_no_web_server_is_told(here: Path, told: Told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        (problem,) = checks(told, here, f"url: '{url}'", code=4)
    assert problem["status"] == "problem"
    assert f"{url}/api/v1/lineage cannot be asked" in problem["message"]
    assert "it does not speak HTTP" in problem["message"]
    assert "\n" not in problem["message"]


def test_nobody_there_is_told(here: Path, told: Told) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://me:open-sesame@127.0.0.1:{taken.getsockname()[1]}"
        transport = f"transport: {{type: http, url: '{url}'}}"
        (problem,) = checks(told, here, transport, code=4)
    assert "cannot be reached: nobody listens there" in problem["message"]
    assert "open-sesame" not in str(problem)
