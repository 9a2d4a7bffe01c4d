"""The ledger's connection: URLs, transactions, the fence and the translation of database errors.

Reads run in a plain transaction. A write takes SQLite's writer lock at once (`BEGIN IMMEDIATE`), or
on PostgreSQL locks the lease's row, and checks the lease's token before anything else; so writers
stand in line and a stale one is told.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import create_engine, event, exc, make_url, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import BigInteger

from exporter.errors import ConfigError, LeaseLost, StateError, StateUnavailable
from exporter.ledger.schema import LEADER, leases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL, Connection, Engine
    from sqlalchemy.sql.compiler import SQLCompiler

    from exporter.ledger.records import Lease

BUSY_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 20.0
"""Less than the wait for a lock: a leader that was stopped in mid-write can be taken over from."""

TRANSACTION_TIMEOUT_S = 120.0
"""PostgreSQL 17 and later; after a pipelined batch the server does not start the idle timer."""

CONNECT_TIMEOUT_S = 10
_WRITES = "ledger_writes"
NO_LEASE = "the row of the lease is missing"
_SQLITE_DAMAGE = (
    "no such table",
    "no such column",
    "has no column named",
    "malformed",
    "file is not a database",
)
_POSTGRESQL_DAMAGE = ("42P01", "42703", "XX001", "XX002")  # no table, no column, corrupted


class now_ms(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock in UTC milliseconds."""

    name = "now_ms"
    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _now_sqlite(element: now_ms, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ARG001
    return "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _now_postgresql(element: now_ms, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ARG001
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


def parse_url(url: str) -> URL:
    """Read a state URL; PostgreSQL gets the driver we ship.

    Raises: ConfigError for what is no URL, another database, or SQLite in memory.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise ConfigError(
            "state.url is not a database URL.",
            hint="Write sqlite:////absolute/path/state.db or postgresql://user@host/database.",
        ) from None  # the cause would quote the URL, password included
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigError(
            f"state.url names {backend!r}, which cannot hold the ledger.",
            hint="Use sqlite:///… or postgresql://….",
        )
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigError(
            "state.url names an SQLite database in memory; the ledger must outlive the process.",
            hint="Write sqlite:////absolute/path/state.db.",
        )
    return parsed


class Database:
    """One ledger database: short transactions, translated errors, safe to share between threads."""

    def __init__(self, url: URL, *, read_only: bool = False) -> None:
        self.url = url
        self.masked = url.render_as_string(hide_password=True)
        self.read_only = read_only
        self.sqlite = url.get_backend_name() == "sqlite"
        self._writer = threading.Lock()
        with self.translated():
            self.engine = _create_engine(url, read_only=read_only)

    def close(self) -> None:
        """Release all connections."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction for reading."""
        with self.translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, lease: Lease) -> Iterator[Connection]:
        """Open a writing transaction under the lease.

        Raises: LeaseLost if another took over; nothing is written then.
        """
        with self.write_unfenced() as connection:
            self._check_fence(connection, lease)
            yield connection

    @contextmanager
    def write_unfenced(self) -> Iterator[Connection]:
        """Open a writing transaction without a lease: for the lease itself and for migrations."""
        if self.read_only:
            raise StateError(f"The ledger {self.masked} was opened for reading only.")
        with self._writer, self.translated(), self.engine.connect() as plain:
            connection = plain.execution_options(**{_WRITES: True})
            with connection.begin():
                if not self.sqlite:
                    _limit_times(connection)
                yield connection

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn database errors into ours; statements, values and passwords stay out of them."""
        try:
            yield
        except (
            exc.OperationalError,
            exc.InterfaceError,
            exc.TimeoutError,
            sqlite3.OperationalError,  # of a statement that only the driver itself can run
        ) as error:
            raise self._damaged(error) or self._unavailable(error) from error
        except exc.NoSuchModuleError as error:
            raise ConfigError(f"No driver for {self.masked}.") from error
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"The driver for {self.masked} is not installed.",
                hint='Install it: pip install "pipeline-exporter[postgres]".',
            ) from error
        except exc.DBAPIError as error:
            if error.connection_invalidated:
                raise self._unavailable(error) from error
            reason = self._reason(error)
            raise (
                self._damaged(error) or StateError(f"The ledger {self.masked}: {reason}.")
            ) from error

    def _check_fence(self, connection: Connection, lease: Lease) -> None:
        """Hold the lease's row still until the transaction ends.

        Raises: LeaseLost if the token has moved on; StateError where there is no row.
        """
        row = connection.execute(
            select(leases.c.token, leases.c.owner).where(leases.c.name == LEADER).with_for_update()
        ).one_or_none()
        if row is None:
            raise self.damaged(NO_LEASE)
        if row.token != lease.token or row.owner != lease.owner:
            raise LeaseLost(
                f"The lease of {lease.owner} was taken over; nothing was written.",
                hint="Another exporter leads now and goes on from what the ledger holds.",
                owner=lease.owner,
                token=lease.token,
            )

    def damaged(self, reason: str) -> StateError:
        """Say that the database is there and is no whole ledger."""
        return StateError(
            f"The ledger {self.masked} is damaged, or is none: {reason}.",
            hint="Restore it from a backup, or move it away: the next `pipeline-exporter run` "
            "makes a new one, and finds in MLflow what is there.",
        )

    def _damaged(self, error: Exception) -> StateError | None:
        """Give the error for a database that is not as it was made; None for any other trouble."""
        reason = self._reason(error)
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        is_damaged = (
            any(sign in reason for sign in _SQLITE_DAMAGE)
            if self.sqlite
            else getattr(cause, "sqlstate", None) in _POSTGRESQL_DAMAGE
        )
        return self.damaged(reason) if is_damaged else None

    def _unavailable(self, error: Exception) -> StateUnavailable:
        reason = self._reason(error)
        if self.sqlite and "locked" in reason:
            hint = "Another process is writing to it; if none is, remove what holds the file open."
        elif self.sqlite:
            hint = "Check that the file and its folder can be read and written."
        else:
            hint = "Check that the server runs and that user, password and database are right."
        return StateUnavailable(f"The ledger {self.masked} cannot be reached: {reason}.", hint=hint)

    def _reason(self, error: Exception) -> str:
        cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        reason = lines[0].rstrip(".") if lines else type(cause).__name__
        password = self.url.password
        return reason.replace(str(password), "***") if password else reason


def _limit_times(connection: Connection) -> None:
    """Bound, for this transaction, how long it may wait for others and let others wait."""
    limits = {
        "lock_timeout": BUSY_TIMEOUT_S,
        "idle_in_transaction_session_timeout": IDLE_TIMEOUT_S,
    }
    if (connection.dialect.server_version_info or ()) >= (17,):
        limits["transaction_timeout"] = TRANSACTION_TIMEOUT_S
    calls = ", ".join(
        f"set_config('{name}', '{int(seconds * 1000)}ms', true)" for name, seconds in limits.items()
    )
    connection.execute(text(f"SELECT {calls}"))


def _create_engine(url: URL, *, read_only: bool) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            _existing_file(url, mode="ro" if read_only else "rw"),
            hide_parameters=True,
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        )
        event.listen(engine, "connect", _open_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=4,
        # A pooler between us and the server may hand each transaction to another session.
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "prepare_threshold": None},
    )
    return engine.execution_options(postgresql_readonly=True) if read_only else engine


def _existing_file(url: URL, *, mode: str) -> URL:
    """Name an SQLite file so that connecting never creates one."""
    path = quote(str(Path(str(url.database)).absolute()))
    return url.set(database=f"file:{path}", query={"mode": mode, "uri": "true"})


def _open_sqlite(connection: Any, record: object) -> None:  # noqa: ARG001 - Any: the driver's
    connection.isolation_level = None  # transactions are begun by us, see _begin_sqlite


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
