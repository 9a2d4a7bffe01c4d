"""The files of one artifact, as a materializer sees them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, Protocol

from exporter.errors import CorruptArtifact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.hierarchy import Artifact


class FileOpener(Protocol):
    """Reaches an artifact's bytes. Every `exporter.history.ports.ArtifactReader` is one."""

    def files(self, artifact: Artifact) -> Sequence[tuple[str, int]]:
        """List (relative path, size in bytes); only the path '' when the artifact is a file."""

    def open(self, artifact: Artifact, path: str) -> BinaryIO:
        """Open one of the files."""


class ArtifactFiles:
    """The files of an artifact, or of a folder inside it, by path relative to it.

    Raises (all methods): UnsafeArtifact outside the roots, MissingArtifact, CorruptArtifact.
    """

    def __init__(self, opener: FileOpener, artifact: Artifact, *, folder: str = "") -> None:
        self._opener = opener
        self._folder = folder
        self.artifact = artifact

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Size in bytes by path, sorted; the path is '' when the artifact is itself a file."""
        listed = self._opener.files(self.artifact)
        if not self._folder:
            return dict(listed)
        start = f"{self._folder}/"
        return {path[len(start) :]: size for path, size in listed if path.startswith(start)}

    @property
    def names(self) -> tuple[str, ...]:
        """The last part of every path; for an artifact that is a file, the last part of its URI."""
        base = self.artifact.uri.rstrip("/").rpartition("/")[2]
        return tuple(path.rpartition("/")[2] if path else base for path in self.sizes)

    @property
    def described(self) -> str:
        """Name the artifact in a message."""
        inside = f" (folder {self._folder!r})" if self._folder else ""
        return f"artifact {self.artifact.id} at {self.artifact.uri!r}{inside}"

    def open(self, path: str) -> BinaryIO:
        """Open one file for reading bytes, without loading it."""
        return self._opener.open(self.artifact, f"{self._folder}/{path}" if self._folder else path)

    def read(self, path: str) -> bytes:
        """Give the whole of one file."""
        with self.open(path) as stream:
            return stream.read()

    def within(self, folder: str, *, data_type: str | None = None) -> ArtifactFiles:
        """Give the files of a folder of this artifact, which holds a value of another type."""
        inside = f"{self._folder}/{folder}" if self._folder else folder
        element = replace(self.artifact, data_type=data_type, materializer=None)
        return ArtifactFiles(self._opener, element, folder=inside)

    def find(self, *names: str, suffixes: tuple[str, ...] = ()) -> str | None:
        """Give the path of the first of `names` that is here, else of the only file with a suffix.

        Raises: CorruptArtifact when several files have the suffix and none has a name asked for.
        """
        named = tuple(zip(self.sizes, self.names, strict=True))
        here = {path or base: path for path, base in named}
        for name in names:
            if name in here:
                return here[name]
        fits = [path for path, base in named if suffixes and base.endswith(suffixes)]
        if len(fits) > 1:
            raise CorruptArtifact(
                f"{self.described} holds {len(fits)} candidates: {', '.join(fits[:5])}.",
                hint="Read them one by one with output.open(path).",
                artifact=self.artifact.id,
            )
        return fits[0] if fits else None
