"""Artifacts' bytes out of MLflow: fetched when they are read, and checked against the record.

What MLflow returns is input, not a friend: paths of a record are checked before they name
anything, and no more bytes are taken than the record says.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from exporter.errors import (
    ArtifactError,
    ArtifactTooLarge,
    CorruptArtifact,
    MissingArtifact,
    SinkError,
    SourceUnavailable,
    UnsafeArtifact,
)
from exporter.hierarchy import Content
from exporter.mapping.mlflow import stored_path
from exporter.readback.faults import source_error
from exporter.readback.kept import KeptArtifact, is_digest, is_inside
from exporter.sinks.mlflow.answers import MissingResource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.hierarchy import Artifact, FileRecord
    from exporter.mapping.homes import Home
    from exporter.readback.cache import FileCache
    from exporter.readback.locating import Locator
    from exporter.sinks.mlflow.api import TrackingApi

_IN_MEMORY = 8 * 2**20
_REPAIR = "`pipeline-exporter run --repair` brings back what was deleted in MLflow."

# Why the bytes of an artifact are not in MLflow, by the state that was recorded.
_NOT_COPIED: dict[str, tuple[type[ArtifactError], str, str]] = {
    "referenced": (
        MissingArtifact,
        "was recorded without a copy of its bytes",
        "Read them there, or export the stack with `artifacts.mode: copy`.",
    ),
    "too_large": (
        ArtifactTooLarge,
        "was too large to be copied",
        "Read it there, or raise `artifacts.max_size` of the stack.",
    ),
    "refused": (
        UnsafeArtifact,
        "lay outside the artifact roots and was not copied",
        "Read it there, or add its folder to `artifacts.roots` of the stack.",
    ),
    "missing": (MissingArtifact, "was missing when it was exported", "Was it deleted, or moved?"),
    "corrupt": (CorruptArtifact, "could not be read when it was exported", "Look at it there."),
}


class ReadbackArtifacts:
    """Reaches the copies that MLflow keeps of a stack's artifacts; implements `ArtifactReader`.

    Files are verified before any byte of them is given: small ones in memory, others in a file that
    vanishes when it is closed, or in the cache.
    """

    def __init__(self, api: TrackingApi, locator: Locator, cache: FileCache | None = None) -> None:
        self._api = api
        self._locator = locator
        self._cache = cache

    def location(self, artifact: Artifact) -> str:
        """Give where the bytes are: below an artifact root of MLflow, else the recorded URI."""
        home = artifact.home if isinstance(artifact, KeptArtifact) else None
        if home is None:
            return artifact.uri
        return f"{self._root(artifact, home).rstrip('/')}/{home.path}"

    def content(self, artifact: Artifact) -> Content:
        """Give what was recorded when the artifact was exported."""
        return artifact.content or Content("missing")

    def files(self, artifact: Artifact) -> Sequence[tuple[str, int]]:
        """List what was recorded: (relative path, size), sorted.

        Raises: MissingArtifact, UnsafeArtifact, CorruptArtifact, ArtifactTooLarge where the bytes
        are not in MLflow.
        """
        content, _ = _copied(artifact)
        return [(file.path, file.size) for file in content.files]

    def open(self, artifact: Artifact, path: str) -> BinaryIO:
        """Open one file of the artifact, whole and as recorded.

        Raises: as `files`; CorruptArtifact where MLflow's copy is not what was recorded;
        SourceUnavailable.
        """
        content, home = _copied(artifact)
        file = next((file for file in content.files if file.path == path), None)
        if file is None:
            raise MissingArtifact(f"There is no file {path!r} in the artifact {artifact.uri!r}.")
        fetch = partial(self._fetch, artifact, home, file)
        if self._cache is not None:
            return self._cache.open(file, fetch)
        held = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115 - the caller closes it
        try:
            fetch(held)
            held.seek(0)
        except OSError as error:
            held.close()
            raise SourceUnavailable(
                f"There is no room for the file {path!r}: {error.strerror or error}.",
                hint="Make room, or name another TMPDIR or a cache_dir.",
            ) from error
        except BaseException:
            held.close()
            raise
        return held

    def _fetch(self, artifact: Artifact, home: Home, file: FileRecord, into: BinaryIO) -> None:
        """Write a file's bytes, checked to the last. Where its run was replaced, look once more."""
        root = self._root(artifact, home)
        try:
            self._write(root, artifact, home, file, into)
        except MissingArtifact:
            self._locator.forget(home.step_key)
            now = self._root(artifact, home)
            if now == root:
                raise
            into.seek(0)
            into.truncate()
            self._write(now, artifact, home, file, into)

    def _write(
        self, root: str, artifact: Artifact, home: Home, file: FileRecord, into: BinaryIO
    ) -> None:
        digest, size = hashlib.sha256(), 0
        try:
            with closing(self._api.read_file(root, stored_path(home, file.path))) as blocks:
                for block in blocks:
                    size += len(block)
                    if size > file.size:
                        break
                    digest.update(block)
                    into.write(block)
        except MissingResource as error:
            raise _deleted(artifact, "The file", file.path) from error
        except SinkError as error:
            raise _unreachable(root, error) from error
        if size != file.size or digest.hexdigest() != file.sha256:
            raise CorruptArtifact(
                f"MLflow's copy of {file.path or artifact.uri!r} of artifact {artifact.id} is not "
                "what was exported.",
                hint="`pipeline-exporter run --repair` writes it again.",
                artifact=artifact.id,
                path=file.path,
            )

    def _root(self, artifact: Artifact, home: Home) -> str:
        root = self._locator.root(home.step_key)
        if root is None:
            raise _deleted(artifact, "The run that holds the files", "")
        return root


def _copied(artifact: Artifact) -> tuple[Content, Home]:
    """Give content and home of an artifact whose bytes MLflow keeps, or raise why it does not."""
    content = artifact.content
    if content is not None and content.state in _NOT_COPIED:
        kind, why, hint = _NOT_COPIED[content.state]
        raise kind(
            f"The artifact {artifact.id} {why}; it was at {artifact.uri!r}.",
            hint=hint,
            artifact=artifact.id,
        )
    home = artifact.home if isinstance(artifact, KeptArtifact) else None
    if content is None or home is None:
        raise MissingArtifact(
            f"MLflow keeps no copy of the artifact {artifact.id}, which was at {artifact.uri!r}.",
            artifact=artifact.id,
        )
    for file in content.files:
        sound = not file.path or is_inside(file.path)
        if not sound or not is_digest(file.sha256) or type(file.size) is not int:
            raise CorruptArtifact(
                f"The record of artifact {artifact.id} names a file that is none.",
                hint="This exporter did not write it so.",
                artifact=artifact.id,
            )
    return content, home


def _deleted(artifact: Artifact, what: str, path: str) -> MissingArtifact:
    named = f" {path!r}" if path else ""
    return MissingArtifact(
        f"{what}{named} of artifact {artifact.id} is no longer in MLflow.",
        hint=_REPAIR,
        artifact=artifact.id,
    )


def _unreachable(root: str, error: SinkError) -> Exception:
    """Say why a file could not be read; a database serves no files that a server proxies."""
    found = source_error(error)
    if root.startswith("mlflow-artifacts:") and not error.context.get("request"):
        found.hint = (
            "The tracking server serves these files: open mlflow+http://… instead of its database."
        )
    return found
