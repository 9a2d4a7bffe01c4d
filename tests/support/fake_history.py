"""A history in memory that behaves: it can grow, change, lose runs, break and be counted."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from exporter.errors import ConfigError, MissingArtifact, SourceUnavailable, UnsafeArtifact
from exporter.hierarchy import Content, FileRecord, RunSnapshot, UnreadableRun
from exporter.history.order import chronological
from exporter.history.ports import Changes, Cursor, RunHead
from exporter.history.stack import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporter.hierarchy import Artifact, PipelineRecord


class FakeHistory:
    """A `ChangeFeed` over what it was given.

    `put` adds or replaces a run, which a cursor sees later; `drop` removes one. `calls` lists what
    was asked. `break_after(n)` lets n more calls succeed, then raises SourceUnavailable until
    `mend()`.
    """

    def __init__(
        self,
        pipelines: Iterable[PipelineRecord],
        runs: Iterable[RunSnapshot | UnreadableRun] = (),
        *,
        repository: str = "acme",
        stack: str = "local",
    ) -> None:
        self.repository = repository
        self.stack = stack
        self.calls: list[str] = []
        self.closed = 0
        self._pipelines = {record.name: record for record in pipelines}
        self._runs: dict[str, RunSnapshot | UnreadableRun] = {}
        self._log: list[str] = []
        self._allowed: int | None = None
        for run in runs:
            self.put(run)

    def put(self, run: RunSnapshot | UnreadableRun) -> None:
        """Add a run, or replace the one of that source id. Contents are dropped."""
        if isinstance(run, RunSnapshot):
            if (run.repository, run.stack) != (self.repository, self.stack):
                raise ConfigError("the run belongs to another stack")
            bare = tuple(replace(artifact, content=None) for artifact in run.artifacts)
            run = replace(run, artifacts=bare)
            self._pipelines.setdefault(run.pipeline.name, run.pipeline)
        self._runs[run.source_id] = run
        self._log.append(run.source_id)

    def drop(self, source_id: str) -> None:
        """Remove a run, as a garbage collection of the store does."""
        del self._runs[source_id]

    def break_after(self, calls: int) -> None:
        """Let so many more calls succeed."""
        self._allowed = calls

    def mend(self) -> None:
        """Let all calls succeed again."""
        self._allowed = None

    def pipelines(self) -> Sequence[PipelineRecord]:
        self._called("pipelines")
        return sorted(self._pipelines.values(), key=lambda record: record.seq)

    def heads(self, pipeline: PipelineRecord) -> Sequence[RunHead]:
        self._called("heads")
        return chronological(
            head for run in self._runs.values() if (head := _head(run, pipeline)) is not None
        )

    def runs(self, source_ids: Sequence[str]) -> Sequence[RunSnapshot | UnreadableRun]:
        self._called("runs")
        return [self._runs[i] for i in source_ids if i in self._runs]

    def empty_pipelines(self) -> Sequence[PipelineRecord]:
        self._called("empty_pipelines")
        used = {_pipeline_of(run) for run in self._runs.values()}
        records = sorted(self._pipelines.values(), key=lambda record: record.seq)
        return [record for record in records if record.name not in used]

    def changes(self, cursor: Cursor | None) -> Changes:
        self._called("changes")
        seen = 0 if cursor is None else int(cursor["seen"])
        new = list(dict.fromkeys(self._log[seen:]))
        return Changes(
            source_ids=self._pages(new),
            cursor={"seen": len(self._log)},
            untouched=cursor is not None and not new,
            full=cursor is None,
        )

    def close(self) -> None:
        self.closed += 1

    def _pages(self, source_ids: list[str]) -> Iterator[Sequence[str]]:
        for start in range(0, len(source_ids), PAGE):
            yield source_ids[start : start + PAGE]

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self._allowed is None:
            return
        if self._allowed == 0:
            raise SourceUnavailable("The store went away.", hint="Try again later.")
        self._allowed -= 1


def _pipeline_of(run: RunSnapshot | UnreadableRun) -> str:
    return run.pipeline if isinstance(run, UnreadableRun) else run.pipeline.name


def _head(run: RunSnapshot | UnreadableRun, pipeline: PipelineRecord) -> RunHead | None:
    if isinstance(run, UnreadableRun):
        named = run.pipeline == pipeline.name
        return RunHead(run.source_id, run.name, 0, None) if named else None
    if run.pipeline.name != pipeline.name:
        return None
    return RunHead(run.source_id, run.name, run.seq, run.start)


class FakeArtifacts:
    """An `ArtifactReader` over bytes in memory: URI → bytes (a file) or {path: bytes} (a folder).

    URIs that are not there are missing; those starting with one of `refused` lie outside the roots.
    `asked` lists the ids whose content was computed.
    """

    def __init__(
        self,
        stored: Mapping[str, bytes | Mapping[str, bytes]] | None = None,
        *,
        refused: Sequence[str] = (),
    ) -> None:
        self.stored = dict(stored or {})
        self.refused = tuple(refused)
        self.asked: list[str] = []

    def location(self, artifact: Artifact) -> str:
        return f"memory:{artifact.uri}"

    def content(self, artifact: Artifact) -> Content:
        self.asked.append(artifact.id)
        try:
            found = self._files(artifact)
        except UnsafeArtifact:
            return Content("refused")
        except MissingArtifact:
            return Content("missing")
        files = tuple(
            FileRecord(p, len(b), hashlib.sha256(b).hexdigest()) for p, b in found.items()
        )
        if list(found) == [""]:
            return Content("copied", files[0].sha256, files[0].size, files)
        lines = "".join(f"{f.path}\0{f.size}\0{f.sha256}\n" for f in files)
        digest = hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()
        return Content("copied", digest, sum(f.size for f in files), files)

    def files(self, artifact: Artifact) -> Sequence[tuple[str, int]]:
        return [(path, len(data)) for path, data in self._files(artifact).items()]

    def open(self, artifact: Artifact, path: str) -> BinaryIO:
        found = self._files(artifact)
        if path not in found:
            raise MissingArtifact(f"There is no file {path!r} in {artifact.uri!r}.")
        return io.BytesIO(found[path])

    def _files(self, artifact: Artifact) -> dict[str, bytes]:
        if self.refused and artifact.uri.startswith(self.refused):
            raise UnsafeArtifact(f"{artifact.uri!r} lies outside the roots.", hint="Add a root.")
        if artifact.uri not in self.stored:
            raise MissingArtifact(f"There is nothing at {artifact.uri!r}.")
        found = self.stored[artifact.uri]
        return {"": found} if isinstance(found, bytes) else dict(sorted(found.items()))
