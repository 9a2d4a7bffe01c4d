"""A small history written by hand: cached steps, attempts, list ports, a failure, no runs."""

from __future__ import annotations

from exporter.hierarchy import (
    Artifact,
    Parameter,
    PipelineRecord,
    Port,
    RunSnapshot,
    Step,
    StepRef,
    UnreadableRun,
)
from support.fake_history import FakeArtifacts, FakeHistory

START = 1_763_900_000_000
TRAIN = PipelineRecord("train_pipeline", 1, "1", "Trains a model.")
DRIFT = PipelineRecord("drift_pipeline", 0, "7")
EMPTY = PipelineRecord("empty_pipeline", 2, "9")
_IMPORTED = StepRef("train_pipeline", "run_1", "importer", "1")

FRAME = Artifact("1", "DataArtifact", "/data/importer/train/1", producer=_IMPORTED)
MODEL = Artifact(
    "2",
    "ModelArtifact",
    "/data/trainer/output/2",
    data_type="sklearn.linear_model._logistic.LogisticRegression",
    materializer="zenml.integrations.sklearn.SklearnMaterializer@zenml_0.5.7",
    properties=(
        Parameter("loss", 0.5, declared=True),
        Parameter("loss", 0.25),
        Parameter("note", "<b>"),
    ),
    producer=StepRef("train_pipeline", "run_1", "trainer", "3"),
    created=START + 5_000,
)
ACCURACY = Artifact("3", "DataArtifact", "/data/trainer/accuracy/3", data_type="builtins.float")
SHARDS = tuple(Artifact(f"s{i}", "Examples", f"/data/shards/{i}") for i in range(3))

BYTES: dict[str, bytes | dict[str, bytes]] = {
    FRAME.uri: {"df.csv": b",x,y\n0,1,2\n1,3,4\n"},
    MODEL.uri: {"model": b"\x80\x04N."},
    ACCURACY.uri: {"data.json": b"0.9"},
    **{shard.uri: f"shard {i}".encode() for i, shard in enumerate(SHARDS)},
}


def _run(
    name: str, seq: int, steps: tuple[Step, ...], *artifacts: Artifact, **more: str
) -> RunSnapshot:
    return RunSnapshot(
        repository="acme",
        stack=more.get("stack", "local"),
        tool="zenml",
        flavour="zenml-0.5",
        pipeline=TRAIN,
        name=name,
        seq=seq,
        source_id=f"run-{seq}",
        status=more.get("status", "completed"),
        start=START + seq * 60_000,
        end=START + seq * 60_000 + 9_000,
        run_stack="local_stack",
        facts=(Parameter("git_sha", "abc123"),),
        steps=steps,
        artifacts=artifacts,
    )


def train_run(seq: int = 1, *, cached: bool = False, stack: str = "local") -> RunSnapshot:
    """Give a run of three steps, the trainer tried twice; `cached` takes from run 1."""
    at = START + seq * 60_000
    importer = Step(
        "importer",
        "1" if seq == 1 else f"{seq}1",
        "load_iris",
        "cached" if cached else "completed",
        start=at,
        end=at + 1_000,
        parameters=(Parameter("rows", 120), Parameter("ratio", 1.0), Parameter("tags", ["a", "b"])),
        outputs=(Port("train", FRAME.id, cached=cached),),
        outputs_order="declared",
    )
    failed = Step("trainer", f"{seq}2", "sk_trainer", "failed", attempt=1, start=at + 1_000)
    trainer = Step(
        "trainer",
        "3" if seq == 1 else f"{seq}3",
        "sk_trainer",
        "completed",
        attempt=2,
        start=at + 2_000,
        end=at + 4_000,
        docstring="Trains a <model>.",
        inputs=(Port("train", FRAME.id, cached=cached, parent=0),),
        outputs=(Port("output", MODEL.id), Port("accuracy", ACCURACY.id)),
        parents=(0,),
    )
    return _run(f"run_{seq}", seq, (importer, failed, trainer), FRAME, MODEL, ACCURACY, stack=stack)


def shards_run(seq: int = 3, *, stack: str = "local") -> RunSnapshot:
    """Give a run whose only step gives a list of artifacts on one port, and fails."""
    at = START + seq * 60_000
    ports = tuple(Port("shards", shard.id, index=i) for i, shard in enumerate(SHARDS))
    step = Step("split", f"{seq}1", "split", "failed", start=at, outputs=ports)
    return _run(f"run_{seq}", seq, (step,), *SHARDS, status="failed", stack=stack)


UNREADABLE = UnreadableRun("drift_pipeline", "odd", "run-odd", "flavour 'zenml-9' is not known")


def sample_history(*, stack: str = "local", unreadable: bool = False) -> FakeHistory:
    """Give three runs of `train_pipeline` and an empty pipeline, in one stack."""
    runs = [
        train_run(1, stack=stack),
        train_run(2, cached=True, stack=stack),
        shards_run(3, stack=stack),
    ]
    history = FakeHistory([TRAIN, EMPTY], runs, stack=stack)
    if unreadable:
        history = FakeHistory([TRAIN, EMPTY, DRIFT], [*runs, UNREADABLE], stack=stack)
    return history


def sample_artifacts() -> FakeArtifacts:
    """Give a reader of the bytes of the sample's artifacts."""
    return FakeArtifacts(BYTES)
