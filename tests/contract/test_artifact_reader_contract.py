"""What every `ArtifactReader` promises, asked of each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.fake_history import FakeArtifacts
from support.mlflow_samples import five_steps

from exporter.errors import ArtifactError, MissingArtifact, UnsafeArtifact
from exporter.hierarchy import Artifact, FileRecord, Port, RunSnapshot
from exporter.history.ports import ArtifactReader
from exporter.readback import ReadbackArtifacts, ReadbackHistory
from exporter.readback.locating import Locator
from exporter.sources.artifacts import StoreArtifacts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.readback_site import Exported

Stored = dict[str, "bytes | dict[str, bytes]"]

STORED: Stored = {
    "file": b"x",
    "folder": {"b": b"2", "a/c": b"1", "a.txt": b"", "ä🦊": b"4", "a b#%2F": b"5"},
    "single": {"data.json": b"1"},
}


class Opened(NamedTuple):
    """A reader, and how to name an artifact by the path below its root."""

    reader: ArtifactReader
    named: Callable[[str], Artifact]


Opens = Callable[[Stored], Opened]
_OUTSIDE = "../elsewhere/secret"


@pytest.fixture(params=["fake", "files", "mlflow"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Opens:
    """Give a function that stores bytes and opens a reader of them."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_bytes(b"secret")

    def named(path: str) -> Artifact:
        place = root / path
        return Artifact(path, "T", str(elsewhere / "secret" if path == _OUTSIDE else place))

    def fake(stored: Stored) -> Opened:
        found: dict[str, bytes | Mapping[str, bytes]] = {
            f"{root}/{name}": data for name, data in stored.items()
        }
        return Opened(FakeArtifacts(found, refused=[str(elsewhere)]), named)

    def files(stored: Stored) -> Opened:
        for name, data in stored.items():
            for path, content in data.items() if isinstance(data, dict) else [("", data)]:
                target = root / name / path if path else root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        reader = StoreArtifacts(mode="copy", max_size=100, roots=[str(root)], rewrite={})
        return Opened(reader, named)

    def mlflow(stored: Stored) -> Opened:
        exported: Exported = request.getfixturevalue("exported")
        artifacts = tuple(map(named, [*stored, "gone", "anything", _OUTSIDE]))
        ports = tuple(Port(f"port {i}", a.id) for i, a in enumerate(artifacts))
        run = five_steps(steps=1)
        step = replace(run.steps[0], outputs=ports)
        run = replace(run, repository=exported.repository, steps=(step,), artifacts=artifacts)
        exported.apply(run, fake(stored).reader)
        history = ReadbackHistory(exported.api, exported.repository, run.stack)
        (back,) = history.runs([run.source_id])
        assert isinstance(back, RunSnapshot)
        reader = ReadbackArtifacts(exported.api, Locator(exported.api, history))
        return Opened(reader, back.artifact)

    return {"fake": fake, "files": files, "mlflow": mlflow}[request.param]


def test_files_are_listed_sorted_and_a_file_is_the_path_of_nothing(opens: Opens) -> None:
    reader, named = opens(STORED)
    assert list(reader.files(named("file"))) == [("", 1)]
    listed = list(reader.files(named("folder")))
    assert listed == sorted(listed)
    assert {path for path, _ in listed} == {"b", "a/c", "a.txt", "ä🦊", "a b#%2F"}


def test_every_listed_file_can_be_opened(opens: Opens) -> None:
    reader, named = opens(STORED)
    for name, data in STORED.items():
        artifact = named(name)
        for path, size in reader.files(artifact):
            with reader.open(artifact, path) as stream:
                content = stream.read()
            assert content == (data[path] if isinstance(data, dict) else data)
            assert len(content) == size


def test_contents_carry_the_digests_of_files_and_folders(opens: Opens) -> None:
    reader, named = opens(STORED)
    digest = hashlib.sha256(b"x").hexdigest()
    content = reader.content(named("file"))
    assert (content.state, content.sha256, content.size) == ("copied", digest, 1)
    assert content.files == (FileRecord("", 1, digest),)
    one = hashlib.sha256(b"1").hexdigest()
    single = reader.content(named("single"))
    assert single.files == (FileRecord("data.json", 1, one),)
    lines = f"data.json\0{1}\0{one}\n".encode()
    assert single.sha256 == hashlib.sha256(lines).hexdigest()
    folder = reader.content(named("folder"))
    assert folder.size == 4
    assert [file.path for file in folder.files] == sorted(file.path for file in folder.files)
    assert folder.sha256 != single.sha256


def test_what_is_not_there_is_missing_and_what_is_outside_is_refused(opens: Opens) -> None:
    reader, named = opens(STORED)
    gone = named("gone")
    outside = named(_OUTSIDE)
    assert reader.content(gone).state == "missing"
    assert reader.content(outside).state == "refused"
    for artifact, error in ((gone, MissingArtifact), (outside, UnsafeArtifact)):
        with pytest.raises(error):
            reader.files(artifact)
        with pytest.raises(error):
            reader.open(artifact, "")


def test_a_path_that_is_not_listed_is_an_artifact_error(opens: Opens) -> None:
    reader, named = opens(STORED)
    for path in ("nothing", "../file", "/etc/passwd", "a"):
        with pytest.raises(ArtifactError):
            reader.open(named("folder"), path)


def test_a_location_is_given_for_every_artifact(opens: Opens) -> None:
    reader, named = opens({})
    assert reader.location(named("anything")).endswith("/anything")
