"""An MLflow model's folder, laid out on disk as its plan says."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.hierarchy import Artifact, Content, FileRecord
from exporter.mapping.mlflow import mlmodel_text, plan_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exporter.mapping.mlflow import ModelPlan


def copied(artifact: Artifact, files: Mapping[str, bytes]) -> Artifact:
    """Give the artifact with its content."""
    records = tuple(
        FileRecord(path, len(data), hashlib.sha256(data).hexdigest())
        for path, data in files.items()
    )
    size = sum(record.size for record in records)
    return replace(artifact, content=Content("copied", "0" * 64, size, records))


def lay_out(folder: Path, artifact: Artifact, files: Mapping[str, bytes]) -> ModelPlan:
    """Write the folder of the model that an artifact is; give its plan."""
    plan = plan_model(copied(artifact, files), name="model")
    assert plan is not None
    for path, target in plan.files:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        (folder / target).write_bytes(files[path])
    for target, text in plan.texts:
        (folder / target).write_text(text, encoding="utf-8")
    said = mlmodel_text(
        plan, model_id="m-1", run_id="r1", created="2026-01-02 03:04:05.000000", size=1
    )
    (folder / "MLmodel").write_text(said, encoding="utf-8")
    return plan
