"""A real MariaDB for tests: named by the environment, else the machine's own, else a skip."""

from __future__ import annotations

import getpass
import itertools
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import pymysql
import pytest
from sqlalchemy.engine import make_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE = "EXPORTER_TEST_MARIADB_URL"
REASON = (
    f"MariaDB: neither {VARIABLE} (mysql+pymysql://user:password@host/database) is set nor is "
    "a mariadbd on this machine; install mariadb-server to run these tests"
)
_START_S = 60.0
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the SQLAlchemy URL of a server that lets us create databases."""
    url = os.environ.get(VARIABLE)
    if url:
        yield url
        return
    program = shutil.which("mariadbd", path=_path()) or shutil.which("mysqld", path=_path())
    install = shutil.which("mariadb-install-db", path=_path())
    if program is None or install is None:
        pytest.skip(REASON)
    folder = tmp_path_factory.mktemp("mariadb")
    yield from _own_server(program, install, folder)


@pytest.fixture
def mariadb_url(mariadb_server: str) -> Iterator[str]:
    """Give the SQLAlchemy URL of a database of this test's own."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    connection = connect(mariadb_server)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        yield urlunsplit(urlsplit(mariadb_server)._replace(path=f"/{name}"))
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE `{name}`")
    finally:
        connection.close()


def connect(url: str) -> pymysql.connections.Connection[Any]:  # Any: the kind of cursor
    """Connect with the driver itself, committing every statement."""
    parsed = make_url(url)
    return pymysql.connect(
        host=parsed.host or "localhost",
        port=parsed.port or 3306,
        user=parsed.username,
        password=str(parsed.password or ""),
        database=parsed.database or None,
        unix_socket=str(parsed.query.get("unix_socket", "")) or None,
        charset="utf8mb4",
        autocommit=True,
    )


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def _own_server(program: str, install: str, folder: Path) -> Iterator[str]:
    data = folder / "data"
    # socket paths are short by law of the kernel, pytest's folders are not
    socket = Path(f"/tmp/exporter-mariadb-{os.getpid()}.sock")
    user = getpass.getuser()
    common = [f"--datadir={data}", f"--user={user}"]
    subprocess.run(
        [install, "--no-defaults", *common, "--auth-root-authentication-method=normal"],
        check=True,
        capture_output=True,
    )
    log = (folder / "server.log").open("wb")
    server = subprocess.Popen(
        [
            program,
            "--no-defaults",
            *common,
            f"--socket={socket}",
            "--skip-networking",
            f"--pid-file={folder / 'server.pid'}",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=64M",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    url = (
        f"mariadb+pymysql://root@localhost/?unix_socket={quote(str(socket), safe='')}"
        "&charset=utf8mb4"
    )
    try:
        _wait(url, server, folder / "server.log")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            connect(url).close()
        except pymysql.err.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"mariadbd did not start: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.1)
        else:
            return


def new_database(url: str) -> Callable[[], str]:
    """Give a function that creates further databases on the server of a test's URL."""

    def create() -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        connection = connect(url)
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        connection.close()
        return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))

    return create
