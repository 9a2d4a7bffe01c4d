"""One cycle over one stack: what changed → read → compare → write → record.

The cursor moves only after everything it covers is in the ledger, and the source itself was found
to be the one it was; what a sink has yet to take is the ledger's own list, so a sink that is down
holds back neither the cursor nor the other sinks.
Memory is flat: pages of runs.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from exporter.errors import SinkUnavailable
from exporter.ledger import PendingUnit
from exporter.sync.contents import ContentFiller
from exporter.sync.experiments import DELETED_MARK, deleted_pipelines
from exporter.sync.intake import Intake
from exporter.sync.mlflow_export import Exported
from exporter.sync.on_disk import OnDisk
from exporter.sync.stacks import LedgerContents
from exporter.sync.tables import TableDescriber
from exporter.sync.trust import SourceTrust
from exporter.sync.vanished import tag_vanished

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporter.history.ports import Changes
    from exporter.ledger import Ledger, SeenUnit, SinkState
    from exporter.ledger.records import CursorValue
    from exporter.sync.clock import Clock, Stop
    from exporter.sync.contents import FilledRun
    from exporter.sync.intake import CycleRules, Taken
    from exporter.sync.leading import Leadership
    from exporter.sync.lineage_export import LineageExport
    from exporter.sync.mlflow_export import MlflowExport
    from exporter.sync.outcomes import FailureBook
    from exporter.sync.report import StackReport
    from exporter.sync.stacks import OpenStack

PAGE_RUNS = 200


class Progress(Protocol):
    """Hears how far a cycle is."""

    def __call__(self, stack: str, runs: int, phase: str) -> None:
        """Note that `runs` more runs of a stack were dealt with."""


@dataclass(slots=True)
class StackCycle:
    """Brings the sinks up to date with one stack."""

    stack: OpenStack
    ledger: Ledger
    leadership: Leadership
    clock: Clock
    stop: Stop
    rules: CycleRules
    report: StackReport
    progress: Progress
    failures: FailureBook
    mlflow: MlflowExport | None = None
    lineage: LineageExport | None = None
    unavailable: SinkUnavailable | None = None
    _done: set[str] = field(default_factory=set)
    _walked: OnDisk = field(default_factory=OnDisk)
    _again: dict[str, None] = field(default_factory=dict)
    _mlflow_down: bool = False
    _trust: SourceTrust = field(init=False)

    def __post_init__(self) -> None:
        self._trust = SourceTrust(
            self.stack, self.ledger, self.failures.mask, given=self.rules.full
        )

    def run(self) -> None:
        """Run the cycle; counts go to `report`.

        Raises: SourceError, and SourceDoubted in each cycle until the source has what it had or a
        full cycle believes it; StateError. A sink out of reach is remembered in `unavailable`, not
        raised.
        """
        with closing(self._walked):
            self._run()

    def _run(self) -> None:
        key = self.stack.key
        self.ledger.units.register_sinks(self.leadership.lease, key, self._sinks())
        mark, policy = self.ledger.units.cursor(key)
        everything = self.rules.full or self.rules.repair or policy != self.stack.policy
        cursor = None if mark is None or everything else mark["feed"]
        changes = self.stack.history.changes(cursor)
        if changes.full:
            self._intake().check_source()
        self._again = dict.fromkeys(self._look_again_ids())
        whole_in = [] if mark is None or everything else mark["pipelines_in"]
        if not changes.untouched or any(sink not in whole_in for sink in self._holds_pipelines()):
            whole_in = self._holds_pipelines() if self._take_pipelines() else []
        if not self._take_source(changes, rescans=not (cursor is None or changes.untouched)):
            return
        before = self._deleted_before(mark)
        deleted = self._deleted(before)
        mark = {"feed": changes.cursor, "pipelines_in": whole_in, DELETED_MARK: deleted}
        self.ledger.units.save_cursor(self.leadership.lease, key, mark, self.stack.policy)
        if self.rules.repair:
            self._tag_gone_again()
        self._take_pending()
        if self._deleted(before) != deleted:
            mark[DELETED_MARK] = self._deleted(before)
            self.ledger.units.save_cursor(self.leadership.lease, key, mark, self.stack.policy)
        self._note_deleted(before)

    def _deleted_before(self, mark: CursorValue | None) -> list[str]:
        """Name the pipelines that earlier cycles found deleted; a repair finds out anew."""
        if self.mlflow is None or self.rules.repair:
            return []
        return deleted_pipelines(mark, self.mlflow.name)

    def _deleted(self, before: Sequence[str]) -> dict[str, list[str]]:
        """Name the pipelines whose experiment was deleted in MLflow, now or in earlier cycles."""
        if self.mlflow is None:
            return {}
        now = {p for stack, p in self.mlflow.experiments.deleted if stack == self.stack.key}
        return {self.mlflow.name: sorted(now.union(before))}

    def _note_deleted(self, before: Sequence[str]) -> None:
        """Say again what an earlier cycle found deleted, for what comes of it is not written."""
        if self.mlflow is None:
            return
        for pipeline in before:
            if (self.stack.key, pipeline) not in self.mlflow.experiments.deleted:
                note = (
                    "its experiment was deleted in MLflow, and runs that came since are not there; "
                    "`pipeline-exporter run --repair` brings it back."
                )
                where = {"stack": self.stack.key, "sink": "mlflow", "pipeline": pipeline}
                self.report.notes.append({**where, "note": note})

    def _take_source(self, changes: Changes, *, rescans: bool) -> bool:
        """Take all that is to be read at the source; tell whether nothing stopped it."""
        self._take_changes(changes)
        self._take("open", self._not_walked(self.ledger.units.open(self.stack.key)))
        self._take("again", list(self._again))
        if self.rules.full:
            self._rescan_all()
        elif rescans:
            self._rescan()
        return not self.stop.requested

    def _sinks(self) -> list[str]:
        sinks = [self.mlflow.name] if self.mlflow is not None else []
        return sinks + (list(self.lineage.sinks) if self.lineage is not None else [])

    def _look_again_ids(self) -> list[str]:
        if self.mlflow is None:
            return []
        keys = self.mlflow.to_look_at_again()
        return self.ledger.units.source_ids(self.stack.key, keys) if keys else []

    def _holds_pipelines(self) -> list[str]:
        """Name the sinks that hold pipelines also when these have no run."""
        return [] if self.mlflow is None else [self.mlflow.name]

    def _take_pipelines(self) -> bool:
        """Note all pipelines, give the empty ones their experiment; tell whether all have one.

        The others get theirs with their first run.
        """
        pipelines = self.stack.history.pipelines()
        self.ledger.units.record_pipelines(
            self.leadership.lease, self.stack.key, [p.name for p in pipelines]
        )
        if self.mlflow is None:
            return True
        whole = True
        for pipeline in self.stack.history.empty_pipelines():
            if self._mlflow_down:
                return False
            with self._mlflow_may_fail():
                whole &= self.mlflow.experiments.ensure(self.stack, pipeline, self.report)
        return whole and not self._mlflow_down

    def _mlflow_may_fail(self) -> _Remembering:
        return _Remembering(self)

    def _take_changes(self, changes: Changes) -> None:
        for page in changes.source_ids:
            for ids in _chunks(page):
                if self.stop.requested:
                    return
                self._page(ids, "changes")
                if changes.full:
                    self._walked.keep(dict.fromkeys(ids, ""))
                else:
                    self._done.update(ids)

    def _not_walked(self, source_ids: Sequence[str]) -> list[str]:
        """Leave out what a full walk of this cycle has read."""
        walked = self._walked.recall(source_ids)
        return [i for i in source_ids if i not in walked]

    def _take(self, phase: str, source_ids: Iterable[str], *, once: bool = True) -> None:
        """Take the runs that no earlier phase took; `once` notes them for the later ones."""
        for ids in _chunks(i for i in source_ids if i not in self._done):
            if self.stop.requested:
                return
            self._page(ids, phase)
            if once:
                self._done.update(ids)

    def _take_pending(self) -> None:
        """Go through what each sink has yet to take, oldest first."""
        for sink in self._sinks():
            settled_only = self.lineage is not None and sink in self.lineage.sinks
            after = 0
            while not self.stop.requested:
                if self._mlflow_down and not settled_only:
                    break
                pending = self.ledger.units.pending(
                    self.stack.key,
                    sink,
                    now=self.clock.now_ms(),
                    after=after,
                    limit=PAGE_RUNS,
                    settled_only=settled_only,
                )
                if not pending:
                    break
                after = pending[-1].position
                self._take_gone([p for p in pending if p.gone], sink)
                left = [p.source_id for p in pending if not p.gone]
                self._take("pending", left, once=False)  # `after` moves on: none comes again

    def _take_gone(self, units: Sequence[PendingUnit], sink: str) -> None:
        if not units:
            return
        taken = [unit.key for unit in units]
        if self.mlflow is not None and sink == self.mlflow.name:
            with self._mlflow_may_fail():
                taken = tag_vanished(self.mlflow, self.stack, units, self.report)
            if self._mlflow_down:
                return
        states = self.ledger.units.sink_states(sink, taken)
        self.ledger.units.skip(
            self.leadership.lease,
            sink,
            [(key, states[key].fingerprint or "") for key in taken if key in states],
            self.clock.now_ms(),
        )

    def _tag_gone_again(self) -> None:
        """Tag in MLflow all that is gone at the source: somebody may have taken the tags away."""
        after, mlflow = 0, self.mlflow
        while mlflow is not None and not (self.stop.requested or self._mlflow_down):
            rescan = self.ledger.units.next_rescan(self.stack.key, PAGE_RUNS, after=after)
            known = self.ledger.units.known(self.stack.key, rescan.source_ids)
            gone = [
                PendingUnit(
                    s.position, s.source_id, s.key, s.fingerprint, 0, True, s.pipeline, s.run
                )
                for s in known.values()
                if s.gone
            ]
            self._take_gone(gone, mlflow.name)
            if rescan.turn_ends:
                return
            after = rescan.position

    def _rescan_all(self) -> None:
        """Ask for all that is known and was not found, so that all that vanished is seen now."""
        after = 0
        while not self.stop.requested:
            rescan = self.ledger.units.next_rescan(self.stack.key, PAGE_RUNS, after=after)
            self._take("rescan", self._not_walked(rescan.source_ids), once=False)
            if rescan.turn_ends:
                break
            after = rescan.position

    def _rescan(self) -> None:
        """Look at a slice of old history again.

        Late changes may move no timestamp, and deletions leave no trace.
        """
        rescan = self.ledger.units.next_rescan(self.stack.key, self.rules.rescan_runs)
        if not rescan.source_ids:
            return
        self._take("rescan", rescan.source_ids)
        if not self.stop.requested:
            self.ledger.units.save_rescan(
                self.leadership.lease, self.stack.key, rescan, self.clock.now_ms()
            )

    def _intake(self) -> Intake:
        return Intake(
            self.stack,
            self.ledger,
            self.leadership,
            self.clock,
            self.rules,
            self.report,
            self.failures.mask,
            self._trust,
        )

    def _page(self, source_ids: Sequence[str], phase: str) -> None:
        units = self._intake().take(source_ids)
        self.progress(self.stack.key, 0, f"{phase}, {len(units)} under way")
        self._export(units)
        self.progress(self.stack.key, len(units), phase)

    def _export(self, units: Sequence[Taken]) -> None:
        """Write what the sinks lack of a page, and look in MLflow again where that is due."""
        seen = {unit.seen.key: unit.seen for unit in units}
        lacking = self._lacking(list(seen))
        mlflow = None if self._mlflow_down else self.mlflow
        for unit in units:
            again = unit.seen.source_id in self._again or self.rules.repair
            self._again.pop(unit.seen.source_id, None)
            if mlflow is not None and again:
                lacking[unit.seen.key] |= {mlflow.name}
        with ExitStack() as page:
            tables = self._describer(page)
            self._fill_and_write(units, seen, lacking, mlflow, tables)

    def _describer(self, page: ExitStack) -> TableDescriber | None:
        if self.mlflow is not None:
            wanted, top_values = self.mlflow.naming.statistics, self.mlflow.naming.top_values
        else:
            wanted, top_values = self.lineage is not None and self.lineage.naming.statistics, 0
        if not wanted:
            return None
        return page.enter_context(TableDescriber(self.stack.artifacts, top_values=top_values))

    def _fill_and_write(
        self,
        units: Sequence[Taken],
        seen: Mapping[str, SeenUnit],
        lacking: dict[str, frozenset[str]],
        mlflow: MlflowExport | None,
        tables: TableDescriber | None,
    ) -> None:
        memory = LedgerContents(self.ledger, self.leadership, self.stack.key, self.stack.policy)
        filler = ContentFiller(
            self.stack.artifacts,
            memory,
            self.failures.mask,
            self.stop,
            None if tables is None else tables.facts,
        )
        if self.rules.full:
            lost = filler.lost(i for unit in units for i in unit.seen.artifact_ids)
            for unit in units:
                if not lost.isdisjoint(unit.seen.artifact_ids):
                    lacking[unit.seen.key] = frozenset(self._sinks())
        due = {
            key: frozenset(
                sink
                for sink in sinks
                if self._may_go(seen[key], sink, mlflow_is_up=mlflow is not None)
            )
            for key, sinks in lacking.items()
        }
        wanted = [unit for unit in units if due[unit.seen.key]]
        if not wanted:
            return
        filled = filler.fill(
            ((run, seen.key, seen.fingerprint) for run, seen in wanted),
            anew=self.rules.repair,
            lasting=memory.recall if self.rules.repair else None,
        )
        for run, one in wanted:
            for sink in due[one.key] if one.key in filled.failures else ():
                self.failures.note(sink, run, one.key, filled.failures[one.key], self.report)
        written: set[str] = set()
        if mlflow is not None:
            wants = [unit for unit in filled.runs if mlflow.name in due[unit.key]]
            written = self._export_to(mlflow, wants, filler, tables)
        for artifact_id, why in filler.undescribed.items():
            note = f"artifact {artifact_id} looks like a table and cannot be described: {why}"
            self.report.notes.append({"stack": self.stack.key, "note": note})
        for state, count in filler.looked_at.items():
            setattr(self.report.artifacts, state, getattr(self.report.artifacts, state) + count)
        queued = self._queue_events(filled.runs, seen, due)
        self._count_written(written if self.mlflow is not None else queued, seen)

    def _may_go(self, seen: SeenUnit, sink: str, *, mlflow_is_up: bool) -> bool:
        if self.mlflow is not None and sink == self.mlflow.name:
            return mlflow_is_up
        return self._has_events(seen)

    def _export_to(
        self,
        mlflow: MlflowExport,
        units: Sequence[FilledRun],
        filler: ContentFiller,
        tables: TableDescriber | None,
    ) -> set[str]:
        """Write units to MLflow; those whose files changed since are digested and written again."""
        exported = Exported()
        with self._mlflow_may_fail():
            mlflow.export(self.stack, units, self.report, exported, tables=tables)
            if exported.misread:
                anew = filler.fill(
                    ((unit.run, unit.key, unit.fingerprint) for unit in exported.misread), anew=True
                )
                for unit in exported.misread:
                    if (failure := anew.failures.get(unit.key)) is not None:
                        self.failures.note(mlflow.name, unit.run, unit.key, failure, self.report)
                mlflow.export(
                    self.stack, anew.runs, self.report, exported, tables=tables, last=True
                )
        return exported.written

    def _queue_events(
        self,
        filled: Sequence[FilledRun],
        seen: Mapping[str, SeenUnit],
        due: Mapping[str, frozenset[str]],
    ) -> set[str]:
        if self.lineage is None:
            return set()
        sinks = frozenset(self.lineage.sinks)
        ready = [(unit, self._is_stale(seen[unit.key])) for unit in filled if due[unit.key] & sinks]
        for_lineage = {key: sinks & which for key, which in due.items()}
        return self.lineage.queue(ready, for_lineage, self.report)

    def _count_written(self, keys: Iterable[str], seen: Mapping[str, SeenUnit]) -> None:
        """Count units written now, but for those still waiting for their run or for a sink."""
        ended = [key for key in keys if seen[key].settled and not seen[key].unfinished]
        if not ended:
            return
        states = [self.ledger.units.sink_states(sink, ended) for sink in self._sinks()]
        self.report.units.written += sum(
            all(key in known and known[key].progress == "done" for known in states) for key in ended
        )

    def _has_events(self, seen: SeenUnit) -> bool:
        return self.lineage is not None and (seen.settled or self._is_stale(seen))

    def _is_stale(self, seen: SeenUnit) -> bool:
        """Tell whether a run has stood still for so long that its process must be gone."""
        return seen.is_stale(self.clock.now_ms() - self.rules.stale_after_ms)

    def _lacking(self, keys: Sequence[str]) -> dict[str, frozenset[str]]:
        """Give, for each unit, the sinks that lack it and may be asked now."""
        states = {sink: self.ledger.units.sink_states(sink, keys) for sink in self._sinks()}
        now = self.clock.now_ms()
        return {
            key: frozenset(sink for sink, known in states.items() if _is_due(known.get(key), now))
            for key in keys
        }

    def remember(self, error: SinkUnavailable) -> None:
        """Ask MLflow nothing more in this cycle."""
        self._mlflow_down = True
        self.unavailable = error


class _Remembering:
    """Turns MLflow being out of reach into a note on the cycle: the other sinks go on."""

    def __init__(self, cycle: StackCycle) -> None:
        self._cycle = cycle

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, SinkUnavailable):
            self._cycle.remember(error)
            return True
        return False


def _is_due(state: SinkState | None, now: int) -> bool:
    return state is None or state.is_due(now)


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(ids)
    while page := list(islice(iterator, PAGE_RUNS)):
        yield page
