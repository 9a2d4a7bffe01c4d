"""Taking runs in: one that cannot be described stops no other."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.samples import TRAIN, sample_artifacts, train_run
from support.sync_site import MovableClock

from exporter.errors import SourceDoubted
from exporter.history.ports import Changes, RunHead
from exporter.ledger import Ledger
from exporter.sync.intake import CycleRules, Intake
from exporter.sync.leading import Leadership
from exporter.sync.report import StackReport
from exporter.sync.stacks import OpenStack
from exporter.sync.trust import SourceTrust

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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
        return [self._runs[i] for i in source_ids if i in self._runs]

    def forget(self, *runs: RunSnapshot) -> None:
        """Have these no more."""
        for run in runs:
            del self._runs[run.source_id]

    def changes(self, cursor: Cursor | None) -> Changes:
        return Changes(iter([list(self._runs)]), {}, full=True)

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def _intake(folder: Path, source: _Delivers, *, full: bool = False) -> Iterator[Intake]:
    with (
        closing(Ledger.open(f"sqlite:///{folder}/state.db")) as ledger,
        Leadership(ledger, "test") as leadership,
    ):
        stack = OpenStack("local", source, sample_artifacts(), "policy")
        yield Intake(
            stack,
            ledger,
            leadership,
            MovableClock(),
            CycleRules(full=full),
            StackReport(),
            str,
            SourceTrust(stack, ledger, str, given=full),
        )


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
    with _intake(tmp_path, _Delivers(runs)) as intake:
        for _ in range(2):
            taken = intake.take([run.source_id for run in runs])
            assert [unit.run.source_id for unit in taken] == [runs[0].source_id, runs[3].source_id]
        assert intake.ledger.units.totals("local").dead == 2
        assert intake.ledger.units.totals("local").runs == 4
    assert intake.report.dead_now == 2
    assert all("could not be read" in entry["error"] for entry in intake.report.errors)


def test_an_unreadable_run_that_is_deleted_at_its_source_is_forgotten(tmp_path: Path) -> None:
    odd = cast("Any", b"\xff")  # Any: what a record never holds, by its types
    runs = [train_run(1), replace(train_run(2), name=odd)]
    source = _Delivers(runs)
    with _intake(tmp_path, source) as intake:
        ids = [run.source_id for run in runs]
        intake.take(ids)
        ledger, lease = intake.ledger, intake.leadership.lease
        assert (ledger.units.totals("local").runs, ledger.units.totals("local").dead) == (2, 1)
        ledger.dead.retry(lease)
        assert ledger.units.open("local") == ids[1:]
        source.forget(runs[1])
        intake.take(ledger.units.open("local"))
        assert ledger.units.open("local") == []
        assert (ledger.units.totals("local").runs, ledger.units.totals("local").dead) == (1, 0)


def test_several_runs_that_vanish_at_once_are_doubted_also_where_none_was_readable(
    tmp_path: Path,
) -> None:
    odd = cast("Any", b"\xff")  # Any: what a record never holds, by its types
    runs = [replace(train_run(n), name=odd) for n in (1, 2)]
    source, ids = _Delivers(runs), [run.source_id for run in runs]
    with _intake(tmp_path, source) as intake:
        intake.take(ids)
        source.forget(*runs)
    with _intake(tmp_path, source) as intake:
        with pytest.raises(SourceDoubted, match="All of 2 known runs"):
            intake.take(ids)
        assert intake.ledger.units.unread("local") == ids
    with _intake(tmp_path, source, full=True) as intake:
        intake.take(ids)
        assert intake.ledger.units.unread("local") == []
