"""Files kept on this machine by their sha256, for whoever reads them again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from exporter.errors import ConfigError, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.hierarchy import FileRecord

_BLOCK = 1 << 20


class FileCache:
    """A folder of files named by their sha256. Several processes may use one at once.

    A file appears whole or not at all; one that was damaged since is fetched again.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"The folder cache_dir={os.fspath(folder)!r} cannot be made: {error.strerror}.",
                hint="Name a folder that can be written to.",
            ) from error
        self._folder = folder

    def open(self, file: FileRecord, fetch: Callable[[BinaryIO], None]) -> BinaryIO:
        """Open a file, which `fetch` first writes, checked, if it is not here.

        Raises: SourceUnavailable where the folder takes no file; what `fetch` raises.
        """
        place = self._folder / file.sha256[:2] / file.sha256
        known = _opened_if_whole(place, file)
        if known is not None:
            return known
        try:
            place.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".", delete=False) as fresh:
                try:
                    fetch(fresh)  # type: ignore[arg-type]  # a wrapper that has the same methods
                    fresh.flush()
                    Path(fresh.name).replace(place)
                except BaseException:
                    Path(fresh.name).unlink(missing_ok=True)
                    raise
            return place.open("rb")
        except OSError as error:
            raise SourceUnavailable(
                f"The cache folder {self._folder} did not take a file: {error.strerror or error}.",
                hint="Make room, or name another cache_dir.",
            ) from error


def _opened_if_whole(place: Path, file: FileRecord) -> BinaryIO | None:
    """Open a cached file whose bytes are still those of its name."""
    try:
        stream = place.open("rb")
    except OSError:
        return None
    digest = hashlib.sha256()
    try:
        while block := stream.read(_BLOCK):
            digest.update(block)
        if stream.tell() == file.size and digest.hexdigest() == file.sha256:
            stream.seek(0)
            return stream
    except OSError:
        pass  # a disk that fails here fails again, and louder, where the file is fetched
    stream.close()
    return None
