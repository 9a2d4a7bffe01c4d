"""The public API as a user writes it. It is type-checked, never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import exporter
from exporter import (
    AmbiguousName,
    BuiltinMaterializer,
    BytesMaterializer,
    ExporterError,
    Input,
    KerasModelMaterializer,
    NotFound,
    NumpyMaterializer,
    Output,
    PandasMaterializer,
    Pipeline,
    Repository,
    Run,
    SchemaMaterializer,
    Settings,
    SklearnModelMaterializer,
    StatisticsMaterializer,
    Step,
    TorchModelMaterializer,
    UnsafeArtifact,
    iter_snapshots,
    open_repository,
    snapshot,
)
from exporter.hierarchy import Artifact
from exporter.testing import check_materializer

if TYPE_CHECKING:
    from exporter.materializers.files import ArtifactFiles
    from exporter.materializers.protocol import Materializer


def opens(settings: Settings) -> None:
    open_repository("mlmd+sqlite:///metadata.db", roots=["/srv"], rewrite={"/data": "/srv"})
    open_repository(Path("exporter.yaml"), stack_key="local_stack")
    open_repository(settings)
    open_repository()
    with open_repository("exporter.yaml") as repository:
        assert_type(repository, Repository)
        assert_type(repository.name, str)
        assert_type(repository.stacks, list[str])


def walks(repository: Repository) -> None:
    assert_type(repository.get_pipelines(), list[Pipeline])
    pipeline = repository.get_pipeline(pipeline_name="train_pipeline", stack_key="local_stack")
    assert_type(pipeline, Pipeline)
    run = pipeline.get_runs()[-1]
    assert_type(run, Run)
    assert_type(pipeline.get_runs()["run_1"], Run)
    assert_type(pipeline.get_run("run_1"), Run)
    assert_type(len(pipeline.get_runs()[1:]), int)
    assert_type(run.start_time, datetime | None)
    drawn = run.visualize()
    assert_type(drawn.svg, str)
    assert_type(drawn.html, str)
    assert_type(drawn.save("graph.svg"), Path)
    assert_type([run.status for run in pipeline.get_runs()], list[str])
    step = run.steps[0]
    assert_type(step, Step)
    assert_type(run.steps["trainer"], Step)
    assert_type(run.get_step("trainer").parents, list[Step])
    assert_type(step.outputs[0], Output)
    assert_type(step.outputs["accuracy"], Output)
    assert_type(step.outputs.all("shards"), list[Output])
    assert_type(step.outputs.names, list[str])
    assert_type(step.inputs["train"], Input)
    assert_type(step.inputs["train"].parent, Step | None)
    assert_type(step.output.producer, Step | None)
    for name, value in step.parameters.items():
        print(name.upper(), value)  # noqa: T201 - as a user would


class Lines:
    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> list[str]:
        return files.read("").decode().splitlines()


def reads(output: Output) -> None:
    materializers: list[type[Materializer]] = [
        PandasMaterializer,
        NumpyMaterializer,
        BuiltinMaterializer,
        BytesMaterializer,
        StatisticsMaterializer,
        SchemaMaterializer,
        KerasModelMaterializer,
        SklearnModelMaterializer,
        TorchModelMaterializer,
        Lines,
    ]
    output.read()
    output.read(materializer=PandasMaterializer)
    output.read(materializer=Lines())
    output.read(materializer=TorchModelMaterializer(state_dict=True))
    output.read(materializers[0], trusted=True)
    with output.open("data.json") as stream:
        assert_type(stream.read(), bytes)


def tests_a_materializer(model: bytes) -> None:
    check_materializer(Lines, {"lines.txt": b"a\nb"}, expected=["a", "b"], any_bytes=True)
    check_materializer(
        SklearnModelMaterializer(),
        {"model": model},
        expected="what it is",
        same=lambda value, expected: str(value) == expected,
        artifact=Artifact("1", "ModelArtifact", "/model"),
        executes=True,
        package="sklearn",
    )


def compares(repository: Repository) -> None:
    assert_type(snapshot(repository), dict[str, Any])
    assert_type(iter_snapshots(repository), Iterator[dict[str, Any]])


def catches(repository: Repository) -> None:
    try:
        repository.get_pipeline("x")
    except (NotFound, AmbiguousName) as error:
        assert_type(error.hint, str)
    except UnsafeArtifact:
        pass
    except ExporterError as error:
        assert_type(error.message, str)


def misuses(repository: Repository, output: Output) -> None:
    repository.get_pipeline()  # type: ignore[call-arg]
    repository.get_pipelines()[0].get_run("x").visualize().save()  # type: ignore[call-arg]
    open_repository(5)  # type: ignore[arg-type]
    output.read(materializer=int)  # type: ignore[arg-type]
    exporter.open_repo()  # type: ignore[attr-defined]
