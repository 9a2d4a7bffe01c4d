"""What this layer asks of an artifact's files, and how unreadable bytes are named."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO, Protocol

from exporter.errors import ConfigError, CorruptArtifact, ExporterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.hierarchy import Artifact


class TableFiles(Protocol):
    """The files of one artifact; `exporter.materializers.files.ArtifactFiles` is one."""

    @property
    def artifact(self) -> Artifact:
        """The artifact's record."""

    @property
    def sizes(self) -> dict[str, int]:
        """Size in bytes by path; the path is '' when the artifact is itself a file."""

    @property
    def names(self) -> tuple[str, ...]:
        """The last part of every path."""

    @property
    def described(self) -> str:
        """Name the artifact in a message."""

    def open(self, path: str) -> BinaryIO:
        """Open one file for reading bytes."""

    def read(self, path: str) -> bytes:
        """Give the whole of one file."""

    def find(self, *names: str, suffixes: tuple[str, ...] = ()) -> str | None:
        """Give the path of the first of `names`, else of the only file with a suffix."""


class HeldFiles:
    """Files of an artifact whose streams are all closed by `close`, however far they were read."""

    def __init__(self, files: TableFiles) -> None:
        self._files = files
        self._streams = ExitStack()

    @property
    def artifact(self) -> Artifact:
        """The artifact's record."""
        return self._files.artifact

    @property
    def sizes(self) -> dict[str, int]:
        """Size in bytes by path."""
        return self._files.sizes

    @property
    def names(self) -> tuple[str, ...]:
        """The last part of every path."""
        return self._files.names

    @property
    def described(self) -> str:
        """Name the artifact in a message."""
        return self._files.described

    def open(self, path: str) -> BinaryIO:
        """Open one file for reading bytes."""
        return self._streams.enter_context(self._files.open(path))

    def read(self, path: str) -> bytes:
        """Give the whole of one file."""
        return self._files.read(path)

    def find(self, *names: str, suffixes: tuple[str, ...] = ()) -> str | None:
        """Give the path of the first of `names`, else of the only file with a suffix."""
        return self._files.find(*names, suffixes=suffixes)

    def close(self) -> None:
        """Close what was opened."""
        self._streams.close()


@contextmanager
def reading(files: TableFiles, what: str) -> Iterator[None]:
    """Turn what readers of hostile bytes raise into `CorruptArtifact`, naming the artifact."""
    try:
        yield
    except ExporterError:
        raise
    except ImportError as error:
        missing = error.name or str(error)
        raise ConfigError(
            f"Describing the {what} of {files.described} needs {missing!r}, "
            "which is not installed.",
            hint=f"Install what provides {missing!r}.",
            package=missing,
        ) from error
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        NotImplementedError,
        OSError,
        RecursionError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        raise CorruptArtifact(
            f"{files.described} is no readable {what}: {type(error).__name__}: {error}",
            hint="Check the file, or read the bytes with materializer=BytesMaterializer.",
            artifact=files.artifact.id,
        ) from error
