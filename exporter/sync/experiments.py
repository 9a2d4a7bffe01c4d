"""Which experiment of MLflow holds a pipeline, and whether it still does.

The ledger remembers, MLflow decides: once in each cycle that writes to a pipeline its experiment is
looked up by its key. One that is no longer there (MLflow was emptied, or another one answers at the
same address) takes what the ledger knew of its runs with it, and all of them are written again.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from exporter.errors import DeletedInSink, SinkTerminal, SinkTransient
from exporter.hierarchy import history_key
from exporter.ledger import ExperimentRow
from exporter.mapping.mlflow import plan_experiment
from exporter.sync.outcomes import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from exporter.hierarchy import PipelineRecord, RunSnapshot
    from exporter.ledger import Ledger
    from exporter.ledger.records import CursorValue
    from exporter.mapping.mlflow import ExperimentPlan, MlflowNaming
    from exporter.sinks.mlflow import ExperimentBinding, MlflowSink
    from exporter.sync.leading import Leadership
    from exporter.sync.outcomes import FailureBook
    from exporter.sync.report import StackReport
    from exporter.sync.stacks import OpenStack

SCAN_PROCESS = "scan"
"""Signs the intents of units that a scan found in MLflow and the ledger did not know."""

DELETED_MARK = "deleted"
"""In the mark of a stack: MLflow sink → pipelines whose experiment was deleted there."""

_ADOPTED = 1_000


def deleted_pipelines(mark: CursorValue | None, sink_name: str) -> list[str]:
    """Name the pipelines of a stack that were last seen deleted in an MLflow, by the stack's mark.

    Their experiments stay deleted, and runs that came since are not there, until a repair.
    """
    return list((mark or {}).get(DELETED_MARK, {}).get(sink_name, []))


@dataclass(slots=True)
class Experiments:
    """Binds the pipelines of all stacks to experiments of one MLflow, for one cycle."""

    repository: str
    sink_name: str
    sink: MlflowSink
    naming: MlflowNaming
    ledger: Ledger
    leadership: Leadership
    failures: FailureBook
    repair: bool = False
    deleted: set[tuple[str, str]] = field(default_factory=set)
    """Stacks and pipelines whose experiment was deleted in MLflow, as far as it was asked."""
    _bound: dict[str, ExperimentBinding] = field(default_factory=dict)
    _refused: dict[str, SinkTransient | SinkTerminal] = field(default_factory=dict)
    _swept: set[str] = field(default_factory=set)
    _changed: bool = False

    def ensure(self, stack: OpenStack, pipeline: PipelineRecord, report: StackReport) -> bool:
        """Give a pipeline its experiment; tell whether it has one now, or is to have none.

        Raises: SinkUnavailable.
        """
        plan = plan_experiment(stack.history.repository, stack.key, pipeline, self.naming)
        result = self.failures.attempt(partial(self.of, plan, stack.key, pipeline.name, report))
        if not isinstance(result, Failure):
            return True
        where = {"stack": stack.key, "sink": "mlflow", "pipeline": pipeline.name}
        if result.is_deleted:
            report.notes.append({**where, "note": result.message})
        else:
            report.failed += 1
            report.errors.append({**where, "error": result.message})
        return result.is_deleted

    def bind(self, runs: Iterable[RunSnapshot], report: StackReport) -> bool:
        """Look the experiments of runs up; tell whether the ledger learned or forgot units by it.

        One that fails is told by `of` again, for each of its runs.
        Raises: SinkUnavailable.
        """
        self._refused.clear()
        for run in {(run.stack, run.pipeline.name): run for run in runs}.values():
            plan = plan_experiment(run.repository, run.stack, run.pipeline, self.naming)
            self.failures.attempt(partial(self.of, plan, run.stack, run.pipeline.name, report))
        changed, self._changed = self._changed, False
        return changed

    def of(
        self, plan: ExperimentPlan, stack: str, pipeline: str, report: StackReport
    ) -> ExperimentBinding:
        """Give the experiment of a pipeline, found or created.

        Raises: DeletedInSink, SinkTransient, SinkTerminal, SinkUnavailable.
        """
        if plan.key in self._bound:
            return self._bound[plan.key]
        if plan.key in self._refused:
            raise self._refused[plan.key]
        row = self.ledger.bindings.experiment(self.sink_name, plan.key)
        try:
            with self._counting(report):
                binding = self.sink.experiment(plan, repair=self.repair)
        except (SinkTransient, SinkTerminal) as error:
            self._refused[plan.key] = error
            if isinstance(error, DeletedInSink):
                self.deleted.add((stack, pipeline))
            raise
        is_same = row is not None and row.experiment_id == binding.experiment_id and binding.existed
        if row is not None and not is_same:
            self._forget(stack, pipeline, plan.key, report)
            self._sweep(stack, report)
        if binding.existed and not is_same:
            with self._counting(report):
                self._adopt(binding)
        if not is_same:
            found = ExperimentRow(binding.experiment_id, binding.artifact_location, scanned=True)
            lease = self.leadership.lease
            self.ledger.bindings.save_experiment(lease, self.sink_name, plan.key, found)
        self._bound[plan.key] = binding
        return binding

    @contextmanager
    def _counting(self, report: StackReport) -> Iterator[None]:
        before = self.sink.requests
        try:
            yield
        finally:
            if report.mlflow is not None:
                report.mlflow.requests += self.sink.requests - before

    def _sweep(self, stack: str, report: StackReport) -> None:
        """Look at the other experiments of a stack: an MLflow that lost one may have lost all."""
        if stack in self._swept:
            return
        self._swept.add(stack)
        for pipeline in self.ledger.units.pipeline_names(stack):
            key = history_key(self.repository, stack, None, pipeline)
            row = self.ledger.bindings.experiment(self.sink_name, key)
            if row is None or key in self._bound:
                continue
            with self._counting(report):
                is_held = self.sink.holds(row.experiment_id, key)
            if not is_held:
                self._forget(stack, pipeline, key, report)

    def _forget(self, stack: str, pipeline: str, key: str, report: StackReport) -> None:
        self._changed = True
        number = self.ledger.bindings.forget_pipeline(
            self.leadership.lease, self.sink_name, stack, pipeline, key
        )
        note = (
            f"MLflow no longer has the experiment that held its runs; {number} runs are to be "
            "written again."
        )
        report.notes.append({"stack": stack, "sink": "mlflow", "pipeline": pipeline, "note": note})

    def _adopt(self, binding: ExperimentBinding) -> None:
        """Remember the units an experiment holds that the ledger does not know, as intents."""
        found: list[str] = []
        for unit_key, _ in self.sink.scan(binding.experiment_id):
            found.append(unit_key)
            if len(found) >= _ADOPTED:
                self._begin(found)
                found = []
        self._begin(found)

    def _begin(self, keys: Sequence[str]) -> None:
        if keys:
            self._changed = True
            lease = self.leadership.lease
            self.ledger.bindings.begin(lease, self.sink_name, keys, SCAN_PROCESS, 0)
