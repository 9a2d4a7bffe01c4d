"""What the sink asks of a tracking back end: the few calls of MLflow's API that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from exporter.mapping.mlflow import DatasetPlan, MetricPoint
    from exporter.sinks.mlflow.bindings import FoundRun
    from exporter.sinks.mlflow.models_api import LoggedModelApi, RegistryApi

OURS_TAG = "exporter.port"  # on the datasets we log
BATCH_PARAMS = 100
BATCH_TAGS = 100
BATCH_METRICS = 1_000
BATCH_ENTITIES = 1_000


class ExperimentState(NamedTuple):
    """An experiment as MLflow knows it."""

    experiment_id: str
    name: str
    artifact_location: str
    deleted: bool
    tags: Mapping[str, str]


class CreatedRun(NamedTuple):
    """What MLflow chose for a run it created."""

    run_id: str
    artifact_uri: str


class TrackingApi(Protocol):
    """A tracking back end. All calls but `create_run` may be repeated without a second effect.

    Raises (all methods): SinkUnavailable, SinkTransient, SinkTerminal; `create_run` raises
    SinkTransient where it is not known whether the run was created, and never sends a create twice.
    """

    @property
    def models(self) -> LoggedModelApi:
        """The calls for logged models."""

    @property
    def registry(self) -> RegistryApi:
        """The calls for registered models."""

    @property
    def requests(self) -> int:
        """Count what this thread has asked so far."""

    def version(self) -> str:
        """Give the server's version after a call that needs the credentials."""

    def experiment_by_tag(self, key: str, value: str) -> ExperimentState | None:
        """Find an experiment, deleted or not, by a tag; active ones and small ids first."""

    def experiment_by_name(self, name: str) -> ExperimentState | None:
        """Find an experiment, deleted or not, by its name."""

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str | None:
        """Create an experiment and give its id; None where the name is taken."""

    def experiment(self, experiment_id: str) -> ExperimentState:
        """Give an experiment by its id."""

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Set one tag of an experiment."""

    def restore_experiment(self, experiment_id: str) -> None:
        """Undo a soft delete."""

    def create_run(
        self, experiment_id: str, name: str, start: int, tags: Mapping[str, str]
    ) -> CreatedRun:
        """Create a run. Repeat: a second run."""

    def update_run(
        self, run_id: str, *, status: str, end: int | None, name: str | None = None
    ) -> None:
        """Set status, end and name; `end` None takes an end away."""

    def log_batch(
        self,
        run_id: str,
        *,
        metrics: Sequence[MetricPoint] = (),
        params: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),
        model_id: str | None = None,
    ) -> None:
        """Write what fits into one call; it commits params, metrics, then all tags at once.

        Metrics that are numbers are also those of the model `model_id`.
        """

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetPlan]) -> None:
        """Log dataset inputs; known ones are no-ops."""

    def search(
        self,
        experiment_id: str,
        filter_text: str,
        *,
        order: str | None = None,
        deleted: bool = False,
    ) -> Iterator[FoundRun]:
        """Give runs whole, by pages."""

    def delete_run(self, run_id: str) -> None:
        """Soft-delete a run."""

    def restore_run(self, run_id: str) -> None:
        """Undo a soft delete."""

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove one tag of a run; an absent one is fine."""

    def put_file(self, artifact_uri: str, path: str, file: BinaryIO, size: int) -> None:
        """Store a file under an artifact root. Repeat: overwrites."""

    def get_file(self, artifact_uri: str, path: str) -> bytes:
        """Read a small file from under an artifact root."""

    def experiments(self, filter_text: str) -> Iterator[ExperimentState]:
        """Give active experiments, by pages."""

    def find_runs(
        self,
        experiment_ids: Sequence[str],
        filter_text: str,
        *,
        most: int,
        order: str | None = None,
    ) -> Sequence[FoundRun]:
        """Give up to `most` active runs of several experiments, in one request."""

    def read_file(self, artifact_uri: str, path: str) -> Generator[bytes]:
        """Give a file from under an artifact root block by block, however large it is."""

    def break_off(self) -> None:
        """End what other threads wait for, where that can be, with SinkUnavailable."""

    def list_files(self, artifact_uri: str, folder: str) -> Mapping[str, int | None]:
        """Give the files that lie in a folder under an artifact root: name → size, where known."""

    def close(self) -> None:
        """Release connections of all threads. May be called twice."""
