"""Fills in what a plan needs of the bytes: artifacts' contents, and small values for metrics.

Digests are computed once per artifact and kept in the ledger; a missing, refused or corrupt
artifact is looked at again each time a unit that shows it is written or looked at again.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from exporter.config.masking import mask_url
from exporter.errors import CorruptArtifact
from exporter.hierarchy import Content, FileRecord, decode_value, encode_value
from exporter.mapping.mlflow import (
    HEAD_BYTES,
    TableFacts,
    feature_file,
    feature_names,
    wanted_scalars,
    wanted_tables,
)
from exporter.materializers.files import ArtifactFiles
from exporter.materializers.plain import BuiltinMaterializer
from exporter.sync.outcomes import Failure, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exporter.hierarchy import Artifact, RunSnapshot, Value
    from exporter.history.ports import ArtifactReader
    from exporter.sync.clock import Stop

COMPUTED_ON_RUN = "computed on run"
SCALAR_FILE_LIMIT_BYTES = 1 << 20
LOST = frozenset({"missing", "corrupt"})
_KEEP_EVERY_S = 1.0
_STABLE = frozenset({"copied", "referenced", "too_large"})


class ContentMemory(Protocol):
    """Remembers what was computed of artifacts, as opaque text by artifact id."""

    def recall(self, artifact_ids: Sequence[str]) -> Mapping[str, str]:
        """Give what is remembered of these artifacts."""

    def keep(self, contents: Mapping[str, str]) -> None:
        """Remember."""


@dataclass(frozen=True, slots=True)
class FilledRun:
    """A run with contents, what was read of them for its metrics, and its fingerprint.

    `tables` holds what was described, None for a table that could not be; `postponed` counts those
    of them that may be described later.
    """

    run: RunSnapshot
    scalars: Mapping[str, Value]
    key: str
    fingerprint: str
    tables: Mapping[str, TableFacts | None] = field(default_factory=dict)
    postponed: int = 0

    @property
    def lost(self) -> int:
        """Count the artifacts to look at again: missing, corrupt, or a table not yet described."""
        states = [a.content.state for a in self.run.artifacts if a.content is not None]
        return sum(state in LOST for state in states) + self.postponed


class Filled(NamedTuple):
    """A page of filled runs, in order, and what went wrong with the others, by key."""

    runs: list[FilledRun]
    failures: dict[str, Failure]


_UNKNOWN, _NONE, _FAILED, _POSTPONED = "unknown", "none", "failed", "postponed"
_Table = TableFacts | str


@dataclass(slots=True)
class _Looked:
    """What is known of an artifact. A table is tried again where it is unknown or was postponed."""

    content: Content
    has_scalar: bool = False
    scalar: Value = None
    table: _Table = _UNKNOWN

    def to_text(self) -> str:
        content = self.content
        spelled: dict[str, object] = {
            "content": [content.state, content.sha256, content.size, [*map(list, content.files)]]
        }
        if self.has_scalar:
            spelled["scalar"] = encode_value(self.scalar)
        if self.table != _UNKNOWN:
            spelled["table"] = self.table
        return json.dumps(spelled, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> _Looked:
        spelled = json.loads(text)
        state, sha256, size, files = spelled["content"]
        content = Content(state, sha256, size, tuple(FileRecord(*file) for file in files))
        table = spelled.get("table", _UNKNOWN)
        looked = cls(content, table=table if isinstance(table, str) else TableFacts(*table))
        if "scalar" in spelled:
            looked.has_scalar, looked.scalar = True, decode_value(spelled["scalar"])
        return looked


def _is_same(now: Content, before: Content) -> bool:
    """Tell whether the bytes are the same; of files that were not read, whether the sizes are."""
    if now.sha256 != COMPUTED_ON_RUN:
        return now == before
    sizes = [file[:2] for file in now.files]
    return before.state == "copied" and sizes == [file[:2] for file in before.files]


def content_of(text: str) -> Content:
    """Give the content in a text that was remembered."""
    return _Looked.from_text(text).content


class ContentFiller:
    """Fills runs for one stack; counts what it looked at by content state.

    `describe` gives the facts of an artifact that looks like a table; without it none is described.
    What could not be is in `undescribed`, each with its reason.
    """

    def __init__(
        self,
        reader: ArtifactReader,
        memory: ContentMemory,
        mask: Callable[[str], str] = mask_url,
        stop: Stop | None = None,
        describe: Callable[[Artifact], TableFacts | None] | None = None,
    ) -> None:
        self._describe = describe
        self.undescribed: dict[str, str] = {}
        self._stop = stop
        self._reader = reader
        self._memory = memory
        self._mask = mask
        self._states: dict[str, str] = {}
        self._before: Mapping[str, str] = {}

    @property
    def looked_at(self) -> Counter[str]:
        """Count the artifacts looked at, by what was found last."""
        return Counter(self._states.values())

    def lost(self, artifact_ids: Iterable[str]) -> set[str]:
        """Give those of the artifacts that are to be looked at again, as they were seen last."""
        remembered = self._memory.recall(list(set(artifact_ids))).items()
        looked = {i: _Looked.from_text(text) for i, text in remembered}
        return {i for i, a in looked.items() if a.content.state in LOST or a.table == _POSTPONED}

    def fill(
        self,
        units: Iterable[tuple[RunSnapshot, str, str]],
        *,
        anew: bool = False,
        lasting: Callable[[Sequence[str]], Mapping[str, str]] | None = None,
    ) -> Filled:
        """Fill a page of (run, key, fingerprint); `anew` trusts nothing that is remembered.

        `lasting` gives what was remembered of artifacts whose bytes may be gone since: what was
        copied before stays so.

        What was digested is kept every second, and when something ends the page early. Once a stop
        is asked for, the rest of the page is in neither part of the answer.
        """
        page = list(units)
        known: dict[str, _Looked] = {}
        ids = list({a.id for run, _, _ in page for a in run.artifacts})
        self._before = {} if lasting is None else lasting(ids)
        if not anew:
            remembered = self._memory.recall(ids).items()
            known = {i: _Looked.from_text(text) for i, text in remembered}
            known = {i: looked for i, looked in known.items() if looked.content.state in _STABLE}
        fresh: set[str] = set()
        filled = Filled([], {})
        kept_s = monotonic()
        try:
            for run, key, fingerprint in page:
                if self._stop is not None and self._stop.requested:
                    break
                work = partial(self._fill, run, key, fingerprint, known, fresh)
                result = attempt(work, self._mask)
                if isinstance(result, Failure):
                    filled.failures[key] = result
                else:
                    filled.runs.append(result)
                if monotonic() - kept_s >= _KEEP_EVERY_S:
                    self._keep(known, fresh)
                    kept_s = monotonic()
        finally:
            self._keep(known, fresh)
        return filled

    def _keep(self, known: Mapping[str, _Looked], fresh: set[str]) -> None:
        if fresh:
            self._memory.keep({i: known[i].to_text() for i in sorted(fresh)})
            fresh.clear()

    def _fill(
        self,
        run: RunSnapshot,
        key: str,
        fingerprint: str,
        known: dict[str, _Looked],
        fresh: set[str],
    ) -> FilledRun:
        for artifact in run.artifacts:
            if artifact.id not in known:
                known[artifact.id] = self._look(artifact)
                fresh.add(artifact.id)
        artifacts = tuple(replace(a, content=known[a.id].content) for a in run.artifacts)
        whole = replace(run, artifacts=artifacts)
        scalars: dict[str, Value] = {}
        for artifact_id in wanted_scalars(whole):
            looked = known[artifact_id]
            if not looked.has_scalar and self._read_scalar(whole.artifact(artifact_id), looked):
                fresh.add(artifact_id)
            if looked.has_scalar:
                scalars[artifact_id] = looked.scalar
        tables = self._tables(whole, known, fresh)
        postponed = sum(known[artifact_id].table == _POSTPONED for artifact_id in tables)
        return FilledRun(whole, scalars, key, fingerprint, tables, postponed)

    def _tables(
        self, run: RunSnapshot, known: Mapping[str, _Looked], fresh: set[str]
    ) -> dict[str, TableFacts | None]:
        """Give the facts of a run's tables, describing those that never were."""
        tables: dict[str, TableFacts | None] = {}
        if self._describe is None:
            return tables
        for artifact_id in wanted_tables(run):
            looked = known[artifact_id]
            tried = artifact_id in self.undescribed
            if looked.table == _UNKNOWN or (looked.table == _POSTPONED and not tried):
                describing = partial(self._describe, run.artifact(artifact_id))
                self._take_table(artifact_id, looked, attempt(describing, self._mask))
                fresh.add(artifact_id)
            if looked.table != _NONE:
                tables[artifact_id] = None if isinstance(looked.table, str) else looked.table
        return tables

    def _take_table(
        self, artifact_id: str, looked: _Looked, found: TableFacts | Failure | None
    ) -> None:
        """Note what came of describing; a corrupt table stays so, any other failure may pass."""
        if isinstance(found, Failure):
            self.undescribed[artifact_id] = found.message
            looked.table = _FAILED if found.kind == CorruptArtifact.__name__ else _POSTPONED
        else:
            self.undescribed.pop(artifact_id, None)
            looked.table = _NONE if found is None else found

    def _look(self, artifact: Artifact) -> _Looked:
        looked = _Looked(self._reader.content(artifact))
        if artifact.id in self._before:
            before = _Looked.from_text(self._before[artifact.id])
            was_lost = looked.content.state not in _STABLE and before.content.state == "copied"
            if was_lost or _is_same(looked.content, before.content):
                looked = before
        self._states[artifact.id] = looked.content.state
        return looked

    def _read_scalar(self, artifact: Artifact, looked: _Looked) -> bool:
        """Read a small value for metrics; False where there is none, which is no failure."""
        value = attempt(partial(self._scalar, artifact), self._mask)
        if isinstance(value, Failure) or value is None:
            return False
        looked.has_scalar, looked.scalar = True, value[0]
        return True

    def _scalar(self, artifact: Artifact) -> tuple[Value] | None:
        files = ArtifactFiles(self._reader, artifact)
        if (path := feature_file(artifact)) is not None:
            with files.open(path) as stream:
                names = feature_names(path, stream.read(HEAD_BYTES))
            return None if names is None else ([*names],)
        if sum(files.sizes.values()) > SCALAR_FILE_LIMIT_BYTES:
            return None
        value: Value = BuiltinMaterializer().read(files)
        encode_value(value)
        return (value,)
