"""What a cycle would write, by the same functions from the same runs; nothing is written.

Files appear as path and size; what needs their bytes is spelled `computed on run`.
"""

from __future__ import annotations

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
from exporter.sync.contents import COMPUTED_ON_RUN, ContentFiller
from exporter.sync.fingerprint import unit_fingerprint
from exporter.sync.mlflow_export import elsewhere, mlflow_sink_name
from exporter.sync.policy import Mappings, stack_policy
from exporter.sync.stacks import PassingContents, refuse_own_sink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.config import Settings, StackSettings
    from exporter.hierarchy import Artifact
    from exporter.hierarchy.records import ContentState
    from exporter.history.ports import ArtifactReader, ChangeFeed
    from exporter.mapping.mlflow import MlflowNaming, UnitPlan
    from exporter.sync.contents import FilledRun

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
    """What a cycle would do for one stack. `plans` yields the units that MLflow would be given."""

    key: str
    unchanged: int = 0
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)


def planned_units(
    settings: Settings, mappings: Mappings, stack: StackSettings, into: PlannedStack
) -> Iterator[PlannedUnit]:
    """Yield the plan of every unit that `run` would write now; counts of the rest go to `into`.

    Repeat: as often as one likes; nothing is written, the ledger included.
    Raises: SourceError, StateError.
    """
    refuse_own_sink(settings, stack)
    history, reader = open_stack(settings, stack)
    policy = stack_policy(mappings, stack)
    dry = UnreadDigests(reader, stack.artifacts.mode, stack.artifacts.max_size)
    filler = ContentFiller(dry, PassingContents({}), settings.masker())
    ledger = Ledger.open_existing(settings.state.url.get_secret_value())
    homes: dict[str, Home] = {}
    try:
        for page in history.changes(None).source_ids:
            runs = _due(settings, history, ledger, page, policy, into)
            filled = filler.fill(runs)
            for run, key, _ in runs:
                if key in filled.failures:
                    reason = filled.failures[key].message
                    into.unreadable.append((run.pipeline.name, run.name, reason))
            for artifact_id, home in _held(settings, stack, ledger, filled.runs).items():
                homes.setdefault(artifact_id, home)
            for unit in filled.runs:
                plan = plan_unit(
                    unit.run, elsewhere(unit.run, homes), mappings.mlflow, unit.scalars
                )
                homes.update(plan.new_homes)
                yield PlannedUnit(plan, _new_tables(unit.run, plan, mappings.mlflow))
    finally:
        history.close()
        if ledger is not None:
            ledger.close()


def _new_tables(run: RunSnapshot, plan: UnitPlan, naming: MlflowNaming) -> int:
    if not naming.statistics:
        return 0
    new = {upload.artifact_id for upload in plan.uploads if not upload.held}
    return len(new.intersection(wanted_tables(run)))


def _held(
    settings: Settings,
    stack: StackSettings,
    ledger: Ledger | None,
    units: Sequence[FilledRun],
) -> dict[str, Home]:
    """Give the homes that MLflow already has for the artifacts of a page."""
    mlflow = settings.sinks.mlflow
    if ledger is None or mlflow is None:
        return {}
    sink = mlflow_sink_name(mlflow.tracking_uri.get_secret_value())
    ids = list({artifact.id for unit in units for artifact in unit.run.artifacts})
    rows = ledger.bindings.homes(sink, stack.key, ids)
    return {artifact_id: Home(*row) for artifact_id, row in rows.items()}


def _due(
    settings: Settings,
    history: ChangeFeed,
    ledger: Ledger | None,
    page: Sequence[str],
    policy: str,
    into: PlannedStack,
) -> list[tuple[RunSnapshot, str, str]]:
    """Give the runs of a page that MLflow does not hold as they are now."""
    runs: list[tuple[RunSnapshot, str, str]] = []
    for run in history.runs(page):
        if isinstance(run, RunSnapshot):
            runs.append((run, run_key(run), unit_fingerprint(run, policy)))
        else:
            into.unreadable.append((run.pipeline, run.name, run.reason))
    mlflow = settings.sinks.mlflow
    if ledger is None or mlflow is None:
        return runs
    sink = mlflow_sink_name(mlflow.tracking_uri.get_secret_value())
    states = ledger.units.sink_states(sink, [key for _, key, _ in runs])
    due = [
        unit
        for unit in runs
        if unit[1] not in states
        or states[unit[1]].progress != "done"
        or states[unit[1]].fingerprint != unit[2]
    ]
    into.unchanged += len(runs) - len(due)
    return due
