"""Exports over sinks that are made up, on a ledger that knows some runs: no server needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from exporter.hierarchy import run_key
from exporter.ledger import Ledger, SeenUnit
from exporter.mapping.mlflow import MlflowNaming
from exporter.sinks.mlflow.bindings import ExperimentBinding
from exporter.sync.clock import Stop
from exporter.sync.leading import Leadership
from exporter.sync.mlflow_export import MlflowExport
from exporter.sync.outcomes import FailureBook
from support.sync_site import MovableClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from exporter.hierarchy import RunSnapshot
    from exporter.sinks.mlflow import MlflowSink
    from exporter.sync.experiments import Experiments

SINK = "mlflow/test"


class _Experiments:
    """One experiment for all."""

    def bind(self, *_: object) -> bool:
        """Learn nothing new."""
        return False

    def of(self, *_: object) -> ExperimentBinding:
        """Give the one."""
        return ExperimentBinding("1", "mlflow-artifacts:/1", existed=True)


@contextmanager
def exporting(
    folder: Path, sink: object, runs: Sequence[RunSnapshot], *, threads: int = 1
) -> Iterator[MlflowExport]:
    """Give an export into a sink, with the runs recorded as units of the stack `local`."""
    clock = MovableClock()
    with (
        Ledger.open(f"sqlite:///{folder}/state.db") as ledger,
        Leadership(ledger, "test") as leadership,
        ThreadPoolExecutor(threads) as executor,
    ):
        ledger.units.register_sinks(leadership.lease, "local", [SINK])
        seen = [
            SeenUnit(
                run_key(r), r.source_id, r.pipeline.name, r.name, r.status, False, True, "f", 3, []
            )
            for r in runs
        ]
        ledger.units.record(leadership.lease, "local", seen, 1)
        yield MlflowExport(
            name=SINK,
            sink=cast("MlflowSink", sink),
            experiments=cast("Experiments", _Experiments()),
            naming=MlflowNaming(),
            ledger=ledger,
            leadership=leadership,
            executor=executor,
            clock=clock,
            stop=Stop(),
            process="test",
            failures=FailureBook(ledger, leadership, clock),
        )
