"""A short look at a history: how much there is, of what kind, and its newest artifacts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.cli.output import counted
from exporter.errors import CorruptArtifact, MissingArtifact, UnsafeArtifact
from exporter.hierarchy import RunSnapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.hierarchy import Artifact
    from exporter.history.ports import ArtifactReader, ChangeFeed

_RUNS = 50
_ARTIFACTS = 50


@dataclass(slots=True)
class Sample:
    """What a look showed; flavours and artifacts are those of the `looked_at` runs."""

    pipelines: int = 0
    runs: int = 0
    looked_at: int = 0
    flavours: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    artifacts: dict[str, Artifact] = field(default_factory=dict)

    def text(self) -> str:
        """Say it in words."""
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.flavours.items()))
        looked = f"; of {self.looked_at} looked at: {kinds}" if kinds else ""
        return f"{counted(self.pipelines, 'pipeline')}, {counted(self.runs, 'run')}{looked}"


@dataclass(slots=True)
class Reached:
    """What became of asking for artifacts' files."""

    found: int = 0
    refused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Count the artifacts asked for."""
        return self.found + len(self.refused) + len(self.missing) + len(self.corrupt)


def look_at(history: ChangeFeed) -> Sample:
    """Count a history and read its oldest and newest runs.

    Raises: SourceUnavailable, StoreUnreadable.
    """
    sample = Sample(pipelines=len(history.pipelines()))
    oldest: list[str] = []
    newest: list[str] = []
    for page in history.changes(None).source_ids:
        sample.runs += len(page)
        oldest = (oldest + list(page))[:_RUNS]
        newest = (newest + list(page))[-_RUNS:]
    for run in reversed(history.runs(list(dict.fromkeys([*oldest, *newest])))):
        sample.looked_at += 1
        if not isinstance(run, RunSnapshot):
            sample.unreadable[run.reason] += 1
            continue
        sample.flavours[run.flavour] += 1
        for artifact in reversed(run.artifacts):
            if len(sample.artifacts) < _ARTIFACTS:
                sample.artifacts.setdefault(artifact.id, artifact)
    return sample


def reach(artifacts: Sequence[Artifact], reader: ArtifactReader) -> Reached:
    """Ask for the files of artifacts, without reading any.

    Raises: SourceUnavailable when a remote store is out of reach.
    """
    reached = Reached()
    for artifact in artifacts:
        try:
            reader.files(artifact)
        except UnsafeArtifact:
            reached.refused.append(artifact.uri)
        except MissingArtifact:
            reached.missing.append(artifact.uri)
        except CorruptArtifact:
            reached.corrupt.append(artifact.uri)
        else:
            reached.found += 1
    return reached
