"""Looks at what an MLflow holds of our units, and never writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.sinks.mlflow.answers import MissingResource
from exporter.sinks.mlflow.bindings import FoundUnit
from exporter.sinks.mlflow.reconcile import is_ours, look_up
from exporter.sinks.mlflow.stored import StoredFile, read_stored
from exporter.sinks.mlflow.tags import UNIT_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.mapping.mlflow import ExperimentPlan
    from exporter.sinks.mlflow.api import ExperimentState, TrackingApi
    from exporter.sinks.mlflow.bindings import FoundRun


class MlflowReader:
    """One MLflow, to be looked at by many threads.

    Raises (all methods): SinkUnavailable, SinkTransient, SinkTerminal.
    """

    def __init__(self, api: TrackingApi) -> None:
        self._api = api

    def experiment(self, plan: ExperimentPlan) -> ExperimentState | None:
        """Find the experiment of a pipeline as the sink does, deleted or not."""
        found = self._api.experiment_by_tag("exporter.key", plan.key)
        return found or self._api.experiment_by_name(plan.name)

    def scan(self, experiment_id: str) -> Iterator[FoundUnit]:
        """Give every unit of ours in an experiment, whole.

        Order: by unit key, so that no more than a page and a unit is held. Others that write
        meanwhile shift the pages: look a unit up that is not as expected.
        """
        return scan_units(self._api, experiment_id)

    def unit(self, experiment_id: str, key: str, *, deleted: bool = False) -> FoundUnit:
        """Give the runs of one unit that are ours, the active or the soft-deleted ones."""
        return look_up(self._api, experiment_id, key, deleted=deleted)

    def get_file(self, artifact_uri: str, path: str) -> bytes:
        """Read a small file. Raises: MissingResource."""
        return self._api.get_file(artifact_uri, path)

    def stored(self, artifact_uri: str, path: str, most: int | None) -> StoredFile | None:
        """Read a file; None where there is none. It is not read further than `most` bytes."""
        return read_stored(self._api, artifact_uri, path, most)

    def list_files(self, artifact_uri: str, folder: str) -> Mapping[str, int | None]:
        """Give the files that lie in a folder: name → size, where the store tells it."""
        try:
            return self._api.list_files(artifact_uri, folder)
        except MissingResource:
            return {}


def scan_units(api: TrackingApi, experiment_id: str) -> Iterator[FoundUnit]:
    """Give every unit of ours in an experiment, by key."""
    runs: list[FoundRun] = []
    found = api.search(experiment_id, f"tags.`{UNIT_TAG}` LIKE '%'", order=f"tags.`{UNIT_TAG}` ASC")
    for run in filter(is_ours, found):
        if runs and runs[0].tags[UNIT_TAG] != run.tags[UNIT_TAG]:
            yield FoundUnit(runs[0].tags[UNIT_TAG], tuple(runs))
            runs = []
        runs.append(run)
    if runs:
        yield FoundUnit(runs[0].tags[UNIT_TAG], tuple(runs))
