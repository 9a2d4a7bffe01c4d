"""Runs that vanish at their source, readable or not, in sinks that take that well or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.generator import COMPLETE, RUNNING, START, GeneratedStore, StepSpec
from support.sync_site import Site

from exporter.errors import SinkTerminal
from exporter.sinks.mlflow import MlflowSink
from exporter.sources.mlmd import MlmdHistory
from exporter.sync.leading import Leadership

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


def _doubts(site: Site, number: int) -> None:
    """Let a cycle say that it believes nothing, and what to do."""
    report = site.cycle()
    assert report.exit_code == 1
    (entry,) = report.total.errors
    assert entry["error"] == (
        f"All of {number} known runs are missing from the source at once; none was marked as "
        "gone, and nothing was taken from it. Is it the right store? If they were deleted on "
        "purpose, say so with `run --full`."
    )
    assert report.to_json()["source"]["runs"] == number


def _write(path: Path, names: Sequence[str], *, start: int = 0, state: int = COMPLETE) -> None:
    """Write a store anew, with runs of one step."""
    path.unlink(missing_ok=True)
    with GeneratedStore(path) as store:
        store.now += start
        for name in names:
            store.run("train", name, [StepSpec("fit", state=state, outputs=["model"])])


def test_unfinished_runs_that_are_all_deleted_are_gone_where_finished_ones_are_there(
    lineage: Site, place: Place
) -> None:
    with GeneratedStore(place.path) as store:
        live = [store.run("pipeline_0", f"live_{n}", [StepSpec("s", state=RUNNING)]) for n in "ab"]
    lineage.clock.ms = START + 60_000_000
    assert lineage.cycle().to_json()["units"]["waiting"] == 2
    place.remove(*live)
    report = lineage.cycle()
    assert report.exit_code == 0
    assert report.to_json()["units"] == {"written": 0, "unchanged": 4, "waiting": 0, "dead": 0}


@pytest.mark.parametrize("start", [0, 86_400_000, -86_400_000], ids=["same", "later", "earlier"])
def test_a_store_in_the_place_of_another_is_doubted_until_it_is_confirmed(
    lineage: Site, place: Place, start: int
) -> None:
    _write(place.path, [f"run_{n}" for n in range(12)])
    lineage.cycle()
    told = lineage.told()
    _write(place.path, [f"other_{n}" for n in range(5)], start=start)
    _doubts(lineage, 12)
    _doubts(lineage, 12)
    assert lineage.told() == told
    assert lineage.cycle(full=True).exit_code == 0
    report = lineage.cycle()
    assert (report.exit_code, report.to_json()["source"]["runs"]) == (0, 5)


def test_a_store_that_was_emptied_is_doubted_until_it_is_back(lineage: Site, place: Place) -> None:
    whole = place.path.read_bytes()
    lineage.cycle()
    _write(place.path, [])
    for _ in range(3):
        _doubts(lineage, 4)
    place.path.write_bytes(whole)
    report = lineage.cycle()
    assert report.exit_code == 0
    assert report.to_json()["units"] == {"written": 0, "unchanged": 4, "waiting": 0, "dead": 0}


def test_a_store_that_was_rebuilt_with_other_ids_is_the_same_store(
    lineage: Site, place: Place
) -> None:
    names = [f"run_{n}" for n in range(12)]
    _write(place.path, names)
    lineage.cycle()
    _write(place.path, ["new_1", "new_2", *reversed(names)], start=86_400_000)
    report = lineage.cycle()
    assert (report.exit_code, report.to_json()["source"]["runs"]) == (0, 14)
    with GeneratedStore(place.path) as store:
        store.sql("UPDATE Context SET id = id + 1000 WHERE name LIKE 'run_%' OR name LIKE 'new_%'")
        store.sql("UPDATE Association SET context_id = context_id + 1000 WHERE context_id > 1")
    report = lineage.cycle()
    assert (report.exit_code, report.to_json()["source"]["runs"]) == (0, 14)


def test_the_only_known_run_may_vanish_while_others_come(lineage: Site, place: Place) -> None:
    place.remove(*place.runs[1:])
    lineage.cycle()
    place.remove(place.runs[0])
    with GeneratedStore(place.path) as store:
        store.now += 86_400_000
        store.chain("pipeline_0", "another")
    report = lineage.cycle()
    assert (report.exit_code, report.to_json()["source"]["runs"]) == (0, 1)


@pytest.mark.parametrize("given_up", [False, True])
def test_an_unreadable_run_that_is_mended_without_a_trace_is_found_by_the_rescan(
    lineage: Site, tmp_path: Path, *, given_up: bool
) -> None:
    path = tmp_path / "mended.db"
    with GeneratedStore(path, flavour="zenml-0.6") as store:
        run = [store.chain("train", f"run_{n}") for n in range(3)][1].run
        store.flush()
        ((genuine,),) = store.sql("SELECT type_id FROM Context WHERE id = ?", run)
        foreign = store.type("system.PipelineRun", 2)
        store.sql("UPDATE Context SET type_id = ? WHERE id = ?", foreign, run)
    lineage.stacks.clear()
    lineage.add_stack(path)
    lineage.cycle()
    assert lineage.cycle().to_json()["units"]["dead"] == 1
    if given_up:
        with lineage.ledger() as ledger, Leadership(ledger, "test") as leadership:
            assert ledger.dead.drop(leadership.lease) == 1
    with GeneratedStore(path) as store:
        store.sql("UPDATE Context SET type_id = ? WHERE id = ?", genuine, run)
    report = lineage.cycle()
    assert report.exit_code == 0
    assert report.to_json()["units"] == {"written": 1, "unchanged": 2, "waiting": 0, "dead": 0}
    assert len({event["run"]["runId"] for event in lineage.told()}) == 3 * 6
