"""A store whose steps wrote models: rows by SQL, files beside it, as ZenML 0.12 writes both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter import open_repository
from support.generator import OUTPUT, GeneratedStore, StepSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from exporter import Repository

_INTEGRATIONS = "zenml.integrations"


@dataclass(frozen=True, slots=True)
class WrittenModel:
    """The files of a model, its data type and the class that wrote it, below zenml.integrations."""

    files: Mapping[str, bytes]
    data_type: str
    materializer: str


def open_models(folder: Path, models: Mapping[str, WrittenModel]) -> Repository:
    """Write a pipeline `train` with one run and one step per model, named as it; open its store."""
    with GeneratedStore(folder / "metadata.db", flavour="zenml-0.6") as store:
        run = store.run("train", "run_1", [StepSpec(name) for name in models])
        for (name, model), step in zip(models.items(), run.steps, strict=True):
            place = folder / "artifacts" / name / "output" / str(step.execution)
            for path, data in model.files.items():
                target = place / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            artifact = store.artifact(
                "ModelArtifact",
                str(place),
                properties={"name": f"train:run_1:{name}:output:0", "tfx_version": "1.5.0"},
                declared={
                    "materializer": f"{_INTEGRATIONS}.{model.materializer}@zenml_0.12.0",
                    "datatype": model.data_type,
                },
            )
            store.event(step.execution, artifact, OUTPUT, [("output", 0)])
            store.insert("Attribution", context_id=run.run, artifact_id=artifact)
    return open_repository(f"mlmd+sqlite:///{folder}/metadata.db")
