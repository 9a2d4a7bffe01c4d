"""Parent runs of MLflow as runs of a pipeline: which are ours, what lists them, what they hold."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exporter.errors import StoreUnreadable
from exporter.hierarchy import RunSnapshot, UnreadableRun, history_key, run_key
from exporter.hierarchy.times import ms_from_iso
from exporter.history.ports import RunHead
from exporter.mapping.records_text import (
    HEAD_TAG,
    RECORD_TAG,
    SEAL_TAG,
    WRITING_TAG,
    read_record,
    record_from_value,
)
from exporter.readback.kept import is_sound_home, with_homes
from exporter.sinks.mlflow.answers import MissingResource
from exporter.sinks.mlflow.reconcile import is_ours
from exporter.sinks.mlflow.tags import GONE_TAG, UNIT_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from exporter.readback.experiments import TrackedPipeline
    from exporter.sinks.mlflow.bindings import FoundRun

SEALED = f"tags.`{RECORD_TAG}` LIKE '1%'"
_FILE = re.compile(r"exporter/record\.[0-9a-f]{16}\.json")


@dataclass(frozen=True, slots=True)
class SealedUnit:
    """What is kept of a parent run: its record as text, and what it is listed by."""

    pipeline: TrackedPipeline
    run_id: str
    artifact_uri: str
    key: str
    tags: Mapping[str, str]
    told: RunHead
    rank: tuple[bool, str]
    gone: bool

    @property
    def digest(self) -> str:
        """The digest of the record."""
        return self.tags.get(SEAL_TAG, "").partition(":")[0]

    @property
    def size(self) -> int:
        """About how much memory the record takes as text."""
        return 500 + sum(map(len, self.tags.values()))


def sealed_unit(run: FoundRun, pipeline: TrackedPipeline) -> SealedUnit | None:
    """Take a run of MLflow as a unit; None where it is a nested run, not sealed, or not ours."""
    tags = run.tags
    if not is_ours(run) or tags.get(UNIT_TAG) != run.key or not tags.get(SEAL_TAG):
        return None
    kept = {k: v for k, v in tags.items() if k.startswith(RECORD_TAG) or k == SEAL_TAG}
    told = _told(run)
    rank = (bool(tags.get(WRITING_TAG)), run.run_id)
    gone = GONE_TAG in tags
    return SealedUnit(pipeline, run.run_id, run.artifact_uri, run.key, kept, told, rank, gone)


class UnitReader:
    """Reads the records of units; `get_file` gives a small file of an MLflow run."""

    def __init__(self, get_file: Callable[[str, str], bytes]) -> None:
        self._get_file = get_file

    def head(self, unit: SealedUnit) -> RunHead | None:
        """Give what lists a unit; None where its record is that of another run.

        A record that cannot be read is listed by what the tags say, and `run` says why.
        """
        try:
            if HEAD_TAG in unit.tags:
                return unit.told
            whole = self._value(unit)["run"]
            run = whole["run"]
            if not _belongs(unit, whole):
                return None
            return _head([run["source_id"], run["name"], run["seq"], ms_from_iso(run["start"])])
        except (StoreUnreadable, KeyError, TypeError, ValueError):
            return unit.told

    def run(self, unit: SealedUnit) -> RunSnapshot | UnreadableRun | None:
        """Give a unit's run, its artifacts with contents and homes; None where it is another's."""
        try:
            run, homes = record_from_value(self._value(unit))
            if run_key(run) != unit.key or not _is_of(unit.pipeline, run):
                return None
            _check(run)
        except StoreUnreadable as error:
            name = unit.pipeline.record.name
            return UnreadableRun(name, unit.told.name, unit.told.source_id, error.message)
        sound = {artifact: home for artifact, home in homes.items() if is_sound_home(home)}
        return replace(run, artifacts=with_homes(run, sound))

    def _value(self, unit: SealedUnit) -> dict[str, Any]:  # Any: JSON values
        def fetch(path: str) -> bytes:
            if not _FILE.fullmatch(path):
                raise StoreUnreadable("The record of the MLflow run names a file that is not ours.")
            try:
                return self._get_file(unit.artifact_uri, path)
            except MissingResource as error:
                raise StoreUnreadable(
                    f"The file {path} of the MLflow run is gone.",
                    hint="`pipeline-exporter run --repair` writes it again.",
                ) from error

        return read_record(unit.tags, fetch)


def _told(run: FoundRun) -> RunHead:
    """Give what the tags say of a run; names in them may be shortened, but for the tag of heads."""
    tags = run.tags
    try:
        return _head(json.loads(tags.get(HEAD_TAG, "")))
    except (ValueError, RecursionError):
        name = tags.get("exporter.run", "")
        return RunHead(tags.get("exporter.source_id", ""), name, 0, run.start)


def _belongs(unit: SealedUnit, value: Mapping[str, Any]) -> bool:
    pipeline, run = unit.pipeline, value["run"]
    repository, stack = value["repository"], value["stack"]
    name = value["pipeline"]["name"]
    key = history_key(repository, stack, value["tool"], name, run["name"])
    agreed = (pipeline.repository, pipeline.stack, pipeline.record.name)
    return key == unit.key and (repository, stack, name) == agreed


def _is_of(pipeline: TrackedPipeline, run: RunSnapshot) -> bool:
    held = (pipeline.repository, pipeline.stack, pipeline.record.name)
    return (run.repository, run.stack, run.pipeline.name) == held


def _head(value: object) -> RunHead:
    """Take four JSON values as a head. Raises: ValueError, TypeError."""
    match value:
        case [str(source_id), str(name), int(seq), int() | None as start]:
            return RunHead(source_id, name, seq, start)
    raise ValueError("no head of a run")


def _check(run: RunSnapshot) -> None:
    """Refuse a record whose parts do not fit together: walking it would fail in odd places.

    Raises: StoreUnreadable.
    """
    texts: list[object] = [run.name, run.source_id, run.status, run.flavour]
    texts += [text for step in run.steps for text in (step.name, step.source_id, step.status)]
    texts += [text for a in run.artifacts for text in (a.id, a.uri, a.type)]
    numbers: list[object] = [run.seq, run.pipeline.seq, *(step.attempt for step in run.steps)]
    if not all(isinstance(t, str) for t in texts) or not all(type(n) is int for n in numbers):
        raise StoreUnreadable("The record of the MLflow run holds values of another type.")
    artifacts = {artifact.id for artifact in run.artifacts}
    positions = range(len(run.steps))
    for step in run.steps:
        ports = (*step.inputs, *step.outputs)
        parents = [*step.parents, *(p.parent for p in ports if p.parent is not None)]
        if not artifacts.issuperset(p.artifact for p in ports) or any(
            parent not in positions for parent in parents
        ):
            raise StoreUnreadable(
                f"The record of the MLflow run contradicts itself at {step.name!r}."
            )
