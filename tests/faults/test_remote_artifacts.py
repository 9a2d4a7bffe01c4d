"""What the drivers of remote stores raise, and what it means for an artifact."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec import AbstractFileSystem

from exporter.errors import SourceUnavailable
from exporter.hierarchy import Artifact
from exporter.sources.artifacts import StoreArtifacts


class DriverFault(Exception):  # noqa: N818 - drivers name theirs as they like
    """What no OSError is, as botocore and google-auth raise it."""


class BrokenFile(io.BytesIO):
    """A file whose connection breaks after its first bytes."""

    fault: Exception | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """Give bytes, or the fault."""
        if self.tell() and self.fault is not None:
            raise self.fault
        return super().read(2 if size is None else min(size, 2))


class BrokenStore(AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """A store of one file whose calls fail as a test says."""

    protocol = "broken"
    cachable = False
    faults: ClassVar[dict[str, Exception]] = {}

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # Any: fsspec's signatures
        """Describe the file."""
        self._fail("info")
        return {"name": path, "size": 4, "type": "file"}

    def _open(self, path: str, *_: Any, **__: Any) -> BrokenFile:
        self._fail("open")
        file = BrokenFile(b"four")
        file.fault = self.faults.get("read")
        return file

    def _fail(self, call: str) -> None:
        if call in self.faults:
            raise self.faults[call]


fsspec.register_implementation("broken", BrokenStore, clobber=True)
ARTIFACT = Artifact("1", "DataArtifact", "broken://bucket/a")


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch) -> StoreArtifacts:
    monkeypatch.setattr(BrokenStore, "faults", {})
    return StoreArtifacts(mode="copy", max_size=100, roots=["broken://bucket"], rewrite={})


def test_a_remote_file_is_read_whole(artifacts: StoreArtifacts) -> None:
    content = artifacts.content(ARTIFACT)
    assert (content.state, content.size) == ("copied", 4)


@pytest.mark.parametrize("call", ["info", "open", "read"])
def test_an_object_that_may_not_be_read_is_refused_alone(
    artifacts: StoreArtifacts, call: str
) -> None:
    BrokenStore.faults[call] = PermissionError("Forbidden")
    assert artifacts.content(ARTIFACT).state == "refused"


@pytest.mark.parametrize("call", ["info", "open", "read"])
@pytest.mark.parametrize(
    "fault", [DriverFault("?sig=secret"), TimeoutError(), ConnectionResetError(), OSError(5, "x")]
)
def test_what_a_driver_raises_means_that_the_store_is_out_of_reach(
    artifacts: StoreArtifacts, call: str, fault: Exception
) -> None:
    BrokenStore.faults[call] = fault
    with pytest.raises(SourceUnavailable, match=type(fault).__name__) as caught:
        artifacts.content(ARTIFACT)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("call", ["info", "open", "read"])
def test_an_object_that_went_away_is_missing(artifacts: StoreArtifacts, call: str) -> None:
    BrokenStore.faults[call] = FileNotFoundError()
    assert artifacts.content(ARTIFACT).state == "missing"


def test_whoever_reads_a_file_sees_only_errors_of_ours(artifacts: StoreArtifacts) -> None:
    BrokenStore.faults["read"] = DriverFault()
    with artifacts.open(ARTIFACT, "") as stream:
        assert stream.read(2) == b"fo"
        with pytest.raises(SourceUnavailable):
            stream.read(2)
