"""Read-back: the history that was exported, answered out of MLflow alone.

It asks a tracking server or a tracking database for what the exporter wrote there, and nothing
else: no ledger, no store. Runs of others are left alone. It changes nothing.

- `open_mlflow(tracking_uri, …)`: the stacks of a repository, as (history, reader of artifacts)
"""

from exporter.readback.artifacts import ReadbackArtifacts
from exporter.readback.history import ReadbackHistory
from exporter.readback.open import open_mlflow

__all__ = ["ReadbackArtifacts", "ReadbackHistory", "open_mlflow"]
