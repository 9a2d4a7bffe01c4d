"""The promises of a materializer, checked one by one on files that its author gives."""

from __future__ import annotations

import operator
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import ArtifactError, ConfigError, CorruptArtifact, UnsafeArtifact
from exporter.hierarchy import Artifact
from exporter.materializers.files import ArtifactFiles
from exporter.materializers.protocol import Materializer
from exporter.testing.canaries import canaries, sung
from exporter.testing.folders import FolderFiles, contents, written
from exporter.testing.hiding import hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ALIEN = b"\x89PNG\r\n\x1a\n" + bytes(range(128, 256)) * 4  # an image, and no text in UTF-8


def check_materializer(
    materializer: type[Materializer] | Materializer,
    files: Mapping[str, bytes],
    *,
    expected: object,
    same: Callable[[Any, Any], bool] = operator.eq,  # Any: the author's values
    artifact: Artifact | None = None,
    executes: bool = False,
    any_bytes: bool = False,
    package: str | None = None,
) -> None:
    """Raise AssertionError that lists every promise which a materializer does not keep.

    `files` is an artifact that it reads, by path (`''` for an artifact that is one file), and
    `expected` its value, compared by `same(value, expected)`. `artifact` gives the type, data type
    and materializer that a store would record; of its URI only the last part is kept. `executes`
    says that the format executes code, so that reading wants trust; `any_bytes` that any bytes are
    a value, as of text. `package` is one that reading needs.

    Promised is that it

    - reads the value, twice the same, from files it closes and does not change
    - refuses with UnsafeArtifact when it `executes` and is not trusted; without trust executes
      nothing, whatever the files hold
    - raises CorruptArtifact where there are no files, where they are empty or of another format
      (not checked for `any_bytes`) and an ArtifactError, if any, where they are cut off
    - raises ConfigError that names `package` where that is not installed
    """
    made = materializer() if isinstance(materializer, type) else materializer
    if not isinstance(made, Materializer):
        raise AssertionError(f"{made!r} has no method read(files, *, trusted=False).")  # noqa: TRY004
    sample = artifact or Artifact("1", "Artifact", "/artifact")
    case = _Case(made, dict(files), sample, executes)
    found = [
        *_of_value(case, expected, same),
        *_of_trust(case),
        *_of_broken_files(case, any_bytes=any_bytes),
        *(_of_package(case, package) if package else ()),
    ]
    if found:
        listed = "\n".join(f"- {finding}" for finding in found)
        raise AssertionError(f"{type(made).__name__} does not keep what it promises:\n{listed}")


@dataclass(frozen=True, slots=True)
class _Case:
    materializer: Materializer
    files: dict[str, bytes]
    artifact: Artifact
    executes: bool

    def read(self, files: Mapping[str, bytes], *, trusted: bool) -> _Reading:
        """Read other files by the same materializer, from a folder that is watched."""
        opener = FolderFiles()
        with tempfile.TemporaryDirectory() as folder:
            place = written(Path(folder) / _last_part(self.artifact.uri), files)
            before = contents(place)
            value: object = None
            raised: Exception | None = None
            try:
                value = self.materializer.read(
                    ArtifactFiles(opener, replace(self.artifact, uri=str(place))), trusted=trusted
                )
            except Exception as error:  # noqa: BLE001 - which one it is, is what is checked
                raised = error
            changed = contents(place) != before
        leaked = any(not stream.closed for stream in opener.opened)
        for stream in opener.opened:
            stream.close()
        return _Reading(value, raised, changed, leaked)


def _last_part(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2] or "artifact"


@dataclass(frozen=True, slots=True)
class _Reading:
    value: object
    raised: Exception | None
    changed: bool
    leaked: bool

    @property
    def shown(self) -> str:
        if self.raised is None:
            return f"gave {self.value!r:.200}"
        return f"raised {type(self.raised).__name__}: {self.raised!s:.300}"


def _of_value(
    case: _Case,
    expected: object,
    same: Callable[[Any, Any], bool],  # Any: the author's values
) -> Iterator[str]:
    for turn in ("the first", "the second"):
        reading = case.read(case.files, trusted=case.executes)
        if reading.raised is not None or not same(reading.value, expected):
            yield f"{turn} reading {reading.shown}, not {expected!r:.200}"
        if reading.changed:
            yield f"{turn} reading changed the artifact's files"
        if reading.leaked:
            yield f"{turn} reading left a file open"


def _of_trust(case: _Case) -> Iterator[str]:
    if case.executes:
        reading = case.read(case.files, trusted=False)
        if not isinstance(reading.raised, UnsafeArtifact):
            yield f"without trust it {reading.shown}, not UnsafeArtifact"
    for name, data in canaries().items():
        sung.clear()
        reading = case.read(dict.fromkeys(case.files, data), trusted=False)
        if sung:
            yield f"without trust it executed {name}"
        elif reading.raised is not None and not isinstance(reading.raised, ArtifactError):
            yield f"on {name} it {reading.shown}, not an ArtifactError"


def _of_broken_files(case: _Case, *, any_bytes: bool) -> Iterator[str]:
    broken: dict[str, Mapping[str, bytes]] = {
        "no files": {},
        "a file of another name": {"picture.png": _ALIEN},
        "empty files": dict.fromkeys(case.files, b""),
        "files of another format": dict.fromkeys(case.files, _ALIEN),
    }
    for name, files in broken.items():
        reading = case.read(files, trusted=case.executes)
        fine = isinstance(reading.raised, CorruptArtifact) or (any_bytes and reading.raised is None)
        if not fine:
            yield f"on {name} it {reading.shown}, not CorruptArtifact"
    for share in (0.1, 0.5, 0.9):
        cut = {path: data[: int(len(data) * share)] for path, data in case.files.items()}
        reading = case.read(cut, trusted=case.executes)
        if reading.raised is not None and not isinstance(reading.raised, ArtifactError):
            yield f"on files cut off at {share:.0%} it {reading.shown}, not CorruptArtifact"


def _of_package(case: _Case, package: str) -> Iterator[str]:
    with hidden(package):
        reading = case.read(case.files, trusted=case.executes)
    if not isinstance(reading.raised, ConfigError) or package not in str(reading.raised):
        yield f"without {package} it {reading.shown}, not ConfigError that names it"
