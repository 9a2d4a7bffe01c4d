"""The words a source uses for how a run or step stands, and what follows from them."""

from __future__ import annotations

from typing import Literal

MlflowStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

_MLFLOW: dict[str, MlflowStatus] = {
    "completed": "FINISHED",
    "cached": "FINISHED",
    "skipped": "FINISHED",
    "unknown": "FINISHED",
    "retried": "FAILED",
    "failed": "FAILED",
    "cancelled": "KILLED",
    "stopped": "KILLED",
    "running": "RUNNING",
    "pending": "RUNNING",
    "queued": "RUNNING",
}


def mlflow_status(status: str) -> MlflowStatus:
    """Give MLflow's status for a source's word; a word nobody knows counts as finished."""
    return _MLFLOW.get(status, "FINISHED")


def is_unfinished(status: str) -> bool:
    """Tell whether the run or step may still change by itself."""
    return mlflow_status(status) == "RUNNING"
