"""Puts planned runs straight into the database of an MLflow server, as only a benchmark may."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import uuid
from typing import TYPE_CHECKING

from exporter.sinks.mlflow.tags import PARENT_TAG, SELF_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from exporter.mapping.mlflow import RunPlan, UnitPlan

_SEAL = "exporter.complete"
Rows = dict[str, list[tuple[object, ...]]]
_COLUMNS = {
    "runs": "run_uuid, name, user_id, source_type, status, start_time, end_time, lifecycle_stage, "
    "artifact_uri, experiment_id",
    "tags": "key, value, run_uuid",
    "params": "key, value, run_uuid",
    "metrics": "key, value, timestamp, run_uuid, step, is_nan",
    "latest_metrics": "key, value, timestamp, run_uuid, step, is_nan",
}


def fill(database: Path, experiment_id: str, units: Iterable[UnitPlan]) -> None:
    """Write units as the sink would have left them, in one transaction."""
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for unit in units:
            rows: Rows = {table: [] for table in _COLUMNS}
            parent_id = uuid.uuid4().hex
            sealed = {**unit.record, _SEAL: unit.seal}
            _add(rows, experiment_id, parent_id, unit.parent, sealed)
            for child in unit.children:
                tags = {_SEAL: unit.digest, PARENT_TAG: parent_id}
                _add(rows, experiment_id, uuid.uuid4().hex, child, tags)
            for table, columns in _COLUMNS.items():
                marks = ", ".join("?" * (columns.count(",") + 1))
                connection.executemany(
                    f"INSERT INTO {table} ({columns}) VALUES ({marks})",
                    rows[table],
                )


def _add(rows: Rows, experiment_id: str, run_id: str, run: RunPlan, more: dict[str, str]) -> None:
    root = f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts"
    rows["runs"].append(
        (
            run_id,
            run.name,
            "",
            "UNKNOWN",
            run.status,
            run.start,
            run.end,
            "active",
            root,
            experiment_id,
        )
    )
    tags = {**run.tags, **more, SELF_TAG: run_id, "mlflow.runName": run.name}
    rows["tags"] += [(key, value, run_id) for key, value in tags.items()]
    rows["params"] += [(key, value, run_id) for key, value in run.params.items()]
    points = [
        (
            p.key,
            0.0 if math.isnan(p.value) else p.value,
            p.timestamp,
            run_id,
            0,
            math.isnan(p.value),
        )
        for p in run.metrics
    ]
    rows["metrics"] += points
    rows["latest_metrics"] += points
