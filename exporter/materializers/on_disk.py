"""An artifact's files in a temporary folder, for frameworks that read only from a path."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.errors import ConfigError, UnsafeArtifact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.materializers.files import ArtifactFiles

_CHUNK = 1 << 20


@contextmanager
def on_disk(files: ArtifactFiles, wanted: Mapping[str, str]) -> Iterator[Path]:
    """Copy files into a folder that is removed afterwards; `wanted` is path → name in the folder.

    The bytes are streamed, whatever their size, and the artifact itself is never handed out.
    Raises: UnsafeArtifact for a name that leaves the folder; ConfigError when there is no room;
    else as `ArtifactFiles` does.
    """
    with tempfile.TemporaryDirectory(prefix="pipeline-exporter-") as name:
        folder = Path(name)
        for path, inside in wanted.items():
            if inside.startswith("/") or {"", ".", ".."} & set(inside.split("/")):
                raise UnsafeArtifact(f"{inside!r} of {files.described} is no name inside a folder.")
            target = folder / inside
            with files.open(path) as stream:
                try:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as copy:
                        shutil.copyfileobj(stream, copy, _CHUNK)
                except OSError as error:
                    raise ConfigError(
                        f"{path or files.artifact.uri} cannot be copied to {folder.parent}: "
                        f"{error.strerror or error}.",
                        hint="Reading it needs a temporary copy: set TMPDIR to a folder with room.",
                    ) from error
        yield folder
