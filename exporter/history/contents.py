"""Contents of artifacts: what became of the bytes, computed once however many runs show them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.hierarchy import Artifact, Content, RunSnapshot
    from exporter.history.ports import ArtifactReader

_KEPT_FILES = 50_000


class ContentCache:
    """Asks an `ArtifactReader` for contents and remembers them, up to `max_files` files in all.

    Threads may share one. Two that ask for one artifact at once may both read it; the answer is the
    same.
    """

    def __init__(self, reader: ArtifactReader, *, max_files: int = _KEPT_FILES) -> None:
        self._reader = reader
        self._max_files = max_files
        self._files = 0
        self._known: OrderedDict[tuple[str, str], Content] = OrderedDict()
        self._lock = threading.Lock()

    def content(self, artifact: Artifact) -> Content:
        """Give the artifact's content: its own if it carries one, else what the reader says."""
        if artifact.content is not None:
            return artifact.content
        key = (artifact.id, artifact.uri)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        content = self._reader.content(artifact)
        with self._lock:
            if key not in self._known:
                self._known[key] = content
                self._files += _weight(content)
            while self._files > self._max_files and len(self._known) > 1:
                _, dropped = self._known.popitem(last=False)
                self._files -= _weight(dropped)
        return content

    def fill(self, run: RunSnapshot) -> RunSnapshot:
        """Give the run with the content of every artifact that lacks one."""
        if all(artifact.content is not None for artifact in run.artifacts):
            return run
        artifacts = tuple(replace(a, content=self.content(a)) for a in run.artifacts)
        return replace(run, artifacts=artifacts)


def _weight(content: Content) -> int:
    return 1 + len(content.files)
