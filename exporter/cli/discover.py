"""Finding ML Metadata stores on this machine, and what their configuration should say."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli.prefixes import Rewrite, folders_near, guess_rewrite
from exporter.cli.samples import Reached, Sample, look_at, reach
from exporter.config import resource_folder
from exporter.errors import ConfigError, SourceError
from exporter.sources.artifacts import StoreArtifacts
from exporter.sources.mlmd import load_profiles, open_mlmd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAMES = {"metadata.db", "metadata.sqlite", "zenml.db"}
_MAGIC = b"SQLite format 3\x00"
_DEPTH = 10
_FOLDERS = 20_000
_STORES = 50
_SKIPPED = {"node_modules", "site-packages", "__pycache__", "proc", "sys"}
_HIDDEN_ONES_TO_ENTER = {".config", ".zen"}


@dataclass(frozen=True, slots=True)
class FoundStore:
    """A store, what is in it, and where its artifacts seem to be now."""

    path: Path
    schema: int
    active_stack: str | None
    sample: Sample
    root: Path
    rewrite: Rewrite | None
    reached: Reached

    @property
    def source(self) -> str:
        """Give the source as a configuration names it."""
        return f"mlmd+sqlite:///{self.path}"


@dataclass(slots=True)
class Found:
    """All stores, and the files that have a store's name and are none."""

    stores: list[FoundStore] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    stopped_early: bool = False


def places_to_search(search: Sequence[Path]) -> list[Path]:
    """Give the folders named, else the current one and ZenML's own.

    Raises: ConfigError for a folder that is not there.
    """
    for folder in search:
        if folder.is_file():
            place = plain_path(folder.parent)
            raise ConfigError(f"{folder} is a file.", hint=f"Name its folder: --search {place}")
        if not folder.is_dir():
            raise ConfigError(f"There is no folder {folder}.", hint="Correct --search.")
    if search:
        return [plain_path(folder) for folder in search]
    home = os.environ.get("HOME")
    zenml = [Path(home) / ".config" / "zenml"] if home else []
    return [Path.cwd(), *(folder for folder in zenml if folder.is_dir())]


def plain_path(path: Path) -> Path:
    """Give a path from the root on, without `..`; other links stay as they are written."""
    return path.resolve() if ".." in path.parts else path.absolute()


def find_stores(places: Sequence[Path]) -> Found:
    """Look for stores below the folders and into each of them; nothing is changed.

    Limits: 10 levels, 20,000 folders and 50 stores; symbolic links are not followed.
    """
    found = Found()
    seen: set[Path] = set()
    for path in _candidates(places, found):
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        if len(found.stores) == _STORES:
            found.stopped_early = True
            break
        try:
            found.stores.append(_look_into(path, places))
        except SourceError as error:
            found.skipped.append((path, error.message))
    return found


def _candidates(places: Sequence[Path], found: Found) -> Iterator[Path]:
    """Yield files that have a store's name and begin as a SQLite database, in a fixed order."""
    looked_at = 0
    for place in places:
        depth = len(place.parts)
        for folder, names, files in os.walk(place):
            looked_at += 1
            if looked_at > _FOLDERS:
                found.stopped_early = True
                return
            deep = len(Path(folder).parts) - depth >= _DEPTH
            names[:] = [] if deep else sorted(name for name in names if _is_entered(name))
            for name in sorted(_NAMES & set(files)):
                path = Path(folder, name)
                reason = _no_database(path)
                if reason:
                    found.skipped.append((path, reason))
                else:
                    yield path


def _is_entered(name: str) -> bool:
    if name.startswith("."):
        return name in _HIDDEN_ONES_TO_ENTER
    return name not in _SKIPPED


def _no_database(path: Path) -> str:
    """Say why a file cannot be a store; '' if it may be one."""
    if not str(path).isprintable():
        return "its path cannot be written into a configuration"
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return "" if start == _MAGIC else "it is not a SQLite database"


def _look_into(path: Path, places: Sequence[Path]) -> FoundStore:
    profiles = load_profiles(resource_folder("mappings") / "sources")
    url = f"sqlite:///{path}"
    history = open_mlmd(url, repository="init", stack="init", profiles=profiles)
    try:
        sample = look_at(history)
        artifacts = list(sample.artifacts.values())
        folders = [*folders_near(path), *places]
        as_is = StoreArtifacts(mode="copy", max_size=0, roots=[str(path.parent)], rewrite={})
        reached = reach(artifacts, as_is)
        root, rewrite = path.parent, None
        if reached.found < reached.total:
            rewrite = guess_rewrite([a.uri for a in artifacts], folders)
        if rewrite is not None:
            root = Path(rewrite.new)
            moved = StoreArtifacts(
                mode="copy",
                max_size=0,
                roots=[rewrite.new],
                rewrite={rewrite.old: rewrite.new},
            )
            reached = reach(artifacts, moved)
        return FoundStore(
            path, history.schema, history.active_stack, sample, root, rewrite, reached
        )
    finally:
        history.close()
