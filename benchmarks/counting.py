"""Counts what goes through the `sqlite3` driver: statements executed and rows fetched."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOOKKEEPING = ("BEGIN", "PRAGMA", "COMMIT", "ROLLBACK")


@dataclass(slots=True)
class Counts:
    """Queries are statements but transaction control and pragmas; rows are those that came back."""

    queries: int = 0
    rows: int = 0


@contextmanager
def counted() -> Iterator[Counts]:
    """Count what new connections do until the block ends; too slow to time anything in it."""
    counts = Counts()

    class Cursor(sqlite3.Cursor):
        """A cursor that counts."""

        def execute(self, sql: str, *bound: Any) -> Self:  # Any: as the driver takes them
            """Count a statement."""
            counts.queries += not sql.lstrip().upper().startswith(_BOOKKEEPING)
            return super().execute(sql, *bound)

        def executemany(self, sql: str, bound: Any) -> Self:  # Any: as above
            """Count a statement with many sets of values as one."""
            counts.queries += 1
            return super().executemany(sql, bound)

        def fetchone(self) -> Any:  # Any: a row
            """Count a row."""
            row = super().fetchone()
            counts.rows += row is not None
            return row

        def fetchmany(self, size: int | None = None) -> list[Any]:  # Any: rows
            """Count rows."""
            rows = super().fetchmany(size if size is not None else self.arraysize)
            counts.rows += len(rows)
            return rows

        def fetchall(self) -> list[Any]:  # Any: rows
            """Count rows."""
            rows = super().fetchall()
            counts.rows += len(rows)
            return rows

    class Connection(sqlite3.Connection):
        """A connection whose cursors count."""

        def cursor(self, factory: Any = None) -> Any:  # Any: as the driver has it
            """Give a counting cursor."""
            return super().cursor(factory or Cursor)

        def execute(self, sql: str, *bound: Any) -> sqlite3.Cursor:  # Any: as above
            """Execute by a counting cursor."""
            cursor: sqlite3.Cursor = self.cursor()
            return cursor.execute(sql, *bound)

    original = sqlite3.connect
    counting = partial(original, factory=Connection)
    sqlite3.connect = sqlite3.dbapi2.connect = counting  # type: ignore[assignment]  # the same call
    try:
        yield counts
    finally:
        sqlite3.connect = sqlite3.dbapi2.connect = original
