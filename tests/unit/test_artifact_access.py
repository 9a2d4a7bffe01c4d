"""What of an artifact may be read, where it is, and what its bytes amount to."""

from __future__ import annotations

import hashlib
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stores import RECORDED, RecordedStore

from exporter.errors import (
    ArtifactError,
    CorruptArtifact,
    MissingArtifact,
    SourceUnavailable,
    UnsafeArtifact,
)
from exporter.hierarchy import Artifact, FileRecord, RunSnapshot
from exporter.sources.artifacts import StoreArtifacts, default_roots, folder_digest
from exporter.sources.mlmd import open_mlmd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.sources.artifacts import Mode
    from exporter.sources.mlmd import FlavourProfile

MIB = 1 << 20


def reader(
    roots: Sequence[str | Path],
    rewrite: Mapping[str, str] | None = None,
    *,
    mode: Mode = "copy",
    max_size: int = MIB,
) -> StoreArtifacts:
    return StoreArtifacts(
        mode=mode, max_size=max_size, roots=[str(r) for r in roots], rewrite=rewrite or {}
    )


def at(uri: str) -> Artifact:
    return Artifact("1", "DataArtifact", uri)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "a" / "deep").mkdir(parents=True)
    (folder / "a" / "data.json").write_bytes(b"1")
    (folder / "a" / "deep" / "more.bin").write_bytes(b"22")
    (folder / "value").write_bytes(b"0.9")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


def test_a_folder_is_listed_sorted_and_hashed_over_its_lines(root: Path) -> None:
    artifacts = reader([root])
    assert artifacts.files(at(f"{root}/a")) == [("data.json", 1), ("deep/more.bin", 2)]
    content = artifacts.content(at(f"{root}/a"))
    one, two = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"22").hexdigest()
    assert content.state == "copied"
    assert content.size == 3
    assert content.files == (FileRecord("data.json", 1, one), FileRecord("deep/more.bin", 2, two))
    lines = f"data.json\0001\0{one}\ndeep/more.bin\0002\0{two}\n"
    assert content.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    with artifacts.open(at(f"{root}/a"), "deep/more.bin") as stream:
        assert stream.read() == b"22"


def test_a_file_is_one_entry_without_a_path(root: Path) -> None:
    artifacts = reader([root])
    assert artifacts.files(at(f"{root}/value")) == [("", 3)]
    content = artifacts.content(at(f"{root}/value"))
    assert content.sha256 == hashlib.sha256(b"0.9").hexdigest()
    with artifacts.open(at(f"{root}/value"), "") as stream:
        assert stream.read() == b"0.9"


@pytest.mark.parametrize("store", RECORDED, ids=lambda s: str(s.name))
def test_every_artifact_of_the_recorded_stores_is_found_after_rewriting(
    store: RecordedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    artifacts = reader([store.folder], store.rewrite, max_size=100 * MIB)
    history = open_mlmd(store.url, repository="r", stack="s", profiles=mlmd_profiles)
    found: dict[str, str] = {}
    for ids in history.changes(None).source_ids:
        for run in history.runs(ids):
            assert isinstance(run, RunSnapshot)
            for artifact in run.artifacts:
                content = artifacts.content(artifact)
                found[artifact.id] = content.state
                assert content.files, artifact.uri
                assert artifacts.location(artifact).startswith(str(store.folder))
    history.close()
    assert len(found) == store.artifacts
    assert set(found.values()) == {"copied"}


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd",
        "/data/x/../../etc/passwd",
        "file:///etc/passwd",
        "file:///%65tc/passwd",
        "file:/etc/passwd",
        "file://host/share/x",
        "FILE:///etc/passwd",
        "relative/path",
        "../x",
        "\\\\host\\share\\x",
        "//host/share/x",
        "C:\\x",
        "c:/x",
        "/data/x\x00/../..",
        "http://127.0.0.1/x",
        "s3://bucket/x",
        "ftp://x/y",
        "memory://other/x",
        "memory://bucket",
        "memory://bucketx/y",
        "memory://bucket/a/../../other",
        "memory://bucket/a/%2e%2e/b",
        "memory://bucket/a/%252e%252e/b",
        "simplecache::s3://bucket/x",
        "~/x",
        ".",
        "/",
    ],
)
def test_what_lies_outside_the_roots_is_refused(root: Path, uri: str) -> None:
    artifacts = reader([root, "memory://bucket/a"], {"/data/x": str(root)})
    with pytest.raises(UnsafeArtifact):
        artifacts.files(at(uri))
    with pytest.raises(UnsafeArtifact):
        artifacts.open(at(uri), "")
    assert artifacts.content(at(uri)).state == "refused"


def test_no_roots_refuse_everything(root: Path) -> None:
    assert reader([]).content(at(f"{root}/a")).state == "refused"


def test_a_root_is_matched_at_a_path_boundary(root: Path) -> None:
    (root.parent / "root-other").mkdir()
    (root.parent / "root-other" / "x").write_bytes(b"x")
    assert reader([root]).content(at(f"{root}-other/x")).state == "refused"
    assert reader([f"{root}/"]).content(at(f"{root}/value")).state == "copied"


def test_dots_that_stay_inside_are_a_path_like_any_other(root: Path) -> None:
    assert reader([root]).content(at(f"{root}/a/../value")).state == "copied"
    assert reader([root]).content(at(f"{root}/%2e%2e/secret")).state == "missing"
    assert reader([root]).content(at(f"file://{root}/a")).state == "copied"


def test_a_link_out_of_the_roots_is_refused_and_one_inside_is_resolved(root: Path) -> None:
    (root / "out").symlink_to(root.parent)
    (root / "in").symlink_to(root / "a")
    artifacts = reader([root])
    assert artifacts.content(at(f"{root}/out/secret")).state == "refused"
    assert artifacts.content(at(f"{root}/in")).state == "copied"
    link = root.parent / "link"
    link.symlink_to(root)
    assert reader([link]).content(at(f"{link}/a")).state == "copied"


def test_links_inside_an_artifact_are_not_followed(root: Path) -> None:
    (root / "a" / "stolen").symlink_to(root.parent / "secret")
    (root / "a" / "folder").symlink_to(root.parent)
    (root / "a" / "loop").symlink_to(root / "a")
    artifacts = reader([root])
    assert [p for p, _ in artifacts.files(at(f"{root}/a"))] == ["data.json", "deep/more.bin"]
    for path in ("stolen", "folder/secret", "loop/data.json"):
        with pytest.raises(ArtifactError):
            artifacts.open(at(f"{root}/a"), path)


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "deep/../../value", "x\x00y", "./a"])
def test_a_file_is_asked_for_by_a_plain_path(root: Path, path: str) -> None:
    with pytest.raises(UnsafeArtifact):
        reader([root]).open(at(f"{root}/a"), path)


def test_a_pipe_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "a" / "pipe")
    artifacts = reader([root])
    assert "pipe" not in dict(artifacts.files(at(f"{root}/a")))
    with pytest.raises(CorruptArtifact):
        artifacts.open(at(f"{root}/a"), "pipe")
    assert artifacts.content(at(f"{root}/a/pipe")).state == "corrupt"


def test_missing_artifacts_and_uris_are_missing(root: Path) -> None:
    artifacts = reader([root])
    assert artifacts.content(at(f"{root}/none")).state == "missing"
    assert artifacts.content(at("")).state == "missing"
    assert artifacts.content(at(f"{root}/\ud800")).state == "missing"
    with pytest.raises(MissingArtifact):
        artifacts.files(at(f"{root}/none"))
    with pytest.raises(MissingArtifact):
        artifacts.open(at(f"{root}/a"), "none")


@pytest.mark.parametrize(
    "path",
    ["x" * 255 + "y", "ä" * 128, f"value/{'x' * 256}", "value/below", "/".join(["deep"] * 1_200)],
    ids=["a long name", "many bytes", "a long name in a file", "below a file", "a long path"],
)
def test_a_path_that_can_be_nowhere_is_missing(root: Path, path: str) -> None:
    artifacts = reader([root])
    assert artifacts.content(at(f"{root}/{path}")).state == "missing"
    with pytest.raises(MissingArtifact, match="nothing at"):
        artifacts.files(at(f"{root}/{path}"))
    with pytest.raises(MissingArtifact, match="nothing at"):
        artifacts.open(at(str(root)), path)


def test_a_file_that_may_not_be_read_is_corrupt_and_says_why(root: Path) -> None:
    (root / "value").chmod(0)
    artifacts = reader([root])
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(65_534)  # nobody: root may read everything
    try:
        content = artifacts.content(at(f"{root}/value"))
        with pytest.raises(CorruptArtifact, match="Permission denied") as error:
            artifacts.open(at(f"{root}/value"), "")
    finally:
        if as_root:
            os.seteuid(0)
    assert content.state == "corrupt"
    assert "user that runs" in error.value.hint


def test_a_process_out_of_descriptors_blames_no_artifact(root: Path) -> None:
    artifacts = reader([root])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(SourceUnavailable, match="Too many open files"):
            artifacts.content(at(f"{root}/value"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_size_limit_is_per_artifact_all_files_together(root: Path) -> None:
    assert reader([root], max_size=3).content(at(f"{root}/a")).state == "copied"
    content = reader([root], max_size=2).content(at(f"{root}/a"))
    assert (content.state, content.size, content.sha256) == ("too_large", 3, None)


def test_reference_mode_reads_nothing(root: Path) -> None:
    content = reader([root], mode="reference").content(at("/etc/passwd"))
    assert (content.state, content.files) == ("referenced", ())


def test_an_empty_folder_is_copied_empty(root: Path) -> None:
    (root / "empty").mkdir()
    content = reader([root]).content(at(f"{root}/empty"))
    assert (content.state, content.size, content.files) == ("copied", 0, ())


def test_the_longest_prefix_is_rewritten_at_a_path_boundary() -> None:
    artifacts = reader([], {"/data": "/one", "/data/deep/": "s3://two/x/", "s3://old": "/three"})
    assert artifacts.location(at("/data/a")) == "/one/a"
    assert artifacts.location(at("/data/deep/a")) == "s3://two/x/a"
    assert artifacts.location(at("/data/deep")) == "s3://two/x"
    assert artifacts.location(at("/data/deeper")) == "/one/deeper"
    assert artifacts.location(at("/database/a")) == "/database/a"
    assert artifacts.location(at("s3://old/a/b")) == "/three/a/b"
    assert artifacts.location(at("file:///data/a")) == "/one/a"


def test_a_rewritten_uri_is_checked_after_rewriting(root: Path) -> None:
    artifacts = reader([root], {"/data": str(root)})
    assert artifacts.content(at("/data/value")).state == "copied"
    assert artifacts.content(at("/data/../secret")).state == "refused"


def test_remote_artifacts_are_read_below_their_roots() -> None:
    system = fsspec.filesystem("memory")
    system.pipe({"/bucket/a/x": b"1", "/bucket/a/y/z": b"22", "/bucket/b": b"333"})
    artifacts = reader(["memory://bucket"], {"/data": "memory://bucket"})
    assert artifacts.files(at("/data/a")) == [("x", 1), ("y/z", 2)]
    assert artifacts.content(at("memory://bucket/b")).size == 3
    content = artifacts.content(at("memory://bucket/a"))
    assert content.state == "copied"
    assert content.sha256 == folder_digest(content.files)
    assert artifacts.content(at("memory://bucket/none")).state == "missing"
    with artifacts.open(at("/data/a"), "y/z") as stream:
        assert stream.read() == b"22"


def test_only_sqlite_stores_have_a_root_of_their_own(tmp_path: Path) -> None:
    assert default_roots(f"sqlite:///{tmp_path}/metadata.db") == (str(tmp_path),)
    assert default_roots("postgresql://h/db") == ()


@given(st.text(min_size=1, max_size=60))
def test_no_uri_reads_outside_the_roots(uri: str) -> None:
    artifacts = reader(["/nonexistent-root"], {"/data": "/nonexistent-root"})
    for spelled in (uri, f"/data/{uri}", f"file://{uri}", f"/nonexistent-root/{uri}"):
        assert artifacts.content(at(spelled)).state in ("refused", "missing")
