"""Turns settled runs into checked OpenLineage events, in the outbox of each destination."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from exporter.hierarchy.status import is_unfinished
from exporter.ledger import OutboxMark
from exporter.mapping.openlineage import run_events
from exporter.sync.outcomes import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.ledger import Ledger
    from exporter.mapping.openlineage import LineageEvent, LineageNaming
    from exporter.sinks.openlineage import EventCheck
    from exporter.sync.clock import Clock
    from exporter.sync.contents import FilledRun
    from exporter.sync.leading import Leadership
    from exporter.sync.outcomes import FailureBook
    from exporter.sync.report import StackReport

SINK_PREFIX = "openlineage/"


@dataclass(frozen=True, slots=True)
class LineageExport:
    """Queues the events of runs that have ended and settled, or stayed running too long."""

    destinations: tuple[str, ...]
    naming: LineageNaming
    check: EventCheck
    ledger: Ledger
    leadership: Leadership
    clock: Clock
    failures: FailureBook

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
            events = self.failures.attempt(partial(self._events, unit, stale=stale))
            for sink in sorted(lacking.get(unit.key, frozenset())):
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

    def _events(self, unit: FilledRun, *, stale: bool) -> tuple[LineageEvent, ...]:
        unfinished = is_unfinished(unit.run.status)
        events = run_events(unit.run, self.naming, stale=stale and unfinished)
        for event in events:
            self.check.check(event.body)
        return events
