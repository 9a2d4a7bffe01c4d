"""The sink that the sync engine talks to: one for each tracking URI."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from exporter.errors import ConfigError, DeletedInSink, SinkTerminal, SinkTransient
from exporter.sinks.mlflow.answers import InactiveRun, MissingResource
from exporter.sinks.mlflow.bindings import (
    Applied,
    EarlierFile,
    ExperimentBinding,
    FoundUnit,
    Retired,
)
from exporter.sinks.mlflow.models import ModelReconciler, ModelRun
from exporter.sinks.mlflow.reading import MlflowReader, scan_units
from exporter.sinks.mlflow.reconcile import Reconciler, is_ours, look_up
from exporter.sinks.mlflow.rest import RestApi
from exporter.sinks.mlflow.tags import GONE_TAG
from exporter.sinks.mlflow.writer import UnitWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from exporter.mapping.mlflow import ExperimentPlan, UnitPlan, Upload
    from exporter.sinks.mlflow.api import ExperimentState, TrackingApi

_TIMEOUT_S = 60.0


class MlflowSink:
    """Holds runs in MLflow. May be called again with the same plan without a second effect.

    Threads may share one sink; each has a connection of its own.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        timeout_s: float = _TIMEOUT_S,
        api: TrackingApi | None = None,
        creates: bool = True,
    ) -> None:
        """Take the address; an empty tracking database is made one only where `creates`."""
        self._api = api or _api_for(
            tracking_uri, username, password, token, timeout_s, creates=creates
        )

    @property
    def requests(self) -> int:
        """Count what this thread has asked of MLflow so far."""
        return self._api.requests

    def check(self) -> str:
        """Ask the server who it is, with our credentials, and give its version.

        Raises: SinkUnavailable that says what is wrong with the address or the credentials.
        """
        return self._api.version()

    def artifact_root(self) -> str | None:
        """Say where files of the default experiment go; None where there is no such experiment.

        Raises: SinkUnavailable, SinkTransient.
        """
        try:
            return self._api.experiment("0").artifact_location
        except (MissingResource, SinkTerminal):
            return None

    def experiment(self, plan: ExperimentPlan, *, repair: bool = False) -> ExperimentBinding:
        """Find or create the experiment of a pipeline: by its key, then by its name.

        A user's experiment of that name is joined: it gets the tags it lacks and keeps its own.
        Repeat: the same experiment.
        Raises: DeletedInSink when it was deleted in MLflow, unless `repair` brings it back.
        """
        state = self._api.experiment_by_tag("exporter.key", plan.key)
        if state is None:
            created = self._api.create_experiment(plan.name, plan.tags)
            if created is not None:
                location = self._api.experiment(created).artifact_location
                return ExperimentBinding(created, location, existed=False)
            state = self._api.experiment_by_name(plan.name)
        if state is None:
            raise SinkTransient(
                f"MLflow says that experiment {plan.name!r} exists, and does not find it."
            )
        if state.deleted:
            if not repair:
                raise DeletedInSink(
                    f"Experiment {state.name!r} was deleted in MLflow.",
                    hint="It stays deleted; `pipeline-exporter run --repair` brings it back.",
                    experiment_id=state.experiment_id,
                )
            self._api.restore_experiment(state.experiment_id)
        self._join(state, plan, repair=repair)
        return ExperimentBinding(state.experiment_id, state.artifact_location, existed=True)

    def holds(self, experiment_id: str, key: str) -> bool:
        """Tell whether an experiment, deleted or not, is there and is that of a pipeline's key.

        Raises: SinkTransient, SinkUnavailable.
        """
        try:
            return self._api.experiment(experiment_id).tags.get("exporter.key") == key
        except MissingResource:
            return False

    def scan(self, experiment_id: str) -> Iterator[tuple[str, FoundUnit]]:
        """Give every unit of ours in an experiment, whole, for a ledger that does not know them.

        Order: by unit key, so that no more than a page and a unit is held.
        """
        for unit in scan_units(self._api, experiment_id):
            yield unit.unit, unit

    def reader(self) -> MlflowReader:
        """Give a way to look at what MLflow holds without writing."""
        return MlflowReader(self._api)

    def apply(
        self,
        plan: UnitPlan,
        experiment: ExperimentBinding,
        *,
        bound: Mapping[str, str] | None = None,
        fresh: bool,
        found: FoundUnit | None = None,
        open_file: Callable[[str, str], BinaryIO],
        derive: Callable[[Upload], Mapping[str, bytes]] | None = None,
        repair: bool = False,
    ) -> Applied:
        """Make MLflow hold a unit as planned.

        `fresh` promises that MLflow holds nothing of the unit: no look-up is made. Otherwise the
        unit is read (unless `found` gives it) and only differences are written; `bound` are the run
        ids known so far. `derive` makes the files to keep beside a table, by path.

        Repeat: with `fresh` a second copy, so an unclear outcome must be followed by a call without
        it; else no effect.
        Raises: SinkTransient, SinkUnavailable, SinkTerminal; ArtifactError when a file cannot be
        read as planned.
        """
        before = self._api.requests
        writer = UnitWriter(self._api, experiment.experiment_id, plan, open_file, derive)
        left: tuple[str, ...] = ()
        if fresh:
            runs = _write_fresh(writer, experiment.experiment_id)
        else:
            try:
                runs, left = self._reconcile(writer, experiment, bound or {}, found, repair=repair)
            except (InactiveRun, MissingResource):
                # What we knew is stale: somebody deleted a run since. Look once more.
                writer = UnitWriter(self._api, experiment.experiment_id, plan, open_file, derive)
                runs, left = self._reconcile(writer, experiment, bound or {}, None, repair=repair)
        return Applied(
            experiment_id=experiment.experiment_id,
            runs=runs,
            runs_created=writer.tally.created,
            runs_updated=len(writer.tally.updated),
            runs_deleted=writer.tally.deleted,
            requests=self._api.requests - before,
            files=writer.tally.files,
            bytes=writer.tally.bytes,
            tables=writer.tally.tables,
            left_deleted=left,
            models=writer.tally.models,
            models_registered=writer.tally.models_registered,
            models_left_deleted=writer.tally.models_left_deleted,
            pages_failed=writer.pages_failed,
        )

    def earlier_file(
        self, experiment_id: str, filter_text: str, *, before: int, path: str
    ) -> EarlierFile | None:
        """Give a small file of the newest of our runs that fit and started before a time.

        Raises: SinkTransient, SinkUnavailable.
        """
        found = self._api.find_runs(
            [experiment_id],
            f"{filter_text} AND attributes.start_time < {before}",
            most=1,
            order="attributes.start_time DESC",
        )
        for run in filter(is_ours, found):
            try:
                content = self._api.get_file(run.artifact_uri, path)
            except (MissingResource, SinkTerminal):
                return None
            return EarlierFile(run.start, run.tags.get("exporter.run", ""), content)
        return None

    def retire(self, experiment_id: str, unit: str) -> Retired:
        """Tag all runs of a unit whose source has vanished, and end those that are running.

        Repeat: no effect but the search.
        Raises: SinkTransient, SinkUnavailable, SinkTerminal.
        """
        before, updated = self._api.requests, 0
        for run in look_up(self._api, experiment_id, unit).runs:
            if run.tags.get(GONE_TAG) and run.status != "RUNNING":
                continue
            self.mark_gone([run.run_id])
            if run.status == "RUNNING":
                with suppress(InactiveRun, MissingResource):  # deleted since it was found
                    self._api.update_run(run.run_id, status="KILLED", end=run.end)
            updated += 1
        return Retired(updated, self._api.requests - before)

    def mark_gone(self, run_ids: Iterable[str]) -> None:
        """Tag runs whose source has vanished; they stay. Deleted runs are passed over."""
        for run_id in run_ids:
            try:
                self._api.log_batch(run_id, tags=[(GONE_TAG, "source")])
            except (InactiveRun, MissingResource):
                continue

    def mark_back(self, run_ids: Iterable[str]) -> None:
        """Take the tag of `mark_gone` away."""
        for run_id in run_ids:
            try:
                self._api.delete_tag(run_id, GONE_TAG)
            except (InactiveRun, MissingResource):
                continue

    def break_off(self) -> None:
        """End the requests under way with SinkUnavailable, and send no more."""
        self._api.break_off()

    def close(self) -> None:
        """Close all connections. May be called twice."""
        self._api.close()

    def _reconcile(
        self,
        writer: UnitWriter,
        experiment: ExperimentBinding,
        bound: Mapping[str, str],
        found: FoundUnit | None,
        *,
        repair: bool,
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        experiment_id = experiment.experiment_id
        if found is None:
            found = look_up(self._api, experiment_id, writer.plan.unit)
        reconciler = Reconciler(writer, experiment_id, bound=bound, repair=repair)
        runs = reconciler.apply(found)
        return runs, tuple(reconciler.left_deleted)

    def _join(self, state: ExperimentState, plan: ExperimentPlan, *, repair: bool) -> None:
        """Give an experiment the tags it lacks; one of another pipeline keeps its identity.

        Those that are other than planned are put right by `repair`.
        """
        if state.tags.get("exporter.key", plan.key) != plan.key:
            return
        for key, value in plan.tags.items():
            if key not in state.tags or (repair and state.tags[key] != value):
                self._api.set_experiment_tag(state.experiment_id, key, value)


def _write_fresh(writer: UnitWriter, experiment_id: str) -> dict[str, str]:
    """Write a unit that MLflow does not know: runs, files, contents, seal."""
    plan = writer.plan
    parent = writer.create(plan.parent, None)
    created = {child.key: writer.create(child, parent.run_id) for child in plan.children}
    for upload in plan.uploads:
        writer.upload(upload, created[upload.step_key].artifact_uri)
    runs = {key: ModelRun(run.run_id, created=True) for key, run in created.items()}
    models = ModelReconciler(writer, experiment_id)
    models.write_new(runs)
    for child in plan.children:
        writer.fill(child, created[child.key].run_id)
    writer.put_pages(parent.artifact_uri)
    writer.put_record(parent.artifact_uri)
    writer.fill(plan.parent, parent.run_id)
    models.finish()
    return {plan.unit: parent.run_id, **{key: run.run_id for key, run in created.items()}}


def _api_for(
    tracking_uri: str,
    username: str | None,
    password: str | None,
    token: str | None,
    timeout_s: float,
    *,
    creates: bool,
) -> TrackingApi:
    scheme = tracking_uri.partition(":")[0].lower()
    if scheme in {"http", "https"}:
        return RestApi(
            tracking_uri, username=username, password=password, token=token, timeout_s=timeout_s
        )
    if scheme.partition("+")[0] in {"sqlite", "postgresql", "mysql", "mssql"}:
        from exporter.sinks.mlflow.database import DatabaseApi

        return DatabaseApi(tracking_uri, creates=creates)
    raise ConfigError(
        f"sinks.mlflow.tracking_uri: the scheme {scheme!r} is not known.",
        hint="Use http://host:5000, https://… or a database URL such as sqlite:////srv/mlflow.db.",
    )
