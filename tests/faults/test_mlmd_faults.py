"""Stores that cannot be read say so in one line; stores that can are left exactly as they were."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from support.generator import GeneratedStore
from support.postgres import with_database
from support.stores import RECORDED, ZENML_05, RecordedStore

from exporter.errors import ConfigError, SourceError, SourceUnavailable, StoreUnreadable
from exporter.hierarchy import RunSnapshot
from exporter.sources.mlmd import MlmdHistory, open_mlmd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.sources.mlmd import FlavourProfile


def opened(
    url: str, profiles: Mapping[str, FlavourProfile], *, busy_timeout_s: float = 0.2
) -> MlmdHistory:
    return open_mlmd(
        url, repository="acme", stack="local", profiles=profiles, busy_timeout_s=busy_timeout_s
    )


def count_runs(history: MlmdHistory) -> int:
    try:
        return sum(len(history.runs(ids)) for ids in history.changes(None).source_ids)
    finally:
        history.close()


def folder_state(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Describe every file of a folder: digest, time, mode."""
    return {
        str(p.relative_to(folder)): (
            hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "",
            p.stat().st_mtime_ns,
            p.stat().st_mode,
        )
        for p in [folder, *sorted(folder.rglob("*"))]
    }


def refusal(error: pytest.ExceptionInfo[SourceError] | pytest.ExceptionInfo[ConfigError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert error.value.hint
    return text


def test_a_missing_file_is_named_and_never_created(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    with pytest.raises(SourceUnavailable, match="There is no file") as error:
        opened(f"sqlite:///{tmp_path}/none.db", mlmd_profiles)
    assert "none.db" in refusal(error)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_an_empty_file_and_a_text_are_no_stores(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database " * 50)
    (tmp_path / "short.db").write_bytes(b"SQLite format 3\x00")
    for name, message in (
        ("", "is a folder"),
        ("empty.db", "is an empty database"),
        ("text.db", "is not a SQLite database"),
        ("short.db", "is not a SQLite database"),
    ):
        with pytest.raises(StoreUnreadable, match=message) as error:
            opened(f"sqlite:///{tmp_path}/{name}", mlmd_profiles)
        refusal(error)
    assert (tmp_path / "empty.db").read_bytes() == b""


def test_a_pipe_is_no_store_and_is_not_waited_for(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    with pytest.raises(StoreUnreadable, match="is a pipe, socket or device") as error:
        opened(f"sqlite:///{tmp_path}/pipe.db", mlmd_profiles)
    refusal(error)


def test_a_database_of_other_software_is_no_store(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(StoreUnreadable, match="holds no ML Metadata tables") as error:
        opened(f"sqlite:///{tmp_path}/other.db", mlmd_profiles)
    refusal(error)
    connection = sqlite3.connect(tmp_path / "bare.db")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("DROP TABLE t")
    connection.close()
    with pytest.raises(StoreUnreadable, match="is an empty database"):
        opened(f"sqlite:///{tmp_path}/bare.db", mlmd_profiles)


@pytest.mark.parametrize(("schema", "age"), [(4, "older"), (5, "older"), (11, "newer")])
def test_a_schema_out_of_range_is_named(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile], schema: int, age: str
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE MLMDEnv SET schema_version = ?", (schema,))
    connection.commit()
    connection.close()
    with pytest.raises(StoreUnreadable, match=f"schema {schema}, {age}") as error:
        opened(f"sqlite:///{path}", mlmd_profiles)
    assert "6 to 10" in refusal(error)


@pytest.mark.parametrize(
    ("row", "what"), [(None, "holds no row"), ("seven", "holds 'seven'"), (b"7", "holds b'7'")]
)
def test_a_store_that_does_not_say_its_schema_is_told_from_an_old_one(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile], row: object, what: str
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM MLMDEnv")
        if row is not None:
            connection.execute("CREATE TABLE other (schema_version)")
            connection.execute("INSERT INTO other VALUES (?)", (row,))
            connection.execute("DROP TABLE MLMDEnv")
            connection.execute("ALTER TABLE other RENAME TO MLMDEnv")
        connection.commit()
    with pytest.raises(StoreUnreadable, match=what) as error:
        opened(f"sqlite:///{path}", mlmd_profiles)
    assert "schema 0" not in refusal(error)


def test_a_damaged_file_is_called_damaged(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = b"\xff" * (len(data) - 4096 * 2)
    path.write_bytes(data)
    with pytest.raises(StoreUnreadable, match="is damaged") as error:
        count_runs(opened(f"sqlite:///{path}", mlmd_profiles))
    refusal(error)


def test_a_truncated_file_is_refused(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    path.write_bytes(path.read_bytes()[: 4096 * 3])
    with pytest.raises(StoreUnreadable) as error:
        count_runs(opened(f"sqlite:///{path}", mlmd_profiles))
    refusal(error)


def test_a_locked_store_is_unavailable_and_readable_again_later(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    history = opened(f"sqlite:///{path}", mlmd_profiles)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SourceUnavailable, match="is locked") as error:
        history.changes(None)
    refusal(error)
    writer.execute("ROLLBACK")
    writer.close()
    assert count_runs(history) == ZENML_05.runs


def test_reading_never_blocks_a_writer_between_pages(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    history = open_mlmd(
        f"sqlite:///{path}", repository="r", stack="s", profiles=mlmd_profiles, page_runs=2
    )
    writer = sqlite3.connect(path, timeout=0)
    for ids in history.changes(None).source_ids:
        history.runs(ids)
        writer.execute("UPDATE Type SET description = 'x'")
        writer.commit()
    writer.close()
    history.close()


_CRASH = """
import os, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA cache_size = 1")
c.execute("BEGIN")
c.execute("UPDATE ArtifactProperty SET string_value = string_value || 'xxxxxxxxxxxxxxxxxxxxxxxxx'")
c.execute("UPDATE EventPath SET step_key = 'x' || step_key")
os._exit(1)
"""


def test_a_hot_journal_is_explained(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    subprocess.run([sys.executable, "-c", _CRASH, str(path)], check=False)
    assert path.with_name(path.name + "-journal").stat().st_size > 0
    before = folder_state(tmp_path)
    with pytest.raises(StoreUnreadable, match="hot journal") as error:
        count_runs(opened(f"sqlite:///{path}", mlmd_profiles))
    assert "-journal" in refusal(error)
    assert folder_state(tmp_path) == before


@pytest.mark.parametrize("store", RECORDED, ids=lambda s: str(s.name))
def test_reading_leaves_the_folder_as_it_was(
    store: RecordedStore, tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    copy = store.copy_folder(tmp_path)
    before = folder_state(tmp_path)
    assert count_runs(opened(copy.url, mlmd_profiles)) == store.runs
    assert folder_state(tmp_path) == before


def as_wal(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def test_a_wal_store_at_rest_is_left_as_it_was(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    as_wal(path).close()
    before = folder_state(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["metadata.db"]
    assert count_runs(opened(f"sqlite:///{path}", mlmd_profiles)) == ZENML_05.runs
    assert folder_state(tmp_path) == before


_WRITER = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA journal_mode = WAL")
c.execute("PRAGMA wal_autocheckpoint = 0")
for line in sys.stdin:
    c.execute("UPDATE Context SET name = ? WHERE id = 2", (line.strip(),))
    print("done", flush=True)
"""


def test_a_wal_store_with_a_live_writer_is_read_whole_and_left_as_it_was(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    # in a process of its own: within one process SQLite shares the writer's mapped index
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None

        def write(name: str) -> None:
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write(f"{name}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "done\n"

        write("only in the log")
        before = folder_state(tmp_path)
        assert len(before) == 4
        history = opened(f"sqlite:///{path}", mlmd_profiles)
        assert run_name(history) == "only in the log"
        changes = history.changes(None)
        assert history.changes(changes.cursor).untouched
        assert folder_state(tmp_path) == before
        write("again")
        assert not history.changes(changes.cursor).untouched
        assert run_name(history) == "again"
        history.close()
        writer.stdin.close()
        writer.wait(timeout=10)


def run_name(history: MlmdHistory) -> str:
    (run,) = history.runs(["1:2"])
    assert isinstance(run, RunSnapshot)
    return run.name


def test_a_wal_store_copied_with_its_log_is_read_whole_and_left_as_it_was(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "copy").mkdir()
    path = ZENML_05.copy_file(tmp_path / "live")
    writer = as_wal(path)
    writer.execute("UPDATE Context SET name = 'only in the log' WHERE id = 2")
    for name in ("metadata.db", "metadata.db-wal"):
        shutil.copyfile(tmp_path / "live" / name, tmp_path / "copy" / name)
    writer.close()
    before = folder_state(tmp_path)
    history = opened(f"sqlite:///{tmp_path}/copy/metadata.db", mlmd_profiles)
    (run,) = history.runs(["1:2"])
    assert isinstance(run, RunSnapshot)
    assert run.name == "only in the log"
    history.close()
    assert folder_state(tmp_path) == before


@pytest.mark.parametrize("wal", [False, True])
def test_a_read_only_folder_is_enough(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile], *, wal: bool
) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    path = ZENML_05.copy_file(folder)
    if wal:
        as_wal(path).close()
    path.chmod(0o444)
    folder.chmod(0o555)
    try:
        before = folder_state(tmp_path)
        assert count_runs(opened(f"sqlite:///{path}", mlmd_profiles)) == ZENML_05.runs
        assert folder_state(tmp_path) == before
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize(
    "name", ["a b.db", "a#b.db", "a?b.db", "a%20b.db", "ünï😀.db", "a;b&c=d.db"]
)
@pytest.mark.parametrize("escaped", [False, True])
def test_any_path_can_be_named(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile], name: str, *, escaped: bool
) -> None:
    path = tmp_path / name
    shutil.copyfile(ZENML_05.database, path)
    url = f"sqlite:///{quote(str(path)) if escaped else path}"
    assert count_runs(opened(url, mlmd_profiles)) == ZENML_05.runs
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_text_that_is_not_utf8_is_read_all_the_same(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = ZENML_05.copy_file(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE Context SET name = CAST(X'72FF31' AS TEXT) WHERE id = 2")
    connection.commit()
    connection.close()
    history = opened(f"sqlite:///{path}", mlmd_profiles)
    (run,) = history.runs(["1:2"])
    assert isinstance(run, RunSnapshot)
    assert run.name == "r\udcff1"
    history.close()


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "nonsense", "oracle://x/y", "postgresql://h:notaport/db"],
)
def test_a_url_that_cannot_be_used_is_a_configuration_error(
    url: str, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    with pytest.raises(ConfigError) as error:
        opened(url, mlmd_profiles)
    refusal(error)


def test_an_unknown_flavour_lists_the_known(mlmd_profiles: Mapping[str, FlavourProfile]) -> None:
    with pytest.raises(ConfigError, match=r"auto, tfx, zenml-0\.5, zenml-0\.6"):
        open_mlmd(
            ZENML_05.url, repository="r", stack="s", flavour="zenml-9", profiles=mlmd_profiles
        )


@pytest.mark.parametrize("kind", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_server_that_is_not_there_is_unavailable_and_no_password_is_shown(
    kind: str, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    with pytest.raises(
        SourceUnavailable, match=r"refused the connection|cannot be reached"
    ) as error:
        opened(f"{kind}://me:hush-hush@127.0.0.1:9/db", mlmd_profiles)
    text = refusal(error)
    assert "hush" not in text
    assert "127.0.0.1" in text


def test_a_wrong_postgresql_database_is_unavailable(
    postgres_url: str, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    with pytest.raises(StoreUnreadable, match="is an empty database") as error:
        opened(postgres_url, mlmd_profiles)
    refusal(error)
    with pytest.raises(SourceUnavailable, match="no such database") as missing:
        opened(with_database(postgres_url, "none"), mlmd_profiles)
    refusal(missing)


@pytest.mark.mariadb
def test_wrong_mariadb_credentials_are_unavailable_and_not_shown(
    mariadb_url: str, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    with pytest.raises(StoreUnreadable, match="is an empty database"):
        opened(mariadb_url, mlmd_profiles)
    wrong = mariadb_url.replace("//root@", "//nobody:hush-hush@")
    if wrong == mariadb_url:
        pytest.skip("the server of the environment has another user than root")
    with pytest.raises(SourceUnavailable, match="refused the user or password") as error:
        opened(wrong, mlmd_profiles)
    assert "hush" not in refusal(error)


def test_the_database_is_opened_anew_when_it_was_upgraded_in_place(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    path = tmp_path / "metadata.db"
    with GeneratedStore(path, schema=7) as store:
        store.fill(3)
    history = opened(f"sqlite:///{path}", mlmd_profiles)
    assert history.schema == 7
    os.unlink(path)  # noqa: PTH108 - what an upgrade by copy does
    with GeneratedStore(path, schema=10) as store:
        store.fill(4)
    assert sum(len(history.runs(ids)) for ids in history.changes(None).source_ids) == 4
    assert history.schema == 10
    history.close()
