"""Files that an fsspec driver reaches: whatever a driver raises becomes an error of ours."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from exporter.errors import (
    CorruptArtifact,
    ExporterError,
    MissingArtifact,
    SourceUnavailable,
    UnsafeArtifact,
)
from exporter.sources.local_files import is_nothing_there

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def driving(place: str) -> Iterator[None]:
    """Say what a driver's failure at a place means.

    Drivers raise classes of their own beside OSError: botocore, google-auth, azure. Their messages
    may hold signed URLs, so only the class is named.
    Raises: MissingArtifact, UnsafeArtifact where the store forbids this object, CorruptArtifact
    where a folder and a file were mistaken for each other, SourceUnavailable for all else.
    """
    try:
        yield
    except ExporterError:
        raise
    except OSError as error:
        raise _translated(error, place) from error
    except Exception as error:
        raise _out_of_reach(error, place) from error


def _translated(error: OSError, place: str) -> ExporterError:
    # drivers raise the classes without an errno too
    if isinstance(error, FileNotFoundError) or is_nothing_there(error):
        return MissingArtifact(f"There is nothing at {place}.")
    if isinstance(error, PermissionError):
        return UnsafeArtifact(
            f"The credentials at hand may not read {place}.",
            hint="Allow them to list and read what is below `artifacts.roots`.",
        )
    if isinstance(error, IsADirectoryError | NotADirectoryError):
        return CorruptArtifact(f"{place} is not what the store lists it as.")
    return _out_of_reach(error, place)


def _out_of_reach(error: Exception, place: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"{place} cannot be reached now ({type(error).__name__}).",
        hint="Check the credentials and the network.",
    )


class RemoteFile(io.BufferedIOBase):
    """A driver's file for reading. Raises (all methods): as `driving` says."""

    def __init__(self, stream: Any, place: str) -> None:  # Any: fsspec has no types
        super().__init__()
        self._stream = stream
        self._place = place

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell whether it can be read again."""
        return bool(self._stream.seekable())

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, or all."""
        with driving(self._place):
            return bytes(self._stream.read(-1 if size is None else size))

    def read1(self, size: int = -1, /) -> bytes:
        """Read as `read` does."""
        return self.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a place."""
        with driving(self._place):
            return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        """Give the place."""
        return int(self._stream.tell())

    def close(self) -> None:
        """Close the driver's file."""
        if not self.closed:
            super().close()
            with driving(self._place):
                self._stream.close()
