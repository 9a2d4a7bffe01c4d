"""What must be remembered for as long as a history is, without holding it in memory."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class OnDisk:
    """Texts by name, in a temporary file that `close` takes away; for one thread.

    Names and texts may hold what is no Unicode.
    """

    def __init__(self) -> None:
        self._file: sqlite3.Connection | None = None

    def keep(self, texts: Mapping[str, str]) -> None:
        """Remember, in place of what was kept under the same names."""
        if self._file is None:
            self._file = sqlite3.connect("")
            self._file.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID")
        rows = [(json.dumps(name), json.dumps(text)) for name, text in texts.items()]
        self._file.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", rows)

    def recall(self, names: Iterable[str]) -> dict[str, str]:
        """Give what is kept under these names."""
        found: dict[str, str] = {}
        if self._file is None:
            return found
        query = "SELECT text FROM kept WHERE name = ?"
        for name in names:
            for (text,) in self._file.execute(query, (json.dumps(name),)):
                found[name] = json.loads(text)
        return found

    def close(self) -> None:
        """Forget all. May be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
