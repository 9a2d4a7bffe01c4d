"""Whether OpenLineage destinations are there, are what they are said to be, and take events.

No event is sent: a catalog shows that it takes events by how it refuses what is none.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from exporter.cli.checks.check import Check
from exporter.cli.checks.limits import can_hold_files
from exporter.config import profile_of
from exporter.errors import ConfigError, ExporterError, SinkUnavailable
from exporter.sinks.openlineage import FileDestination, HttpDestination, open_destination
from exporter.sinks.openlineage.client_config import client_config
from exporter.sinks.openlineage.client_transport import TransportDestination
from exporter.sinks.openlineage.outcomes import json_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.config import OpenLineageSettings, Settings
    from exporter.mapping.openlineage.profile import CatalogProfile
    from exporter.sinks.openlineage import Destination
    from exporter.sinks.openlineage.http import Told


def check_destination(settings: Settings, destination: OpenLineageSettings) -> Iterator[Check]:
    """Look at one destination: what is there, whose it is, whether it takes events."""
    part = f"openlineage {destination.name}"
    try:
        yield from _checks(part, destination, profile_of(destination, settings.mappings_folder))
    except ExporterError as error:
        yield Check.problem(part, error)


def _checks(
    part: str, destination: OpenLineageSettings, profile: CatalogProfile
) -> Iterator[Check]:
    with closing(open_destination(destination, profile)) as opened:
        if isinstance(opened, FileDestination):
            yield _file(part, opened.path)
        if isinstance(opened, HttpDestination):
            if profile.probe:
                yield _whose(part, opened.probe(), profile)
            yield _takes_events(part, opened.try_out())
        if destination.url is None:
            yield from _transport(part, destination, opened)


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


def _transport(part: str, destination: OpenLineageSettings, opened: Destination) -> Iterator[Check]:
    """Ask by a transport of openlineage-python; say which of its settings are not applied."""
    config = client_config(destination)
    if isinstance(opened, TransportDestination):
        said = opened.check(destination.timeout.total_seconds())
        yield Check.ok(
            part, f"transport {config.transport['type']} (from {config.found_in}): {said}"
        )
    if config.not_applied:
        sections = " and ".join(f"`{name}`" for name in config.not_applied)
        yield Check.warning(
            part,
            f"{sections} of {config.found_in} change events, and ours leave as they are",
            "Nothing is lost; mappings/openlineage.yaml says what our events hold.",
        )


def _whose(part: str, told: Told, profile: CatalogProfile) -> Check:
    """Look at the catalog's own page, to see whether it is that catalog."""
    address, answer = _passed(told)
    if 200 <= answer.status < 300 and set(profile.probe_shows) <= json_of(answer.body).keys():
        return Check.ok(part, f"{address} answers as {profile.name} does")
    said = "another answer" if answer.status < 300 else f"HTTP {answer.status}"
    return Check.warning(
        part,
        f"{address} does not answer as {profile.name} does: {said}",
        "Is url right, and is it that catalog? Without `catalog` it is taken for any other.",
    )


def _takes_events(part: str, told: Told) -> Check:
    """Judge the answer to what is no event: where they are taken it is refused."""
    address, answer = _passed(told)
    status = answer.status
    is_page = answer.content_type.partition(";")[0].strip().lower() == "text/html"
    if status in {404, 405, 415} or is_page:
        what = "a web page" if is_page else f"HTTP {status}"
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
    if status in {408, 425, 429, 502, 503, 504} or (status >= 500 and not json_of(answer.body)):
        return Check.warning(
            part, f"{address} answers HTTP {status}", "Look at its log; events wait in the outbox."
        )
    return Check.ok(part, f"{address} takes events: it refused what is none (HTTP {status})")


def _passed(told: Told) -> Told:
    """Pass an answer that says something of the address.

    Raises: SinkUnavailable if it refuses our credentials, or leads elsewhere.
    """
    address, answer = told
    if answer.status in {401, 403}:
        raise SinkUnavailable(
            f"{address} refuses our credentials (HTTP {answer.status}).",
            hint="Check its `token`.",
        )
    if 300 <= answer.status < 400:
        raise SinkUnavailable(
            f"{address} redirects to {answer.location} (HTTP {answer.status}).",
            hint="Redirects are not followed: write the final address as url.",
        )
    return told
