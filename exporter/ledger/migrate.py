"""Whether a database is a ledger, of which revision, and how it comes up to this release's.

alembic is imported only when there is something to migrate.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table, text

from exporter.errors import (
    ConfigError,
    SchemaTooNew,
    SchemaTooOld,
    StateError,
    StateUnavailable,
)
from exporter.ledger.database import Database
from exporter.ledger.schema import VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

REVISIONS = ("0001", "0002", "0003")
"""Every revision this release knows, oldest first: the migration scripts."""

HEAD = REVISIONS[-1]
_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7_205_759_403_792_793  # any constant: names our advisory lock on PostgreSQL


def prepare(url: URL, *, migrate: bool, read_only: bool) -> Database:
    """Open the database at its head revision, creating or upgrading it if asked to.

    Raises: as `Ledger.open`.
    """
    migrate = migrate and not read_only
    _check_file(url, create=migrate)
    database = Database(url, read_only=read_only)
    try:
        _bring_to_head(database, migrate=migrate)
    except BaseException:
        database.close()
        raise
    return database


def _bring_to_head(database: Database, *, migrate: bool) -> None:
    with database.read() as connection:
        found = revision_of(connection, database.masked)
    if found == HEAD:
        return
    if not migrate:
        raise _behind(found, database.masked)
    _migrate(database)


def upgrade(url: URL) -> tuple[str | None, str]:
    """Create or upgrade the ledger and give the revisions before and after."""
    _check_file(url, create=True)
    database = Database(url)
    try:
        return _migrate(database), HEAD
    finally:
        database.close()


def revision_of(connection: Connection, masked: str) -> str | None:
    """Give the ledger's revision, None for an empty database.

    Raises: StateError for another program's database, SchemaTooNew for a revision unknown to this
        release.
    """
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        if tables:
            raise StateError(
                f"The database {masked} is another program's (it has a table {min(tables)!r}).",
                hint="Give the exporter a database of its own.",
            )
        return None
    version = table(VERSION_TABLE, column("version_num"))
    found = connection.execute(select(version.c.version_num)).scalar_one_or_none()
    if found is not None and found not in REVISIONS:
        raise SchemaTooNew(
            f"A newer release wrote the ledger {masked} (revision {found}, not {HEAD}).",
            hint="Upgrade pipeline-exporter.",
            revision=found,
        )
    return None if found is None else str(found)


def _check_file(url: URL, *, create: bool) -> None:
    """See that an SQLite file can be opened; with `create` make an empty one."""
    if url.get_backend_name() != "sqlite":
        return
    path = Path(str(url.database))
    if path.is_dir():
        raise ConfigError(f"state.url names a folder: {path}.", hint="Name a file in it.")
    if path.is_file() and path.stat().st_size:
        return
    if not create:
        raise StateUnavailable(
            f"There is no ledger at {path}.",
            hint="The first `pipeline-exporter run` creates it.",
            missing=True,
        )
    if not path.parent.is_dir():
        raise ConfigError(
            f"The folder of the ledger does not exist: {path.parent}.",
            hint="Create it, or change state.url.",
        )
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise StateUnavailable(
            f"The ledger {path} cannot be created: {error.strerror or error}.",
            hint="Check that its folder can be written.",
        ) from error


def _behind(found: str | None, masked: str) -> StateError:
    if found is None:
        return StateUnavailable(
            f"There is no ledger in {masked} yet.",
            hint="The first `pipeline-exporter run` creates it.",
            missing=True,
        )
    return SchemaTooOld(
        f"An older release wrote the ledger {masked} (revision {found}, not {HEAD}).",
        hint="Run `pipeline-exporter state upgrade`.",
        revision=found,
    )


def _migrate(database: Database) -> str | None:
    """Bring the schema to HEAD in one transaction; of several processes one does it."""
    if database.sqlite:
        _use_wal(database)
    with database.write_unfenced() as connection:
        if not database.sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = revision_of(connection, database.masked)
        if found != HEAD:
            run_migrations(connection, HEAD)
    return found


def _use_wal(database: Database) -> None:
    """Let readers and the writer work side by side; the mode stays with the file."""
    with database.read() as connection:
        if revision_of(connection, database.masked) is not None:
            return
    with database.translated():
        raw = database.engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.close()
        finally:
            raw.close()


def run_migrations(connection: Connection, target: str) -> None:
    """Run the migration scripts up to `target` within the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, target)
