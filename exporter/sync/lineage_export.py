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
    """Queues the events of runs that have ended and settled, or stayed running too long."""

    destinations: tuple[str, ...]
    catalogs: Mapping[str, CatalogProfile]
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
            told = self.failures.attempt(partial(self._events, unit, stale=stale))
            for sink in sorted(lacking.get(unit.key, frozenset())):
                if isinstance(told, Failure):
                    self.failures.note(sink, unit.run, unit.key, told, report)
                else:
                    marks.append(self._mark(sink, unit, *told))
        for sink in self.sinks:
            for_sink = [mark for mark in marks if mark.sink == sink]
            if for_sink:
                self._enqueue(sink, for_sink, report)
        return {mark.unit_key for mark in marks}

    def _mark(
        self, sink: str, unit: FilledRun, events: Sequence[LineageEvent], datasets: frozenset[str]
    ) -> OutboxMark:
        profile = self.catalogs[sink.removeprefix(SINK_PREFIX)]
        accepted = [event for event in events if event.event_type in profile.accepts]
        whole = profile.order == "runs"
        return OutboxMark(
            sink, unit.key, unit.fingerprint, accepted, whole, datasets if whole else frozenset()
        )

    def _enqueue(self, sink: str, marks: Sequence[OutboxMark], report: StackReport) -> None:
        name = sink.removeprefix(SINK_PREFIX)
        before = self.ledger.outbox.withheld(sink)
        entered = self.ledger.outbox.enqueue(self.leadership.lease, marks, self.clock.now_ms())
        withheld = self.ledger.outbox.withheld(sink) - before
        if report.destinations is not None:
            report.destinations[name].queued += entered
        if withheld:
            note = (
                f"{withheld} corrections of older runs were not sent: told again, they would take "
                "the place of newer runs there."
            )
            report.notes.append({"sink": sink, "note": note})

    def _events(
        self, unit: FilledRun, *, stale: bool
    ) -> tuple[tuple[LineageEvent, ...], frozenset[str]]:
        """Give the checked events of a unit, and the datasets that they name."""
        unfinished = is_unfinished(unit.run.status)
        events = run_events(unit.run, self.naming, stale=stale and unfinished)
        datasets: set[str] = set()
        for event in events:
            told = self.check.check(event.body)
            for dataset in (*told["inputs"], *told["outputs"]):
                datasets.add(f"{dataset['namespace']} {dataset['name']}")
        return events, frozenset(datasets)
