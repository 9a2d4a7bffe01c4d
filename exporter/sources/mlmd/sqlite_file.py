"""A SQLite store opened so that its folder never changes: no byte, no name, no time.

Rollback-journal stores are opened with `mode=ro`. A WAL store with a live writer is read through
the writer's own `-shm`, opened read-only; one whose `-wal` was left behind without it is read from
a private copy; one without a `-wal` is complete in its main file and read as immutable, watched for
a writer that starts meanwhile.
Source: https://www.sqlite.org/wal.html#readonly, https://www.sqlite.org/uri.html
"""

from __future__ import annotations

import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote

from exporter.errors import ConfigError, SourceUnavailable, StoreUnreadable

_MAGIC = b"SQLite format 3\x00"
Token = list[object]


def sqlite_path(url: str) -> Path:
    """Give the file a `sqlite:///…` URL names, with reserved characters as they are or escaped.

    Raises: ConfigError when the URL names no file.
    """
    _, _, rest = url.partition("://")
    text = rest.removeprefix("/")
    if not text or text == ":memory:" or text.startswith("file:"):
        raise ConfigError(
            f"{url!r} names no database file.",
            hint="Write mlmd+sqlite:////absolute/path (four slashes), or three and a path.",
        )
    candidates = [text, unquote(text)]
    if "?" in text:
        bare = text.partition("?")[0]
        candidates += [bare, unquote(bare)]
    for candidate in candidates:
        if "\x00" not in candidate and Path(candidate).exists():
            return Path(candidate).absolute()
    return Path(candidates[-1].replace("\x00", "�")).absolute()


class SqliteFile:
    """One SQLite file, opened anew for every page."""

    def __init__(self, path: Path, *, busy_timeout_s: float = 5.0) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._copied: Token | None = None

    def connect(self) -> tuple[sqlite3.Connection, Token | None]:
        """Open a connection; with it the file's token when the connection cannot see other writers.

        Raises: SourceUnavailable, StoreUnreadable.
        """
        header = self._header()
        if 2 not in header[18:20]:
            return self._open(self.path, "mode=ro"), None
        wal, shm = self._beside("-wal"), self._beside("-shm")
        if not wal.exists() or (not shm.exists() and wal.stat().st_size == 0):
            return self._open(self.path, "mode=ro&immutable=1"), self.token()
        if shm.exists():
            return self._open(self.path, "mode=ro&readonly_shm=1"), None
        return self._open(self._private_copy(), "mode=ro"), None

    def token(self) -> Token:
        """Give values of which at least one changes with every commit; JSON."""
        out: Token = [*self._stat(self.path), self._header()[24:28].hex()]
        wal, shm = self._beside("-wal"), self._beside("-shm")
        out += [*self._stat(wal), self._start(wal, 32).hex(), self._start(shm, 48).hex()]
        return out

    def close(self) -> None:
        """Remove the private copy, if there was one."""
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = self._copied = None

    def _open(self, path: Path, query: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?{query}",
            uri=True,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA query_only=ON")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _private_copy(self) -> Path:
        token = self.token()
        target = Path(self._copy.name) / "store.db" if self._copy is not None else None
        if target is not None and token == self._copied:
            return target
        self.close()
        folder = tempfile.TemporaryDirectory(prefix="pipeline-exporter-")
        target = Path(folder.name) / "store.db"
        shutil.copyfile(self.path, target)
        shutil.copyfile(self._beside("-wal"), target.with_name("store.db-wal"))
        if self.token() != token:
            folder.cleanup()
            raise SourceUnavailable(
                f"The store {self.path} changed while it was copied.",
                hint="The next cycle tries again.",
            )
        self._copy, self._copied = folder, token
        return target

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _header(self) -> bytes:
        """Read the first 100 bytes, which say what the file is."""
        path = self.path
        try:
            if path.is_dir():
                raise StoreUnreadable(
                    f"{path} is a folder, not a database file.", hint="Name the file in it."
                )
            if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
                raise StoreUnreadable(
                    f"{path} is a pipe, socket or device, not a database file.",
                    hint="Name the ML Metadata database file of the store.",
                )
            with path.open("rb") as file:
                header = file.read(100)
        except FileNotFoundError as error:
            raise SourceUnavailable(
                f"There is no file {path}.",
                hint="Check the path in `source`; a store is only read, never created.",
            ) from error
        except OSError as error:
            raise SourceUnavailable(
                f"The file {path} cannot be read: {error.strerror}.",
                hint="Check its permissions for the user that runs the exporter.",
            ) from error
        if not header:
            raise StoreUnreadable(
                f"{path} is an empty database.", hint="Name the file a pipeline wrote to."
            )
        if len(header) < 100 or not header.startswith(_MAGIC):
            raise StoreUnreadable(
                f"{path} is not a SQLite database.",
                hint="Name the ML Metadata database file of the store.",
            )
        return header

    @staticmethod
    def _stat(path: Path) -> tuple[int, int, int] | tuple[None, None, None]:
        try:
            found = path.stat()
        except FileNotFoundError:
            return (None, None, None)
        return (found.st_size, found.st_mtime_ns, found.st_ino)

    @staticmethod
    def _start(path: Path, count: int) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(count)
        except FileNotFoundError:
            return b""
