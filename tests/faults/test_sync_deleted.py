"""An experiment that was deleted in MLflow stays so, and no cycle is silent about it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from support.generator import GeneratedStore
from support.sync_site import Site

if TYPE_CHECKING:
    from pathlib import Path

    from support.here import Told


def deleted(site: Site, told: Told) -> list[str]:
    """Give the pipelines that `status` names as deleted in MLflow."""
    status = told("status", "--config", site.config_file(), "--json")
    names: list[str] = status.json["stacks"]["local"]["deleted_in_mlflow"]
    return names


def test_each_cycle_and_status_tell_of_a_deleted_experiment_until_a_repair(
    tmp_path: Path, told: Told
) -> None:
    path = tmp_path / "store.db"
    with GeneratedStore(path) as store:
        store.chain("train", "run_1", steps=1)
    site = Site(tmp_path, "deleted", f"sqlite:///{tmp_path / 'mlflow.db'}")
    site.add_stack(path)
    assert site.cycle().exit_code == 0
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as tracking:
        tracking.execute(
            "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name LIKE 'deleted/%'"
        )
        tracking.commit()
    with GeneratedStore(path) as store:
        store.now += 86_400_000
        store.chain("train", "run_2", steps=1)
    for _ in range(3):
        report = site.cycle()
        notes = [note for note in report.total.notes if note.get("pipeline") == "train"]
        assert (report.exit_code, len(notes)) == (0, 1)
        assert "run --repair" in notes[0]["note"]
        assert deleted(site, told) == ["train"]
    shown = told("status", "--config", site.config_file()).out
    assert "local: the experiment of pipeline 'train' was deleted in MLflow" in " ".join(
        shown.split()
    )
    assert report.to_json()["mlflow"]["requests"] == 0
    assert site.cycle(repair=True).exit_code == 0
    assert deleted(site, told) == []
    report = site.cycle()
    assert [note for note in report.total.notes if note.get("pipeline")] == []
