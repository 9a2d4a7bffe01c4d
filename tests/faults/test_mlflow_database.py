"""A tracking database that is out of reach, or no database of MLflow's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from support.mlflow_server import free_port

from exporter.errors import SinkUnavailable
from exporter.sinks.mlflow import MlflowSink

if TYPE_CHECKING:
    from pathlib import Path


def test_a_database_that_is_down_is_out_of_reach_soon_and_shows_no_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = MlflowSink(f"postgresql+psycopg://me:hunter2@127.0.0.1:{free_port()}/mlflow")
    began = time.monotonic()
    with pytest.raises(SinkUnavailable, match=r"OperationalError.*refused") as caught:
        sink.check()
    assert time.monotonic() - began < 10
    assert caplog.messages == []
    assert "hunter2" not in str(caught.value)
    sink.close()


def test_a_file_that_is_no_database_is_out_of_reach(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all, but long enough to be read as one")
    sink = MlflowSink(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(SinkUnavailable):
        sink.check()
    sink.close()
