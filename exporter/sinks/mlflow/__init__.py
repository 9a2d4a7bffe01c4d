"""The MLflow sink: makes a tracking server hold what a plan says, however often it is asked to.

It knows MLflow's public REST API and nothing of sources, ledgers or schedules. `MlflowSink` is one
tracking URI; many threads may use one sink, each has its own connection.

- `check()`: the server's version, or why it cannot be used
- `experiment(plan)`: find or create a pipeline's experiment
- `scan(experiment_id)`: our units in an experiment, by pages
- `apply(plan, experiment, fresh=…, open_file=…)`: write a unit, or what of it differs
- `mark_gone(run_ids)`, `mark_back(run_ids)`: tag runs whose source has vanished, or came back
"""

from exporter.sinks.mlflow.bindings import (
    Applied,
    ExperimentBinding,
    FoundDataset,
    FoundRun,
    FoundUnit,
)
from exporter.sinks.mlflow.sink import MlflowSink

__all__ = [
    "Applied",
    "ExperimentBinding",
    "FoundDataset",
    "FoundRun",
    "FoundUnit",
    "MlflowSink",
]
