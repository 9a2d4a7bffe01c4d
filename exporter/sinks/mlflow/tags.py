"""Tags that say whose a run, a model or a version in MLflow is."""

UNIT_TAG = "exporter.unit"
GONE_TAG = "exporter.gone"
ARTIFACT_TAG = "exporter.artifact"
PARENT_TAG = "mlflow.parentRunId"
SELF_TAG = (
    "exporter.mlflow_run"  # the run's own id: a copy that another tool made carries a foreign one
)
