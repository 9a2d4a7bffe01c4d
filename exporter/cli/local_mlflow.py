"""A tracking server of one's own, on loopback, for as long as a block lasts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from exporter.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from exporter.sync.clock import Stop

_START_S = 120.0
_STOP_S = 15.0
_STOP_AT_ONCE_S = 1.0


def server_command(folder: Path, port: int) -> list[str]:
    """Give the arguments after `mlflow` that serve a folder: SQLite, and artifacts beside it."""
    return [
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "artifacts"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]


@contextmanager
def local_mlflow(folder: Path, stop: Stop) -> Iterator[str]:
    """Serve MLflow from a folder and give its address; stopped, with its children, at the end.

    A wish to stop ends the wait for it to answer, and gives it no time to end by itself.
    Raises: SinkUnavailable when it does not answer in two minutes; its log is `folder/mlflow.log`.
    """
    port = free_port()
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log_path = folder / "mlflow.log"
    with log_path.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *server_command(folder, port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(server, url, log_path, stop)
        yield url
    finally:
        _end(server, _STOP_AT_ONCE_S if stop.requested else _STOP_S)


def free_port(wanted: int = 0) -> int:
    """Give a port of this machine that nobody listens on: the one wanted, if it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(server: subprocess.Popen[bytes], url: str, log: Path, stop: Stop) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        if stop.requested:
            return
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - our own loopback server
                return
        except (urllib.error.URLError, OSError):
            stop.wait(0.2)
    raise SinkUnavailable("The local MLflow server did not start.", hint=f"See {log}.")


def _end(server: subprocess.Popen[bytes], grace_s: float) -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(grace_s)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
