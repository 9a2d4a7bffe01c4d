"""A history in memory exported into a tracking database, and read back out of it."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import exporter
from exporter.hierarchy import RunSnapshot
from exporter.history.repository import Repository
from exporter.mapping.mlflow import plan_experiment, plan_unit
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.database import DatabaseApi
from support.mlflow_samples import NAMING
from support.mlflow_server import empty_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from exporter.hierarchy import Artifact
    from exporter.history.ports import ArtifactReader, ChangeFeed
    from exporter.mapping.mlflow import Home, UnitPlan
    from exporter.sinks.mlflow.api import TrackingApi
    from exporter.sinks.mlflow.bindings import ExperimentBinding

_numbers = itertools.count(1)


@dataclass
class Exported:
    """One repository in an MLflow; `export` writes a stack as the service does, with no ledger."""

    tracking_uri: str
    api: TrackingApi
    repository: str = field(default_factory=lambda: f"back-{os.getpid()}-{next(_numbers)}")
    homes: dict[str, Home] = field(default_factory=dict)
    bindings: dict[str, ExperimentBinding] = field(default_factory=dict)

    @property
    def sink(self) -> MlflowSink:
        """The sink that writes."""
        return MlflowSink(self.tracking_uri, api=self.api)

    def export(self, history: ChangeFeed, reader: ArtifactReader, *, fresh: bool = True) -> None:
        """Write all pipelines and runs of a stack."""
        for record in history.pipelines():
            plan = plan_experiment(history.repository, history.stack, record, NAMING)
            self.bindings[plan.key] = self.sink.experiment(plan)
        ids = [head.source_id for record in history.pipelines() for head in history.heads(record)]
        for run in history.runs(ids):
            if isinstance(run, RunSnapshot):
                self.apply(run, reader, fresh=fresh)

    def apply(self, run: RunSnapshot, reader: ArtifactReader, *, fresh: bool = True) -> UnitPlan:
        """Write one run."""
        plan = self.plan(run, reader)
        binding = self.bindings.get(plan.experiment.key) or self.sink.experiment(plan.experiment)
        self.bindings[plan.experiment.key] = binding
        artifacts = {artifact.id: artifact for artifact in run.artifacts}
        self.sink.apply(
            plan, binding, fresh=fresh, open_file=partial(_open_file, reader, artifacts)
        )
        self.homes.update(
            {f"{run.stack}:{artifact_id}": home for artifact_id, home in plan.new_homes.items()}
        )
        return plan

    def plan(self, run: RunSnapshot, reader: ArtifactReader) -> UnitPlan:
        """Plan one run, with what is copied already left where it is."""
        whole = replace(
            run, artifacts=tuple(replace(a, content=reader.content(a)) for a in run.artifacts)
        )
        known = {a.id: self.homes.get(f"{run.stack}:{a.id}") for a in run.artifacts}
        return plan_unit(whole, {i: h for i, h in known.items() if h is not None}, NAMING)

    def open(self, **more: Any) -> Repository:  # Any: the options of open_repository
        """Open the repository out of MLflow."""
        return exporter.open_repository(
            tracking_uri=self.tracking_uri, repository=self.repository, **more
        )


def _open_file(
    reader: ArtifactReader, artifacts: dict[str, Artifact], artifact_id: str, path: str
) -> BinaryIO:
    return reader.open(artifacts[artifact_id], path)


@pytest.fixture(scope="session")
def tracking_database(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, DatabaseApi]]:
    """Give a tracking database of MLflow: its URL, and an API that stays open."""
    url = empty_database(tmp_path_factory.mktemp("tracking"))
    api = DatabaseApi(url)
    api.version()
    yield url, api
    api.close()


@pytest.fixture
def exported(tracking_database: tuple[str, DatabaseApi]) -> Exported:
    """Give a repository of its own in the tracking database, with nothing in it."""
    return Exported(*tracking_database)
