"""`verify` sees whatever somebody changed in MLflow, and `run --repair` puts it right."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.command import run_command
from support.mlflow_server import free_port
from support.sync_site import Site
from support.zenml_stores import recorded_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.here import Told
    from support.mlflow_server import MlflowServer

Json = dict[str, Any]  # Any: JSON values
_STORE = recorded_store("zenml-0.5.7")
_REPOSITORY = "verify-command"


class Tracked:
    """A site with a real history in an MLflow whose database and files a test can reach."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self._folder = folder

    def sql(self, statement: str, *values: object) -> None:
        """Change the tracking database, behind the server's back."""
        with closing(sqlite3.connect(self._folder / "mlflow.db", timeout=30)) as connection:
            done = connection.execute(statement, values)
            assert done.rowcount > 0, statement
            connection.commit()

    def file(self, name: str) -> Path:
        """Give a stored file of this site."""
        with closing(sqlite3.connect(self._folder / "mlflow.db", timeout=30)) as connection:
            places = [str(row[0]) for row in connection.execute(_EXPERIMENTS)]
        artifacts = self._folder / "artifacts"
        found = [p for at in places for p in (artifacts / at).rglob(name) if p.is_file()]
        assert found, name
        return min(found)

    def verify(self, run: Told, *words: str) -> tuple[int, Json]:
        """Run the command, in a process of its own or in this one."""
        ended = run("verify", "-c", self.site.config_file(), "--json", *words)
        assert "Traceback" not in ended.err
        return ended.code, ended.json


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, mlflow_server: MlflowServer) -> Tracked:
    """Export a real store to the session's server once; every test repairs what it breaks."""
    site = Site(tmp_path_factory.mktemp("verify"), _REPOSITORY, mlflow_server.url)
    site.add_stack(_STORE.database, roots=[_STORE.folder], rewrite={_STORE.recorded: _STORE.folder})
    assert run_command("run", "-c", site.config_file()).code == 0
    return Tracked(site, mlflow_server.folder)


def test_an_untouched_export_is_equal(tracked: Tracked) -> None:
    code, shown = tracked.verify(run_command)
    assert code == 0, shown
    assert (shown["ok"], shown["equal"], shown["differences"]) == (True, True, [])
    nothing = dict.fromkeys(("different", "missing", "waiting", "unreadable", "gone", "extra"), 0)
    assert shown["runs"] == {"equal": 7, **nothing}
    compared = shown["compared"]
    assert compared.pop("bytes") > 68_532
    assert compared == {"pipelines": 4, "runs": 7, "steps": 24, "artifacts": 25}
    assert shown["stacks"]["local"]["runs"] == shown["runs"]


# The server is the session's: only what this module exported to it is ever changed.
_EXPERIMENTS = f"SELECT experiment_id FROM experiments WHERE name LIKE '{_REPOSITORY}/%'"
_OURS = f"lifecycle_stage = 'active' AND experiment_id IN ({_EXPERIMENTS})"
_ACTIVE = f"(SELECT run_uuid FROM runs WHERE {_OURS})"
_ONE = (
    "(SELECT run_uuid FROM tags WHERE key = 'exporter.step' AND run_uuid IN (SELECT run_uuid "
    f"FROM runs WHERE {_OURS} AND status = 'FINISHED') "
    "ORDER BY run_uuid LIMIT 1)"
)
_PARENT = (
    f"(SELECT run_uuid FROM tags WHERE key = 'exporter.record' AND run_uuid IN {_ACTIVE} "
    "ORDER BY run_uuid LIMIT 1)"
)
_PARAM = f"(SELECT MIN(rowid) FROM params WHERE run_uuid IN {_ACTIVE})"
_EDITS: dict[str, tuple[str, Callable[[Tracked], None]]] = {
    "param edited": (
        "param",
        lambda t: t.sql(f"UPDATE params SET value = 'edited' WHERE rowid = {_PARAM}"),
    ),
    "param deleted": (
        "param",
        lambda t: t.sql(f"DELETE FROM params WHERE rowid = {_PARAM}"),
    ),
    "metric edited": (
        "metric",
        lambda t: t.sql(
            "UPDATE latest_metrics SET value = value + 1 WHERE key LIKE 'accuracy%' AND "
            f"run_uuid IN {_ACTIVE}"
        ),
    ),
    "status edited": (
        "status",
        lambda t: t.sql(f"UPDATE runs SET status = 'FAILED' WHERE run_uuid = {_ONE}"),
    ),
    "end edited": (
        "end",
        lambda t: t.sql(f"UPDATE runs SET end_time = end_time + 1 WHERE run_uuid = {_ONE}"),
    ),
    "tag edited": (
        "tag",
        lambda t: t.sql(
            f"UPDATE tags SET value = 'edited' WHERE key = 'exporter.status' AND run_uuid = {_ONE}"
        ),
    ),
    "tag deleted": (
        "tag",
        lambda t: t.sql(
            f"DELETE FROM tags WHERE key = 'exporter.entrypoint' AND run_uuid = {_ONE}"
        ),
    ),
    "nested run deleted": (
        "run",
        lambda t: t.sql(f"UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = {_ONE}"),
    ),
    "pipeline run deleted": (
        "run",
        lambda t: t.sql(f"UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = {_PARENT}"),
    ),
    "record edited": (
        "record",
        lambda t: t.sql(
            "UPDATE tags SET value = '1' || value WHERE key = 'exporter.record' AND "
            f"run_uuid = {_PARENT}"
        ),
    ),
    "file deleted": ("file", lambda t: t.file("*.parquet*").unlink()),
    "file edited, of the same size": ("file", lambda t: _flip(t.file("*.parquet*"))),
    "description deleted": ("file", lambda t: t.file("statistics.pb").unlink()),
    "page edited": ("file", lambda t: _flip(t.file("summary.html"))),
}


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


_GROUPS = {
    "values": ("param edited", "param deleted", "metric edited"),
    "times and tags": ("status edited", "end edited", "tag edited", "tag deleted"),
    "a nested run": ("nested run deleted", "record edited"),
    "a pipeline run": ("pipeline run deleted",),
    "files": ("file deleted", "description deleted", "page edited"),
    "a file of the same size": ("file edited, of the same size",),
}


@pytest.mark.parametrize("group", list(_GROUPS))
def test_edits_are_seen_and_a_repair_puts_them_right(
    tracked: Tracked, told: Told, group: str
) -> None:
    edits = [_EDITS[name] for name in _GROUPS[group]]
    for _, change in edits:
        change(tracked)
    code, shown = tracked.verify(told)
    assert code == 1
    assert {what for what, _ in edits} <= {found["kind"] for found in shown["differences"]}
    assert len(shown["differences"]) >= len(edits)
    repaired = told("run", "--repair", "-c", tracked.site.config_file(), "--json")
    assert (repaired.code, repaired.json["ok"]) == (0, True), repaired
    counts = repaired.json["mlflow"]
    assert counts["runs_created"] + counts["runs_updated"] >= 1
    code, shown = tracked.verify(told)
    assert code == 0, shown["differences"]


def test_what_people_add_is_theirs(tracked: Tracked, told: Told) -> None:
    tracked.sql(f"INSERT INTO tags (key, value, run_uuid) VALUES ('team', 'blue', {_ONE})")
    tracked.sql(f"INSERT INTO params (key, value, run_uuid) VALUES ('by hand', '1', {_ONE})")
    assert tracked.verify(told)[0] == 0


def test_one_pipeline_or_stack_can_be_asked_for_and_a_wrong_name_is_told(
    tracked: Tracked, told: Told
) -> None:
    code, shown = tracked.verify(told, "--pipeline", "train_pipeline")
    assert code == 0
    assert 0 < shown["compared"]["runs"] < 7
    for words, near in (
        (("--pipeline", "train_pipelin"), "Did you mean 'train_pipeline'"),
        (("--stack", "locl"), "Did you mean 'local'?"),
    ):
        ended = told("verify", "-c", tracked.site.config_file(), *words)
        assert ended.code == 2
        assert near in ended.err


def test_a_difference_is_told_in_a_line(tracked: Tracked, told: Told) -> None:
    tracked.sql(f"UPDATE runs SET status = 'FAILED' WHERE run_uuid = {_ONE}")
    ended = run_command("verify", "-c", tracked.site.config_file())
    assert ended.code == 1
    assert 'status: source "FINISHED", MLflow "FAILED"' in ended.out
    assert "run --repair" in ended.out
    assert told("run", "--repair", "-c", tracked.site.config_file()).code == 0


def test_before_the_first_run_everything_waits(
    tmp_path: Path, tracked: Tracked, told: Told
) -> None:
    site = Site(tmp_path, "verify-none", tracked.site.tracking_uri)
    site.add_stack(_STORE.database, roots=[_STORE.folder])
    ended = told("verify", "-c", site.config_file(), "--json")
    assert ended.code == 0
    assert ended.json["runs"]["waiting"] == 7
    assert not (tmp_path / "state.db").exists()


def test_an_mlflow_out_of_reach_is_exit_code_4(tmp_path: Path) -> None:
    site = Site(tmp_path, "verify-away", f"http://127.0.0.1:{free_port()}")
    site.add_stack(_STORE.database)
    ended = run_command("verify", "-c", site.config_file())
    assert ended.code == 4
    assert "cannot be reached" in ended.err
