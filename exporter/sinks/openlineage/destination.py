"""A place that takes events, and how the settings name one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from exporter.sinks.openlineage.client_config import refuse_switched_off
from exporter.sinks.openlineage.client_transport import open_transport
from exporter.sinks.openlineage.file import FileDestination
from exporter.sinks.openlineage.http import HttpDestination
from exporter.sinks.openlineage.outcomes import GENERIC

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from datetime import timedelta

    from exporter.mapping.openlineage.profile import CatalogProfile
    from exporter.sinks.openlineage.outcomes import Outcome


class DueEvent(Protocol):
    """An event that may leave now."""

    @property
    def seq(self) -> int:
        """Its place in the outbox."""

    @property
    def lane(self) -> str:
        """Events of one lane leave in order."""

    @property
    def body(self) -> bytes:
        """What is sent."""

    @property
    def unit(self) -> str:
        """The run it belongs to, where events leave run by run; else nothing."""

    @property
    def ends_unit(self) -> bool:
        """Whether it is the last of its run."""


class Destination(Protocol):
    """Takes events. A call may come again with events that an earlier one delivered."""

    @property
    def name(self) -> str:
        """The destination's name in the settings."""

    @property
    def page(self) -> int:
        """How many events one call should bring."""

    def send(
        self, events: Sequence[DueEvent], *, halted: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """Send events and say of each, as soon as it is known, what became of it.

        Order: within a lane as given, the next after the answer to the last; after a `retry` the
            rest of its lane stays unsent and has no outcome, and so does the rest of a run after a
            `dead`, but for its last event. The next run of a lane is begun when the outcome of the
            last one's end was taken. Nothing is begun once `halted()`.
        Raises: SinkUnavailable, after the outcomes of what was sent.
        """

    def close(self) -> None:
        """Release connections. May be called twice."""


class Secret(Protocol):
    """A setting that does not show itself by accident."""

    def get_secret_value(self) -> str:
        """Give the value."""


class DestinationSettings(Protocol):
    """What the settings say of a destination; `url` is a web address, or `file://` and a path."""

    @property
    def name(self) -> str:
        """What the destination is called."""

    @property
    def url(self) -> Secret | None:
        """Where it is; None where a transport of openlineage-python leads there."""

    @property
    def transport(self) -> Mapping[str, Any] | None:  # Any: the client's own
        """A transport of openlineage-python."""

    @property
    def openlineage_config(self) -> str | None:
        """The openlineage.yml that names one, or `auto`."""

    @property
    def catalog(self) -> str | None:
        """Which catalog it is, if that matters."""

    @property
    def endpoint(self) -> str | None:
        """The path at which it takes events; None for the catalog's usual one."""

    @property
    def token(self) -> Secret | None:
        """What to show it as a bearer."""

    @property
    def timeout(self) -> timedelta:
        """How long to wait for it."""


def open_destination(
    settings: DestinationSettings, profile: CatalogProfile = GENERIC
) -> Destination:
    """Make the destination of the settings, spoken to as its catalog's profile says.

    Nothing is contacted or created yet.
    Raises: ConfigError for settings that cannot work; SinkUnavailable while OPENLINEAGE_DISABLED is
        true.
    """
    refuse_switched_off(settings.name, os.environ)
    if settings.url is None:
        return open_transport(settings, profile)
    url = settings.url.get_secret_value()
    if url.startswith("file://"):
        return FileDestination(settings.name, url.removeprefix("file://"))
    return HttpDestination(
        settings.name,
        url,
        endpoint=settings.endpoint,
        token=settings.token.get_secret_value() if settings.token is not None else None,
        timeout_s=settings.timeout.total_seconds(),
        profile=profile,
    )
