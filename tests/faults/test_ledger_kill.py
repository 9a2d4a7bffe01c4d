"""A process killed with SIGKILL in the middle of a write leaves the ledger whole."""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, event, text
from support.ledgers import LINEAGE, MLFLOW, STACK, events, key, seen

from exporter.errors import LeaseHeld, LeaseLost, StateUnavailable
from exporter.ledger import AppliedUnit, Lease, Ledger, OutboxMark, migrate, recording

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

# Children of a server that has imported everything: a fork each, not an interpreter each.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["exporter.ledger", "alembic.command", "psycopg", "pytest"])


def write_until_killed(url: str, at: int, when: str) -> None:
    """Write in three transactions; be killed at the `at`-th statement, just before or after it."""
    ledger = Ledger.open(url)
    lease = ledger.leases.acquire("child", 0)
    left = at

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(ledger._database.engine, when, count)
    page = [seen(n, fingerprint="second", artifacts=("a", str(n))) for n in range(6)]
    ledger.units.record(lease, STACK, page, 2)
    marks = [OutboxMark(LINEAGE, key(n), "second", events(n)) for n in range(6)]
    ledger.outbox.enqueue(lease, marks, 3)
    applied = [AppliedUnit(key(n), "second", {key(n): str(n)}) for n in range(6)]
    ledger.bindings.finish(lease, MLFLOW, applied, 4)


def create_and_be_killed(url: str) -> None:
    """Create a ledger; be killed when its tables are there but not committed."""
    run_migrations = migrate.run_migrations

    def and_be_killed(connection: Connection, target: str) -> None:
        run_migrations(connection, target)
        os.kill(os.getpid(), signal.SIGKILL)

    migrate.run_migrations = and_be_killed
    Ledger.open(url)


@pytest.mark.parametrize("when", ["before_cursor_execute", "after_cursor_execute"])
def test_a_killed_writer_leaves_whole_transactions_only(state_url: str, when: str) -> None:
    outcomes = set()
    for at in range(1, 60, 3):
        with Ledger.open(state_url) as ledger:
            reset(ledger)
        child = FORKS.Process(target=write_until_killed, args=(state_url, at, when))
        child.start()
        child.join()
        assert child.exitcode in (-signal.SIGKILL, 0)
        with Ledger.open(state_url) as ledger:
            outcomes.add(state(ledger))
        if not child.exitcode:
            break
    # Nothing; the units; the units and their events; everything.
    recorded = {s[0] for s in outcomes}
    assert recorded == {False, True}
    assert outcomes <= {
        (False, 0, 3, 3, 0),
        (True, 0, 6, 6, 0),
        (True, 12, 0, 6, 0),
        (True, 12, 0, 0, 6),
    }


def reset(ledger: Ledger) -> None:
    """Bring the ledger back to three units that no sink has taken."""
    lease = ledger.leases.acquire("parent", 0)
    with ledger._database.write(lease) as connection:
        for table in ("units", "unit_sinks", "artifacts", "pipelines", "counters", "outbox"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("DELETE FROM bindings"))
    ledger.units.register_sinks(lease, STACK, [MLFLOW, LINEAGE])
    ledger.units.record(lease, STACK, [seen(n, artifacts=("a",)) for n in range(3)], 1)


def state(ledger: Ledger) -> tuple[bool, int, int, int, int]:
    """Say what is there, after checking that counters and rows agree."""
    totals = ledger.units.totals(STACK)
    known = ledger.units.known(STACK, [str(n) for n in range(6)])
    second = [unit for unit in known.values() if unit.fingerprint == "second"]
    assert len(second) in (0, 6)
    assert totals.runs == len(known)
    assert totals.steps == 3 * len(known)
    assert totals.artifacts == (7 if second else 1)
    waiting = ledger.outbox.next_events(LINEAGE, limit=100, now=9)
    assert ledger.outbox.counts(LINEAGE).pending == len(waiting)
    for_lineage = ledger.units.pending(STACK, LINEAGE, now=9)
    for_mlflow = ledger.units.pending(STACK, MLFLOW, now=9)
    assert totals.pending == {MLFLOW: len(for_mlflow), LINEAGE: len(for_lineage)}
    bound = ledger.bindings.of(MLFLOW, [key(n) for n in range(6)])
    return bool(second), len(waiting), len(for_lineage), len(for_mlflow), len(bound)


def lead_stop_and_write(url: str, answers: Pipe[str, str]) -> None:
    """Lead for a moment, be stopped, and write when woken."""
    ledger = Ledger.open(url)
    lease = ledger.leases.acquire("child", 0.1)
    ledger.units.record(lease, STACK, [seen(1)], 1)
    answers.send("stopping")
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        ledger.units.record(lease, STACK, [seen(2)], 2)
    except LeaseLost:
        answers.send("lost")
    else:
        answers.send("wrote")


def test_a_leader_that_slept_past_its_lease_writes_nothing(state_url: str) -> None:
    here, there = FORKS.Pipe()
    child = FORKS.Process(target=lead_stop_and_write, args=(state_url, there))
    child.start()
    assert here.recv() == "stopping"
    assert child.pid is not None
    with Ledger.open(state_url) as ledger:
        lease = take_over(ledger)
        os.kill(child.pid, signal.SIGCONT)
        assert here.recv() == "lost"
        child.join()
        assert set(ledger.units.known(STACK, ["1", "2"])) == {"1"}
        assert ledger.leases.renew(lease).token == 2


def take_over(ledger: Ledger) -> Lease:
    """Take the lease as soon as it has run out."""
    while True:
        try:
            return ledger.leases.acquire("parent", 60)
        except LeaseHeld as held:
            if held.context["owner"] != "child":
                raise


@pytest.mark.parametrize("limit", ["IDLE_TIMEOUT_S", "TRANSACTION_TIMEOUT_S"])
def test_a_leader_stopped_in_mid_write_on_postgresql_is_taken_over_from(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    with Ledger.open(postgres_url) as stopped, Ledger.open(postgres_url) as other:
        monkeypatch.setattr(f"exporter.ledger.database.{limit}", 0.5)
        lease = stopped.leases.acquire("one", 0)
        taken: list[Lease] = []

        def write_and_stand_still() -> None:
            with stopped._database.write(lease) as connection:
                recording.record(connection, STACK, [seen(1)], 1)
                if limit == "IDLE_TIMEOUT_S":
                    connection.execute(text("SELECT 1"))
                taken.append(other.leases.acquire("two", 60))

        with pytest.raises(StateUnavailable, match="timeout"):
            write_and_stand_still()
        assert [new.token for new in taken] == [lease.token + 1]
        assert other.units.known(STACK, ["1"]) == {}


def test_a_new_ledger_whose_creation_was_killed_is_created_by_the_next_open(
    state_url: str,
) -> None:
    child = FORKS.Process(target=create_and_be_killed, args=(state_url,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    with Ledger.open(state_url) as ledger:
        lease = ledger.leases.acquire("test", 60)
        ledger.units.record(lease, STACK, [seen(1)], 1)
        mark = OutboxMark(LINEAGE, key(1), "first", events(1))
        assert ledger.outbox.enqueue(lease, [mark], 2) == 2
