"""An ML Metadata database over SQLAlchemy: its tables and columns, and short transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from exporter.errors import ConfigError, SourceUnavailable, StoreUnreadable
from exporter.sources.mlmd.faults import DRIVER_ERRORS, is_undecodable, translated
from exporter.sources.mlmd.sqlite_file import SqliteFile, Token, sqlite_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection

    from sqlalchemy.engine import Connection, Engine

T = TypeVar("T")
Row = tuple[Any, ...]  # Any: what a driver delivers; the templates fix the columns

TABLES = (
    "Type",
    "TypeProperty",
    "Artifact",
    "ArtifactProperty",
    "Execution",
    "ExecutionProperty",
    "Context",
    "ContextProperty",
    "ParentContext",
    "Event",
    "EventPath",
    "Association",
    "MLMDEnv",
)
_VALUES = ("int_value", "double_value", "string_value", "byte_value", "proto_value", "bool_value")
# how templates spell a column that must hold one kind of value: on SQLite, which keeps any type in
# any column, and on servers, which do not. A reference that is no number leads nowhere (0), a time
# that is none is absent (0), and what stands in a text column is text.
KINDS = {
    "id": ("CASE typeof({0}) WHEN 'integer' THEN {0} ELSE 0 END", "COALESCE({0}, 0)"),
    "place": ("CASE typeof({0}) WHEN 'integer' THEN {0} END", "{0}"),
    "time": (
        "CASE typeof({0}) WHEN 'integer' THEN {0} WHEN 'real' THEN CAST({0} AS INTEGER) ELSE 0 END",
        "COALESCE({0}, 0)",
    ),
    "flag": ("({0} IS NOT 0)", "{0}"),
    "text": ("COALESCE(CAST({0} AS TEXT), '')", "COALESCE({0}, '')"),
    "words": ("CAST({0} AS TEXT)", "{0}"),
}
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_ZENML_TABLES = frozenset({"pipeline_run", "step_run"})
_OLDEST, _NEWEST = 6, 10
_ATTEMPTS = 3
_LISTED = 50_000  # ids written out in one query; beyond, a range is read and the caller picks


class _Kind:
    """A kind of column for templates: `{text[name]}`."""

    def __init__(self, spelling: str) -> None:
        self._spelling = spelling

    def __getitem__(self, column: str) -> str:
        return self._spelling.format(column)


Parts = dict[str, "str | _Kind"]


class Reader:
    """Queries of one transaction."""

    def __init__(self, connection: Connection, parts: Parts) -> None:
        self._connection = connection
        self._parts = parts

    def table(self, name: str) -> str:
        """Give a table's quoted name."""
        return str(self._parts[name])

    def rows(self, template: str, bind: dict[str, object] | None = None, **parts: str) -> list[Row]:
        """Fetch all rows of a template; tables are written `{Execution}`, other parts are given."""
        statement = template.format_map(self._parts | parts)
        if bind:
            result = self._connection.execute(text(statement), bind)
        else:
            result = self._connection.exec_driver_sql(statement)
        rows: list[Row] = list(result.cursor.fetchall())
        result.close()
        return rows


class MlmdStore:
    """One database. Every `read` is a transaction of its own; nothing is held in between.

    Raises (constructor and `read`): SourceUnavailable, StoreUnreadable; ConfigError for a URL that
    cannot be used.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 5.0) -> None:
        self.file: SqliteFile | None = None
        if url.partition(":")[0].partition("+")[0] == "sqlite":
            self.file = SqliteFile(sqlite_path(url), busy_timeout_s=busy_timeout_s)
            self.place = str(self.file.path)
        self.dialect, self.engine = self._engine(url)
        self._parts: Parts = {}
        self._lenient = False
        self._watched: Token | None = None
        self.schema = 0
        self.columns: dict[str, list[str]] = {}
        try:
            self.read_layout()
        except BaseException:
            self.close()
            raise

    def read_layout(self) -> None:
        """Find tables and columns; again when the store was upgraded in place."""
        self._run(self._find_layout)

    def read(self, work: Callable[[Reader], T]) -> T:
        """Run `work` in one short read-only transaction and give its answer.

        Repeat: runs `work` again when a writer moved the file underneath, so it must only read.
        """
        return self._run(lambda connection: work(Reader(connection, self._parts)))

    def close(self) -> None:
        """Release connections and the private copy."""
        self.engine.dispose()
        if self.file is not None:
            self.file.close()

    def _run(self, work: Callable[[Connection], T]) -> T:
        for _ in range(_ATTEMPTS):
            self._watched = None
            try:
                with self.engine.connect() as connection, connection.begin():
                    if self.dialect == "sqlite":
                        connection.exec_driver_sql("BEGIN")
                    elif self.dialect == "postgresql":
                        connection.exec_driver_sql(
                            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
                        )
                    answer = work(connection)
            except DRIVER_ERRORS as error:
                if is_undecodable(error) and not self._lenient:
                    self._lenient = True
                    continue
                if self._moved():
                    continue
                raise translated(error, self.place) from error
            if not self._moved():
                return answer
        raise SourceUnavailable(
            f"The store {self.place} changed again and again while it was read.",
            hint="The next cycle tries again.",
        )

    def _moved(self) -> bool:
        """Tell whether a file read without locks changed since it was opened."""
        return (
            self._watched is not None
            and self.file is not None
            and self.file.token() != self._watched
        )

    def _engine(self, url: str) -> tuple[str, Engine]:
        if self.file is not None:
            return "sqlite", create_engine("sqlite://", creator=self._sqlite, poolclass=NullPool)
        try:
            parsed: URL = make_url(url)
            drivername = _DRIVERS.get(parsed.drivername, parsed.drivername)
            parsed = parsed.set(drivername=drivername)
            self.place = parsed.render_as_string(hide_password=True).partition("?")[0]
            options = {} if "timeout" in str(parsed.query) else {"connect_timeout": 10}
            engine = create_engine(parsed, pool_size=1, max_overflow=2, connect_args=options)
        except (ArgumentError, NoSuchModuleError, ValueError) as error:
            raise ConfigError(
                "The source URL after `mlmd+` is not a database URL that can be used.",
                hint="Write mlmd+sqlite:////path, mlmd+postgresql://user@host/db or mlmd+mysql://….",
            ) from error
        except ModuleNotFoundError as error:
            extra = "postgres" if parsed.drivername.startswith("postgresql") else "mysql"
            raise ConfigError(
                f"The driver {error.name} for {self.place} is not installed.",
                hint=f"Install it with `pip install 'pipeline-exporter[{extra}]'`.",
            ) from error
        if engine.dialect.name in ("mysql", "mariadb"):

            @event.listens_for(engine, "connect")
            def _read_only(connection: Any, _record: object) -> None:  # Any: the driver's own class
                cursor = connection.cursor()
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.close()

        return engine.dialect.name, engine

    def _sqlite(self) -> sqlite3.Connection:
        assert self.file is not None  # noqa: S101 - only called for SQLite stores
        connection, self._watched = self.file.connect()
        if self._lenient:
            connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        return connection

    def _find_layout(self, connection: Connection) -> None:
        found = {name.lower(): name for name in inspect(connection).get_table_names()}
        missing = [name for name in TABLES if name.lower() not in found]
        if "mlmdenv" not in found and found.keys() >= _ZENML_TABLES:
            raise StoreUnreadable(
                f"The store {self.place} is a ZenML store from 0.20 on, "
                "which this release does not read.",
                hint="Name an ML Metadata database, as ZenML wrote up to 0.13.",
            )
        if "mlmdenv" not in found or "execution" not in found:
            what = "is an empty database" if not found else "holds no ML Metadata tables"
            raise StoreUnreadable(
                f"The store {self.place} {what}.",
                hint="Name the ML Metadata database that the pipelines wrote to.",
            )
        quote = connection.dialect.identifier_preparer.quote
        names = {name: quote(found[name.lower()]) for name in TABLES if name.lower() in found}
        self.schema = self._schema_version(connection, names["MLMDEnv"])
        if missing:
            raise StoreUnreadable(
                f"The store {self.place} lacks the tables {', '.join(missing)}.",
                hint="Restore it from a backup.",
            )
        for table in TABLES:
            statement = f"SELECT * FROM {names[table]} LIMIT 0"  # noqa: S608 - a found name
            result = connection.exec_driver_sql(statement)
            self.columns[table] = [column.lower() for column in result.keys()]  # noqa: SIM118 - a result
            result.close()
        kinds = {kind: _Kind(spelled[self.dialect != "sqlite"]) for kind, spelled in KINDS.items()}
        self._parts = {**names, **kinds, **self._column_parts(kinds)}

    def _schema_version(self, connection: Connection, table: str) -> int:
        result = connection.exec_driver_sql(f"SELECT schema_version FROM {table}")  # noqa: S608 - found
        row = result.fetchone()
        schema = row[0] if row is not None else None
        if not isinstance(schema, int):
            raise StoreUnreadable(
                f"The store {self.place} does not say its schema version: its table MLMDEnv "
                + ("holds no row." if row is None else f"holds {schema!r}."),
                hint="It was never finished, or copied in part: restore it from a backup, or let "
                "the software that wrote it open a copy once.",
            )
        if not _OLDEST <= schema <= _NEWEST:
            age = "older" if schema < _OLDEST else "newer"
            raise StoreUnreadable(
                f"The store {self.place} has ML Metadata schema {schema}, {age} than this release "
                f"reads ({_OLDEST} to {_NEWEST}).",
                hint="Upgrade a copy with the software that wrote it."
                if schema < _OLDEST
                else "Look for a newer release of the exporter.",
            )
        return schema

    def _column_parts(self, kinds: dict[str, _Kind]) -> dict[str, str]:
        parts = {
            "path_order": "event_id, rowid" if self.dialect == "sqlite" else "event_id",
            "first": "e.execution_id" if self.schema >= 8 else "e.id",
            "window": "16" if self.dialect == "sqlite" else "64",
        }
        for table in ("Artifact", "Execution", "Context"):
            key = table.lower()
            values = self.columns[f"{table}Property"]
            words = kinds["words"]
            spelled = {v: words[v] if v == "string_value" else v for v in _VALUES if v in values}
            parts[f"{key}_values"] = ", ".join(spelled.get(v, "NULL") for v in _VALUES)
            parts[f"{key}_external"] = (
                words["external_id"] if "external_id" in self.columns[table] else "NULL"
            )
        return parts


def within(column: str, ids: Collection[int]) -> str:
    """Write the condition that a column is among ids: a range where they lie close, else a list.

    Order: a range may hold more ids than asked for; the caller picks.
    """
    if not ids:
        return "1 = 0"
    low, high = min(ids), max(ids)
    if high - low < 2 * len(ids) + 100 or len(ids) > _LISTED:
        return f"{column} BETWEEN {low} AND {high}"
    return listed(column, ids)


def listed(column: str, ids: Collection[int]) -> str:
    """Write the condition that a column is exactly among ids."""
    if not ids:
        return "1 = 0"
    return f"{column} IN ({','.join(map(str, sorted(ids)))})"
