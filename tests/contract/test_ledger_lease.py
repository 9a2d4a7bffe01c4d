"""The lease on every database: one leader at a time, and a former one writes nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from support.ledgers import LINEAGE, MLFLOW, STACK, events, key, seen

from exporter.errors import LeaseHeld, LeaseLost
from exporter.ledger import (
    AppliedUnit,
    CycleRecord,
    ExperimentRow,
    Lease,
    Ledger,
    OutboxMark,
    Rescan,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_free_lease_is_taken_and_told(ledger: Ledger) -> None:
    assert ledger.leases.holder() is None
    lease = ledger.leases.acquire("one", 60)
    holder = ledger.leases.holder()
    assert (lease.owner, lease.token) == ("one", 1)
    assert holder is not None
    assert (holder.owner, holder.token) == ("one", 1)
    assert 55 < holder.expires_in_s <= 60


def test_a_held_lease_is_refused_with_its_holder(ledger: Ledger) -> None:
    ledger.leases.acquire("one", 60)
    with pytest.raises(LeaseHeld, match="held by one") as refused:
        ledger.leases.acquire("two", 60)
    assert refused.value.context["owner"] == "one"
    assert 55 < float(str(refused.value.context["expires_in_s"])) <= 60


def test_a_lease_given_back_is_free_at_once_and_its_token_does_not_return(ledger: Ledger) -> None:
    first = ledger.leases.acquire("one", 60)
    ledger.leases.release(first)
    ledger.leases.release(first)
    assert ledger.leases.holder() is None
    assert ledger.leases.acquire("two", 60).token == first.token + 1


def test_a_lease_that_ran_out_may_be_renewed_until_somebody_takes_it(ledger: Ledger) -> None:
    first = ledger.leases.acquire("one", 0)
    assert ledger.leases.renew(first).token == first.token
    second = ledger.leases.acquire("two", 60)
    assert second.token == first.token + 1
    with pytest.raises(LeaseLost):
        ledger.leases.renew(first)
    ledger.leases.release(first)
    holder = ledger.leases.holder()
    assert holder is not None
    assert holder.owner == "two"


WHOLE = "openlineage/whole"
WRITES: dict[str, Callable[[Ledger, Lease], object]] = {
    "save_cursor": lambda g, t: g.units.save_cursor(t, STACK, {"at": 9}, "policy"),
    "register_sinks": lambda g, t: g.units.register_sinks(t, STACK, ["another"]),
    "record_pipelines": lambda g, t: g.units.record_pipelines(t, STACK, ["another"]),
    "record": lambda g, t: g.units.record(t, STACK, [seen(2)], 9),
    "mark_gone": lambda g, t: g.units.mark_gone(t, STACK, ["1"], 9),
    "skip": lambda g, t: g.units.skip(t, MLFLOW, [(key(1), "first")], 9),
    "fail": lambda g, t: g.units.fail(
        t, MLFLOW, key(1), error="e", kind="k", dead=True, next_at=None, now=9
    ),
    "fail_run": lambda g, t: g.units.fail_run(
        t, STACK, "9", pipeline="p", run="r", error="e", kind="k", now=9
    ),
    "save_rescan": lambda g, t: g.units.save_rescan(t, STACK, Rescan(("1",), 1, turn_ends=True), 9),
    "begin": lambda g, t: g.bindings.begin(t, MLFLOW, [key(1)], "process", 9),
    "finish": lambda g, t: g.bindings.finish(t, MLFLOW, [AppliedUnit(key(1), "first")], 9),
    "save": lambda g, t: g.bindings.save(t, MLFLOW, {key(1): {key(1): "other"}}),
    "save_experiment": lambda g, t: g.bindings.save_experiment(
        t, MLFLOW, key("train"), ExperimentRow("9", "there", scanned=True)
    ),
    "forget_pipeline": lambda g, t: g.bindings.forget_pipeline(
        t, MLFLOW, STACK, "train", key("train")
    ),
    "save_contents": lambda g, t: g.bindings.save_contents(t, STACK, "policy", {"a": "{}"}),
    "enqueue": lambda g, t: g.outbox.enqueue(
        t, [OutboxMark(LINEAGE, key(1), "first", events(7))], 9
    ),
    "next_runs": lambda g, t: g.outbox.next_runs(t, WHOLE, limit=9, now=9),
    "acknowledge": lambda g, t: g.outbox.acknowledge(t, LINEAGE, [1], 9),
    "retry_event": lambda g, t: g.outbox.retry_event(t, 1, next_at=99, status=500, body="b"),
    "dead_event": lambda g, t: g.outbox.dead_event(t, 1, status=400, body="b", now=9),
    "retry": lambda g, t: g.dead.retry(t),
    "drop": lambda g, t: g.dead.drop(t),
    "cycle": lambda g, t: g.cycles.record(t, CycleRecord(1, 2, ok=True, report={})),
}


def test_no_write_of_a_former_leader_changes_a_single_row(ledger: Ledger) -> None:
    first = ledger.leases.acquire("one", 0)
    ledger.units.register_sinks(first, STACK, [MLFLOW, LINEAGE])
    ledger.units.record(first, STACK, [seen(1, artifacts=("a",))], 1)
    ledger.outbox.enqueue(first, [OutboxMark(LINEAGE, key(1), "first", events(1))], 1)
    half = OutboxMark(WHOLE, key(1), "first", [*events(2), *events(3)], whole=True)
    ledger.outbox.enqueue(first, [half], 1)
    sent = ledger.outbox.next_runs(first, WHOLE, limit=9, now=1)
    ledger.outbox.acknowledge(first, WHOLE, [sent[0].seq], 1, whole=True)
    ledger.units.fail_run(first, STACK, "8", pipeline="p", run="r", error="e", kind="k", now=1)
    ledger.leases.acquire("two", 60)
    before = dump(ledger)
    for name, write in WRITES.items():
        with pytest.raises(LeaseLost, match="taken over"):
            write(ledger, first)
        assert dump(ledger) == before, name


def test_every_writing_method_is_fenced() -> None:
    parts = ("units", "bindings", "outbox", "dead", "cycles")
    taking_a_lease = 0
    for part in parts:
        cls = Ledger.__init__.__globals__[{"dead": "DeadLetters"}.get(part, part.capitalize())]
        for name, method in vars(cls).items():
            if not name.startswith("_") and "lease" in method.__annotations__:
                taking_a_lease += 1
    assert taking_a_lease == len(WRITES)


def test_of_many_that_reach_for_a_free_lease_one_gets_it(ledger: Ledger) -> None:
    won: list[Lease] = []
    refused: list[LeaseHeld] = []
    barrier = threading.Barrier(8)

    def reach(name: str) -> None:
        barrier.wait()
        try:
            won.append(ledger.leases.acquire(name, 60))
        except LeaseHeld as held:
            refused.append(held)

    threads = [threading.Thread(target=reach, args=(f"p{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 7)


def dump(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    """Give every row of every table but the lease's."""
    from exporter.ledger.schema import metadata

    with ledger._database.read() as connection:
        return {
            table.name: sorted(
                (tuple(row) for row in connection.execute(text(f"SELECT * FROM {table.name}"))),
                key=repr,
            )
            for table in metadata.sorted_tables
            if table.name != "leases"
        }
