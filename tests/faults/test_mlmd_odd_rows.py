"""Rows of the wrong kind: SQLite keeps any type in any column, whatever the column was declared."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.generator import RUNNING, GeneratedStore, StepSpec
from support.sync_site import Site

from exporter import snapshot
from exporter.hierarchy import canonical_bytes, run_from_value, run_key
from exporter.history.repository import Repository
from exporter.sources.artifacts import StoreArtifacts
from exporter.sources.mlmd import open_mlmd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.sources.mlmd import FlavourProfile

ODD = (b"\x00\xff odd", "1) OR (1=1", 1.5, 2**63 - 1, -(2**63), None)
# every table the source reads
READ_TABLES = (
    *("Type", "Artifact", "ArtifactProperty", "Execution", "ExecutionProperty", "Context"),
    *("ContextProperty", "ParentContext", "Event", "EventPath", "Association"),
)


@pytest.fixture(scope="module", params=[("zenml-0.6", 8), ("tfx", 10)], ids=lambda p: str(p[0]))
def loose_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store of several runs whose tables have neither constraints nor keys."""
    flavour, schema = request.param
    path = tmp_path_factory.mktemp("loose") / "metadata.db"
    with GeneratedStore(path, schema=schema, flavour=flavour) as store:
        store.fill(6, pipelines=2)
        store.run("p", "going", [StepSpec("a", state=RUNNING, outputs=["x"])])
        store.run("p", "failed", [StepSpec("a", state=4)])
        store.run("p", "typed", [StepSpec("a", parameters={"i": 1, "f": 2.5, "b": b"x"})])
    with closing(sqlite3.connect(path)) as connection:
        loosen(connection)
    return path


def loosen(connection: sqlite3.Connection) -> None:
    """Make every table one that takes anything; the kinds of its columns stay."""
    for (table,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall():
        connection.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE loose RENAME TO {table}")
    connection.commit()


def spoil(path: Path, table: str, value: object) -> None:
    """Put a value into every column of a table, each in another row."""
    with closing(sqlite3.connect(path)) as connection:
        # in every store an id is an INTEGER PRIMARY KEY, which takes integers only
        names = [r[1] for r in connection.execute(f"PRAGMA table_info({table})") if r[1] != "id"]
        for place, column in enumerate(names):
            connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE rowid = "
                f"(SELECT rowid FROM {table} WHERE {column} IS NOT NULL LIMIT 1 OFFSET ?)",
                (value, place),
            )
        connection.commit()


def test_a_value_of_any_type_in_any_column_raises_nothing_in_python(
    loose_store: Path, tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = tmp_path / "metadata.db"
    shutil.copyfile(loose_store, path)
    history = open_mlmd(f"sqlite:///{path}", repository="r", stack="s", profiles=mlmd_profiles)
    reader = StoreArtifacts(mode="reference", max_size=0, roots=[], rewrite={})
    repository = Repository([(history, reader)])
    cursor = history.changes(None).cursor
    wrong = []
    for table in READ_TABLES:
        for value in ODD:
            shutil.copyfile(loose_store, path)
            spoil(path, table, value)
            try:
                assert walked(repository) >= 4
                again = history.changes(cursor)
                assert json.loads(json.dumps(again.cursor)) == again.cursor
                for ids in again.source_ids:
                    history.runs(ids)
            except Exception as error:  # noqa: BLE001 - all of them are to be seen at once
                wrong.append(f"{value!r} in {table}: {type(error).__name__}: {error}")
    history.close()
    assert not wrong, "\n".join(wrong)


def test_a_time_far_in_the_future_hides_no_later_change(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = tmp_path / "metadata.db"
    with GeneratedStore(path) as store:
        run = store.fill(3)[1]
        store.sql("UPDATE Execution SET last_update_time_since_epoch = ? WHERE id = 1", 2**63 - 1)
    history = open_mlmd(f"sqlite:///{path}", repository="r", stack="s", profiles=mlmd_profiles)
    cursor = history.changes(None).cursor
    with GeneratedStore(path) as store:
        store.now += 3_600_000
        store.change_parameter(run.steps[2].execution, "C", "7.0")
    found = [i for ids in history.changes(cursor).source_ids for i in ids]
    history.close()
    assert run.source_id in found


def walked(repository: Repository) -> int:
    """Walk a history as a user does; gives how many runs could be read."""
    whole = snapshot(repository, on_unreadable=lambda _: None)
    for value in whole["runs"]:
        run = run_from_value(value)
        assert canonical_bytes(value) == canonical_bytes(json.loads(canonical_bytes(value)))
        assert run_key(run)
        assert {type(run.name), type(run.pipeline.name)} == {str}
    return len(whole["runs"])


@pytest.mark.parametrize("value", [b"\x00\xff odd", 2**63 - 1])
def test_a_cycle_over_odd_rows_loses_no_other_run(
    loose_store: Path, tmp_path: Path, value: object
) -> None:
    path = tmp_path / "metadata.db"
    shutil.copyfile(loose_store, path)
    for table in ("ArtifactProperty", "Execution", "ExecutionProperty", "Event", "EventPath"):
        spoil(path, table, value)
    site = Site(tmp_path, "odd", None)
    site.add_stack(path, mode="reference")
    report = site.cycle()
    told = [entry["error"] for entry in report.total.errors]
    assert not [text for text in told if "Error:" in text], told
    assert report.total.units.written + report.total.units.waiting + report.total.units.dead == 9
    assert report.total.units.written >= 5
    assert site.told()
