"""What the sink answers: which MLflow runs stand for which keys, and what it did to get there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExperimentBinding(NamedTuple):
    """An experiment as MLflow knows it. `existed` says that it was there before this call."""

    experiment_id: str
    artifact_location: str
    existed: bool


class EarlierFile(NamedTuple):
    """A file of an earlier run: when that started, the name of the pipeline run, the bytes."""

    start: int
    run: str
    content: bytes


class Retired(NamedTuple):
    """What tagging a vanished unit took."""

    runs_updated: int
    requests: int


class FoundDataset(NamedTuple):
    """A dataset input that a run carries; `ours` when this exporter logged it."""

    name: str
    digest: str
    ours: bool


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run as MLflow holds it now. Metrics are the latest (value, timestamp) of each key.

    `models` are the ids of the models that are outputs of it.
    """

    run_id: str
    name: str
    status: str
    start: int
    end: int | None
    artifact_uri: str
    params: Mapping[str, str]
    metrics: Mapping[str, tuple[float, int]]
    tags: Mapping[str, str]
    datasets: tuple[FoundDataset, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Give the identity written into the run, '' where there is none."""
        return self.tags.get("exporter.key", "")


@dataclass(frozen=True, slots=True)
class FoundUnit:
    """All active runs of one unit that are ours, duplicates included, in no order."""

    unit: str
    runs: tuple[FoundRun, ...]

    @property
    def bindings(self) -> dict[str, str]:
        """Give key → run id; of duplicates the smallest id."""
        bound: dict[str, str] = {}
        for run in sorted(self.runs, key=lambda r: r.run_id, reverse=True):
            bound[run.key] = run.run_id
        return bound


@dataclass(frozen=True, slots=True)
class Applied:
    """What one apply did. `runs` binds every key of the plan to its MLflow run id.

    `left_deleted` names the keys of nested runs that somebody deleted in MLflow and that therefore
    stay so. `models` are those made, `models_registered` the versions of registered models.
    `pages_failed` says why the unit's pages are not stored.
    """

    experiment_id: str
    runs: Mapping[str, str]
    runs_created: int = 0
    runs_updated: int = 0
    runs_deleted: int = 0
    requests: int = 0
    files: int = 0
    bytes: int = 0
    tables: int = 0
    left_deleted: tuple[str, ...] = field(default=())
    models: int = 0
    models_registered: int = 0
    models_left_deleted: int = 0
    pages_failed: str = ""
