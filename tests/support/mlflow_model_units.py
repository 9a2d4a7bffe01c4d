"""Units whose first step trains a model, and what MLflow holds of the models."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

from exporter.hierarchy import Artifact, Port, RunSnapshot, StepRef

if TYPE_CHECKING:
    from exporter.sinks.mlflow.api import TrackingApi
    from exporter.sinks.mlflow.models_api import FoundModel
    from support.mlflow_samples import Files

ROWS = np.array([[0.0], [1.0], [2.0], [3.0]])
MODEL = LogisticRegression().fit(ROWS, [0, 0, 1, 1])
SKLEARN = "zenml.integrations.sklearn.materializers.sklearn_materializer.SklearnMaterializer"


def with_model(
    run: RunSnapshot, files: Files, *, data: bytes | None = None, step: int = 0
) -> RunSnapshot:
    """Give one step of a run a scikit-learn model as its output `model`, beside what it has."""
    trainer = run.steps[step]
    artifact = Artifact(
        f"{run.seq}-model",
        "ModelArtifact",
        f"/data/{run.name}/model",
        data_type="sklearn.linear_model._logistic.LogisticRegression",
        materializer=f"{SKLEARN}@zenml_0.12.0",
        producer=StepRef(run.pipeline.name, run.name, trainer.name, trainer.source_id),
        content=files.content(
            f"{run.seq}-model", {"model": pickle.dumps(MODEL) if data is None else data}
        ),
    )
    trained = replace(trainer, outputs=(*trainer.outputs, Port("model", artifact.id)))
    steps = (*run.steps[:step], trained, *run.steps[step + 1 :])
    return replace(run, steps=steps, artifacts=(*run.artifacts, artifact))


def models_of(api: TrackingApi, experiment_id: str) -> list[FoundModel]:
    """Give the models of an experiment that are not deleted, by the names of their artifacts."""
    found = api.models.search(experiment_id, "")
    return sorted(found, key=lambda model: (model.tags.get("exporter.artifact", ""), model.name))
