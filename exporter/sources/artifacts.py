"""Artifacts' bytes under a stack's policy: what may be read, where it is now, and how much.

A store is input, not a friend: a URI is rewritten, resolved, and only then compared with the roots.
Nothing is ever interpreted here; bytes are listed, hashed and handed on.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast
from urllib.parse import unquote

import fsspec

from exporter.errors import (
    ArtifactError,
    ArtifactTooLarge,
    CorruptArtifact,
    MissingArtifact,
    SourceUnavailable,
    UnsafeArtifact,
)
from exporter.hierarchy import Content, FileRecord
from exporter.sources.local_files import list_files, open_beneath
from exporter.sources.mlmd.sqlite_file import sqlite_path
from exporter.sources.remote_files import RemoteFile, driving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.hierarchy import Artifact, ContentState

Mode = Literal["copy", "reference"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_CHUNK = 1 << 20
_ROOTS_HINT = "If it may be read, add its folder to `artifacts.roots` of the stack."


class StoreArtifacts:
    """Reaches the artifacts of one stack; implements `ArtifactReader`.

    Limits: `max_size` bytes per artifact, all files together.
    """

    def __init__(
        self, *, mode: Mode, max_size: int, roots: Sequence[str], rewrite: Mapping[str, str]
    ) -> None:
        self._mode = mode
        self._max_size = max_size
        local = [_local(root) for root in roots if _scheme(root) in ("", "file")]
        self._local_roots = [Path(os.path.realpath(path)) for path in local if path]
        self._remote_roots = [r.rstrip("/") for r in roots if _scheme(r) not in ("", "file")]
        pairs = [(_trimmed(_plain(old)), _trimmed(new)) for old, new in rewrite.items()]
        self._rewrite = sorted(pairs, key=lambda pair: -len(pair[0]))

    def location(self, artifact: Artifact) -> str:
        """Give where the artifact is now: the longest recorded prefix that fits is replaced."""
        uri = _plain(artifact.uri)
        for old, new in self._rewrite:
            if uri == old or uri.startswith(old if old.endswith("/") else f"{old}/"):
                rest = uri[len(old) :].lstrip("/")
                return f"{new.rstrip('/')}/{rest}" if rest else new
        return uri

    def content(self, artifact: Artifact) -> Content:
        """Say what the policy makes of the artifact's bytes, with digests where they are copied.

        Raises: SourceUnavailable when a remote store is out of reach; nothing for a bad artifact.
        """
        if self._mode == "reference":
            return Content("referenced")
        try:
            listed = self.files(artifact)
            size = sum(count for _, count in listed)
            if size > self._max_size:
                return Content("too_large", None, size)
            records = tuple(self._record(artifact, path) for path, _ in listed)
        except ArtifactTooLarge:
            return Content("too_large")
        except ArtifactError as error:
            return Content(_state_of(error))
        total = sum(record.size for record in records)
        if len(records) == 1 and not records[0].path:
            return Content("copied", records[0].sha256, total, records)
        return Content("copied", folder_digest(records), total, records)

    def files(self, artifact: Artifact) -> Sequence[tuple[str, int]]:
        """List (relative path, size), sorted; one entry with path '' for a file."""
        place = self.location(artifact)
        if _scheme(place):
            return self._remote_files(self._remote(place))
        _, real = self._resolved(place)
        return list_files(real)

    def open(self, artifact: Artifact, path: str) -> BinaryIO:
        """Open one file of the artifact for reading. Raises as `files` does."""
        place = self.location(artifact)
        if not _scheme(place):
            root, real = self._resolved(place)
            return open_beneath(root, real, path)
        if path and _climbs(path):
            raise UnsafeArtifact(f"{path!r} is not a path inside an artifact.")
        system, target = self._remote(place)
        shown = f"{place}/{path}" if path else place
        with driving(shown):
            stream = system.open(f"{target}/{path}" if path else target, "rb")
        return cast("BinaryIO", RemoteFile(stream, shown))

    def _record(self, artifact: Artifact, path: str) -> FileRecord:
        digest, size = hashlib.sha256(), 0
        with self.open(artifact, path) as stream:
            try:
                while chunk := stream.read(_CHUNK):
                    size += len(chunk)
                    if size > self._max_size:
                        raise ArtifactTooLarge(f"{path or artifact.uri} grew while it was read.")
                    digest.update(chunk)
            except OSError as error:
                raise CorruptArtifact(
                    f"{path or artifact.uri} cannot be read to its end: "
                    f"{error.strerror or type(error).__name__}."
                ) from error
        return FileRecord(path, size, digest.hexdigest())

    def _resolved(self, place: str) -> tuple[Path, Path]:
        """Resolve a local path; give the root it lies in and the real path."""
        if not place:
            raise MissingArtifact("The store records no URI for this artifact.")
        if "\x00" in place or not place.startswith("/") or place.startswith("//"):
            raise UnsafeArtifact(f"{place!r} is not an absolute path.", hint=_ROOTS_HINT)
        try:
            real = Path(os.path.realpath(place))
        except UnicodeEncodeError as error:
            raise MissingArtifact(f"{place!r} is no path on this system.") from error
        best: Path | None = None
        for root in self._local_roots:
            if real.is_relative_to(root) and (best is None or len(root.parts) > len(best.parts)):
                best = root
        if best is None:
            raise UnsafeArtifact(f"{place} lies outside the artifact roots.", hint=_ROOTS_HINT)
        return best, real

    def _remote(self, place: str) -> tuple[Any, str]:  # Any: fsspec has no types
        scheme = _scheme(place)
        fits = any(place == r or place.startswith(f"{r}/") for r in self._remote_roots)
        if not fits or _climbs(place.partition("://")[2]):
            raise UnsafeArtifact(f"{place} lies outside the artifact roots.", hint=_ROOTS_HINT)
        with driving(place):
            try:
                system = fsspec.filesystem(scheme)
            except (ImportError, ValueError) as error:
                raise SourceUnavailable(
                    f"There is no driver for {scheme}:// URLs.",
                    hint=f"Install the fsspec driver for {scheme} beside the exporter.",
                ) from error
            target = str(system._strip_protocol(place))  # noqa: SLF001 - fsspec's documented way
        return system, target

    @staticmethod
    def _remote_files(found: tuple[Any, str]) -> list[tuple[str, int]]:  # Any: as above
        system, target = found
        with driving(target):
            info = system.info(target)
            if info["type"] == "file":
                return [("", int(info["size"]))]
            entries = system.find(target, detail=True)
        base = target.rstrip("/") + "/"
        return sorted(
            (name.removeprefix(base), int(entry["size"] or 0))
            for name, entry in entries.items()
            if name.startswith(base)
        )


def default_roots(url: str) -> tuple[str, ...]:
    """Give the roots of a stack that names none: the SQLite store's folder; none for servers."""
    if url.partition(":")[0].partition("+")[0] != "sqlite":
        return ()
    return (str(sqlite_path(url).parent),)


def folder_digest(files: Sequence[FileRecord]) -> str:
    """Hash a folder: sha256 over the sorted lines `relative path NUL size NUL sha256`."""
    lines = sorted(
        f"{file.path}\0{file.size}\0{file.sha256}\n".encode("utf-8", "surrogateescape")
        for file in files
    )
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _state_of(error: ArtifactError) -> ContentState:
    if isinstance(error, UnsafeArtifact):
        return "refused"
    return "missing" if isinstance(error, MissingArtifact) else "corrupt"


def _plain(uri: str) -> str:
    """Take `file:` off a URI that names a local path; one with a host stays, to be refused."""
    if not uri.lower().startswith("file:"):
        return uri
    rest = uri[5:]
    if rest.startswith("///"):
        return unquote(rest[2:])
    return uri if rest.startswith("//") else unquote(rest)


def _local(root: str) -> str:
    return _plain(root)


def _scheme(place: str) -> str:
    """Give the scheme of a URL, '' for a path; a Windows drive is a scheme nobody allows."""
    found = _SCHEME.match(place)
    if found is not None:
        return found.group(1).lower()
    return "drive" if _DRIVE.match(place) else ""


def _climbs(path: str) -> bool:
    """Tell whether a segment leaves the folder, also when it is escaped, or cannot be in a path."""
    parts = re.split(r"[/\\]", unquote(unquote(path)))
    return ".." in parts or "." in parts or "\x00" in path


def _trimmed(prefix: str) -> str:
    return prefix.rstrip("/") or "/"
