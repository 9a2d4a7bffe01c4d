"""An experiment that was deleted in MLflow stays so, and no cycle is silent about it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from support.generator import GeneratedStore
from support.sync_site import Site

if TYPE_CHECKING:
    from pathlib import Path


def test_each_cycle_tells_of_a_deleted_experiment_until_a_repair(tmp_path: Path) -> None:
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
        told = [note for note in report.total.notes if note.get("pipeline") == "train"]
        assert (report.exit_code, len(told)) == (0, 1)
        assert "run --repair" in told[0]["note"]
    assert report.to_json()["mlflow"]["requests"] == 0
    assert site.cycle(repair=True).exit_code == 0
    report = site.cycle()
    assert [note for note in report.total.notes if note.get("pipeline")] == []
