"""Opening no ledger, a ledger of another release, or nothing at all: one clear line each."""

from __future__ import annotations

import re
import sqlite3
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text
from support.ledgers import STACK, seen
from support.postgres import plain_url

from exporter.errors import (
    ConfigError,
    ExporterError,
    SchemaTooNew,
    SchemaTooOld,
    StateError,
    StateUnavailable,
)
from exporter.ledger import Ledger, migrate, schema

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_ledger_is_at_its_head_and_opening_again_changes_nothing(state_url: str) -> None:
    assert Ledger.upgrade(state_url) == (None, migrate.HEAD)
    assert Ledger.upgrade(state_url) == (migrate.HEAD, migrate.HEAD)
    with Ledger.open(state_url) as ledger:
        assert ledger.revision == migrate.HEAD
        assert ledger.leases.holder() is None


def test_the_migrations_build_exactly_the_tables_the_code_uses(state_url: str) -> None:
    with Ledger.open(state_url) as ledger, ledger._database.read() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": schema.VERSION_TABLE, "compare_type": True},
        )
        assert compare_metadata(context, schema.metadata) == []


def test_the_known_revisions_are_the_migration_scripts() -> None:
    scripts = ScriptDirectory(str(migrate._MIGRATIONS))
    assert scripts.get_heads() == [migrate.HEAD]
    newest_first = [script.revision for script in scripts.walk_revisions()]
    assert list(migrate.REVISIONS) == newest_first[::-1]


def test_many_processes_may_open_a_new_ledger_at_once(state_url: str) -> None:
    revisions: list[str] = []
    errors: list[ExporterError] = []
    barrier = threading.Barrier(4)

    def open_it() -> None:
        barrier.wait()
        try:
            with Ledger.open(state_url) as ledger:
                revisions.append(ledger.revision)
        except ExporterError as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert revisions == [migrate.HEAD] * 4


def test_the_ledger_of_a_newer_release_is_refused_and_left_alone(state_url: str) -> None:
    set_revision(state_url, "9999")
    with pytest.raises(SchemaTooNew, match=r"newer release.*revision 9999"):
        Ledger.open(state_url)
    with pytest.raises(SchemaTooNew, match="Upgrade pipeline-exporter"):
        Ledger.upgrade(state_url)


@pytest.mark.parametrize("revision", migrate.REVISIONS[:-1])
def test_the_ledger_of_an_older_release_is_upgraded_with_all_it_holds(
    state_url: str, revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(migrate, "HEAD", revision)
        with Ledger.open(state_url) as ledger:
            lease = ledger.leases.acquire("test", 60)
            ledger.units.record(lease, STACK, [seen(1)], 1)
            ledger.leases.release(lease)
    with pytest.raises(SchemaTooOld, match="state upgrade"):
        Ledger.open(state_url, migrate=False)
    assert Ledger.upgrade(state_url) == (revision, migrate.HEAD)
    with Ledger.open(state_url, migrate=False) as ledger:
        assert ledger.units.totals(STACK).runs == 1


def test_a_ledger_that_is_not_there_is_not_made_for_reading(state_url: str) -> None:
    for options in ({"migrate": False}, {"read_only": True}):
        with pytest.raises(StateUnavailable, match=r"no ledger.*first `pipeline-exporter run`"):
            Ledger.open(state_url, **options)
    Ledger.open(state_url).close()
    Ledger.open(state_url, migrate=False).close()


def test_a_ledger_that_is_not_there_yet_is_nothing_to_read_and_one_out_of_reach_is_an_error(
    state_url: str, tmp_path: Path
) -> None:
    assert Ledger.open_existing(state_url, "acme") is None
    Ledger.open(state_url).close()
    ledger = Ledger.open_existing(state_url, "acme")
    assert ledger is not None
    with ledger, pytest.raises(StateError, match="for reading only"):
        ledger.leases.acquire("test", 60)
    (tmp_path / "broken.db").write_bytes(b"no database at all, whatever its name says" * 100)
    with pytest.raises(StateError):
        Ledger.open_existing(f"sqlite:///{tmp_path}/broken.db", "acme")
    with pytest.raises(ConfigError):
        Ledger.open_existing("mysql://host/db", "acme")


def test_a_ledger_opened_for_reading_cannot_be_written(state_url: str) -> None:
    with Ledger.open(state_url) as ledger:
        lease = ledger.leases.acquire("test", 60)
    with Ledger.open(state_url, read_only=True) as ledger:
        assert ledger.units.totals(STACK).runs == 0
        with pytest.raises(StateError, match="for reading only"):
            ledger.units.record(lease, STACK, [seen(1)], 1)


def test_a_missing_folder_is_named_and_not_created(tmp_path: Path) -> None:
    folder = tmp_path / "absent"
    with pytest.raises(ConfigError, match=re.escape(str(folder))):
        Ledger.open(f"sqlite:///{folder}/state.db")
    assert not folder.exists()


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names a folder"):
        Ledger.open(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database\n" * 100)
    with pytest.raises(StateError, match="file is not a database") as error:
        Ledger.open(f"sqlite:///{path}")
    assert_damaged(error.value)
    assert path.read_text() == "no database\n" * 100


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "metadata.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE MLMDEnv (schema_version INTEGER)")
    connection.close()
    before = path.read_bytes()
    for migrating in (True, False):
        with pytest.raises(StateError, match=r"another program's.*'MLMDEnv'"):
            Ledger.open(f"sqlite:///{path}", migrate=migrating)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["metadata.db"]


def test_another_programs_postgresql_database_is_refused(postgres_url: str) -> None:
    with psycopg.connect(plain_url(postgres_url), autocommit=True) as connection:
        connection.execute("CREATE TABLE experiments (id INTEGER)")
    with pytest.raises(StateError, match="another program's"):
        Ledger.open(postgres_url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("not a url", "not a database URL"),
        ("mysql://u@h/d", "'mysql', which cannot hold"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_a_url_that_cannot_be_a_ledger_is_a_mistake_in_the_settings(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Ledger.open(url)


def test_a_server_out_of_reach_is_told_without_its_password() -> None:
    with pytest.raises(StateUnavailable, match="cannot be reached") as unavailable:
        Ledger.open("postgresql://me:s3cret-word@127.0.0.1:9/state")
    assert "s3cret-word" not in str(unavailable.value)
    assert "127.0.0.1" in str(unavailable.value)


def test_a_database_that_does_not_exist_is_told(postgres_url: str) -> None:
    absent = make_url(postgres_url).set(database="absent").render_as_string(hide_password=False)
    with pytest.raises(StateUnavailable, match="absent"):
        Ledger.open(absent)


def test_a_ledger_locked_by_another_program_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.ledger.database.BUSY_TIMEOUT_S", 0.1)
    path = tmp_path / "state.db"
    with Ledger.open(f"sqlite:///{path}") as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnavailable, match="Another process is writing"):
            ledger.leases.acquire("test", 60)
        assert ledger.leases.holder() is None, "readers do not wait for writers"
        other.execute("ROLLBACK")
        other.close()
        assert ledger.leases.acquire("test", 60).token == 1


@pytest.mark.parametrize("how", ["EXCLUSIVE", "IMMEDIATE"])
def test_a_new_ledger_whose_file_another_program_has_locked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("exporter.ledger.database.BUSY_TIMEOUT_S", 0.1)
    path = tmp_path / "state.db"
    path.touch()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(f"BEGIN {how}")
    for opening in (Ledger.open, Ledger.upgrade):
        with pytest.raises(StateUnavailable, match="Another process is writing"):
            opening(f"sqlite:///{path}")
    other.execute("ROLLBACK")
    other.close()
    Ledger.open(f"sqlite:///{path}").close()


def test_a_ledger_recovers_when_its_server_comes_back(postgres_url: str) -> None:
    with Ledger.open(postgres_url) as ledger:
        lease = ledger.leases.acquire("test", 60)
        with psycopg.connect(plain_url(postgres_url), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ledger.units.record(lease, STACK, [seen(1)], 1)
        assert ledger.units.totals(STACK).runs == 1


def test_a_full_page_of_numbers_beyond_32_bits_fits(state_url: str) -> None:
    with Ledger.open(state_url) as ledger:
        lease = ledger.leases.acquire("test", 60)
        ledger.units.record(lease, STACK, [seen(2**62)], 2**62)
        assert ledger.units.known(STACK, [str(2**62)])[str(2**62)].start_ms == 2**62


@pytest.mark.parametrize("table", ["units", "leases", "outbox"])
def test_a_ledger_that_lacks_a_table_is_damaged_and_not_out_of_reach(
    state_url: str, table: str
) -> None:
    Ledger.open(state_url).close()
    change(state_url, f"DROP TABLE {table}")
    with pytest.raises(StateError) as error:
        look_around(state_url)
    assert_damaged(error.value)
    assert table in error.value.message


def test_a_ledger_that_lacks_the_row_of_the_lease_is_damaged(state_url: str) -> None:
    with Ledger.open(state_url) as ledger:
        lease = ledger.leases.acquire("test", 30)
        change(state_url, "DELETE FROM leases")
        for use in (
            ledger.leases.holder,
            lambda: ledger.leases.acquire("other", 30),
            lambda: ledger.units.record_pipelines(lease, STACK, ["p"]),
        ):
            with pytest.raises(StateError, match="the row of the lease is missing") as error:
                use()
            assert_damaged(error.value)


def test_a_ledger_cut_in_half_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Ledger.open(f"sqlite:///{path}").close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StateError) as error:
        look_around(f"sqlite:///{path}")
    assert_damaged(error.value)


def look_around(url: str) -> None:
    """Read of a ledger what `status` reads."""
    with Ledger.open(url) as ledger:
        ledger.leases.holder()
        ledger.units.totals(STACK)
        ledger.outbox.trouble("events")
        ledger.cycles.last(5)


def assert_damaged(error: StateError) -> None:
    """See that it says what to do, and is not taken for a passing trouble."""
    assert not isinstance(error, StateUnavailable)
    assert "is damaged, or is none" in error.message
    assert "backup" in error.hint


def change(url: str, statement: str) -> None:
    """Change a ledger behind its back."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def set_revision(url: str, revision: str) -> None:
    Ledger.open(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(f"UPDATE {schema.VERSION_TABLE} SET version_num = :r"), {"r": revision}
        )
    engine.dispose()
