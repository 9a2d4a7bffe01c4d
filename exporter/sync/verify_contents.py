"""What became of the source's bytes, as verifying looks at them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.sync.contents import COMPUTED_ON_RUN, content_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.hierarchy import Artifact, Content, RunSnapshot

_MOST_CHARACTERS = 8 * 2**20


class RecentContents:
    """Remembers what was looked at last, so that an artifact of many runs is read once or twice.

    Limits: about 8 MB of text; the oldest leave first.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._size = 0

    def recall(self, artifact_ids: Sequence[str]) -> Mapping[str, str]:
        """Give what is remembered of these artifacts."""
        found = {i: self._kept[i] for i in artifact_ids if i in self._kept}
        for artifact_id in found:
            self._kept.move_to_end(artifact_id)
        return found

    def keep(self, contents: Mapping[str, str]) -> None:
        """Remember."""
        for artifact_id, text in contents.items():
            self._size += len(text) - len(self._kept.pop(artifact_id, ""))
            self._kept[artifact_id] = text
        while self._size > _MOST_CHARACTERS and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])


def with_recorded_digests(
    run: RunSnapshot, recorded: RunSnapshot | None, remembered: Mapping[str, str]
) -> RunSnapshot:
    """Give a run whose files were not read the digests that were recorded, where sizes agree.

    Those of the record come before those that the ledger remembers.
    """
    known: dict[str, Content | None] = {i: content_of(text) for i, text in remembered.items()}
    known |= {} if recorded is None else {a.id: a.content for a in recorded.artifacts}
    artifacts = tuple(_with_digests(a, known.get(a.id)) for a in run.artifacts)
    return replace(run, artifacts=artifacts)


def _with_digests(artifact: Artifact, recorded: Content | None) -> Artifact:
    content = artifact.content
    if content is None or recorded is None or content.sha256 != COMPUTED_ON_RUN:
        return artifact
    if [file[:2] for file in content.files] == [file[:2] for file in recorded.files]:
        return replace(artifact, content=recorded)
    digests = {file.path: file.sha256 for file in recorded.files}
    files = tuple(f._replace(sha256=digests.get(f.path, f.sha256)) for f in content.files)
    return replace(artifact, content=content._replace(files=files))
