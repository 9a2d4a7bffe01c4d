"""Runs that vanish at their source, readable or not, in sinks that take that well or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.generator import GeneratedStore
from support.sync_site import Site

from exporter.errors import SinkTerminal
from exporter.sinks.mlflow import MlflowSink
from exporter.sources.mlmd import MlmdHistory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.generator import WrittenRun

    from exporter.hierarchy import RunSnapshot, UnreadableRun


class Place:
    """A store of four runs in one pipeline."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"
        with GeneratedStore(self.path) as store:
            self.runs = store.fill(4, pipelines=1)

    def remove(self, *runs: WrittenRun) -> None:
        """Delete runs, as a person does with SQL."""
        with GeneratedStore(self.path) as store:
            for run in runs:
                for step in run.steps:
                    store.remove_step(step.execution)
                store.sql("DELETE FROM Context WHERE id = ?", run.run)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give a store."""
    return Place(tmp_path)


@pytest.fixture
def lineage(tmp_path: Path, place: Place) -> Site:
    """Give a site over the store without MLflow."""
    site = Site(tmp_path, "vanished", None)
    site.add_stack(place.path)
    return site


def _stumble(monkeypatch: pytest.MonkeyPatch, source_id: str) -> None:
    """Let no page be read that holds this run."""
    genuine = MlmdHistory.runs

    def stumbling(
        self: MlmdHistory, source_ids: Sequence[str]
    ) -> Sequence[RunSnapshot | UnreadableRun]:
        found = genuine(self, source_ids)
        if any(run.source_id == source_id for run in found):
            raise KeyError("never seen before")
        return found

    monkeypatch.setattr(MlmdHistory, "runs", stumbling)


def test_a_full_run_forgets_an_unreadable_run_that_was_deleted(
    lineage: Site, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stumble(monkeypatch, place.runs[3].source_id)
    report = lineage.cycle()
    assert report.exit_code == 1
    assert report.to_json()["units"] == {"written": 3, "unchanged": 0, "waiting": 0, "dead": 1}
    place.remove(place.runs[3])
    report = lineage.cycle(full=True)
    assert report.exit_code == 0
    assert report.to_json()["units"] == {"written": 0, "unchanged": 3, "waiting": 0, "dead": 0}
    assert report.to_json()["source"]["runs"] == 3


def test_a_vanished_run_that_mlflow_refuses_to_tag_is_told_once_and_can_be_dropped(
    site: Site, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add_stack(place.path)
    site.cycle()
    place.remove(place.runs[3])

    def refuse(*_: object) -> None:
        raise SinkTerminal("MLflow refuses the tag.")

    monkeypatch.setattr(MlflowSink, "retire", refuse)
    report = site.cycle(full=True)
    assert report.exit_code == 1
    assert report.to_json()["units"] == {"written": 0, "unchanged": 3, "waiting": 0, "dead": 0}
    assert site.cycle().exit_code == 0
    monkeypatch.undo()
    with site.ledger() as ledger:
        assert [letter.run for letter in ledger.dead.letters()] == ["run_3"]
    assert site.cycle(repair=True).exit_code == 0
    assert "exporter.gone" in site.parents()["run_3"].tags
    with site.ledger() as ledger:
        assert ledger.dead.letters() == []
