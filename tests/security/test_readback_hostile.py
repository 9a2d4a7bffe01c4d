"""What MLflow returns is input, not a friend: a record or a file that lies does no harm."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from support.fake_history import FakeArtifacts
from support.mlflow_samples import five_steps

import exporter
from exporter.errors import (
    ArtifactError,
    ArtifactTooLarge,
    CorruptArtifact,
    MissingArtifact,
    UnsafeArtifact,
)
from exporter.hierarchy import Artifact, FileRecord, Port
from exporter.mapping.records_text import SEAL_TAG, read_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.readback_site import Exported

    from exporter.history.outputs import Output
    from exporter.history.repository import Repository
    from exporter.sinks.mlflow.bindings import FoundRun

FOLDER = {"a.csv": b"x\n1\n", "sub/b c#%2F.csv": b"y\n2\n", "ä🦊": b""}
Json = dict[str, Any]  # Any: JSON values


@pytest.fixture
def held(exported: Exported) -> Exported:
    """Give a run in MLflow whose step gave a folder and a file."""
    artifacts = (
        Artifact("1", "DataArtifact", "/data/folder"),
        Artifact("2", "T", "/data/file.bin"),
    )
    run = five_steps(steps=1)
    step = replace(run.steps[0], outputs=(Port("folder", "1"), Port("file", "2")))
    run = replace(run, repository=exported.repository, steps=(step,), artifacts=artifacts)
    reader = FakeArtifacts({"/data/folder": FOLDER, "/data/file.bin": b"0123456789" * 2_000_000})
    exported.apply(run, reader)
    return exported


def outputs(repository: Repository) -> dict[str, Output]:
    """Give the outputs of the only step."""
    (step,) = repository.get_pipeline("train").get_runs()[-1].steps
    return {output.name: output for output in step.outputs}


def stored(held: Exported, suffix: str) -> Path:
    """Give the file in the artifact store of MLflow whose name ends so."""
    from pathlib import Path

    (step,) = [run for run in runs_of(held) if run.key != run.tags["exporter.unit"]]
    (found,) = [p for p in Path(step.artifact_uri).rglob("*") if p.name.endswith(suffix)]
    return found


def runs_of(held: Exported) -> list[FoundRun]:
    """Give the runs in MLflow."""
    (binding,) = held.bindings.values()
    return list(held.api.search(binding.experiment_id, ""))


def rewrite(held: Exported, change: Callable[[Json], None]) -> None:
    """Change the record as somebody would who can write to MLflow, with a seal that fits."""
    (parent,) = [run for run in runs_of(held) if run.key == run.tags["exporter.unit"]]
    value = read_record(parent.tags, lambda _: b"")
    change(value)
    raw = json.dumps(value, separators=(",", ":"))
    seal = f"{sha256(raw.encode('ascii')).hexdigest()}:1"
    tags = [("exporter.record", f"1j{raw}"), (SEAL_TAG, seal)]
    held.api.log_batch(parent.run_id, tags=tags)


def test_files_come_back_whole_and_can_be_sought(held: Exported) -> None:
    with held.open() as repository:
        folder, file = outputs(repository)["folder"], outputs(repository)["file"]
        assert dict(folder.files()) == {path: len(data) for path, data in FOLDER.items()}
        for path, data in FOLDER.items():
            with folder.open(path) as stream:
                assert stream.read() == data
        with file.open() as stream:
            assert stream.seek(-5, 2) == 20_000_000 - 5
            assert stream.read() == b"56789"
        assert file.location.endswith("/outputs/file/file.bin")
        with pytest.raises(MissingArtifact):
            folder.open("../file/file.bin")


def test_a_copy_that_was_altered_or_deleted_is_told_before_any_byte_is_given(
    held: Exported, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with held.open(cache_dir=cache) as repository:
        folder = outputs(repository)["folder"]
        for other in (b"x\n2\n", b"x\n1\n" + b"more" * 1000, b"", b"x"):
            stored(held, "a.csv").write_bytes(other)
            with pytest.raises(CorruptArtifact, match=r"a\.csv"):
                folder.open("a.csv")
        stored(held, "a.csv").unlink()
        with pytest.raises(MissingArtifact, match="run --repair"):
            folder.open("a.csv")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_cached_file_is_not_fetched_again_unless_it_was_damaged(
    held: Exported, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    place = cache / sha256(b"x\n1\n").hexdigest()[:2] / sha256(b"x\n1\n").hexdigest()
    with held.open(cache_dir=cache) as repository:
        with outputs(repository)["folder"].open("a.csv") as stream:
            assert stream.read() == b"x\n1\n"
        assert place.read_bytes() == b"x\n1\n"
        place.write_bytes(b"damaged")
        with outputs(repository)["folder"].open("a.csv") as stream:
            assert stream.read() == b"x\n1\n"
        assert place.read_bytes() == b"x\n1\n"
    stored(held, "a.csv").unlink()
    with (
        held.open(cache_dir=str(cache)) as repository,
        outputs(repository)["folder"].open("a.csv") as stream,
    ):
        assert stream.read() == b"x\n1\n"
    assert [p.name for p in cache.rglob("*") if p.is_file()] == [place.name]


def _content(value: Json) -> Json:
    content: Json = value["run"]["artifacts"][0]["content"]
    return content


def _climb(value: Json) -> None:
    _content(value)["files"][0][0] = "../../../etc/passwd"


def _absolute(value: Json) -> None:
    _content(value)["files"][0][0] = "/etc/passwd"


def _no_digest(value: Json) -> None:
    _content(value)["files"][0][2] = "../../escaped"


def _no_size(value: Json) -> None:
    _content(value)["files"][0][1] = "many"


def _home_above(value: Json) -> None:
    value["homes"]["1"][1] = "../../../../etc"


def _home_injects(value: Json) -> None:
    value["homes"]["1"][0] = "x' OR tags.`a` = '"


def _home_elsewhere(value: Json) -> None:
    value["homes"]["1"][0] = "0" * 64


@pytest.mark.parametrize(
    "change",
    [_climb, _absolute, _no_digest, _no_size, _home_above, _home_injects, _home_elsewhere],
    ids=lambda change: change.__name__.strip("_"),
)
def test_a_record_that_lies_writes_and_reads_nothing_elsewhere(
    held: Exported, change: Callable[[Json], None], tmp_path: Path
) -> None:
    rewrite(held, change)
    cache = tmp_path / "deep" / "cache"
    with held.open(cache_dir=cache) as repository:
        folder = outputs(repository)["folder"]
        for path in ("../../../etc/passwd", "/etc/passwd", "a.csv"):
            with pytest.raises(ArtifactError):
                folder.open(path)
        with pytest.raises(ArtifactError):
            folder.read(materializer=exporter.BytesMaterializer)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("run"),
        lambda value: value["run"].pop("steps"),
        lambda value: value["run"]["steps"][0]["outputs"][0].update(artifact="nowhere"),
        lambda value: value["run"]["steps"][0].update(parents=[7]),
        lambda value: value["run"].update(artifacts=5),
        lambda value: value.update(homes={"1": [9, "x"]}),
        lambda value: value["run"]["run"].update(start="yesterday"),
        lambda value: value["run"]["run"].update(seq="first"),
    ],
)
def test_a_record_of_another_shape_is_a_run_that_cannot_be_read(
    held: Exported, change: Callable[[Json], None]
) -> None:
    rewrite(held, change)
    with held.open() as repository:
        runs = repository.get_pipeline("train").get_runs()
        assert runs.names == ["run_1"]
        with pytest.raises(exporter.SourceError, match="run_1"):
            _ = runs[0].status


def test_a_record_that_another_unit_s_identity_is_left_out(held: Exported) -> None:
    rewrite(held, lambda value: value["run"]["run"].update(name="stolen"))
    with held.open() as repository:
        assert len(repository.get_pipeline("train").get_runs()) == 0


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("referenced", MissingArtifact),
        ("missing", MissingArtifact),
        ("too_large", ArtifactTooLarge),
        ("refused", UnsafeArtifact),
        ("corrupt", CorruptArtifact),
    ],
)
def test_bytes_that_were_never_copied_are_told_with_where_they_were(
    held: Exported, state: str, error: type[ArtifactError]
) -> None:
    def change(value: Json) -> None:
        _content(value).update(state=state, sha256=None, files=[])
        del value["homes"]["1"]

    rewrite(held, change)
    with held.open() as repository:
        folder = outputs(repository)["folder"]
        assert folder.content.state == state
        assert folder.location == folder.uri == "/data/folder"
        with pytest.raises(error, match="/data/folder"):
            folder.open("a.csv")


def test_equal_artifacts_are_equal_wherever_they_are_read(held: Exported) -> None:
    digest = sha256(b"0123456789" * 2_000_000).hexdigest()
    with held.open() as repository:
        record = outputs(repository)["file"].record
        assert record.content is not None
        assert record.content.files == (FileRecord("", 20_000_000, digest),)
        assert record == Artifact("2", "T", "/data/file.bin", content=record.content)
        assert Artifact("2", "T", "/data/file.bin", content=record.content) == record
        assert record != Artifact("2", "T", "/data/other.bin", content=record.content)
