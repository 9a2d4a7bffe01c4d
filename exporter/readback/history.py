"""One stack's history out of MLflow: pages of parent runs, whose records are the runs."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from exporter.history.order import chronological
from exporter.history.ports import Changes, RunHead
from exporter.mapping.records_text import SEAL_TAG
from exporter.readback.experiments import tracked_pipelines
from exporter.readback.faults import reading
from exporter.readback.incomplete import BEGUN, incomplete_runs
from exporter.readback.paging import runs_by_start
from exporter.readback.recent import RecentUnits
from exporter.readback.units import SEALED, SealedUnit, UnitReader, sealed_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from exporter.hierarchy import PipelineRecord, RunSnapshot, UnreadableRun
    from exporter.history.ports import Cursor
    from exporter.readback.experiments import TrackedPipeline
    from exporter.sinks.mlflow.api import TrackingApi

_PAGE = 200
_LOOK_AT = 20


class Place(NamedTuple):
    """The parent run that holds a run, and the digest of its record when it was listed."""

    pipeline: TrackedPipeline
    run_id: str
    digest: str


class ReadbackHistory:
    """A stack's history as MLflow holds it now; implements `ChangeFeed`.

    Half-written runs are left out unless `include_incomplete`; a run that is being rewritten is its
    last whole version. Runs whose source is gone are left out unless `include_gone`; where one of
    them has the source id of another run, the other is given.

    `heads` takes a request per 1,000 runs, and `runs` that follow it at once none.
    """

    def __init__(
        self,
        api: TrackingApi,
        repository: str,
        stack: str,
        *,
        include_incomplete: bool = False,
        include_gone: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._repository = repository
        self._stack = stack
        self._include_incomplete = include_incomplete
        self._include_gone = include_gone
        self._reader = UnitReader(api.get_file)
        self._recent = RecentUnits(monotonic)
        self._lock = threading.Lock()
        self._pipelines: dict[str, TrackedPipeline] = {}
        self._places: dict[str, Place] = {}
        self._incomplete: dict[str, RunSnapshot] = {}

    @property
    def repository(self) -> str:
        """The repository's name, part of every identity."""
        return self._repository

    @property
    def stack(self) -> str:
        """The stack key."""
        return self._stack

    @property
    def experiment_ids(self) -> list[str]:
        """The experiments of all pipelines, as last listed."""
        with self._lock:
            return [pipeline.experiment_id for pipeline in self._pipelines.values()]

    def pipelines(self) -> Sequence[PipelineRecord]:
        """Give all pipelines, by position in the source; those without runs too."""
        found = {
            pipeline.record.name: pipeline
            for pipeline in tracked_pipelines(self._api)
            if (pipeline.repository, pipeline.stack) == (self._repository, self._stack)
        }
        with self._lock:
            self._pipelines = found
        return sorted((p.record for p in found.values()), key=lambda record: record.seq)

    def empty_pipelines(self) -> Sequence[PipelineRecord]:
        """Give the pipelines that have no run."""
        return [record for record in self.pipelines() if not self._has_runs(record)]

    def heads(self, pipeline: PipelineRecord) -> Sequence[RunHead]:
        """Give the heads of a pipeline's runs by (start, seq)."""
        tracked = self._tracked(pipeline.name)
        if tracked is None:
            return []
        with reading():
            return chronological(self._listed(tracked))

    def runs(self, source_ids: Sequence[str]) -> Sequence[RunSnapshot | UnreadableRun]:
        """Read runs whole, in the order asked for; ids that no longer exist are left out.

        `Artifact.content` is what was recorded.
        """
        with reading():
            if any(not self._is_known(source_id) for source_id in source_ids):
                self._list_all()
            found = self._read(source_ids)
            lost = [i for i in source_ids if i not in found and self._is_known(i)]
            if lost:  # deleted, or replaced by another run of MLflow
                self._list_again(lost)
                found |= self._read(lost)
        return [found[source_id] for source_id in source_ids if source_id in found]

    def changes(self, cursor: Cursor | None) -> Changes:
        """Say what may have changed: nothing, or anything. MLflow keeps no time of a change.

        All runs are listed, in pages; where the digests of all records are the cursor's, nothing
        was written since.
        """
        with reading():
            ids = self._list_all()
        digest = hashlib.sha256()
        with self._lock:
            for source_id in sorted(ids):
                place = self._places.get(source_id)
                line = f"{source_id}\0{place.digest if place else ''}\n"
                digest.update(line.encode("utf-8", "surrogatepass"))
        now: Cursor = {"records": digest.hexdigest()}
        if cursor == now:
            return Changes(iter(()), now, untouched=True)
        return Changes(_pages(ids), now, full=True)

    def close(self) -> None:
        """Release connections. May be called twice."""
        self._api.close()

    def _tracked(self, name: str) -> TrackedPipeline | None:
        with self._lock:
            known = self._pipelines.get(name)
        if known is None:
            self.pipelines()
            with self._lock:
                known = self._pipelines.get(name)
        return known

    def _has_runs(self, record: PipelineRecord) -> bool:
        tracked = self._tracked(record.name)
        if tracked is None:
            return False
        with reading():
            found = self._api.find_runs([tracked.experiment_id], SEALED, most=_LOOK_AT)
        units = [unit for run in found if (unit := sealed_unit(run, tracked)) is not None]
        if any(self._reader.head(unit) for unit in self._shown(units)):
            return True
        more = self._include_incomplete or len(found) == _LOOK_AT
        return more and bool(self.heads(record))

    def _listed(self, tracked: TrackedPipeline) -> list[RunHead]:
        """List an experiment's runs, and remember where they are."""
        best: dict[str, tuple[SealedUnit, RunHead]] = {}
        for run in runs_by_start(self._api, tracked.experiment_id, SEALED):
            unit = sealed_unit(run, tracked)
            if unit is None or (unit.key in best and best[unit.key][0].rank <= unit.rank):
                continue
            head = self._reader.head(unit)
            if head is not None:
                self._recent.put(unit)
                best[unit.key] = (_listing_only(unit), head)
        shown = {id(unit) for unit in self._shown(unit for unit, _ in best.values())}
        listed = [(unit, head) for unit, head in best.values() if id(unit) in shown]
        heads: dict[str, RunHead] = {}
        places: dict[str, Place] = {}
        for unit, head in sorted(listed, key=lambda pair: not pair[0].gone):
            heads[head.source_id] = head
            places[head.source_id] = Place(tracked, unit.run_id, unit.digest)
        begun = self._begun(tracked, best) if self._include_incomplete else {}
        for source_id, run_begun in begun.items():
            if source_id not in heads:
                heads[source_id] = RunHead(
                    source_id, run_begun.name, run_begun.seq, run_begun.start
                )
        with self._lock:
            before = [i for i, p in self._places.items() if p.pipeline.record == tracked.record]
            for source_id in before:
                if source_id not in places:
                    del self._places[source_id]
            self._places |= places
            self._incomplete = {
                **{i: r for i, r in self._incomplete.items() if r.pipeline != tracked.record},
                **{i: r for i, r in begun.items() if i not in places},
            }
        return list(heads.values())

    def _begun(self, tracked: TrackedPipeline, sealed: Iterable[str]) -> dict[str, RunSnapshot]:
        """Give the half-written runs of an experiment; this looks at its nested runs too."""
        found = runs_by_start(self._api, tracked.experiment_id, BEGUN)
        made = incomplete_runs(found, tracked, set(sealed))
        return {run.source_id: run for run in made}

    def _shown(self, units: Iterable[SealedUnit]) -> list[SealedUnit]:
        return [unit for unit in units if self._include_gone or not unit.gone]

    def _is_known(self, source_id: str) -> bool:
        with self._lock:
            return source_id in self._places or source_id in self._incomplete

    def _list_all(self) -> list[str]:
        return [head.source_id for record in self.pipelines() for head in self.heads(record)]

    def _list_again(self, source_ids: Sequence[str]) -> None:
        with self._lock:
            places = [self._places[i] for i in source_ids if i in self._places]
        for tracked in {place.pipeline.experiment_id: place.pipeline for place in places}.values():
            self._listed(tracked)

    def _read(self, source_ids: Sequence[str]) -> dict[str, RunSnapshot | UnreadableRun]:
        """Read the runs whose places are known: those just listed, the rest by run id."""
        with self._lock:
            places = {i: self._places[i] for i in source_ids if i in self._places}
            found: dict[str, RunSnapshot | UnreadableRun] = {
                i: self._incomplete[i] for i in source_ids if i in self._incomplete
            }
        units: dict[str, SealedUnit] = {}
        for place in places.values():
            unit = self._recent.take(place.run_id)
            if unit is not None:
                units[place.run_id] = unit
        asked = [place for place in places.values() if place.run_id not in units]
        units |= {unit.run_id: unit for unit in self._fetched(asked)}
        for source_id, place in places.items():
            unit = units.get(place.run_id)
            run = self._reader.run(unit) if unit is not None else None
            if run is not None and run.source_id == source_id:
                found[source_id] = run
        return found

    def _fetched(self, places: Sequence[Place]) -> Iterator[SealedUnit]:
        """Ask for parent runs by their ids, some hundred in a request."""
        for start in range(0, len(places), _PAGE):
            page = {place.run_id: place for place in places[start : start + _PAGE]}
            experiments = dict.fromkeys(p.pipeline.experiment_id for p in page.values())
            ids = ", ".join(f"'{run_id}'" for run_id in page)
            condition = f"attributes.run_id IN ({ids})"
            for run in self._api.find_runs(list(experiments), condition, most=len(page)):
                unit = sealed_unit(run, page[run.run_id].pipeline)
                if unit is not None:
                    yield from self._shown([unit])


def _listing_only(unit: SealedUnit) -> SealedUnit:
    """Drop the record's text: a long listing holds no more than it must."""
    return replace(unit, tags={SEAL_TAG: unit.tags[SEAL_TAG]})


def _pages(source_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(source_ids), _PAGE):
        yield source_ids[start : start + _PAGE]
