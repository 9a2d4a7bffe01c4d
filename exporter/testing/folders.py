"""An artifact in a folder of this machine, as stores hand it to materializers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from exporter.errors import MissingArtifact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.hierarchy import Artifact


class FolderFiles:
    """Opens the files of artifacts whose URI is a path here, and remembers what it opened."""

    def __init__(self) -> None:
        self.opened: list[BinaryIO] = []

    def files(self, artifact: Artifact) -> Sequence[tuple[str, int]]:
        """List (relative path, size), sorted; only the path '' when the artifact is a file."""
        place = Path(artifact.uri)
        if place.is_file():
            return [("", place.stat().st_size)]
        return sorted(
            (path.relative_to(place).as_posix(), path.stat().st_size) for path in _below(place)
        )

    def open(self, artifact: Artifact, path: str) -> BinaryIO:
        """Open one of the files for reading."""
        target = Path(artifact.uri) / path if path else Path(artifact.uri)
        if not target.is_file():
            raise MissingArtifact(f"There is no file {path!r} in {artifact.uri!r}.")
        stream = target.open("rb")
        self.opened.append(stream)
        return stream


def written(place: Path, files: Mapping[str, bytes]) -> Path:
    """Write an artifact at a place: a file if its only path is '', else a folder."""
    if list(files) == [""]:
        place.write_bytes(files[""])
        return place
    place.mkdir()
    for path, data in files.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return place


def contents(place: Path) -> dict[str, tuple[bytes, int]]:
    """Give the bytes and the time of last change of everything below a path."""
    paths = [place] if place.is_file() else _below(place)
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def _below(place: Path) -> Iterator[Path]:
    return (path for path in place.rglob("*") if path.is_file())
