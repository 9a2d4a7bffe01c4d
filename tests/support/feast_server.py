"""Feast's OpenLineage consumer, started for real on loopback, over SQLite in its own folder."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

FEAST = Path(__file__).resolve().parents[2] / ".venv-feast" / "bin" / "feast"
TOKEN = "a-key-for-feast"
_WAIT_S = 120.0

Json = dict[str, Any]  # Any: parsed JSON


class FeastServer:
    """A running consumer and what it answers."""

    def __init__(self, url: str, database: Path) -> None:
        self.url = url
        self._database = database

    def get(self, path: str) -> Json:
        """Give the JSON at a path below its lineage interface."""
        address = f"{self.url}/api/v1/lineage/openlineage/{path}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            found: Json = json.load(answer)
            return found

    def versions(self) -> dict[tuple[str, str], list[str]]:
        """Give of each dataset the runs that wrote its versions, by the versions' numbers.

        From its database: the interface has no address for a namespace with a slash.
        """
        found: dict[tuple[str, str], list[str]] = {}
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            for namespace, name, run in database.execute(
                "SELECT dataset_namespace, dataset_name, created_by_run_id"
                " FROM openlineage_dataset_versions ORDER BY version"
            ):
                found.setdefault((namespace, name), []).append(run)
        return found

    def events(self) -> int:
        """Count the events it has taken, whatever it made of them."""
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            ((count,),) = database.execute("SELECT count(*) FROM openlineage_events")
            return int(count)


def require_feast() -> None:
    """Skip the test where Feast's environment is not there."""
    if not FEAST.exists():
        pytest.skip("Feast is not installed; make test-feast brings it")


@contextmanager
def running_feast(folder: Path) -> Iterator[FeastServer]:
    """Start the consumer with its files in a folder, and stop it.

    It leaves folders of its own behind where it is told that temporary files go.
    """
    require_feast()
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    database = folder / "lineage.db"
    settings = {
        "project": "lineage",
        "provider": "local",
        "registry": {"registry_type": "sql", "path": f"sqlite:///{folder}/registry.db"},
        "online_store": {"type": "sqlite", "path": str(folder / "online.db")},
        "openlineage": {
            "enabled": True,
            "consumer": {
                "enabled": True,
                "connection_string": f"sqlite:///{database}",
                "api_key": TOKEN,
                "retention_days": 0,
            },
        },
    }
    (folder / "feature_store.yaml").write_text(json.dumps(settings), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(FEAST), "-c", str(folder)),
                *("serve_lineage", "--host", "127.0.0.1", "--port", str(port)),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment | {"FEAST_USAGE": "False", "TMPDIR": str(temporary)},
        )
    server = FeastServer(f"http://127.0.0.1:{port}", database)
    try:
        _wait_for(server, process, folder / "log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=20)
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def feast_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeastServer]:
    """Start a consumer that the tests of a module share."""
    with running_feast(tmp_path_factory.mktemp("feast")) as server:
        yield server


def _wait_for(server: FeastServer, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + _WAIT_S
    while True:
        try:
            server.get("jobs")
        except (OSError, urllib.error.URLError):
            assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
            assert time.monotonic() < ends, log.read_text(encoding="utf-8", errors="replace")
            time.sleep(0.1)
        else:
            return
