"""Compares what the sources say with what MLflow holds, and writes nothing anywhere.

MLflow's units are listed by pages and looked for at the source, then the source's other runs are
looked for in MLflow; memory holds a page of each and the names of one pipeline's runs. A unit that
is not as expected is looked at once more before it is told, since others may write meanwhile.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from exporter.hierarchy import PipelineRecord, RunSnapshot, run_key
from exporter.history.order import chronological
from exporter.mapping.mlflow import plan_experiment, plan_unit
from exporter.readback.experiments import TrackedPipeline
from exporter.sinks.mlflow.tags import GONE_TAG
from exporter.sync.contents import ContentFiller
from exporter.sync.dry_run import UnreadDigests
from exporter.sync.fingerprint import unit_fingerprint
from exporter.sync.mlflow_export import elsewhere
from exporter.sync.outcomes import Failure, attempt
from exporter.sync.tables import TableDescriber
from exporter.sync.verify_contents import RecentContents, with_recorded_digests
from exporter.sync.verify_report import Difference, VerifyReport
from exporter.sync.verify_unit import DELETED, THERE, UnitComparison, read_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from exporter.hierarchy import UnreadableRun
    from exporter.mapping.mlflow import Home, MlflowNaming, UnitPlan
    from exporter.sinks.mlflow.api import ExperimentState
    from exporter.sinks.mlflow.bindings import FoundUnit
    from exporter.sinks.mlflow.reading import MlflowReader
    from exporter.sync.clock import Stop
    from exporter.sync.contents import FilledRun
    from exporter.sync.cycle import Progress
    from exporter.sync.stacks import OpenStack
    from exporter.sync.verify_ledger import LedgerView, Standings
    from exporter.sync.verify_unit import ComparedUnit

_PAGE = 100
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Listed:
    """A run of the source and what the listing of MLflow showed of it."""

    run: RunSnapshot
    found: FoundUnit


@dataclass(slots=True)
class StackVerification:
    """Compares one stack; counts go to `report`, differences are yielded as they are found.

    With `sizes_only` no file is read: those of the source and of MLflow are compared by size.
    """

    stack: OpenStack
    reader: MlflowReader
    ledger: LedgerView
    naming: MlflowNaming
    executor: Executor
    stop: Stop
    mask: Callable[[str], str]
    progress: Progress
    report: VerifyReport
    mode: str
    max_size: int
    sizes_only: bool = False
    _recent: RecentContents = field(default_factory=RecentContents)

    def differences(self, pipelines: Iterable[PipelineRecord]) -> Iterator[Difference]:
        """Compare these pipelines, one after the other.

        Raises: SourceError, StateError, SinkUnavailable.
        """
        for pipeline in pipelines:
            for difference in self._pipeline(pipeline):
                self.report.differences += 1
                yield difference
            if self.stop.requested:
                return

    def _pipeline(self, record: PipelineRecord) -> Iterator[Difference]:
        self.report.pipelines += 1
        repository, stack = self.stack.history.repository, self.stack.key
        plan = plan_experiment(repository, stack, record, self.naming)
        state = self.reader.experiment(plan)
        tracked = TrackedPipeline(
            repository, stack, record, "" if state is None else state.experiment_id
        )
        unseen = {head.source_id: head for head in self.stack.history.heads(record)}
        if state is None or state.deleted:
            yield from self._absent(record, list(unseen), state)
            return
        if state.tags.get("exporter.key", plan.key) == plan.key:
            for key, value in plan.tags.items():
                if (now := state.tags.get(key)) != value:
                    yield self._of_experiment(record, f"tag {key}", value, now)
        unmatched: dict[str, None] = {}
        for page in _pages(self.reader.scan(state.experiment_id), _PAGE):
            listed = self._matched(page, unmatched)
            for one in listed:
                unseen.pop(one.run.source_id, None)
            yield from self._compared(listed, tracked)
            if self.stop.requested:
                return
        left = chronological(unseen.values())
        for ids in _pages((head.source_id for head in left), _PAGE):
            runs = self._read(ids)
            look_up = partial(self.reader.unit, state.experiment_id)
            found = list(self.executor.map(look_up, map(run_key, runs)))
            for unit in found:
                unmatched.pop(unit.unit, None)
            yield from self._compared(list(map(_Listed, runs, found)), tracked)
            if self.stop.requested:
                return
        yield from self._left_over(tracked, list(unmatched))

    def left_over(self, pipeline: str) -> Iterator[Difference]:
        """Tell of the runs MLflow has of a pipeline that the source no longer lists.

        Raises: as `differences`.
        """
        repository, stack = self.stack.history.repository, self.stack.key
        record = PipelineRecord(pipeline, 0, "")
        state = self.reader.experiment(plan_experiment(repository, stack, record, self.naming))
        if state is None or state.deleted:
            return
        tracked = TrackedPipeline(repository, stack, record, state.experiment_id)
        for page in _pages(self.reader.scan(state.experiment_id), _PAGE):
            for difference in self._left_over(tracked, [unit.unit for unit in page]):
                self.report.differences += 1
                yield difference
            if self.stop.requested:
                return

    def _absent(
        self, record: PipelineRecord, source_ids: Sequence[str], state: ExperimentState | None
    ) -> Iterator[Difference]:
        """Tell of a pipeline without experiment: one difference, unless all of it is waiting."""
        waiting = missing = 0
        for ids in _pages(source_ids, _PAGE):
            runs = self._read(ids)
            standings = self.ledger.standings([run_key(run) for run in runs])
            for run in runs:
                fingerprint = unit_fingerprint(run, self.stack.policy)
                is_waiting = standings.is_waiting(
                    run, run_key(run), fingerprint, is_missing=state is None
                )
                waiting += is_waiting
                missing += not is_waiting
            self.progress(self.stack.key, len(runs), "verify")
        self.report.standing.waiting += waiting
        self.report.standing.missing += missing
        is_due = waiting or not self.ledger.standings([]).last_cycle_ms
        if state is not None or missing or not is_due:
            now = None if state is None else DELETED
            yield self._of_experiment(record, "", THERE, now)

    def _of_experiment(
        self, record: PipelineRecord, name: str, source: str, sink: str | None
    ) -> Difference:
        return Difference(self.stack.key, record.name, "", "", "experiment", name, source, sink)

    def _read(self, source_ids: Sequence[str]) -> list[RunSnapshot]:
        """Read runs of the source; those that cannot be read are errors."""
        runs: list[RunSnapshot] = []
        for run in self.stack.history.runs(source_ids):
            if isinstance(run, RunSnapshot):
                runs.append(run)
            else:
                self._note_unreadable(run)
        return runs

    def _matched(self, page: Sequence[FoundUnit], unmatched: dict[str, None]) -> list[_Listed]:
        """Find the source's runs of a page of units; the others go to `unmatched`."""
        ids = {unit.unit: _source_id(unit) for unit in page}
        found = self._read([i for i in ids.values() if i])
        runs: dict[str, RunSnapshot] = {run_key(run): run for run in found}
        for unit in page:
            if unit.unit not in runs:
                unmatched[unit.unit] = None
        listed = [_Listed(runs[unit.unit], unit) for unit in page if unit.unit in runs]
        return sorted(listed, key=lambda one: (one.run.start or 0, one.run.seq))

    def _compared(
        self, listed: Sequence[_Listed], tracked: TrackedPipeline
    ) -> Iterator[Difference]:
        """Compare a page of runs, a few at once, and tell of them in their order."""
        units = self._filled(listed)
        ids = list({a.id for unit in units for a in unit.run.artifacts})
        page = _Page(
            tracked,
            {one.found.unit: one.found for one in listed},
            self.ledger.standings([unit.key for unit in units]),
            self.ledger.homes(self.stack.key, ids),
            self._remembered(ids) if self.sizes_only else {},
        )
        work = partial(self._attempt, page)
        for unit, result in zip(units, self.executor.map(work, units), strict=True):
            if isinstance(result, Failure):
                self._failed(unit.run, result.message)
            else:
                yield from self._count(unit, result, page.standings)
        self.progress(self.stack.key, len(listed), "verify")

    def _filled(self, listed: Sequence[_Listed]) -> list[FilledRun]:
        policy = self.stack.policy
        runs = [one.run for one in listed]
        with ExitStack() as page:
            describe = None
            if self.naming.statistics:
                tables = TableDescriber(self.stack.artifacts, top_values=self.naming.top_values)
                describe = page.enter_context(tables).facts
            artifacts = self.stack.artifacts
            if self.sizes_only:
                artifacts = UnreadDigests(artifacts, self.mode, self.max_size)
            filler = ContentFiller(artifacts, self._recent, self.mask, self.stop, describe)
            filled = filler.fill(
                ((run, run_key(run), unit_fingerprint(run, policy)) for run in runs),
                lasting=self._remembered,
            )
        for run in runs:
            if run_key(run) in filled.failures:
                self._failed(run, filled.failures[run_key(run)].message)
        return filled.runs

    def _remembered(self, artifact_ids: Sequence[str]) -> Mapping[str, str]:
        return self.ledger.contents(self.stack.key, self.stack.policy, artifact_ids)

    def _attempt(self, page: _Page, unit: FilledRun) -> _Compared | Failure:
        return attempt(partial(self._compare, page, unit), self.mask)

    def _compare(self, page: _Page, unit: FilledRun) -> _Compared:
        """Compare one run; one that is not as expected is looked at again before it is believed."""
        found = page.found[unit.key]
        comparison = self._comparison(page, unit, found)
        result = comparison.fields(found)
        if result.differences:
            found = self.reader.unit(page.tracked.experiment_id, unit.key)
            comparison = self._comparison(page, unit, found)
            result = comparison.fields(found)
        if result.is_missing:
            return _Compared(comparison.plan, result)
        files = comparison.files(found)
        both = [*result.differences, *files.differences]
        return _Compared(comparison.plan, files._replace(differences=both))

    def _comparison(self, page: _Page, unit: FilledRun, found: FoundUnit) -> UnitComparison:
        bound = page.standings.bound.get(unit.key, {})
        back = read_back(self.reader, page.tracked, found, bound)
        run = unit.run
        if self.sizes_only:
            run = with_recorded_digests(run, back.run, page.remembered)
        foreign = elsewhere(run, {**back.homes, **page.homes})
        plan = plan_unit(run, foreign, self.naming, unit.scalars, unit.tables)
        return UnitComparison(
            self.reader, page.tracked.experiment_id, run, plan, back, bound, self.sizes_only
        )

    def _count(
        self, unit: FilledRun, compared: _Compared, standings: Standings
    ) -> Iterator[Difference]:
        """Count a run where it belongs; give its differences, unless it waits for a cycle."""
        report, standing = self.report, self.report.standing
        plan, result = compared
        if result.differences and standings.is_waiting(
            unit.run, unit.key, unit.fingerprint, is_missing=result.is_missing
        ):
            standing.waiting += 1
            return
        if result.is_missing:
            standing.missing += 1
        else:
            report.runs += 1
            report.steps += len(unit.run.steps)
            report.artifacts += _own_artifacts(unit.run, plan)
            report.bytes += result.bytes
            standing.different += bool(result.differences)
            standing.equal += not result.differences
        yield from result.differences

    def _left_over(
        self, tracked: TrackedPipeline, unmatched: Sequence[str]
    ) -> Iterator[Difference]:
        """Tell of units whose run the source no longer has and that are not tagged so."""
        for key in unmatched:
            found = self.reader.unit(tracked.experiment_id, key)
            untagged = [run for run in found.runs if not run.tags.get(GONE_TAG)]
            if not untagged:
                self.report.standing.gone += bool(found.runs)
                continue
            self.report.standing.extra += 1
            parent = min(found.runs, key=lambda run: (run.key != key, run.run_id))
            name = parent.tags.get("exporter.run", parent.name)
            stack, pipeline = self.stack.key, tracked.record.name
            yield Difference(stack, pipeline, name, "", "run", "", None, THERE)

    def _note_unreadable(self, run: UnreadableRun) -> None:
        where = {"stack": self.stack.key, "pipeline": run.pipeline, "run": run.name}
        error = f"It cannot be read at the source: {run.reason}"
        self.report.errors.append({**where, "error": self.mask(error)})
        self.report.standing.unreadable += 1

    def _failed(self, run: RunSnapshot, message: str) -> None:
        where = {"stack": self.stack.key, "pipeline": run.pipeline.name, "run": run.name}
        self.report.errors.append({**where, "error": message})
        self.report.standing.unreadable += 1


class _Page(NamedTuple):
    """What is known of a page of runs."""

    tracked: TrackedPipeline
    found: Mapping[str, FoundUnit]
    standings: Standings
    homes: Mapping[str, Home]
    remembered: Mapping[str, str]


class _Compared(NamedTuple):
    plan: UnitPlan
    result: ComparedUnit


def _source_id(unit: FoundUnit) -> str:
    """Give the source's id of a unit as its parent's tag says it, '' where none does."""
    parents = [run for run in unit.runs if run.key == unit.unit]
    return next((i for run in parents if (i := run.tags.get("exporter.source_id", ""))), "")


def _own_artifacts(run: RunSnapshot, plan: UnitPlan) -> int:
    """Count the artifacts that this run wrote or holds, so that each is counted once."""
    held = {upload.artifact_id for upload in plan.uploads}
    wrote = {port.artifact for step in run.steps for port in step.outputs if not port.cached}
    return len(held | (wrote - set(plan.homes)))


def _pages(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while page := list(islice(iterator, size)):
        yield page
