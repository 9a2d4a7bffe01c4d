"""The recorded stores in a real MLflow: every count as SQL takes it from the store itself."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest
from support.command import run_command
from support.stores import RECORDED, TFX, ZENML_05

from exporter.mapping.mlflow import stored_path
from exporter.mapping.records_text import decode_record

if TYPE_CHECKING:
    from pathlib import Path

    from support.stores import RecordedStore
    from support.sync_site import Site

_STATUS = {2: "RUNNING", 3: "FINISHED", 4: "FAILED", 5: "FINISHED", 6: "KILLED"}


def _counted(database: Path) -> dict[str, int]:
    """Count by plain SQL what a store holds."""
    queries = {
        "pipelines": "SELECT COUNT(*) FROM Context c JOIN Type t ON t.id = c.type_id "
        "WHERE t.name = 'pipeline'",
        "runs": "SELECT COUNT(*) FROM Context c JOIN Type t ON t.id = c.type_id "
        "WHERE t.name = 'pipeline_run'",
        "steps": "SELECT COUNT(*) FROM Execution",
        "artifacts": "SELECT COUNT(*) FROM Artifact",
    }
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
        return {name: int(store.execute(sql).fetchone()[0]) for name, sql in queries.items()}


def _step_statuses(database: Path) -> Counter[str]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
        rows = store.execute("SELECT last_known_state, COUNT(*) FROM Execution GROUP BY 1")
        found: Counter[str] = Counter()
        for state, number in rows:
            found[_STATUS[state]] += number
        return found


def _add(site: Site, store: RecordedStore, key: str = "local") -> None:
    site.add_stack(
        store.database, key, roots=[store.folder], rewrite={f"/data/{store.name}": store.folder}
    )


@pytest.mark.parametrize("store", RECORDED, ids=lambda store: store.name)
def test_a_recorded_store_arrives_whole_and_a_second_run_does_nothing(
    site: Site, store: RecordedStore
) -> None:
    _add(site, store)
    report = site.cycle().to_json()
    counted = _counted(store.database)

    assert report["ok"]
    assert report["source"] == counted
    assert report["units"] == {"written": counted["runs"], "unchanged": 0, "waiting": 0, "dead": 0}
    assert report["artifacts"] == {
        "copied": counted["artifacts"],
        "referenced": 0,
        "too_large": 0,
        "refused": 0,
        "missing": 0,
        "corrupt": 0,
    }
    assert report["mlflow"]["runs_created"] == counted["runs"] + counted["steps"]
    lineage = report["openlineage"]
    assert lineage["delivered"] == lineage["queued"] == len(site.told()) > 0
    assert report["stacks"]["local"]["openlineage"] == lineage
    nested = [run for run in site.runs() if "mlflow.parentRunId" in run.tags]
    assert Counter(run.status for run in nested) == _step_statuses(store.database)
    _check_files(site, store)

    events = site.events.read_bytes()
    again = site.cycle().to_json()
    assert again["units"] == {"written": 0, "unchanged": counted["runs"], "waiting": 0, "dead": 0}
    assert set(again["mlflow"].values()) == {0}
    assert set(again["artifacts"].values()) == {0}
    assert (again["openlineage"]["queued"], again["openlineage"]["delivered"]) == (0, 0)
    assert again["source"] == counted
    assert site.events.read_bytes() == events


def _check_files(site: Site, store: RecordedStore) -> None:
    """Compare every byte in MLflow with the store's own files, through the records."""
    api = site.api()
    by_key = {run.key: run for run in site.runs()}
    compared = set()
    try:
        for parent in site.parents().values():
            run, homes = decode_record(parent.tags, partial(api.get_file, parent.artifact_uri))
            for artifact in run.artifacts:
                assert artifact.content is not None
                home = homes[artifact.id]
                if home in compared:
                    continue
                compared.add(home)
                local = store.folder / artifact.uri.removeprefix(f"/data/{store.name}/")
                for file in artifact.content.files:
                    held = api.get_file(
                        by_key[home.step_key].artifact_uri, stored_path(home, file.path)
                    )
                    assert held == (local / file.path if file.path else local).read_bytes()
                    assert hashlib.sha256(held).hexdigest() == file.sha256
    finally:
        api.close()
    assert len(compared) == store.artifacts


def test_values_of_steps_are_parameters_and_metrics(site: Site) -> None:
    _add(site, ZENML_05)
    site.cycle()
    steps = {
        (run.tags["exporter.run"], run.name): run
        for run in site.runs()
        if "mlflow.parentRunId" in run.tags
    }
    trainer = steps["run_3_C01", "trainer"]
    assert trainer.params["C"] == "0.1"
    evaluator = steps["run_3_C01", "evaluator"]
    assert 1.0 in {value for value, _ in evaluator.metrics.values()}
    assert steps["fail_1", "boom"].status == "FAILED"
    parents = site.parents()
    assert parents["fail_1"].status == "FAILED"
    assert (parents["run_1"].start, parents["run_1"].end) == (
        min(run.start for (name, _), run in steps.items() if name == "run_1"),
        max(run.end or 0 for (name, _), run in steps.items() if name == "run_1"),
    )


def test_the_command_syncs_two_stacks_and_then_finds_nothing_to_do(site: Site) -> None:
    _add(site, ZENML_05, "old")
    _add(site, TFX, "tfx")
    site.more = {"settle": "30s"}
    config = site.config_file()
    first = run_command("run", "--config", config, "--json").json
    assert {key: shown["source"]["runs"] for key, shown in first["stacks"].items()} == {
        "old": ZENML_05.runs,
        "tfx": TFX.runs,
    }
    for name in ("queued", "delivered"):
        parts = [shown["openlineage"][name] for shown in first["stacks"].values()]
        assert all(parts)
        assert sum(parts) == first["openlineage"][name]
    assert first["units"]["written"] == ZENML_05.runs + TFX.runs
    second = run_command("run", "--config", config, "--json")
    assert second.code == 0
    assert set(second.json["mlflow"].values()) == {0}
    assert second.json["openlineage"]["queued"] == 0
