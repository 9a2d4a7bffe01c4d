"""A page on its way into MLflow, when the source, MLflow or the ledger is lost in the middle."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

import pytest
from support.mlflow_pages import SINK, exporting
from support.samples import sample_artifacts, sample_history, train_run

from exporter.errors import (
    ExporterError,
    LeaseLost,
    SinkUnavailable,
    SourceUnavailable,
    StoreUnreadable,
)
from exporter.hierarchy import run_key
from exporter.sinks.mlflow.bindings import Applied
from exporter.sync.contents import FilledRun
from exporter.sync.mlflow_export import Exported
from exporter.sync.report import StackReport
from exporter.sync.stacks import OpenStack

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.mapping.mlflow import UnitPlan

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
    with exporting(tmp_path, sink, runs, threads=2) as export:
        exported = Exported()
        with pytest.raises(type(error)):
            export.export(stack, units, StackReport(), exported)
        assert len(sink.begun) == len(sink.ended) + 1
        assert len(sink.ended) < len(runs) - 1
        names: dict[str, str] = {run_key(run): run.name for run in runs}
        states = export.ledger.units.sink_states(SINK, names)
        done = {names[key] for key, state in states.items() if state.progress == "done"}
        begun = list(sink.begun)
    assert done == (set() if isinstance(error, LeaseLost) else set(sink.ended))
    assert sink.begun == begun
