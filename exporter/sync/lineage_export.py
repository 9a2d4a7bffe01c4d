"""Turns settled runs into checked OpenLineage events, in the outbox of each destination."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.hierarchy.status import is_unfinished
from exporter.ledger import Made, OutboxMark, Read
from exporter.mapping.openlineage import ContentProfile, RunDetails, announced, run_events
from exporter.sinks.openlineage import SINK_PREFIX
from exporter.sync.outcomes import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.ledger import Ledger
    from exporter.mapping.openlineage import CatalogProfile, LineageEvent, LineageNaming
    from exporter.sinks.openlineage import EventCheck
    from exporter.sync.clock import Clock
    from exporter.sync.contents import FilledRun
    from exporter.sync.leading import Leadership
    from exporter.sync.outcomes import FailureBook
    from exporter.sync.report import StackReport


class _Told(NamedTuple):
    """The checked events of a unit, and the datasets that they name."""

    events: tuple[LineageEvent, ...]
    datasets: frozenset[str]
    sources: tuple[LineageEvent, ...] = ()
    makes: tuple[Made, ...] = ()
    reads: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True)
class LineageExport:
    """Queues the events of runs that have ended and settled, or stayed running too long.

    `catalogs` says by destination what its catalog takes; destinations that take the same share the
    events of a run.
    """

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
            told: dict[ContentProfile, _Told | Failure] = {}
            for sink in sorted(lacking.get(unit.key, frozenset())):
                content = self._profile(sink).content
                if content not in told:
                    told[content] = self.failures.attempt(
                        partial(self._events, unit, content, stale=stale)
                    )
                found = told[content]
                if isinstance(found, Failure):
                    self.failures.note(sink, unit.run, unit.key, found, report)
                else:
                    marks.append(self._mark(sink, unit, found))
        for sink in self.sinks:
            for_sink = [mark for mark in marks if mark.sink == sink]
            if for_sink:
                self._enqueue(sink, for_sink, report)
        return {mark.unit_key for mark in marks}

    def _profile(self, sink: str) -> CatalogProfile:
        return self.catalogs[sink.removeprefix(SINK_PREFIX)]

    def _mark(self, sink: str, unit: FilledRun, told: _Told) -> OutboxMark:
        profile = self._profile(sink)
        events = (*told.sources, *told.events) if profile.source_jobs else told.events
        mark = OutboxMark(sink, unit.key, unit.fingerprint, events)
        if profile.order != "runs":
            return mark
        return mark._replace(
            whole=True,
            datasets=told.datasets,
            makes=told.makes,
            reads=told.reads,
            exact=profile.exact_links,
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

    def _events(self, unit: FilledRun, content: ContentProfile, *, stale: bool) -> _Told:
        unfinished = is_unfinished(unit.run.status)
        details = RunDetails(unit.scalars, unit.tables)
        events = run_events(
            unit.run, self.naming, content, stale=stale and unfinished, details=details
        )
        told = [self.check.check(event.body, max_bytes=content.max_bytes) for event in events]
        datasets = frozenset(
            f"{dataset['namespace']} {dataset['name']}"
            for event in told
            for dataset in (*event["inputs"], *event["outputs"])
        )
        makes = tuple(made for event in told for made in made_by(event))
        reads = tuple(read for event in told for read in read_by(event))
        if not told or not any(profile.source_jobs for profile in self.catalogs.values()):
            return _Told(events, datasets, makes=makes, reads=reads)
        sources = announced(events)
        for event in sources:
            self.check.check(event.body, max_bytes=content.max_bytes)
        return _Told(events, datasets, sources, makes, reads)


def made_by(event: dict[str, Any]) -> Iterator[Made]:  # Any: a parsed event
    """Say which versions an event tells of; one without an artifact has the name of its run."""
    run_id = event["run"]["runId"]
    for dataset in event["outputs"]:
        name = f"{dataset['namespace']} {dataset['name']}"
        facet = dataset["facets"].get("pipelineExporter_artifact") or {}
        for artifact in facet.get("artifacts") or ({"id": f"run {run_id}"},):
            yield Made(name, artifact["id"], run_id)


def read_by(event: dict[str, Any]) -> Iterator[Read]:  # Any: a parsed event
    """Say which versions an event tells to have been read."""
    for dataset in event["inputs"]:
        name = f"{dataset['namespace']} {dataset['name']}"
        facet = (dataset.get("inputFacets") or {}).get("pipelineExporter_read") or {}
        for artifact in facet.get("artifacts", ()):
            yield Read(name, artifact["id"], event["run"]["runId"])
