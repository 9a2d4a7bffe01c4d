"""What a back end must answer, batch-shaped so that no walk costs a round trip per step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.hierarchy import Artifact, Content, PipelineRecord, RunSnapshot, UnreadableRun

Cursor = dict[str, Any]  # Any: JSON values whose meaning is the back end's own


class RunHead(NamedTuple):
    """The least one needs to list and order runs."""

    source_id: str
    name: str
    seq: int
    start: int | None


class History(Protocol):
    """One stack's history, as it is now. Reading never changes the store.

    Raises (all methods): SourceUnavailable, StoreUnreadable.
    """

    @property
    def repository(self) -> str:
        """The repository's name, part of every identity."""

    @property
    def stack(self) -> str:
        """The stack key."""

    def pipelines(self) -> Sequence[PipelineRecord]:
        """Give all pipelines, by position in the source; those without runs too."""

    def heads(self, pipeline: PipelineRecord) -> Sequence[RunHead]:
        """Give the heads of a pipeline's runs by (start, seq), without reading the runs."""

    def runs(self, source_ids: Sequence[str]) -> Sequence[RunSnapshot | UnreadableRun]:
        """Read runs whole, in the order asked for; ids that no longer exist are left out.

        The number of queries does not depend on how many runs, steps or artifacts the page holds.
        `Artifact.content` is None where an `ArtifactReader` has to say it, as over a store; where
        contents were recorded, as in MLflow, it is what was recorded.
        """

    def close(self) -> None:
        """Release connections. May be called twice."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What may have changed since a cursor.

    `source_ids` yields pages of run ids, oldest first; each is to be read and compared, an id may
    come twice. `cursor` is to be stored once all of them are recorded, and covers nothing that
    happened after the walk began. `untouched` says that nothing at all was committed to the store
    since the cursor (a cheap, certain sign); a rolling re-scan is then needless. `full` says that
    the walk covers everything.
    """

    source_ids: Iterator[Sequence[str]]
    cursor: Cursor
    untouched: bool = False
    full: bool = False


class ChangeFeed(History, Protocol):
    """A history that can say what changed. The cursor is JSON; None asks for everything."""

    def empty_pipelines(self) -> Sequence[PipelineRecord]:
        """Give the pipelines that have no run, in one query or two."""

    def changes(self, cursor: Cursor | None) -> Changes:
        """Say what may have changed since the cursor, in a few queries whatever the size."""


class ArtifactReader(Protocol):
    """Reaches an artifact's bytes under the stack's policy: roots, rewriting, mode, size limit."""

    def location(self, artifact: Artifact) -> str:
        """Give where the artifact is now: the recorded URI with the rewriting applied."""

    def content(self, artifact: Artifact) -> Content:
        """Say what the policy makes of the bytes, with digests; never raises for bad artifacts."""

    def files(self, artifact: Artifact) -> Sequence[tuple[str, int]]:
        """List (relative path, size), sorted; one entry with path '' when the artifact is a file.

        Raises: UnsafeArtifact outside the roots, MissingArtifact, CorruptArtifact.
        """

    def open(self, artifact: Artifact, path: str) -> BinaryIO:
        """Open one file of the artifact for reading. Raises as `files` does."""
