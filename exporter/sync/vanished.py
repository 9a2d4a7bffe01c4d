"""Runs that are no longer at the source: kept in MLflow, tagged, and no longer running there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from exporter.hierarchy import history_key
from exporter.sync.outcomes import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.ledger import ExperimentRow, PendingUnit
    from exporter.sync.mlflow_export import MlflowExport
    from exporter.sync.report import StackReport
    from exporter.sync.stacks import OpenStack


def tag_vanished(
    export: MlflowExport, stack: OpenStack, units: Sequence[PendingUnit], report: StackReport
) -> list[str]:
    """Tag what MLflow holds of units that vanished, delete nothing; give the keys dealt with.

    Whatever a killed cycle left half-written is found too. A run that MLflow shows as running is
    KILLED: nobody will follow it to its end. A unit that MLflow does not take is tried again later,
    and in the end a dead letter, as any other. Those left when the work is to stop stay pending.
    Repeat: the same. The next export of a unit that has come back takes all of it away.
    Raises: SinkUnavailable; LeaseLost as soon as another leads.
    """
    dealt_with = []
    experiments: dict[str, ExperimentRow | None] = {}
    for unit in units:
        if export.stop.requested:
            break
        _ = export.leadership.lease  # raises once the lease is lost: nothing more may be written
        if unit.pipeline not in experiments:
            key = history_key(stack.history.repository, stack.key, None, unit.pipeline)
            experiments[unit.pipeline] = export.ledger.bindings.experiment(export.name, key)
        experiment = experiments[unit.pipeline]
        if experiment is not None:
            work = partial(export.sink.retire, experiment.experiment_id, unit.key)
            result = export.failures.attempt(work)
            if isinstance(result, Failure) and not result.is_deleted:
                where = {"stack": stack.key, "pipeline": unit.pipeline, "run": unit.run}
                export.failures.note_unit(export.name, where, unit.key, result, report)
                continue
            if not isinstance(result, Failure) and report.mlflow is not None:
                report.mlflow.runs_updated += result.runs_updated
                report.mlflow.requests += result.requests
        dealt_with.append(unit.key)
    return dealt_with
