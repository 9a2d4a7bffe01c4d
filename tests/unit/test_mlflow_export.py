"""A page on its way into MLflow, when the source, MLflow or the ledger is lost in the middle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, cast

import pytest
from support.samples import sample_artifacts, sample_history, train_run
from support.sync_site import MovableClock

from exporter.errors import (
    ExporterError,
    LeaseLost,
    SinkUnavailable,
    SourceUnavailable,
    StoreUnreadable,
)
from exporter.hierarchy import run_key
from exporter.ledger import Ledger, SeenUnit
from exporter.mapping.mlflow import MlflowNaming
from exporter.sinks.mlflow.bindings import Applied, ExperimentBinding
from exporter.sync.clock import Stop
from exporter.sync.contents import FilledRun
from exporter.sync.leading import Leadership
from exporter.sync.mlflow_export import Exported, MlflowExport
from exporter.sync.outcomes import FailureBook
from exporter.sync.report import StackReport
from exporter.sync.stacks import OpenStack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.hierarchy import RunSnapshot
    from exporter.mapping.mlflow import UnitPlan
    from exporter.sinks.mlflow import MlflowSink
    from exporter.sync.experiments import Experiments

_SINK = "mlflow/test"
_BROKEN = "run_3"


@dataclass
class _Sink:
    """Takes every unit but the third, which breaks while the fourth is still on its way."""

    error: ExporterError
    broke: Event = field(default_factory=Event)
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def apply(self, plan: UnitPlan, *_: object, **__: object) -> Applied:
        """Write a unit."""
        name = plan.parent.name
        self.begun.append(name)
        if name == _BROKEN:
            self.broke.set()
            raise self.error
        if name > _BROKEN:
            self.broke.wait(10)
            Event().wait(0.2)
        self.ended.append(name)
        return Applied("1", {plan.unit: name}, runs_created=1)


class _Experiments:
    """One experiment for all."""

    def bind(self, *_: object) -> bool:
        """Learn nothing new."""
        return False

    def of(self, *_: object) -> ExperimentBinding:
        """Give the one."""
        return ExperimentBinding("1", "mlflow-artifacts:/1", existed=True)


@contextmanager
def _export(
    folder: Path, sink: _Sink, runs: list[RunSnapshot], *, threads: int
) -> Iterator[MlflowExport]:
    clock = MovableClock()
    with (
        Ledger.open(f"sqlite:///{folder}/state.db") as ledger,
        Leadership(ledger, "test") as leadership,
        ThreadPoolExecutor(threads) as executor,
    ):
        ledger.units.register_sinks(leadership.lease, "local", [_SINK])
        seen = [
            SeenUnit(
                run_key(r), r.source_id, r.pipeline.name, r.name, r.status, False, True, "f", 3, []
            )
            for r in runs
        ]
        ledger.units.record(leadership.lease, "local", seen, 1)
        yield MlflowExport(
            name=_SINK,
            sink=cast("MlflowSink", sink),
            experiments=cast("Experiments", _Experiments()),
            naming=MlflowNaming(),
            ledger=ledger,
            leadership=leadership,
            executor=executor,
            clock=clock,
            stop=Stop(),
            process="test",
            failures=FailureBook(ledger, leadership, clock),
        )


@pytest.mark.parametrize(
    "error",
    [
        SinkUnavailable("MLflow is away."),
        SourceUnavailable("The source is away."),
        StoreUnreadable("The store is broken."),
        LeaseLost("Another leads."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_lost_in_mid_page_leaves_nobody_writing_and_what_was_written_recorded(
    tmp_path: Path, error: ExporterError
) -> None:
    runs = [train_run(n) for n in range(1, 10)]
    units = [FilledRun(run, {}, run_key(run), "f") for run in runs]
    sink = _Sink(error)
    stack = OpenStack("local", sample_history(), sample_artifacts(), "policy")
    with _export(tmp_path, sink, runs, threads=2) as export:
        exported = Exported()
        with pytest.raises(type(error)):
            export.export(stack, units, StackReport(), exported)
        assert len(sink.begun) == len(sink.ended) + 1
        assert len(sink.ended) < len(runs) - 1
        names: dict[str, str] = {run_key(run): run.name for run in runs}
        states = export.ledger.units.sink_states(_SINK, names)
        done = {names[key] for key, state in states.items() if state.progress == "done"}
        begun = list(sink.begun)
    assert done == (set() if isinstance(error, LeaseLost) else set(sink.ended))
    assert sink.begun == begun
