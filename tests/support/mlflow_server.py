"""A real MLflow server on loopback, started as the product's users start it."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import psycopg.sql
import pytest

from exporter.sinks.mlflow.database import DatabaseApi

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_START_TIMEOUT_S = 90.0


@cache
def _tracking_database() -> bytes:
    """Give a tracking database as MLflow makes it, which takes it a second."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "mlflow.db")
        api = DatabaseApi(f"sqlite:///{file}")
        try:
            api.version()
        finally:
            api.close()
        return file.read_bytes()


def empty_database(folder: Path, *, root: str | None = None) -> str:
    """Put an empty tracking database into a folder and give its URL.

    `root` is where its default experiment keeps files: beside it, unless given.
    """
    file = folder / "mlflow.db"
    file.write_bytes(_tracking_database())
    place = f"{root or folder / 'mlartifacts'}/0"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", (place,))
    return f"sqlite:///{file}"


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A running server: its address, its folder and its process id."""

    url: str
    folder: Path
    pid: int


def free_port() -> int:
    """Give a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_mlflow(
    folder: Path,
    *,
    backend: str | None = None,
    workers: int = 1,
    port: int | None = None,
    options: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    scheme: str = "http",
    prefix: str = "",
    jobs: bool = False,
) -> Iterator[MlflowServer]:
    """Run an MLflow server with proxied artifacts until the block ends.

    `backend` is a database URL; by default SQLite in the folder, where it may be already. `scheme`
    and `prefix` say where `options` make it answer; `environment` adds to the process's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    url = f"{scheme}://127.0.0.1:{port}{prefix}"
    if backend is None and not (folder / "mlflow.db").exists():
        backend = empty_database(folder, root="mlflow-artifacts:")
    backend = backend or f"sqlite:///{folder / 'mlflow.db'}"
    artifacts = folder / "artifacts"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(workers), "--backend-store-uri", backend]
    command += ["--artifacts-destination", str(artifacts), *options]
    variables = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    if not jobs:
        variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    variables |= environment or {}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_up(url, process, folder / "server.log")
            yield MlflowServer(url, folder, process.pid)
        finally:
            _stop(process)


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5, context=unchecked) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(
        f"the MLflow server did not start:\n{log.read_text(errors='replace')[-4000:]}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the server and its workers, which share its session."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Give the session's MLflow server on SQLite."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server_on_postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: str
) -> Iterator[MlflowServer]:
    """Give the session's MLflow server on PostgreSQL, with two workers."""
    backend = database_beside(postgres_server, f"mlflow_{os.getpid()}")
    folder = tmp_path_factory.mktemp("mlflow-postgres")
    with running_mlflow(folder, backend=backend, workers=2) as server:
        yield server


def database_beside(server_url: str, name: str) -> str:
    """Create a database on a PostgreSQL server and give its SQLAlchemy URL."""
    parts = urlsplit(server_url)
    plain = urlunsplit(parts._replace(scheme="postgresql"))
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(
            psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name))
        )
    return urlunsplit(parts._replace(path=f"/{name}"))
