"""An MLflow that takes every request and keeps nothing: what is left is our own work."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, BinaryIO

from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.api import CreatedRun, ExperimentState
from exporter.sync import engine as engine_module
from exporter.sync.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.config import Settings
    from exporter.mapping.mlflow import DatasetPlan, MetricPoint
    from exporter.sinks.mlflow.bindings import FoundRun

TRACKING_URI = "http://nowhere.invalid"


class DroppingApi:
    """Answers as a server would that holds nothing; counts requests, runs and parameters.

    It takes no models: the files of the histories measured with it are referenced, not copied.
    """

    models = registry = None

    def __init__(self) -> None:
        self._ids = count(1)
        self.requests = 0
        self.runs = 0
        self.params = 0

    def version(self) -> str:
        """Name no server."""
        return "none"

    def experiment_by_tag(self, key: str, value: str) -> ExperimentState | None:  # noqa: ARG002 - a port
        """Find nothing."""
        return None

    def experiment_by_name(self, name: str) -> ExperimentState | None:  # noqa: ARG002 - a port
        """Find nothing."""
        return None

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str | None:  # noqa: ARG002 - a port
        """Give an id."""
        self.requests += 1
        return str(next(self._ids))

    def experiment(self, experiment_id: str) -> ExperimentState:
        """Give an experiment without a name."""
        return ExperimentState(experiment_id, "", _root(experiment_id), deleted=False, tags={})

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Drop."""

    def restore_experiment(self, experiment_id: str) -> None:
        """Drop."""

    def create_run(
        self,
        experiment_id: str,
        name: str,  # noqa: ARG002 - a port
        start: int,  # noqa: ARG002 - a port
        tags: Mapping[str, str],  # noqa: ARG002 - a port
    ) -> CreatedRun:
        """Give an id."""
        self.requests += 1
        self.runs += 1
        run_id = f"{next(self._ids):032x}"
        return CreatedRun(run_id, f"{_root(experiment_id)}/{run_id}/artifacts")

    def update_run(
        self,
        run_id: str,  # noqa: ARG002 - a port
        *,
        status: str,  # noqa: ARG002 - a port
        end: int | None,  # noqa: ARG002 - a port
        name: str | None = None,  # noqa: ARG002 - a port
    ) -> None:
        """Count and drop."""
        self.requests += 1

    def log_batch(
        self,
        run_id: str,  # noqa: ARG002 - a port
        *,
        metrics: Sequence[MetricPoint] = (),  # noqa: ARG002 - a port
        params: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),  # noqa: ARG002 - a port
        model_id: str | None = None,  # noqa: ARG002 - a port
    ) -> None:
        """Count and drop."""
        self.requests += 1
        self.params += len(params)

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetPlan]) -> None:  # noqa: ARG002 - a port
        """Count and drop."""
        self.requests += 1

    def search(
        self,
        experiment_id: str,  # noqa: ARG002 - a port
        filter_text: str,  # noqa: ARG002 - a port
        *,
        order: str | None = None,  # noqa: ARG002 - a port
        deleted: bool = False,  # noqa: ARG002 - a port
    ) -> Iterator[FoundRun]:
        """Find nothing."""
        self.requests += 1
        return iter(())

    def delete_run(self, run_id: str) -> None:
        """Drop."""

    def restore_run(self, run_id: str) -> None:
        """Drop."""

    def delete_tag(self, run_id: str, key: str) -> None:
        """Drop."""

    def put_file(self, artifact_uri: str, path: str, file: BinaryIO, size: int) -> None:  # noqa: ARG002 - a port
        """Count and drop."""
        self.requests += 1

    def get_file(self, artifact_uri: str, path: str) -> bytes:
        """Hold nothing."""
        raise FileNotFoundError(f"{artifact_uri}/{path}")

    def close(self) -> None:
        """Do nothing."""


def dropping_engine(settings: Settings, api: DroppingApi) -> Engine:
    """Give the product's engine with the real sink over an API that drops everything."""

    def open_dropping(settings: Settings) -> MlflowSink:  # noqa: ARG001 - as the original
        return MlflowSink(TRACKING_URI, api=api)

    engine_module.open_mlflow = open_dropping
    return Engine(settings, migrate=True)


def _root(experiment_id: str) -> str:
    return f"mlflow-artifacts:/{experiment_id}"
