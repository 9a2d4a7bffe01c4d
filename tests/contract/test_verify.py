"""Verifying on real tracking databases and servers, in this process: each kind, seen and mended."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.generator import GeneratedStore
from support.mlflow_server import empty_database
from support.stores import TFX, ZENML_05, ZENML_12
from support.sync_site import Site

from exporter.config import Settings
from exporter.errors import NotFound, SinkUnavailable
from exporter.sync.verifying import Verification

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mlflow_server import MlflowServer
    from support.stores import RecordedStore

    from exporter.sync.verify_report import Difference


def _verified(site: Site, *, sizes_only: bool = False) -> tuple[Verification, list[Difference]]:
    work = Verification(Settings.model_validate(site.values()), sizes_only=sizes_only)
    return work, list(work.differences())


def _site(folder: Path, uri: str, store: RecordedStore) -> Site:
    site = Site(folder, f"verify-{folder.name}", uri)
    prefix = f"/data/{store.name}"
    site.add_stack(store.database, roots=[store.folder], rewrite={prefix: store.folder})
    return site


class Held:
    """A copy of a real store, exported into a bare tracking database; it can be put back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ZENML_05.copy_folder(folder)
        self.site = _site(folder, empty_database(folder), self.store)
        assert self.site.cycle().exit_code == 0
        self._kept = folder.with_name(f"{folder.name}-kept")
        shutil.copytree(folder, self._kept)

    def put_back(self) -> None:
        """Make store, ledger, MLflow and its files what they were after the export."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder)

    def sql(self, *statements: str, source: bool = False) -> None:
        """Change the tracking database, or the store."""
        file = self.store.database if source else self.folder / "mlflow.db"
        with closing(sqlite3.connect(file)) as connection:
            for statement in statements:
                assert connection.execute(statement).rowcount > 0, statement
            connection.commit()

    def file(self, pattern: str) -> Path:
        """Give a file of an active run."""
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as connection:
            runs = [row[0] for row in connection.execute(_ACTIVE[1:-1])]
        found = (self.folder / "mlartifacts").rglob(pattern)
        return min(p for p in found if p.is_file() and not set(runs).isdisjoint(p.parts))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """Export once."""
    return Held(tmp_path_factory.mktemp("held"))


@pytest.fixture
def held(exported: Held) -> Held:
    """Give the export as if no test had touched it; paths in it are always the same."""
    exported.put_back()
    return exported


_ACTIVE = "(SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active')"
_STEP = f"(SELECT MIN(run_uuid) FROM tags WHERE key = 'exporter.step' AND run_uuid IN {_ACTIVE})"
_PARENT = (
    f"(SELECT MIN(run_uuid) FROM tags WHERE key = 'exporter.record' AND run_uuid IN {_ACTIVE})"
)


def _flip(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])


_METRIC_TABLES = ("latest_metrics", "metrics")
_EDITS: dict[str, tuple[str, Callable[[Held], object]]] = {
    "name": ("name", lambda h: h.sql(f"UPDATE runs SET name = 'mine' WHERE run_uuid = {_STEP}")),
    "start": (
        "start",
        lambda h: h.sql(f"UPDATE runs SET start_time = start_time + 1 WHERE run_uuid = {_STEP}"),
    ),
    "end removed": (
        "end",
        lambda h: h.sql(f"UPDATE runs SET end_time = NULL WHERE run_uuid = {_PARENT}"),
    ),
    "metric deleted": (
        "metric",
        lambda h: h.sql(*(f"DELETE FROM {t} WHERE key LIKE 'acc%'" for t in _METRIC_TABLES)),
    ),
    "dataset removed": (
        "dataset",
        lambda h: h.sql("DELETE FROM inputs WHERE source_type = 'DATASET'"),
    ),
    "nested below nothing": (
        "parent",
        lambda h: h.sql(
            f"DELETE FROM tags WHERE key = 'mlflow.parentRunId' AND run_uuid = {_STEP}"
        ),
    ),
    "seal removed": (
        "record",
        lambda h: h.sql(
            f"DELETE FROM tags WHERE key = 'exporter.complete' AND run_uuid = {_PARENT}"
        ),
    ),
    "marked as gone": (
        "tag",
        lambda h: h.sql(
            f"INSERT INTO tags (key, value, run_uuid) VALUES ('exporter.gone', 'x', {_PARENT})"
        ),
    ),
    "experiment's tag edited": (
        "experiment",
        lambda h: h.sql(
            "UPDATE experiment_tags SET value = '{}' WHERE key = 'exporter.record' AND "
            "experiment_id = (SELECT MIN(experiment_id) FROM experiment_tags WHERE "
            "key = 'exporter.record')"
        ),
    ),
    "drawing deleted": ("file", lambda h: h.file("graph.svg").unlink()),
    "report of a table deleted": ("file", lambda h: h.file("report.html").unlink()),
    "file edited": ("file", lambda h: _flip(h.file("data.json"))),
    "file longer": ("file", lambda h: h.file("data.json").write_text("[1, 2, 3]" * 99)),
}


@pytest.mark.parametrize("edit", _EDITS)
def test_every_kind_of_edit_is_seen_and_mended(held: Held, edit: str) -> None:
    kind, change = _EDITS[edit]
    change(held)
    _, differences = _verified(held.site)
    assert kind in {difference.kind for difference in differences}
    held.site.cycle(repair=True)
    work, differences = _verified(held.site)
    assert differences == []
    assert work.stacks["local"].standing.equal == ZENML_05.runs


def test_sizes_alone_miss_a_file_edited_in_place_and_see_one_deleted(held: Held) -> None:
    file = held.file("data.json")
    before = file.read_bytes()
    _flip(file)
    work, differences = _verified(held.site, sizes_only=True)
    assert (differences, work.stacks["local"].bytes) == ([], 0)
    file.unlink()
    _, differences = _verified(held.site, sizes_only=True)
    assert [(d.kind, d.sink) for d in differences] == [("file", None)]
    file.write_bytes(before)
    assert _verified(held.site)[1] == []


def test_a_copy_of_a_run_is_told_and_deleted_by_a_repair(held: Held) -> None:
    held.sql(
        "INSERT INTO runs (run_uuid, name, user_id, source_name, source_type, status, start_time, "
        "end_time, lifecycle_stage, artifact_uri, experiment_id) "
        "SELECT 'f' || substr(run_uuid, 2), name, '', '', source_type, status, "
        "start_time, end_time, 'active', artifact_uri, experiment_id "
        f"FROM runs WHERE run_uuid = {_STEP}"
    )
    held.sql(
        "INSERT INTO tags (key, value, run_uuid) SELECT key, value, 'f' || substr(run_uuid, 2) "
        f"FROM tags WHERE run_uuid = {_STEP} AND key != 'exporter.mlflow_run'"
    )
    _, differences = _verified(held.site)
    assert [(d.kind, d.name, d.sink) for d in differences] == [("run", "copies", 2)]
    held.site.cycle(repair=True)
    assert _verified(held.site)[1] == []


def test_a_deleted_experiment_is_one_difference(held: Held) -> None:
    one = "(SELECT experiment_id FROM experiments WHERE name LIKE '%/failing_pipeline')"
    held.sql(f"UPDATE experiments SET lifecycle_stage = 'deleted' WHERE experiment_id = {one}")
    held.sql(
        "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = 1 "
        f"WHERE experiment_id = {one} AND lifecycle_stage = 'active'"
    )
    work, differences = _verified(held.site)
    assert [(d.kind, d.pipeline, d.sink) for d in differences] == [
        ("experiment", "failing_pipeline", "deleted")
    ]
    assert work.stacks["local"].standing.missing == 1
    held.site.cycle(repair=True)
    assert _verified(held.site)[1] == []


def test_bytes_that_are_gone_at_the_source_are_no_difference(held: Held) -> None:
    moved = held.store.folder.with_name("moved")
    artifacts = next(held.store.folder.rglob("importer"))
    shutil.move(artifacts, moved)
    try:
        assert _verified(held.site)[1] == []
        held.site.cycle(repair=True)
        assert _verified(held.site)[1] == []
    finally:
        shutil.move(moved, artifacts)


def test_looking_changes_no_byte_of_store_state_and_mlflow(held: Held) -> None:
    def contents() -> dict[str, bytes]:
        files = [p for p in held.folder.rglob("*") if p.is_file() and "-wal" not in p.name]
        return {str(p): p.read_bytes() for p in files if "-shm" not in p.name}

    _verified(held.site)
    before = contents()
    _verified(held.site)
    assert contents() == before


def test_a_run_gone_at_the_source_must_be_tagged(held: Held) -> None:
    run = "(SELECT id FROM Context WHERE name = 'fail_1')"
    held.sql(f"DELETE FROM Association WHERE context_id = {run}", source=True)
    held.sql(f"DELETE FROM Context WHERE id = {run}", source=True)
    work, differences = _verified(held.site)
    assert [(d.kind, d.run, d.source) for d in differences] == [("run", "fail_1", None)]
    assert work.stacks["local"].standing.extra == 1
    held.site.cycle(full=True)
    work, differences = _verified(held.site)
    assert (differences, work.stacks["local"].standing.gone) == ([], 1)
    held.sql("DELETE FROM tags WHERE key = 'exporter.gone'")
    assert _verified(held.site)[0].stacks["local"].standing.extra == 1
    held.site.cycle(repair=True)
    assert _verified(held.site)[1] == []


def test_runs_of_a_pipeline_that_the_source_lost_whole_are_extra(
    held: Held, tmp_path: Path
) -> None:
    with GeneratedStore(tmp_path / "empty.db", schema=8):
        pass
    held.store.database.write_bytes((tmp_path / "empty.db").read_bytes())
    assert held.site.cycle().exit_code == 1
    work, differences = _verified(held.site)
    runs = work.stacks["local"].standing
    assert (runs.extra, runs.gone) == (ZENML_05.runs, 0)
    assert {(d.kind, d.source, d.sink) for d in differences} == {("run", None, "there")}
    only = Verification(Settings.model_validate(held.site.values()), [differences[0].pipeline])
    assert {d.pipeline for d in only.differences()} == {differences[0].pipeline}
    held.site.cycle(full=True)
    assert _verified(held.site)[1] == []


def test_a_run_newer_than_the_last_cycle_waits(held: Held) -> None:
    held.sql(
        "UPDATE Execution SET last_update_time_since_epoch = 1999999999999 "
        "WHERE id = (SELECT MAX(id) FROM Execution)",
        source=True,
    )
    work, differences = _verified(held.site)
    assert (differences, work.stacks["local"].standing.waiting) == ([], 1)


@pytest.mark.parametrize(
    ("backend", "store"),
    [("mlflow_server", ZENML_12), ("mlflow_server_on_postgres", TFX)],
    ids=["sqlite", "postgresql"],
)
def test_recorded_stores_are_equal_on_servers(
    backend: str, store: RecordedStore, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: MlflowServer = request.getfixturevalue(backend)
    folder = tmp_path / f"{backend}-{store.name}"
    folder.mkdir()
    site = _site(folder, server.url, store)
    site.cycle()
    for sizes_only in (False, True):
        work, differences = _verified(site, sizes_only=sizes_only)
        report = work.stacks["local"]
        assert (differences, report.errors) == ([], [])
        assert (report.pipelines, report.runs) == (store.pipelines, store.runs)
        assert (report.steps, report.artifacts) == (store.steps, store.artifacts)
    assert site.parents()
    run = next(iter(site.parents().values()))
    api = site.api()
    api.delete_run(run.run_id)
    api.close()
    _, differences = _verified(site)
    assert [(d.kind, d.run, d.sink) for d in differences] == [("run", run.name, "deleted")]
    site.cycle(repair=True)
    assert _verified(site)[1] == []


def test_a_name_that_is_not_there_and_a_database_that_is_none(tmp_path: Path, held: Held) -> None:
    settings = Settings.model_validate(held.site.values())
    with pytest.raises(NotFound, match="train_pipelin'"):
        list(Verification(settings, pipelines=["train_pipelin"]).differences())
    with pytest.raises(NotFound, match="loca'"):
        list(Verification(settings, stack_keys=["loca"]).differences())
    site = _site(tmp_path, f"sqlite:///{tmp_path / 'none.db'}", ZENML_05)
    with pytest.raises(SinkUnavailable, match=r"There is no MLflow in the database"):
        _verified(site)
    assert list(tmp_path.iterdir()) == []
