"""What should stand in MLflow for one unit: what the dry run prints and the sink applies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.hierarchy import FileRecord, UnitKey
    from exporter.hierarchy.status import MlflowStatus
    from exporter.mapping.homes import Home
    from exporter.mapping.mlflow.logged_models import LoggedModelPlan


class MetricPoint(NamedTuple):
    """One value at one time. `timestamp` is UTC milliseconds; MLflow's step is always 0."""

    key: str
    value: float
    timestamp: int


class DatasetPlan(NamedTuple):
    """A dataset that a run consumed. (name, digest) is its identity in an experiment."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str
    profile: str
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """The experiment of a pipeline. Identity is `key`, also in `tags`; the name is for people."""

    key: str
    name: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One MLflow run, as it should be when everything is written.

    `start` and `end` are UTC milliseconds; `end` is None while running or where the source has
    none. `tags` lack only what needs MLflow's own ids (parent, experiment) and the seal.
    """

    key: str
    name: str
    status: MlflowStatus
    start: int
    end: int | None
    params: Mapping[str, str]
    metrics: tuple[MetricPoint, ...]
    tags: Mapping[str, str]
    datasets: tuple[DatasetPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class Upload:
    """The files of one artifact that this unit holds.

    `paths` are where they go, under the artifact root of the run `step_key`, one for each of
    `files`. `held` says that they were copied by an earlier apply: they are sent again only when
    the run that holds them is replaced. `derived` is the folder for the description of a table, ''
    for what is none.
    """

    step_key: str
    artifact_id: str
    path: str
    sha256: str | None
    files: tuple[FileRecord, ...]
    paths: tuple[str, ...]
    held: bool = False
    derived: str = ""


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """Everything MLflow should hold of one pipeline run.

    `seal` is `<sha256 of the record>:<parts>`, `record` the tags that hold the record,
    `record_file` the path and bytes of a record too long for tags. `new_homes` names the artifacts
    whose files this apply puts into MLflow; `homes` all that the unit needs, those of other units
    included. `pages` are what the parent run shows of the unit, by path: made from the record, and
    no part of it. `kept_beside` counts, by kind, what MLflow could not hold as it is and the record
    does.
    """

    unit: UnitKey
    experiment: ExperimentPlan
    parent: RunPlan
    children: tuple[RunPlan, ...]
    uploads: tuple[Upload, ...]
    homes: Mapping[str, Home]
    new_homes: Mapping[str, Home]
    record: Mapping[str, str]
    seal: str
    record_file: tuple[str, bytes] | None = None
    pages: Mapping[str, bytes] = field(default_factory=dict)
    kept_beside: Mapping[str, int] = field(default_factory=dict)
    models: tuple[LoggedModelPlan, ...] = ()

    @property
    def digest(self) -> str:
        """Give the sha256 of the record, which is the seal of the nested runs."""
        return self.seal.partition(":")[0]
