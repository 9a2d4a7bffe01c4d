"""Runs that are no longer at the source: kept in MLflow, tagged, and no longer running there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from exporter.hierarchy import history_key
from exporter.sync.outcomes import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.ledger import PendingUnit
    from exporter.sync.mlflow_export import MlflowExport
    from exporter.sync.report import StackReport
    from exporter.sync.stacks import OpenStack


def tag_vanished(
    export: MlflowExport, stack: OpenStack, units: Sequence[PendingUnit], report: StackReport
) -> list[str]:
    """Tag what MLflow holds of units that vanished, delete nothing; give the keys dealt with.

    Whatever a killed cycle left half-written is found too. A run that MLflow shows as running is
    KILLED: nobody will follow it to its end.
    Repeat: the same. The next export of a unit that has come back takes all of it away.
    Raises: SinkUnavailable.
    """
    dealt_with = []
    for unit in units:
        pipeline_key = history_key(stack.history.repository, stack.key, None, unit.pipeline)
        experiment = export.ledger.bindings.experiment(export.name, pipeline_key)
        if experiment is not None:
            work = partial(export.sink.retire, experiment.experiment_id, unit.key)
            result = export.failures.attempt(work)
            if isinstance(result, Failure):
                report.failed += 1
                where = {"stack": stack.key, "sink": "mlflow", "pipeline": unit.pipeline}
                report.errors.append({**where, "unit": unit.key, "error": result.message})
                continue
            if report.mlflow is not None:
                report.mlflow.runs_updated += result.runs_updated
                report.mlflow.requests += result.requests
        dealt_with.append(unit.key)
    return dealt_with
