"""Ledgers on real databases, and units and events to put into them."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from sqlalchemy import event

from exporter.ledger import Lease, Ledger, SeenUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STACK = "local_stack"
MLFLOW = "mlflow/test"
LINEAGE = "openlineage/events"


class Event(NamedTuple):
    """An event as small as the outbox allows."""

    lane: str
    run_id: str
    event_type: str
    content_hash: str
    body: bytes
    event_time: str = "2026-01-01T00:00:00Z"


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a ledger that is not there yet, on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    new_postgres: Callable[[], str] = request.getfixturevalue("new_postgres")
    return new_postgres()


@pytest.fixture
def ledger(state_url: str) -> Iterator[Ledger]:
    """Open a new ledger on each database."""
    with Ledger.open(state_url) as opened:
        yield opened


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    """Lead."""
    return ledger.leases.acquire("test", 600)


def key(number: int | str) -> str:
    """Give a key as the exporter makes them: 64 hex digits."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def seen(
    number: int,
    *,
    fingerprint: str = "first",
    source_id: str | None = None,
    pipeline: str = "train",
    artifacts: tuple[str, ...] = (),
    steps: int = 3,
    unfinished: bool = False,
    settled: bool = True,
) -> SeenUnit:
    """Give the run of a number as a source might show it."""
    return SeenUnit(
        key=key(number),
        source_id=str(number) if source_id is None else source_id,
        pipeline=pipeline,
        run=f"run-{number}",
        status="running" if unfinished else "completed",
        unfinished=unfinished,
        settled=settled,
        fingerprint=fingerprint,
        steps=steps,
        artifact_ids=artifacts,
        changed_ms=number,
        start_ms=number,
        end_ms=None if unfinished else number + 1,
    )


def events(number: int, *, version: str = "1") -> list[Event]:
    """Give the two events of a run, in one lane."""
    return [
        Event("lane", f"run-{number}", kind, f"{number}-{kind}-{version}", kind.encode())
        for kind in ("START", "COMPLETE")
    ]


@contextmanager
def statements(ledger: Ledger) -> Iterator[list[str]]:
    """Collect the statements that reach the database."""
    seen_statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen_statements.append(statement)

    engine = ledger._database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen_statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
