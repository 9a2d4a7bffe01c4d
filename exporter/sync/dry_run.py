"""What a cycle would write, by the same functions from the same runs; nothing is written.

Files appear as path and size; what needs their bytes is spelled `computed on run`.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from exporter.errors import (
    ArtifactError,
    CorruptArtifact,
    MissingArtifact,
    UnsafeArtifact,
)
from exporter.hierarchy import Content, FileRecord, RunSnapshot, run_key
from exporter.ledger import Ledger
from exporter.mapping.mlflow import Home, plan_unit, wanted_tables
from exporter.sources.open import open_stack
from exporter.sync.clock import SystemClock
from exporter.sync.contents import COMPUTED_ON_RUN, ContentFiller
from exporter.sync.fingerprint import unit_fingerprint
from exporter.sync.mlflow_export import elsewhere, mlflow_sink_name
from exporter.sync.on_disk import OnDisk
from exporter.sync.policy import Mappings, stack_policy
from exporter.sync.stacks import refuse_own_sink
from exporter.sync.verify_contents import RecentContents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.config import Settings, StackSettings
    from exporter.hierarchy import Artifact
    from exporter.hierarchy.records import ContentState
    from exporter.history.ports import ArtifactReader, ChangeFeed
    from exporter.mapping.mlflow import MlflowNaming, UnitPlan

_STATES: tuple[tuple[type[ArtifactError], ContentState], ...] = (
    (UnsafeArtifact, "refused"),
    (MissingArtifact, "missing"),
    (CorruptArtifact, "corrupt"),
    (ArtifactError, "corrupt"),
)


@dataclass(frozen=True, slots=True)
class UnreadDigests:
    """An artifact reader that lists files but reads none: digests are left for the run."""

    reader: ArtifactReader
    mode: str
    max_size: int

    def location(self, artifact: Artifact) -> str:
        """Give where the artifact is now."""
        return self.reader.location(artifact)

    def content(self, artifact: Artifact) -> Content:
        """Say what the policy would make of the artifact, without its digests."""
        if self.mode == "reference":
            return self.reader.content(artifact)
        try:
            files = self.reader.files(artifact)
        except ArtifactError as error:
            return Content(next(state for kind, state in _STATES if isinstance(error, kind)))
        size = sum(size for _, size in files)
        if size > self.max_size:
            return Content("too_large", size=size)
        records = tuple(FileRecord(path, size, COMPUTED_ON_RUN) for path, size in files)
        return Content("copied", COMPUTED_ON_RUN, size, records)

    def files(self, artifact: Artifact) -> Sequence[tuple[str, int]]:
        """List the artifact's files."""
        return self.reader.files(artifact)

    def open(self, artifact: Artifact, path: str) -> BinaryIO:
        """Open a file, which only small scalar outputs ask for."""
        return self.reader.open(artifact, path)


class PlannedUnit(NamedTuple):
    """A plan, and how many of its new files are tables that `run` will describe."""

    plan: UnitPlan
    tables: int


@dataclass(slots=True)
class PlannedStack:
    """What a cycle would do for one stack: `planned_units` yields what MLflow would be given.

    `held_back` counts the units that MLflow lacks and `run` leaves alone: dead letters, given up,
    or to be tried again later.
    """

    key: str
    unchanged: int = 0
    held_back: int = 0
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)


def planned_units(
    settings: Settings, mappings: Mappings, stack: StackSettings, into: PlannedStack
) -> Iterator[PlannedUnit]:
    """Yield the plan of every unit that `run` would write now; counts of the rest go to `into`.

    Without MLflow there are no plans, and only unreadable runs are found.
    Repeat: as often as one likes; nothing is written, the ledger included.
    Memory: flat; what earlier plans copied is remembered on disk.
    Raises: SourceError, StateError.
    """
    refuse_own_sink(settings, stack)
    with ExitStack() as opened:
        history, reader = open_stack(settings, stack)
        opened.callback(history.close)
        ledger = Ledger.open_existing(settings.state.url.get_secret_value(), settings.repository)
        if ledger is not None:
            opened.enter_context(ledger)
        mlflow = settings.sinks.mlflow
        sink = None if mlflow is None else mlflow_sink_name(mlflow.tracking_uri.get_secret_value())
        policy = stack_policy(mappings, stack)
        dry = UnreadDigests(reader, stack.artifacts.mode, stack.artifacts.max_size)
        filler = ContentFiller(dry, RecentContents(), settings.masker())
        copied = opened.enter_context(closing(OnDisk()))
        for page in history.changes(None).source_ids:
            runs = _readable(history, page, into)
            if sink is None:
                continue
            due = _due(runs, ledger, sink, policy, into)
            filled = filler.fill(due)
            for run, key, _ in due:
                if key in filled.failures:
                    reason = filled.failures[key].message
                    into.unreadable.append((run.pipeline.name, run.name, reason))
            ids = list({artifact.id for unit in filled.runs for artifact in unit.run.artifacts})
            homes = _held(ledger, sink, stack.key, ids)
            homes.update((i, Home(*json.loads(home))) for i, home in copied.recall(ids).items())
            for unit in filled.runs:
                plan = plan_unit(
                    unit.run, elsewhere(unit.run, homes), mappings.mlflow, unit.scalars
                )
                homes.update(plan.new_homes)
                copied.keep({i: json.dumps(home) for i, home in plan.new_homes.items()})
                yield PlannedUnit(plan, _new_tables(unit.run, plan, mappings.mlflow))


def _new_tables(run: RunSnapshot, plan: UnitPlan, naming: MlflowNaming) -> int:
    if not naming.statistics:
        return 0
    new = {upload.artifact_id for upload in plan.uploads if not upload.held}
    return len(new.intersection(wanted_tables(run)))


def _held(ledger: Ledger | None, sink: str, stack: str, ids: Sequence[str]) -> dict[str, Home]:
    """Give the homes that MLflow already has for artifacts."""
    if ledger is None:
        return {}
    rows = ledger.bindings.homes(sink, stack, ids)
    return {artifact_id: Home(*row) for artifact_id, row in rows.items()}


def _readable(history: ChangeFeed, page: Sequence[str], into: PlannedStack) -> list[RunSnapshot]:
    """Give the runs of a page; those that cannot be read go to `into`."""
    runs: list[RunSnapshot] = []
    for run in history.runs(page):
        if isinstance(run, RunSnapshot):
            runs.append(run)
        else:
            into.unreadable.append((run.pipeline, run.name, run.reason))
    return runs


def _due(
    runs: Sequence[RunSnapshot], ledger: Ledger | None, sink: str, policy: str, into: PlannedStack
) -> Sequence[tuple[RunSnapshot, str, str]]:
    """Give the runs that a cycle would write now: new ones, changed ones, and those MLflow lacks.

    A change makes a unit pending whatever became of it before; else the ledger's word holds.
    """
    units = [(run, run_key(run), unit_fingerprint(run, policy)) for run in runs]
    if ledger is None:
        return units
    keys = [key for _, key, _ in units]
    known, states = ledger.units.of(keys), ledger.units.sink_states(sink, keys)
    now = SystemClock().now_ms()
    due = []
    for unit in units:
        _, key, fingerprint = unit
        is_same = key in known and known[key].fingerprint == fingerprint and not known[key].gone
        if not is_same or key not in states or states[key].is_due(now):
            due.append(unit)
        elif states[key].progress == "done":
            into.unchanged += 1
        else:
            into.held_back += 1
    return due
