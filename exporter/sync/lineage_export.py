"""Turns settled runs into checked OpenLineage events, in the outbox of each destination."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from exporter.hierarchy.status import is_unfinished
from exporter.ledger import OutboxMark
from exporter.mapping.openlineage import ContentProfile, RunDetails, run_events
from exporter.sync.outcomes import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.ledger import Ledger
    from exporter.mapping.openlineage import CatalogProfile, LineageEvent, LineageNaming
    from exporter.sinks.openlineage import EventCheck
    from exporter.sync.clock import Clock
    from exporter.sync.contents import FilledRun
    from exporter.sync.leading import Leadership
    from exporter.sync.outcomes import FailureBook
    from exporter.sync.report import StackReport

SINK_PREFIX = "openlineage/"


@dataclass(frozen=True, slots=True)
class LineageExport:
    """Queues the events of runs that have ended and settled, or stayed running too long.

    `profiles` says by destination what its catalog takes; destinations that take the same share the
    events of a run.
    """

    destinations: tuple[str, ...]
    naming: LineageNaming
    check: EventCheck
    ledger: Ledger
    leadership: Leadership
    clock: Clock
    failures: FailureBook
    profiles: Mapping[str, CatalogProfile] = field(default_factory=dict)

    @property
    def sinks(self) -> tuple[str, ...]:
        """Name the destinations as the ledger does."""
        return tuple(SINK_PREFIX + name for name in self.destinations)

    def queue(
        self,
        units: Sequence[tuple[FilledRun, bool]],
        lacking: Mapping[str, frozenset[str]],
        report: StackReport,
    ) -> set[str]:
        """Queue the events of units for the sinks that lack them; give the keys queued.

        With each unit comes whether it has gone stale.
        Repeat: an event that says the same as the newest one of its run and type is not queued
        again.
        """
        marks: list[OutboxMark] = []
        for unit, stale in units:
            told: dict[ContentProfile, tuple[LineageEvent, ...] | Failure] = {}
            for sink in sorted(lacking.get(unit.key, frozenset())):
                profile = self._profile(sink)
                if profile not in told:
                    told[profile] = self.failures.attempt(
                        partial(self._events, unit, profile, stale=stale)
                    )
                events = told[profile]
                if isinstance(events, Failure):
                    self.failures.note(sink, unit.run, unit.key, events, report)
                else:
                    marks.append(OutboxMark(sink, unit.key, unit.fingerprint, events))
        for sink in self.sinks:
            for_sink = [mark for mark in marks if mark.sink == sink]
            if for_sink:
                entered = self.ledger.outbox.enqueue(
                    self.leadership.lease, for_sink, self.clock.now_ms()
                )
                if report.destinations is not None:
                    report.destinations[sink.removeprefix(SINK_PREFIX)].queued += entered
        return {mark.unit_key for mark in marks}

    def _profile(self, sink: str) -> ContentProfile:
        profile = self.profiles.get(sink.removeprefix(SINK_PREFIX))
        return ContentProfile() if profile is None else profile.content

    def _events(
        self, unit: FilledRun, profile: ContentProfile, *, stale: bool
    ) -> tuple[LineageEvent, ...]:
        unfinished = is_unfinished(unit.run.status)
        details = RunDetails(unit.scalars, unit.tables)
        events = run_events(
            unit.run, self.naming, profile, stale=stale and unfinished, details=details
        )
        for event in events:
            self.check.check(event.body, max_bytes=profile.max_bytes)
        return events
