"""Whether OpenLineage destinations are there, are what they are said to be, and take events.

No event is sent: a catalog shows that it takes events by how it refuses what is none.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from exporter.cli.checks.check import Check
from exporter.cli.checks.limits import can_hold_files
from exporter.config import profile_of
from exporter.errors import ConfigError, ExporterError, SinkUnavailable
from exporter.sinks.openlineage import open_destination
from exporter.sinks.openlineage.client_config import client_config
from exporter.sinks.openlineage.client_transport import TransportDestination
from exporter.sinks.plain_words import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse

    from exporter.config import OpenLineageSettings, Settings
    from exporter.mapping.openlineage.profile import CatalogProfile

_NO_EVENT = b"{"
_READ = 65_536


class _Answer(NamedTuple):
    """What an address answered: the JSON object in the body, if it is one."""

    status: int
    kind: str
    body: bytes
    location: str = ""

    @property
    def is_page(self) -> bool:
        """Tell whether it is a web page, which no interface for programs answers with."""
        return self.kind == "text/html"

    @property
    def keys(self) -> frozenset[str]:
        """Name what is in the JSON object; nothing where there is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return frozenset()
        return frozenset(value) if isinstance(value, dict) else frozenset()


class _Place(NamedTuple):
    """An address of a destination, and what to show it."""

    address: str
    headers: dict[str, str]
    timeout_s: float


def check_destination(settings: Settings, destination: OpenLineageSettings) -> Iterator[Check]:
    """Look at one destination: what is there, whose it is, whether it takes events."""
    part = f"openlineage {destination.name}"
    try:
        profile = _profile(settings, destination)
        yield from _checks(part, destination, profile)
    except ExporterError as error:
        yield Check.problem(part, error)


def _profile(settings: Settings, destination: OpenLineageSettings) -> CatalogProfile:
    profile = profile_of(destination, settings.mappings_folder)
    if profile.transport == "openlineage" and destination.url is not None:
        raise ConfigError(
            f"The catalog {profile.name!r} of the OpenLineage destination {destination.name!r} is "
            "not reached by a url.",
            hint="Write `transport:` with what openlineage-python needs; see docs/catalogs.md.",
        )
    return profile


def _checks(
    part: str, destination: OpenLineageSettings, profile: CatalogProfile
) -> Iterator[Check]:
    opened = open_destination(destination, profile)
    try:
        if destination.url is None:
            yield from _transport(part, destination, opened)
            return
    finally:
        opened.close()
    url = destination.url.get_secret_value()
    if url.startswith("file://"):
        yield _file(part, Path(url.removeprefix("file://")))
        return
    chosen = destination.endpoint
    endpoint = (profile.endpoint if chosen is None else chosen).strip("/")
    base = url.rstrip("/").removesuffix(endpoint).rstrip("/")
    headers = {"Accept": "application/json"}
    if destination.token is not None:
        token = destination.token.get_secret_value()
        by_key = {"X-API-Key": token} if profile.auth == "api_key" else {}
        headers |= by_key or {"Authorization": f"Bearer {token}"}
    timeout_s = destination.timeout.total_seconds()
    if profile.probe:
        probe = _Place(f"{base}/{profile.probe}", headers, timeout_s)
        yield _whose(part, probe, profile)
    target = f"{base}/{endpoint}" if endpoint else base
    yield _takes_events(part, _Place(target, headers, timeout_s))


def _file(part: str, path: Path) -> Check:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder.", hint="Name a file in it.")
    nearest = next(place for place in (path, *path.parents) if place.exists())
    is_fit = os.access(nearest, os.W_OK) if nearest == path else can_hold_files(nearest)
    if not is_fit:
        raise SinkUnavailable(
            f"The file {path} cannot be written.",
            hint=f"Check the permissions of {nearest} for the user that runs the exporter.",
        )
    size = (
        f"{path.stat().st_size:,} bytes so far" if path.exists() else "the first event creates it"
    )
    return Check.ok(part, f"file {path}, {size}")


def _transport(part: str, destination: OpenLineageSettings, opened: object) -> Iterator[Check]:
    """Ask by a transport of openlineage-python, or by HTTP where our own sender stands for it."""
    config = client_config(destination)
    kind, timeout_s = config.transport["type"], destination.timeout.total_seconds()
    if isinstance(opened, TransportDestination):
        said = opened.check(timeout_s)
        yield Check.ok(part, f"transport {kind} (from {config.found_in}): {said}")
    else:
        tree = config.transport
        target = urljoin(tree["url"].strip(), tree.get("endpoint") or "api/v1/lineage")
        auth = tree.get("auth") or {}
        key = next((auth[name] for name in auth if name.lower() in {"apikey", "api_key"}), None)
        headers = {"Accept": "application/json", **(tree.get("custom_headers") or {})}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        yield _takes_events(part, _Place(target, headers, timeout_s))
    if config.not_applied:
        sections = " and ".join(f"`{name}`" for name in config.not_applied)
        yield Check.warning(
            part,
            f"{sections} of {config.found_in} change events, and ours leave as they are",
            "Nothing is lost; mappings/openlineage.yaml says what our events hold.",
        )


def _whose(part: str, probe: _Place, profile: CatalogProfile) -> Check:
    """Read the catalog's own page, to see whether it is that catalog."""
    answer = _asked(probe)
    if 200 <= answer.status < 300 and set(profile.probe_shows) <= answer.keys:
        return Check.ok(part, f"{probe.address} answers as {profile.name} does")
    said = "another answer" if answer.status < 300 else f"HTTP {answer.status}"
    return Check.warning(
        part,
        f"{probe.address} does not answer as {profile.name} does: {said}",
        "Is url right, and is it that catalog? Without `catalog` it is taken for any other.",
    )


def _takes_events(part: str, endpoint: _Place) -> Check:
    """Post what is no JSON: where events are taken it is refused, and nothing stays of it."""
    answer, address = _asked(endpoint, _NO_EVENT), endpoint.address
    status = answer.status
    if status in {404, 405, 415} or answer.is_page:
        what = "a web page" if answer.is_page else f"HTTP {status}"
        raise SinkUnavailable(
            f"{address} takes no events: it answers {what}.",
            hint="Check `url` and `endpoint`; docs/catalogs.md has them for each catalog.",
        )
    if status < 300:
        return Check.warning(
            part,
            f"{address} took what is no event (HTTP {status})",
            "It may take anything: look there whether events arrive.",
        )
    if status in {408, 425, 429, 502, 503, 504} or (status >= 500 and not answer.keys):
        return Check.warning(
            part, f"{address} answers HTTP {status}", "Look at its log; events wait in the outbox."
        )
    return Check.ok(part, f"{address} takes events: it refused what is none (HTTP {status})")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the answer it is: delivery does not follow it either."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


# Our own sender goes through no proxy either.
_opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def _asked(place: _Place, body: bytes | None = None) -> _Answer:
    """Give the answer, whatever its status.

    Raises: SinkUnavailable if there is none, or it refuses our credentials, or leads elsewhere.
    """
    headers = place.headers | ({"Content-Type": "application/json"} if body else {})
    try:
        request = urllib.request.Request(place.address, body, headers)  # noqa: S310 - http(s), checked
        with _opener.open(request, timeout=place.timeout_s) as response:
            answer = _read(response)
    except urllib.error.HTTPError as error:
        with error:
            answer = _read(error)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        reason = reason_of(reason) if isinstance(reason, Exception) else reason
        raise SinkUnavailable(
            f"{place.address} cannot be reached: {reason}.", hint="Is it running, and is url right?"
        ) from error
    if answer.status in {401, 403}:
        raise SinkUnavailable(
            f"{place.address} refuses our credentials (HTTP {answer.status}).",
            hint="Check its `token`.",
        )
    if 300 <= answer.status < 400:
        raise SinkUnavailable(
            f"{place.address} redirects to {answer.location} (HTTP {answer.status}).",
            hint="Redirects are not followed: write the final address as url.",
        )
    return answer


def _read(response: HTTPResponse | urllib.error.HTTPError) -> _Answer:
    headers = response.headers
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    try:
        body = response.read(_READ)
    except OSError:
        body = b""
    return _Answer(response.status or 0, kind, body, headers.get("Location", ""))
