"""Which run of MLflow holds the files of a step."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from exporter.mapping.records_text import SEAL_TAG
from exporter.readback.faults import reading
from exporter.sinks.mlflow.reconcile import is_ours

if TYPE_CHECKING:
    from exporter.readback.history import ReadbackHistory
    from exporter.sinks.mlflow.api import TrackingApi

_KNOWN = 10_000
_DUPLICATES = 20


class Locator:
    """Finds the artifact root of a step's run by the step's key: one search, then remembered."""

    def __init__(self, api: TrackingApi, history: ReadbackHistory) -> None:
        self._api = api
        self._history = history
        self._lock = threading.Lock()
        self._roots: OrderedDict[str, str] = OrderedDict()

    def root(self, step_key: str) -> str | None:
        """Give the artifact root; None where MLflow has no such run, or it was deleted there.

        Of duplicates a sealed run is taken, then the smallest id.
        Raises: SourceUnavailable, StoreUnreadable.
        """
        with self._lock:
            if step_key in self._roots:
                self._roots.move_to_end(step_key)
                return self._roots[step_key]
        if not self._history.experiment_ids:
            self._history.pipelines()
        experiments = self._history.experiment_ids
        if not experiments:
            return None
        condition = f"tags.`exporter.key` = '{step_key}'"
        with reading():
            found = self._api.find_runs(experiments, condition, most=_DUPLICATES)
        runs = sorted(filter(is_ours, found), key=lambda r: (not r.tags.get(SEAL_TAG), r.run_id))
        if not runs:
            return None
        with self._lock:
            self._roots[step_key] = runs[0].artifact_uri
            while len(self._roots) > _KNOWN:
                self._roots.popitem(last=False)
        return runs[0].artifact_uri

    def forget(self, step_key: str) -> None:
        """Ask MLflow again next time: its run was replaced by another, perhaps."""
        with self._lock:
            self._roots.pop(step_key, None)
