"""A cycle without news costs the same, in statements and in work, whatever the ledger holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import event
from support.ledgers import LINEAGE, MLFLOW, STACK, events, key, seen, statements

from exporter.ledger import AppliedUnit, CycleRecord, Ledger, OutboxMark

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.ledger import Lease, SeenUnit

SMALL, LARGE = 2_000, 12_000
SLICE = 200
_OPCODES = 100


def test_a_cycle_without_news_costs_the_same_at_any_size(tmp_path: Path) -> None:
    costs = [cost_of_quiet_cycle(tmp_path / f"{size}.db", size) for size in (SMALL, LARGE)]
    (small_statements, small_work), (large_statements, large_work) = costs
    assert large_statements == small_statements < 60
    assert large_work <= 1.15 * small_work, costs


def test_recording_a_page_takes_statements_by_its_size_only(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/state.db") as ledger:
        lease = ledger.leases.acquire("test", 600)
        ledger.units.register_sinks(lease, STACK, [MLFLOW, LINEAGE])
        counts = []
        for start in (0, 200, 5_000):
            page = [unit(n) for n in range(start, start + 200)]
            with statements(ledger) as made:
                ledger.units.record(lease, STACK, page, 1)
            counts.append(len(made))
        assert counts[0] == counts[1] == counts[2] < 25


def cost_of_quiet_cycle(path: Path, size: int) -> tuple[int, int]:
    """Give the statements and the hundreds of SQLite opcodes of a cycle that finds nothing new."""
    work = 0

    def worked() -> int:
        nonlocal work
        work += 1
        return 0

    with Ledger.open(f"sqlite:///{path}") as ledger:
        lease = ledger.leases.acquire("test", 600)
        fill(ledger, lease, size)
        event.listen(
            ledger._database.engine,
            "checkout",
            lambda connection, *_: connection.set_progress_handler(worked, _OPCODES),
        )
        with statements(ledger) as made:
            quiet_cycle(ledger, lease)
    return len(made), work


def fill(ledger: Ledger, lease: Lease, size: int) -> None:
    ledger.units.register_sinks(lease, STACK, [MLFLOW, LINEAGE])
    for start in range(0, size, 2_000):
        numbers = range(start, start + 2_000)
        ledger.units.record(lease, STACK, [unit(n) for n in numbers], 1)
        applied = [AppliedUnit(key(n), "first", {key(n): str(n)}) for n in numbers]
        ledger.bindings.finish(lease, MLFLOW, applied, 2)
        marks = [OutboxMark(LINEAGE, key(n), "first", events(n)) for n in numbers]
        ledger.outbox.enqueue(lease, marks, 3)
        while rows := ledger.outbox.next_events(LINEAGE, limit=2_000, now=3):
            ledger.outbox.acknowledge(lease, LINEAGE, [row.seq for row in rows], 3)


def quiet_cycle(ledger: Ledger, lease: Lease) -> None:
    """Do what a cycle asks of the ledger when the source shows nothing new."""
    units = ledger.units
    units.register_sinks(lease, STACK, [MLFLOW, LINEAGE])
    units.cursor(STACK)
    assert ledger.bindings.open_intents(MLFLOW) == {}
    units.save_cursor(lease, STACK, {"at": 1}, "policy")
    assert units.open(STACK) == []
    assert units.pending(STACK, MLFLOW, now=9) == []
    assert units.pending(STACK, LINEAGE, now=9, settled_only=True) == []
    rescan = units.next_rescan(STACK, SLICE)
    assert len(units.known(STACK, rescan.source_ids)) == SLICE
    page = [unit(int(source_id)) for source_id in rescan.source_ids]
    assert len(units.record(lease, STACK, page, 9).unchanged) == SLICE
    units.save_rescan(lease, STACK, rescan, 9)
    assert ledger.outbox.next_events(LINEAGE, limit=100, now=9) == []
    assert ledger.outbox.counts(LINEAGE).pending == 0
    assert units.totals(STACK).runs >= SMALL
    assert units.count_pending(STACK) == 0
    ledger.cycles.record(lease, CycleRecord(1, 2, ok=True, report={}))


def unit(number: int) -> SeenUnit:
    return seen(number, artifacts=(f"a{number}", f"a{number - 1}"), pipeline=f"p{number % 7}")
