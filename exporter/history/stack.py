"""One stack as the views hold it: its history, its artifacts, and how to read runs from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.errors import NotFound, UnknownFlavour
from exporter.hierarchy import RunSnapshot
from exporter.history.contents import ContentCache

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.hierarchy import UnreadableRun
    from exporter.history.ports import ArtifactReader, History, RunHead

PAGE = 200


class Stack:
    """A history with the reader of its artifacts."""

    def __init__(self, history: History, reader: ArtifactReader) -> None:
        self.history = history
        self.reader = reader
        self.contents = ContentCache(reader)

    @property
    def repository(self) -> str:
        """The repository's name."""
        return self.history.repository

    @property
    def key(self) -> str:
        """The stack key."""
        return self.history.stack

    def read(self, head: RunHead) -> RunSnapshot:
        """Read one run.

        Raises: NotFound when it is gone from the source; UnknownFlavour when this release cannot
        read it.
        """
        found = self.history.runs([head.source_id])
        if not found:
            raise NotFound(
                f"The run {head.name!r} is no longer in stack {self.key!r}.",
                hint="Ask the pipeline for its runs again.",
                run=head.name,
            )
        return readable(found[0])

    def pages(
        self, heads: Sequence[RunHead]
    ) -> Iterator[list[tuple[RunHead, RunSnapshot | UnreadableRun]]]:
        """Read many runs by pages of fixed size, in order; those gone meanwhile are left out."""
        for start in range(0, len(heads), PAGE):
            page = heads[start : start + PAGE]
            by_id = {found.source_id: found for found in self._read_page(page)}
            yield [(head, by_id[head.source_id]) for head in page if head.source_id in by_id]

    def _read_page(self, page: Sequence[RunHead]) -> Sequence[RunSnapshot | UnreadableRun]:
        return self.history.runs([head.source_id for head in page])


def readable(found: RunSnapshot | UnreadableRun) -> RunSnapshot:
    """Give the run, or raise why it cannot be read.

    Raises: UnknownFlavour.
    """
    if isinstance(found, RunSnapshot):
        return found
    raise UnknownFlavour(
        f"The run {found.name!r} of pipeline {found.pipeline!r} cannot be read: {found.reason}",
        hint="A newer release may read it; the other runs are not concerned.",
        run=found.name,
        source_id=found.source_id,
    )
