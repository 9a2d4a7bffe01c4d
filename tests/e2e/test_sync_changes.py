"""A history that goes on: runs end, change late, vanish and come back, and every sink follows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.generator import RUNNING, START, GeneratedStore
from support.two_generations import RECORDED_PREFIX, TwoGenerations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.generator import WrittenRun
    from support.sync_site import Site

_MINUTE = 60_000
_DAY = 86_400_000


@pytest.fixture
def history(tmp_path: Path, site: Site) -> TwoGenerations:
    """Give a history in its first generation, configured as the site's stack."""
    folder = tmp_path / "history"
    folder.mkdir()
    made = TwoGenerations(folder)
    made.write_first()
    site.add_stack(made.path, roots=[made.files], rewrite={RECORDED_PREFIX: made.files})
    site.clock.ms = START + 5 * _MINUTE
    site.more = {"settle": "30s"}
    return made


def _told(site: Site, job: str = "train") -> list[tuple[str, str]]:
    """Give (run id, type) of the events of a job."""
    return [(e["run"]["runId"], e["eventType"]) for e in site.told() if e["job"]["name"] == job]


def test_a_running_run_is_shown_as_running_and_followed_to_its_end(
    site: Site, history: TwoGenerations
) -> None:
    first = site.cycle().to_json()
    assert first["units"] == {"written": 2, "unchanged": 0, "waiting": 1, "dead": 0}
    assert (site.parents()["run_3"].status, site.parents()["run_3"].end) == ("RUNNING", None)
    ended_before = {run for run, kind in _told(site) if kind == "COMPLETE"}
    assert len(ended_before) == 2

    history.write_second()
    site.clock.ms = START + 61 * _MINUTE
    with closing(sqlite3.connect(history.path)) as store:
        last = "SELECT MAX(last_update_time_since_epoch) FROM Execution"
        site.clock.ms = store.execute(last).fetchone()[0] + 10_000
    second = site.cycle().to_json()
    assert site.parents()["run_3"].status == "FINISHED"
    assert second["units"]["waiting"] >= 1
    assert {run for run, kind in _told(site) if kind == "COMPLETE"} <= ended_before

    site.clock.ms += 30_000
    third = site.cycle().to_json()
    assert third["units"]["waiting"] == 0
    assert len({run for run, kind in _told(site) if kind == "COMPLETE"}) == 4
    assert third["mlflow"]["requests"] == 0


def test_a_stale_run_is_aborted_and_its_late_end_is_a_correction(
    site: Site, history: TwoGenerations
) -> None:
    site.clock.ms = START + 8 * _DAY
    first = site.cycle().to_json()
    assert first["units"]["waiting"] == 1
    aborted = {run for run, kind in _told(site) if kind == "ABORT"}
    assert len(aborted) == 1
    assert site.parents()["run_3"].status == "RUNNING"
    again = site.cycle().to_json()
    assert again["openlineage"]["queued"] == 0

    history.write_second()
    site.cycle()
    ended = {run for run, kind in _told(site) if kind == "COMPLETE"}
    assert aborted <= ended
    assert site.parents()["run_3"].status == "FINISHED"


def test_a_finished_run_may_go_back_to_running(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with GeneratedStore(path) as store:
        made = store.chain("train", "run_1", steps=3)
    site.add_stack(path)
    site.cycle()
    assert site.parents()["run_1"].status == "FINISHED"
    with GeneratedStore(path) as store:
        store.sql(
            "UPDATE Execution SET last_known_state = ?, last_update_time_since_epoch = ?"
            " WHERE id = ?",
            RUNNING,
            START + 10 * _MINUTE,
            made.steps[2].execution,
        )
    report = site.cycle().to_json()
    assert report["units"]["waiting"] == 1
    assert (site.parents()["run_1"].status, site.parents()["run_1"].end) == ("RUNNING", None)


def _twelve(path: Path) -> list[WrittenRun]:
    with GeneratedStore(path) as store:
        return store.fill(12, pipelines=2)


def test_a_change_that_moves_no_time_is_found_by_the_rolling_rescan(
    new_site: Callable[[], Site], tmp_path: Path
) -> None:
    site = new_site()
    runs = _twelve(tmp_path / "store.db")
    site.add_stack(tmp_path / "store.db")
    site.more = {"rescan": {"runs": 4}}
    site.cycle()
    with GeneratedStore(tmp_path / "store.db") as store:
        store.change_parameter(runs[1].steps[2].execution, "C", "99.5", move_time=False)
    seen = []
    for number in range(4):
        with GeneratedStore(tmp_path / "store.db") as store:
            store.sql(f"PRAGMA user_version = {number + 1}")  # the file is not untouched
        report = site.cycle().to_json()
        seen.append(report["units"]["written"])
    assert sum(seen) == 1
    changed = [run for run in site.runs() if run.params.get("C") == "99.5"]
    assert [run.tags["exporter.run"] for run in changed] == ["run_1"]


def _remove(path: Path, runs: list[WrittenRun]) -> None:
    with GeneratedStore(path) as store:
        for run in runs:
            for step in run.steps:
                store.remove_step(step.execution)
            store.sql("DELETE FROM Context WHERE id = ?", run.run)


def test_a_vanished_run_is_tagged_and_the_tag_goes_when_it_returns(
    site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    runs = _twelve(path)
    before = path.read_bytes()
    site.add_stack(path)
    site.cycle()
    whole = site.held()
    _remove(path, runs[:2])
    report = site.cycle(full=True).to_json()
    assert report["ok"]
    assert report["source"]["runs"] == 10
    gone = {run.tags["exporter.run"] for run in site.runs() if "exporter.gone" in run.tags}
    assert gone == {"run_0", "run_1"}
    assert len(site.parents()) == 12
    assert site.cycle(full=True).to_json()["mlflow"]["requests"] == 0

    path.write_bytes(before)
    back = site.cycle(full=True).to_json()
    assert back["source"]["runs"] == 12
    assert not [run for run in site.runs() if "exporter.gone" in run.tags]
    assert site.held() == whole


def test_a_source_that_loses_everything_at_once_is_not_believed(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    runs = _twelve(path)
    site.add_stack(path)
    site.cycle()
    _remove(path, runs)
    report = site.cycle()
    assert report.exit_code == 1
    assert "missing from the source at once" in report.total.errors[0]["error"]
    assert not [run for run in site.runs() if "exporter.gone" in run.tags]
    assert site.cycle(full=True).to_json()["source"]["runs"] == 0
    assert len([run for run in site.parents().values() if "exporter.gone" in run.tags]) == 12


def test_a_slice_of_the_rescan_that_is_all_missing_is_believed_of_a_store_that_has_the_others(
    site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    runs = _twelve(path)
    site.add_stack(path)
    site.more = {"rescan": {"runs": 3}}
    site.cycle()
    _remove(path, runs[:3])
    report = site.cycle()
    assert report.exit_code == 0
    assert report.to_json()["source"]["runs"] == 9
    gone = {run.tags["exporter.run"] for run in site.runs() if "exporter.gone" in run.tags}
    assert gone == {"run_0", "run_1", "run_2"}


def test_a_full_run_sweeps_from_the_beginning_wherever_the_rolling_rescan_is(
    site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    runs = _twelve(path)
    site.add_stack(path)
    site.more = {"rescan": {"runs": 5}}
    site.cycle()
    with GeneratedStore(path) as store:
        store.sql("PRAGMA user_version = 1")
    site.cycle()  # the rolling re-scan now stands behind the first five
    _remove(path, runs[:1])
    site.cycle(full=True)
    assert "exporter.gone" in site.parents()["run_0"].tags


def test_a_pipeline_without_runs_has_an_experiment_in_each_tracking_server(
    site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    with GeneratedStore(path) as store:
        store.chain("train", "run_1", steps=2)
        store.context("pipeline", "never_ran")
    site.add_stack(path)
    working, site.tracking_uri = site.tracking_uri, "http://127.0.0.1:9"
    assert site.cycle().exit_code == 4
    site.tracking_uri = working
    report = site.cycle()  # the store is untouched since
    assert report.exit_code == 0
    assert sorted(name.rpartition("/")[2] for name in site.held()) == ["never_ran", "train"]
    assert report.to_json()["source"]["pipelines"] == 2
    assert site.cycle().to_json()["mlflow"]["requests"] == 0
