"""A file of JSON lines: one event a line, in the order in which they left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.errors import SinkUnavailable
from exporter.sinks.openlineage.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from exporter.sinks.openlineage.destination import DueEvent

_PAGE = 1000


class FileDestination:
    """Appends events to a file, each group by one write and one fsync.

    Repeat: what an earlier process wrote, but could not note as delivered, stands at the end of the
        file and is not written again; a line it left unfinished is cut off first.
    """

    def __init__(self, name: str, path: str | Path) -> None:
        self._name = name
        self._path = Path(path)
        self._tail_is_known = False

    @property
    def name(self) -> str:
        """The destination's name in the settings."""
        return self._name

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def page(self) -> int:
        """How many events one call should bring."""
        return _PAGE

    def send(
        self, events: Sequence[DueEvent], *, halted: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """Append the events; all of them are on the disk before the first outcome.

        Raises: SinkUnavailable if the file cannot be written; then it is as it was.
        """
        if halted() or not events:
            return
        try:
            self._append([event.body + b"\n" for event in events])
        except OSError as error:
            raise SinkUnavailable(
                f"The OpenLineage destination {self._name!r} cannot write {self._path}: "
                f"{error.strerror or error}.",
                hint="Check that the folder is there and writable, and that the disk has room.",
            ) from error
        for event in events:
            yield Outcome(event.seq, "ack")

    def close(self) -> None:
        """Do nothing: the file is open only while a group is written."""

    def _append(self, lines: list[bytes]) -> None:
        is_new = not self._path.exists()
        if is_new:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if is_new:
                self._sync_name()
            if not self._tail_is_known:
                lines = lines[_resume(descriptor, lines) :]
            self._tail_is_known = False
            _write_whole(descriptor, b"".join(lines))
            self._tail_is_known = True
        finally:
            os.close(descriptor)

    def _sync_name(self) -> None:
        """Bring a new file's name onto the disk; one that may get lost is taken back."""
        try:
            _sync_folder(self._path.parent)
        except OSError:
            self._path.unlink()
            raise


def _resume(descriptor: int, lines: list[bytes]) -> int:
    """Tidy up what an interrupted write of these lines left behind; give how many are there whole.

    A fragment at the end that begins the next line is cut off; any other unfinished line is not
    ours, and gets its line end.
    """
    end = os.fstat(descriptor).st_size
    reach = min(end, sum(map(len, lines)))
    tail = os.pread(descriptor, reach, end - reach)
    cut = tail.rfind(b"\n") + 1
    whole, fragment = tail[:cut], tail[cut:]
    done = _lines_at_the_end(whole, lines)
    if not fragment:
        return done
    is_whole_fragment = cut > 0 or reach == end
    if is_whole_fragment and done < len(lines) and lines[done].startswith(fragment):
        os.ftruncate(descriptor, end - len(fragment))
        return done
    _write_whole(descriptor, b"\n")
    return 0


def _lines_at_the_end(tail: bytes, lines: list[bytes]) -> int:
    """Tell how many of the first lines are the last of the file, as many as possible."""
    joined = b"".join(lines)
    length = len(joined)
    for count in range(len(lines), 0, -1):
        if tail.endswith(lines[count - 1]) and tail.endswith(joined[:length]):
            return count
        length -= len(lines[count - 1])
    return 0


def _write_whole(descriptor: int, data: bytes) -> None:
    """Append all of it, onto the disk, by one write unless the system splits it.

    What cannot be written whole, or is not known to be on the disk, is taken back.
    """
    start = os.fstat(descriptor).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, start)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
