"""Artifact roots that no server serves: what their drivers raise, and files that went away."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from mlflow.store.artifact.artifact_repository_registry import (
    _artifact_repository_registry as registry,
)
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from exporter.errors import SinkTransient
from exporter.sinks.mlflow.answers import MissingResource
from exporter.sinks.mlflow.foreign import fetch_file, store_file

if TYPE_CHECKING:
    from pathlib import Path


class DriverFault(Exception):  # noqa: N818 - drivers name theirs as they like
    """What neither an OSError nor MLflow's is, as botocore and google-auth raise it."""


class BrokenRepository(LocalArtifactRepository):
    """A store that fails as drivers of buckets do."""

    def __init__(self, artifact_uri: str, *_: object, **__: object) -> None:
        self.artifact_uri = artifact_uri

    def log_artifact(self, *_: object) -> None:
        """Fail."""
        raise DriverFault("?sig=secret")

    def download_artifacts(self, *_: object) -> str:
        """Fail."""
        raise DriverFault("?sig=secret")


@pytest.fixture
def broken() -> str:
    registry.register("brokenstore", BrokenRepository)  # type: ignore[no-untyped-call] # MLflow's
    return "brokenstore://user:password@bucket/root"


def test_whatever_a_driver_raises_passes_with_time_and_shows_no_secret(broken: str) -> None:
    with pytest.raises(SinkTransient, match="DriverFault") as stored:
        store_file(broken, "a/b.json", io.BytesIO(b"1"))
    with pytest.raises(SinkTransient, match="DriverFault") as fetched:
        fetch_file(broken, "a/b.json")
    for caught in (stored, fetched):
        assert "secret" not in str(caught.value)
        assert "password" not in str(caught.value)


def test_a_file_that_somebody_deleted_is_missing(tmp_path: Path) -> None:
    root = tmp_path.as_uri()
    store_file(root, "a/b.json", io.BytesIO(b"1"))
    assert fetch_file(root, "a/b.json") == b"1"
    (tmp_path / "a" / "b.json").unlink()
    with pytest.raises(MissingResource):
        fetch_file(root, "a/b.json")
