"""Units for the tests of the MLflow sink: five steps, no server needed to make them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from exporter.hierarchy import (
    Artifact,
    Content,
    FileRecord,
    Parameter,
    PipelineRecord,
    Port,
    RunSnapshot,
    Step,
    StepRef,
)
from exporter.mapping.mlflow import MlflowNaming, plan_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.hierarchy import Value
    from exporter.mapping.mlflow import Home, UnitPlan

START = 1_795_430_000_000
NAMING = MlflowNaming(
    not_datasets=frozenset({"ModelArtifact"}), fact_tags={"git_sha": "mlflow.source.git.commit"}
)


class Files:
    """Bytes of artifacts in memory, opened as the sink asks for them."""

    def __init__(self) -> None:
        self.bytes: dict[tuple[str, str], bytes] = {}
        self.opened: list[tuple[str, str]] = []

    def content(self, artifact_id: str, files: Mapping[str, bytes]) -> Content:
        """Keep an artifact's files and describe them."""
        records = []
        for path, data in sorted(files.items()):
            self.bytes[artifact_id, path] = data
            records.append(FileRecord(path, len(data), hashlib.sha256(data).hexdigest()))
        lines = "".join(f"{r.path}\0{r.size}\0{r.sha256}\n" for r in records)
        digest = hashlib.sha256(lines.encode()).hexdigest()
        return Content("copied", digest, sum(r.size for r in records), tuple(records))

    def open(self, artifact_id: str, path: str) -> BinaryIO:
        """Open one file."""
        self.opened.append((artifact_id, path))
        return io.BytesIO(self.bytes[artifact_id, path])


def five_steps(
    pipeline: str = "train",
    run: str = "run_1",
    *,
    seq: int = 1,
    status: str = "completed",
    rate: float = 0.1,
    steps: int = 5,
) -> RunSnapshot:
    """Give a run of five steps in a row without inputs, outputs or files."""
    start = START + seq * 600_000
    made = tuple(
        Step(
            name=f"step_{number}",
            source_id=f"{seq}{number}",
            entrypoint=f"function_{number}",
            status="running" if status == "running" and number == steps - 1 else "completed",
            start=start + number * 1_000,
            end=None
            if status == "running" and number == steps - 1
            else start + number * 1_000 + 900,
            parameters=(Parameter("rate", rate), Parameter("name", f"n{number}")),
        )
        for number in range(steps)
    )
    return RunSnapshot(
        repository="acme",
        stack="local",
        tool="zenml",
        flavour="zenml-0.5",
        pipeline=PipelineRecord(pipeline, 1, "1", "Trains a model."),
        name=run,
        seq=seq,
        source_id=f"1:{seq}",
        status=status,
        start=start,
        end=None if status == "running" else start + 10_000,
        steps=made,
    )


def with_artifacts(run: RunSnapshot, files: Files) -> RunSnapshot:
    """Give the run's first step a frame and a model as outputs, which the second takes in."""
    first, second = run.steps[0], run.steps[1]
    producer = StepRef(run.pipeline.name, run.name, first.name, first.source_id)
    frame = Artifact(
        f"{run.seq}-frame",
        "DataArtifact",
        f"/data/{run.name}/frame",
        producer=producer,
        properties=(Parameter("rows", 120),),
        content=files.content(f"{run.seq}-frame", {"a.csv": b"x\n1\n", "sub/b c#.csv": b"y\n2\n"}),
    )
    score = Artifact(
        f"{run.seq}-score",
        "DataArtifact",
        f"/data/{run.name}/score/data.json",
        producer=producer,
        content=files.content(f"{run.seq}-score", {"": b'{"auc": 0.93}'}),
    )
    outputs = (Port("train", frame.id), Port("score", score.id))
    inputs = (Port("frame", frame.id, parent=0), Port("metrics", score.id, parent=0))
    steps = (
        replace(first, outputs=outputs),
        replace(second, inputs=inputs, parents=(0,)),
        *run.steps[2:],
    )
    return replace(run, steps=steps, artifacts=(frame, score))


def plan(
    run: RunSnapshot,
    homes: Mapping[str, Home] | None = None,
    scalars: Mapping[str, Value] | None = None,
) -> UnitPlan:
    """Plan a run with the naming of the tests."""
    return plan_unit(run, homes or {}, NAMING, scalars or {})
