"""Taking runs in: one that cannot be described stops no other."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from support.samples import TRAIN, sample_artifacts, train_run
from support.sync_site import MovableClock

from exporter.history.ports import Changes, RunHead
from exporter.ledger import Ledger
from exporter.sync.intake import CycleRules, Intake
from exporter.sync.leading import Leadership
from exporter.sync.report import StackReport
from exporter.sync.stacks import OpenStack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from exporter.hierarchy import PipelineRecord, RunSnapshot
    from exporter.history.ports import Cursor


class _Delivers:
    """A source that delivers what it was given, well-formed or not."""

    repository, stack = "acme", "local"

    def __init__(self, runs: Sequence[RunSnapshot]) -> None:
        self._runs = {run.source_id: run for run in runs}

    def pipelines(self) -> Sequence[PipelineRecord]:
        return [TRAIN]

    def empty_pipelines(self) -> Sequence[PipelineRecord]:
        return []

    def heads(self, pipeline: PipelineRecord) -> Sequence[RunHead]:
        return [RunHead(r.source_id, r.name, r.seq, r.start) for r in self._runs.values()]

    def runs(self, source_ids: Sequence[str]) -> Sequence[RunSnapshot]:
        return [self._runs[i] for i in source_ids]

    def changes(self, cursor: Cursor | None) -> Changes:
        return Changes(iter([list(self._runs)]), {}, full=True)

    def close(self) -> None:
        """Nothing is open."""


def test_a_run_that_cannot_be_fingerprinted_is_a_dead_letter_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    odd = cast("Any", b"\xff")  # Any: what a record never holds, by its types
    runs = [
        train_run(1),
        replace(train_run(2), name=odd),
        replace(train_run(3), steps=(replace(train_run(3).steps[0], start=odd),)),
        train_run(4),
    ]
    report = StackReport()
    with (
        closing(Ledger.open(f"sqlite:///{tmp_path}/state.db")) as ledger,
        Leadership(ledger, "test") as leadership,
    ):
        intake = Intake(
            OpenStack("local", _Delivers(runs), sample_artifacts(), "policy"),
            ledger,
            leadership,
            MovableClock(),
            CycleRules(),
            report,
            str,
        )
        for _ in range(2):
            taken = intake.take([run.source_id for run in runs])
            assert [unit.run.source_id for unit in taken] == [runs[0].source_id, runs[3].source_id]
        assert ledger.units.totals("local").dead == 2
        assert ledger.units.totals("local").runs == 4
    assert report.dead_now == 2
    assert all("could not be read" in entry["error"] for entry in report.errors)
