"""Guessing where a store's artifacts are now: which recorded prefix of their URIs became which."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LEVELS = 6  # a store's folder and its ancestors
_SAMPLE = 50


class Rewrite(NamedTuple):
    """A recorded prefix, the folder it is now, and how many of the URIs are found that way."""

    old: str
    new: str
    found: int


def folders_near(store: Path) -> list[Path]:
    """Give the folder of a store's file and those above it, nearest first; never the root."""
    return [folder for folder in list(store.parents)[:_LEVELS] if folder != folder.parent]


def guess_rewrite(uris: Iterable[str], folders: Sequence[Path]) -> Rewrite | None:
    """Find the prefix whose replacement by one of the folders brings back most of the URIs.

    Order: of equal ones the first folder wins, then the shortest prefix.
    Limits: local paths only, and the first 50 of them; what exists is looked at, nothing is read.
    """
    paths = [path for uri in uris if (path := local_path(uri)) is not None]
    votes: Counter[tuple[str, int]] = Counter()
    for path in dict.fromkeys(paths[:_SAMPLE]):
        for place, folder in enumerate(folders):
            if (old := _prefix_lost(path, folder)) is not None:
                votes[old, place] += 1
    if not votes:
        return None
    (old, place), found = max(
        votes.items(), key=lambda item: (item[1], -item[0][1], -len(item[0][0]))
    )
    return Rewrite(old, str(folders[place]), found)


def local_path(uri: str) -> PurePosixPath | None:
    """Give the path of a URI that names a local one; None for other URIs and odd paths."""
    text = uri.removeprefix("file://")
    if not text.startswith("/") or "\x00" in text:
        return None
    path = PurePosixPath(text)
    return None if ".." in path.parts else path


def _prefix_lost(path: PurePosixPath, folder: Path) -> str | None:
    """Give the shortest prefix without which the path exists below the folder.

    At least two parts must be left, for one alone (`output`, `17`) may be there by chance.
    """
    parts = path.parts
    for start in range(1, len(parts) - 1):
        old = str(PurePosixPath(*parts[:start]))
        if old in {"/", str(folder)}:
            continue
        try:
            if folder.joinpath(*parts[start:]).exists():
                return old
        except OSError:  # a name too long, or a folder that may not be entered: not there for us
            continue
    return None
