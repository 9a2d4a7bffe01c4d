"""Tagging what vanished: a refusal is a failure of that unit, and a stale leader tags nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from support.mlflow_pages import SINK, exporting
from support.samples import sample_artifacts, sample_history, train_run

from exporter.errors import DeletedInSink, ExporterError, LeaseLost, SinkTerminal, SinkTransient
from exporter.hierarchy import history_key
from exporter.ledger import ExperimentRow
from exporter.sinks.mlflow.bindings import Retired
from exporter.sync.leading import Leadership
from exporter.sync.outcomes import MAX_ATTEMPTS
from exporter.sync.report import StackReport
from exporter.sync.stacks import OpenStack
from exporter.sync.vanished import tag_vanished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporter.ledger import PendingUnit
    from exporter.sync.mlflow_export import MlflowExport

_RUNS = [train_run(n) for n in range(1, 5)]
_STACK = OpenStack("local", sample_history(), sample_artifacts(), "policy")


@dataclass
class _Sink:
    """Tags units; `before` is called for each first."""

    before: Callable[[], None] = lambda: None
    tagged: list[str] = field(default_factory=list)

    def retire(self, experiment_id: str, unit: str) -> Retired:
        """Tag a unit."""
        del experiment_id
        self.before()
        self.tagged.append(unit)
        return Retired(1, 1)


def _vanish(export: MlflowExport) -> list[PendingUnit]:
    """Let all runs vanish that MLflow held in one experiment."""
    lease, ledger = export.leadership.lease, export.ledger
    row = ExperimentRow("1", "", scanned=True)
    key = history_key("acme", "local", None, _RUNS[0].pipeline.name)
    ledger.bindings.save_experiment(lease, SINK, key, row)
    ledger.units.mark_gone(lease, "local", [run.source_id for run in _RUNS], 1)
    return ledger.units.pending("local", SINK, now=1)


def _refuse(error: ExporterError) -> Callable[[], None]:
    def refuse() -> None:
        raise error

    return refuse


def test_a_unit_that_mlflow_refuses_to_tag_is_a_dead_letter(tmp_path: Path) -> None:
    with exporting(tmp_path, _Sink(_refuse(SinkTerminal("Tags are refused."))), _RUNS) as export:
        units, report = _vanish(export), StackReport()
        assert tag_vanished(export, _STACK, units[:1], report) == []
        (letter,) = export.ledger.dead.letters()
        assert (letter.run, letter.error) == ("run_1", "Tags are refused.")
        (error,) = report.errors
        assert (error["run"], error["sink"], error["dead"]) == ("run_1", "mlflow", True)
        assert len(export.ledger.units.pending("local", SINK, now=1)) == len(units) - 1
        totals = export.ledger.units.totals("local")
        assert (totals.runs, totals.dead) == (0, 0)
        assert export.ledger.dead.drop(export.leadership.lease) == 1
        assert len(export.ledger.units.pending("local", SINK, now=1)) == len(units) - 1


def test_a_unit_that_cannot_be_tagged_now_is_tried_again_later_and_not_for_ever(
    tmp_path: Path,
) -> None:
    with exporting(tmp_path, _Sink(_refuse(SinkTransient("Busy."))), _RUNS[:1]) as export:
        units, clock = _vanish(export), export.clock
        for _ in range(MAX_ATTEMPTS):
            assert export.ledger.dead.letters() == []
            assert tag_vanished(export, _STACK, units, StackReport()) == []
            assert export.ledger.units.pending("local", SINK, now=clock.now_ms()) == []
            clock.wait(3_600)
            units = export.ledger.units.pending("local", SINK, now=clock.now_ms())
        assert units == []
        assert len(export.ledger.dead.letters()) == 1


def test_what_was_deleted_in_mlflow_meanwhile_needs_no_tag(tmp_path: Path) -> None:
    with exporting(tmp_path, _Sink(_refuse(DeletedInSink("Deleted."))), _RUNS) as export:
        units, report = _vanish(export), StackReport()
        assert tag_vanished(export, _STACK, units, report) == [unit.key for unit in units]
        assert report.ok


def test_a_leader_that_was_overtaken_tags_nothing_more(tmp_path: Path) -> None:
    sink = _Sink()
    with exporting(tmp_path, sink, _RUNS) as export:
        units = _vanish(export)

        def overtaken() -> None:
            if len(sink.tagged) == 1:
                export.ledger.leases.release(export.leadership.lease)
                other.__enter__()
                with pytest.raises(LeaseLost):
                    export.leadership._renew_now()

        sink.before = overtaken
        other = Leadership(export.ledger, "another")
        with pytest.raises(LeaseLost):
            tag_vanished(export, _STACK, units, StackReport())
        other.__exit__(None, None, None)
    assert len(sink.tagged) == 2


def test_a_stop_leaves_the_other_units_for_the_next_cycle(tmp_path: Path) -> None:
    sink = _Sink()
    with exporting(tmp_path, sink, _RUNS) as export:
        units = _vanish(export)
        sink.before = export.stop.request
        assert tag_vanished(export, _STACK, units, StackReport()) == [units[0].key]
