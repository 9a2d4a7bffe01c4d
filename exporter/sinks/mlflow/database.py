"""The tracking API over MLflow's own store, where the tracking URI is a database."""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from mlflow import __version__ as mlflow_version
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    ExperimentTag,
    InputTag,
    Metric,
    Param,
    Run,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils as db_utils
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from exporter.config.masking import mask_url
from exporter.errors import SinkTransient, SinkUnavailable
from exporter.sinks.mlflow.answers import Answer, MissingResource, error_of
from exporter.sinks.mlflow.api import OURS_TAG, CreatedRun, ExperimentState
from exporter.sinks.mlflow.bindings import FoundDataset, FoundRun
from exporter.sinks.mlflow.database_models import DatabaseModels, DatabaseRegistry
from exporter.sinks.mlflow.foreign import fetch_file, list_foreign, read_foreign, store_file

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from exporter.mapping.mlflow import DatasetPlan, MetricPoint

_PAGE = 1_000
_NO_FOLDER = "mlflow-artifacts:/"
_TRIES_TO_OPEN = 2
_LONGEST_REASON = 300
_DELAYS_S = (0.0, 0.2, 1.0)  # before each further try


class DatabaseApi:
    """The tracking API of a database. See `TrackingApi` for what each call promises."""

    def __init__(self, url: str, *, artifact_root: str | None = None, creates: bool = True) -> None:
        """Take the URL; `artifact_root` is where new experiments keep files.

        A database without MLflow's tables gets them; where not `creates` it is out of reach, and
        nothing is made beside it.
        """
        self._creates = creates
        self._artifact_root = artifact_root or (_artifact_root(url) if creates else _NO_FOLDER)
        self._shown = _shown(url)
        self._local = threading.local()
        # SQLite takes one writer at a time and makes the others wait until they give up.
        one_at_a_time = url.startswith("sqlite")
        self._turns: AbstractContextManager[object] = (
            threading.Lock() if one_at_a_time else nullcontext()
        )
        self._url = url
        self._opened: Any = None
        self._registry_opened: Any = None
        self._opening = threading.Lock()
        self.models = DatabaseModels(lambda: self._store, self._asking)
        self.registry = DatabaseRegistry(lambda: self._registry, lambda: self._store, self._asking)

    @property
    def requests(self) -> int:
        """Count this thread's calls of the store."""
        return getattr(self._local, "requests", 0)

    def version(self) -> str:
        """Give the version of the MLflow library, which is the one that writes."""
        with self._asking("list experiments"):
            self._store.search_experiments(max_results=1)
        return str(mlflow_version)

    def experiment_by_tag(self, key: str, value: str) -> ExperimentState | None:
        """Find an experiment by a tag; of several the active one with the smallest id."""
        with self._asking("search experiments"):
            found = self._store.search_experiments(
                view_type=ViewType.ALL,
                max_results=100,
                filter_string=f"tags.`{key}` = '{value}'",
            )
        states = sorted(
            map(_experiment_state, found),
            key=lambda s: (s.deleted, len(s.experiment_id), s.experiment_id),
        )
        return states[0] if states else None

    def experiment_by_name(self, name: str) -> ExperimentState | None:
        """Find an experiment by its name, deleted or not."""
        with self._asking("find an experiment"):
            found = self._store.get_experiment_by_name(name)
        return None if found is None else _experiment_state(found)

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str | None:
        """Create an experiment and give its id; None where the name is taken."""
        entities = [ExperimentTag(key, value) for key, value in tags.items()]
        with self._asking("create an experiment"):
            try:
                return str(self._store.create_experiment(name, tags=entities))
            except MlflowException as error:
                if error.error_code == "RESOURCE_ALREADY_EXISTS":
                    return None
                raise

    def experiment(self, experiment_id: str) -> ExperimentState:
        """Give an experiment by its id."""
        with self._asking("get an experiment"):
            return _experiment_state(self._store.get_experiment(experiment_id))

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Set one tag of an experiment."""
        with self._asking("set a tag of an experiment"):
            self._store.set_experiment_tag(experiment_id, ExperimentTag(key, value))

    def restore_experiment(self, experiment_id: str) -> None:
        """Undo a soft delete."""
        with self._asking("restore an experiment"):
            self._store.restore_experiment(experiment_id)

    def create_run(
        self, experiment_id: str, name: str, start: int, tags: Mapping[str, str]
    ) -> CreatedRun:
        """Create a run."""
        entities = [RunTag(key, value) for key, value in tags.items()]
        with self._asking("create a run"):
            user = tags.get("mlflow.user", "")
            run = self._store.create_run(experiment_id, user, start, entities, name)
        return CreatedRun(run.info.run_id, run.info.artifact_uri)

    def update_run(
        self, run_id: str, *, status: str, end: int | None, name: str | None = None
    ) -> None:
        """Set status, end and name; MLflow keeps the end 0 as none."""
        with self._asking("update a run"):
            self._store.update_run_info(run_id, RunStatus.from_string(status), end or 0, name)

    def log_batch(
        self,
        run_id: str,
        *,
        metrics: Sequence[MetricPoint] = (),
        params: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),
        model_id: str | None = None,
    ) -> None:
        """Write what fits into one call."""
        with self._asking("log a batch"):
            self._store.log_batch(
                run_id,
                metrics=[_metric(point, model_id) for point in metrics],
                params=[Param(key, value) for key, value in params],
                tags=[RunTag(key, value) for key, value in tags],
            )

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetPlan]) -> None:
        """Log dataset inputs."""
        inputs = [
            DatasetInput(
                Dataset(
                    plan.name,
                    plan.digest,
                    plan.source_type,
                    plan.source,
                    plan.schema or None,
                    plan.profile or None,
                ),
                [InputTag(key, value) for key, value in plan.tags],
            )
            for plan in datasets
        ]
        for delay in _DELAYS_S:
            try:
                with self._asking("log inputs"):
                    self._store.log_inputs(run_id, datasets=inputs)
            except SinkTransient:  # another writer logged the same dataset at once
                time.sleep(delay)
            else:
                return
        with self._asking("log inputs"):
            self._store.log_inputs(run_id, datasets=inputs)

    def search(
        self,
        experiment_id: str,
        filter_text: str,
        *,
        order: str | None = None,
        deleted: bool = False,
    ) -> Iterator[FoundRun]:
        """Give runs whole, by pages."""
        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        token: str | None = None
        while True:
            with self._asking("search runs"):
                page = self._store.search_runs(
                    [experiment_id], filter_text, view, _PAGE, [order] if order else None, token
                )
            yield from map(_found_run, page)
            token = page.token
            if not token:
                return

    def delete_run(self, run_id: str) -> None:
        """Soft-delete a run."""
        with self._asking("delete a run"):
            self._store.delete_run(run_id)

    def restore_run(self, run_id: str) -> None:
        """Undo a soft delete."""
        with self._asking("restore a run"):
            self._store.restore_run(run_id)

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove one tag of a run."""
        try:
            with self._asking("delete a tag"):
                self._store.delete_tag(run_id, key)
        except MissingResource:
            return

    def put_file(
        self,
        artifact_uri: str,
        path: str,
        file: BinaryIO,
        size: int,  # noqa: ARG002 - other back ends need it
    ) -> None:
        """Store a file under an artifact root."""
        store_file(artifact_uri, path, file)

    def get_file(self, artifact_uri: str, path: str) -> bytes:
        """Read a small file from under an artifact root."""
        return fetch_file(artifact_uri, path)

    def experiments(self, filter_text: str) -> Iterator[ExperimentState]:
        """Give active experiments, by pages."""
        token: str | None = None
        while True:
            with self._asking("search experiments"):
                page = self._store.search_experiments(
                    view_type=ViewType.ACTIVE_ONLY,
                    max_results=_PAGE,
                    filter_string=filter_text,
                    order_by=["experiment_id ASC"],
                    page_token=token,
                )
            yield from map(_experiment_state, page)
            token = page.token
            if not token:
                return

    def find_runs(
        self,
        experiment_ids: Sequence[str],
        filter_text: str,
        *,
        most: int,
        order: str | None = None,
    ) -> Sequence[FoundRun]:
        """Give up to `most` active runs of several experiments, in one call."""
        with self._asking("search runs"):
            found = self._store.search_runs(
                list(experiment_ids),
                filter_text,
                ViewType.ACTIVE_ONLY,
                most,
                None if order is None else [order],
            )
        return [_found_run(run) for run in found]

    def read_file(self, artifact_uri: str, path: str) -> Generator[bytes]:
        """Give a file block by block."""
        return read_foreign(artifact_uri, path)

    def list_files(self, artifact_uri: str, folder: str) -> Mapping[str, int | None]:
        """Give the files in a folder."""
        return list_foreign(artifact_uri, folder)

    def break_off(self) -> None:
        """Do nothing: a statement of a database ends by itself."""

    def close(self) -> None:
        """Release the database's connections."""
        with self._opening:
            stores = (self._opened, self._registry_opened)
            self._opened = self._registry_opened = None
        for opened in stores:
            if opened is not None:
                opened.engine.dispose()

    @property
    def _store(self) -> Any:  # Any: the store's methods have no annotations
        """Open the database at the first call that needs it. Raises: SinkUnavailable."""
        with self._opening:
            if self._opened is None:
                if not self._creates:
                    self._refuse_new()
                self._opened = self._open(SqlAlchemyStore, self._url, self._artifact_root)
            return self._opened

    @property
    def _registry(self) -> Any:  # Any: the store's methods have no annotations
        """Open the database as a model registry, likewise. Raises: SinkUnavailable."""
        with self._opening:
            if self._registry_opened is None:
                from mlflow.store.model_registry.sqlalchemy_store import (
                    SqlAlchemyStore as RegistryStore,
                )

                self._registry_opened = self._open(RegistryStore, self._url)
            return self._registry_opened

    def _open(self, kind: Any, *arguments: str) -> Any:  # Any: the stores have no annotations
        try:
            with _few_tries():
                return kind(*arguments)
        except (SQLAlchemyError, MlflowException, ImportError, OSError) as error:
            raise self._unavailable(error) from error

    def _refuse_new(self) -> None:
        """Raise SinkUnavailable for a database without MLflow's tables: opening makes them."""
        engine = None
        try:
            engine = create_engine(self._url)
            file = engine.url.database if self._url.startswith("sqlite") else None
            is_there = file is None or Path(file).exists()
            if is_there and inspect(engine).has_table("experiments"):
                return
        except (SQLAlchemyError, ImportError, OSError) as error:
            raise self._unavailable(error) from error
        finally:
            if engine is not None:
                engine.dispose()
        raise SinkUnavailable(
            f"There is no MLflow in the database {self._shown}.",
            hint="`pipeline-exporter run` makes one; is sinks.mlflow.tracking_uri right?",
            missing=True,
        )

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Count a call, and say what its failure means in the words of the sink."""
        self._local.requests = self.requests + 1
        try:
            with self._turns:
                yield
        except MlflowException as error:
            untyped: Any = error  # Any: the exception's methods have no annotations
            body = str(untyped.serialize_as_json()).encode()
            answer = Answer(untyped.get_http_status_code(), "application/json", None, body)
            cause = error.__cause__
            if isinstance(cause, DBAPIError) and (
                cause.connection_invalidated or cause.statement is None
            ):
                raise self._unavailable(cause) from error
            raise error_of(answer, what, self._shown) from error
        except SQLAlchemyError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> SinkUnavailable:
        """Say that the database is out of reach, and why, without the password of its URL."""
        said = _said(error)
        said = f": {said}" if said else ""
        return SinkUnavailable(
            f"MLflow's database {self._shown} cannot be used ({type(error).__name__}{said}).",
            hint="Is it running, and is sinks.mlflow.tracking_uri right?",
        )


@contextmanager
def _few_tries() -> Iterator[None]:
    """Let MLflow open a database with two tries instead of ten, which took minutes.

    What it logs of each is left out: the error says it.
    """
    before = db_utils.MAX_RETRY_COUNT
    db_utils.MAX_RETRY_COUNT = _TRIES_TO_OPEN
    log = logging.getLogger(db_utils.__name__)
    was_silent, log.disabled = log.disabled, True
    try:
        yield
    finally:
        db_utils.MAX_RETRY_COUNT = before
        log.disabled = was_silent


def _said(error: Exception) -> str:
    """Give the words of the driver, the part behind its last severity, in one line."""
    cause: BaseException = error
    while not isinstance(cause, DBAPIError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, DBAPIError) and cause.orig is not None:
        words = cause.orig.args[-1] if cause.orig.args else cause.orig
        text = " ".join(str(words).split())
        return mask_url(text.rpartition("FATAL: ")[2].strip())[:_LONGEST_REASON]
    return str(error.message) if isinstance(error, MlflowException) else ""


def _artifact_root(url: str) -> str:
    """Give where artifacts go: beside a SQLite file, else below the current folder."""
    scheme, _, path = url.partition(":///")
    if scheme.startswith("sqlite") and path:
        return str(Path(path.partition("?")[0]).absolute().parent / "mlartifacts")
    return str(Path("mlruns").absolute())


def _shown(url: str) -> str:
    """Give the URL without user and password, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _experiment_state(experiment: Experiment) -> ExperimentState:
    return ExperimentState(
        str(experiment.experiment_id),
        experiment.name,
        experiment.artifact_location,
        experiment.lifecycle_stage == "deleted",
        dict(experiment.tags),
    )


def _metric(point: MetricPoint, model_id: str | None) -> Metric:
    of = None if math.isnan(point.value) else model_id
    return Metric(point.key, point.value, point.timestamp, 0, model_id=of)


def _found_run(run: Run) -> FoundRun:
    info, data = run.info, run.data
    inputs: Any = run.inputs.dataset_inputs if run.inputs is not None else []  # Any: untyped entity
    outputs: Any = run.outputs.model_outputs if run.outputs is not None else []  # Any: as above
    return FoundRun(
        run_id=info.run_id,
        name=info.run_name or "",
        status=info.status,
        start=info.start_time or 0,
        end=info.end_time or None,
        artifact_uri=info.artifact_uri or "",
        params=dict(data.params),
        metrics={
            metric.key: (float(metric.value), int(metric.timestamp))
            for metric in data._metric_objs  # noqa: SLF001 - `metrics` has no times
        },
        tags=dict(data.tags),
        datasets=tuple(
            FoundDataset(
                item.dataset.name,
                item.dataset.digest,
                any(tag.key == OURS_TAG for tag in item.tags),
            )
            for item in inputs
        ),
        models=tuple(item.model_id for item in outputs),
    )
