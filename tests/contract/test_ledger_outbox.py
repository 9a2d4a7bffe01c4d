"""The outbox on every database: entry with the mark, order, lanes, answers, dead letters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.ledgers import LINEAGE, STACK, Event, events, key, seen, statements

from exporter.errors import StateError
from exporter.ledger import CycleRecord, Lease, Ledger, Made, OutboxMark

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def recorded(ledger: Ledger, lease: Lease) -> Ledger:
    """Give a ledger that knows three units."""
    ledger.units.register_sinks(lease, STACK, [LINEAGE])
    ledger.units.record(lease, STACK, [seen(n) for n in (1, 2, 3)], 1)
    return ledger


def enqueue(
    ledger: Ledger, lease: Lease, number: int, given: Sequence[Event], fingerprint: str = "first"
) -> int:
    return ledger.outbox.enqueue(lease, [OutboxMark(LINEAGE, key(number), fingerprint, given)], 5)


def due(ledger: Ledger, *, now: int = 0, limit: int = 100) -> list[str]:
    rows = ledger.outbox.next_events(LINEAGE, limit=limit, now=now)
    return [row.content_hash for row in rows]


def lane_event(lane: str, name: str) -> Event:
    return Event(lane, name, "START", name, b"{}")


def test_events_enter_with_the_mark_of_their_unit_and_leave_in_that_order(
    recorded: Ledger, lease: Lease
) -> None:
    marks = [OutboxMark(LINEAGE, key(n), "first", events(n)) for n in (2, 1)]
    assert recorded.outbox.enqueue(lease, marks, 5) == 4
    assert due(recorded) == ["2-START-1", "2-COMPLETE-1", "1-START-1", "1-COMPLETE-1"]
    assert due(recorded, limit=1) == ["2-START-1"]
    pending = recorded.units.pending(STACK, LINEAGE, now=0)
    assert [unit.source_id for unit in pending] == ["3"]
    rows = recorded.outbox.next_events(LINEAGE, limit=1, now=0)
    assert (rows[0].body, rows[0].attempts, rows[0].event_type) == (b"START", 0, "START")


def test_a_page_ends_with_the_event_that_fills_its_bytes(recorded: Ledger, lease: Lease) -> None:
    bodies = [b"x" * 10, b"x" * 5, b"x"]
    given = [Event(f"{n}", f"{n}", "START", f"{n}", body) for n, body in enumerate(bodies)]
    enqueue(recorded, lease, 1, given)

    def page(max_bytes: int) -> int:
        rows = recorded.outbox.next_events(LINEAGE, limit=9, now=0, max_bytes=max_bytes)
        return len(rows)

    assert [page(size) for size in (1, 10, 11, 15, 16, 99)] == [1, 1, 2, 2, 3, 3]


def test_what_says_the_same_does_not_enter_again_and_what_changed_does(
    recorded: Ledger, lease: Lease
) -> None:
    enqueue(recorded, lease, 1, events(1))
    assert enqueue(recorded, lease, 1, events(1)) == 0
    deliver_all(recorded, lease)
    assert enqueue(recorded, lease, 1, events(1)) == 0
    changed = [events(1)[0], events(1, version="2")[1]]
    assert enqueue(recorded, lease, 1, changed) == 1
    assert due(recorded) == ["1-COMPLETE-2"]
    deliver_all(recorded, lease)
    assert enqueue(recorded, lease, 1, events(1)) == 1


def test_destinations_do_not_know_of_each_other(recorded: Ledger, lease: Lease) -> None:
    enqueue(recorded, lease, 1, events(1))
    other = OutboxMark("openlineage/other", key(1), "first", events(1))
    assert recorded.outbox.enqueue(lease, [other], 5) == 2
    deliver_all(recorded, lease)
    assert recorded.outbox.counts(LINEAGE) == (0, 2, 0)
    assert recorded.outbox.counts("openlineage/other") == (2, 0, 0)


def test_a_lane_waits_behind_its_failing_event_and_the_others_go_on(
    recorded: Ledger, lease: Lease
) -> None:
    given = [lane_event("a", "a1"), lane_event("a", "a2"), lane_event("b", "b1")]
    enqueue(recorded, lease, 1, given)
    first = recorded.outbox.next_events(LINEAGE, limit=1, now=0)[0]
    recorded.outbox.retry_event(lease, first.seq, next_at=100, status=503, body="busy")
    assert due(recorded, now=99) == ["b1"]
    assert due(recorded, now=100) == ["a1", "a2", "b1"]
    rows = recorded.outbox.next_events(LINEAGE, limit=2, now=100)
    assert [(row.content_hash, row.attempts) for row in rows] == [("a1", 1), ("a2", 0)]


def test_a_dead_event_frees_its_lane_and_says_what_was_answered(
    recorded: Ledger, lease: Lease
) -> None:
    given = [lane_event("a", "a1"), lane_event("a", "a2")]
    enqueue(recorded, lease, 1, given)
    seq = recorded.outbox.next_events(LINEAGE, limit=1, now=0)[0].seq
    recorded.outbox.dead_event(lease, seq, status=422, body="no \0 such field", now=9)
    recorded.outbox.dead_event(lease, seq, status=422, body="again", now=9)
    recorded.outbox.acknowledge(lease, LINEAGE, [seq], 9)
    assert due(recorded) == ["a2"]
    assert recorded.outbox.counts(LINEAGE) == (1, 0, 1)
    (letter,) = recorded.dead.letters()
    assert (letter.what, letter.sink, letter.run, letter.event) == (
        "event",
        LINEAGE,
        "run-1",
        "START a1",
    )
    assert (letter.kind, letter.error, letter.attempts) == ("status_422", "no \0 such field", 1)


def test_a_dead_event_sent_back_leaves_again_before_its_successors(
    recorded: Ledger, lease: Lease
) -> None:
    enqueue(recorded, lease, 1, events(1))
    seq = recorded.outbox.next_events(LINEAGE, limit=1, now=0)[0].seq
    recorded.outbox.dead_event(lease, seq, status=None, body=None, now=9)
    (letter,) = recorded.dead.letters()
    assert recorded.dead.retry(lease, [letter.id, 404]) == 1
    assert due(recorded) == ["1-START-1", "1-COMPLETE-1"]
    assert recorded.outbox.counts(LINEAGE) == (2, 0, 0)
    assert recorded.dead.letters() == []


def test_a_dropped_event_never_leaves_and_a_changed_one_does(
    recorded: Ledger, lease: Lease
) -> None:
    enqueue(recorded, lease, 1, events(1))
    seq = recorded.outbox.next_events(LINEAGE, limit=1, now=0)[0].seq
    recorded.outbox.dead_event(lease, seq, status=400, body="no", now=9)
    assert recorded.dead.drop(lease) == 1
    assert enqueue(recorded, lease, 1, events(1)) == 0
    assert due(recorded) == ["1-COMPLETE-1"]
    assert recorded.outbox.counts(LINEAGE) == (1, 0, 0)
    assert enqueue(recorded, lease, 1, events(1, version="2")) == 2


def test_a_newer_event_takes_the_place_of_a_dead_one(recorded: Ledger, lease: Lease) -> None:
    enqueue(recorded, lease, 1, events(1))
    seq = recorded.outbox.next_events(LINEAGE, limit=1, now=0)[0].seq
    recorded.outbox.dead_event(lease, seq, status=400, body="no", now=9)
    enqueue(recorded, lease, 1, events(1, version="2"))
    assert recorded.dead.letters() == []
    assert recorded.outbox.counts(LINEAGE) == (3, 0, 0)


def test_acknowledged_events_are_counted_once_and_their_bodies_dropped(
    recorded: Ledger, lease: Lease
) -> None:
    enqueue(recorded, lease, 1, events(1))
    seqs = [row.seq for row in recorded.outbox.next_events(LINEAGE, limit=9, now=0)]
    recorded.outbox.acknowledge(lease, "openlineage/other", seqs, 9)
    assert recorded.outbox.counts(LINEAGE) == (2, 0, 0)
    recorded.outbox.acknowledge(lease, LINEAGE, seqs, 9)
    recorded.outbox.acknowledge(lease, LINEAGE, seqs, 9)
    assert recorded.outbox.counts(LINEAGE) == (0, 2, 0)
    with recorded._database.read() as connection:
        left = connection.exec_driver_sql(
            "SELECT COUNT(*) FROM outbox WHERE body IS NOT NULL"
        ).scalar_one()
    assert left == 0


def test_delivered_rows_do_not_pile_up_as_a_run_changes(recorded: Ledger, lease: Lease) -> None:
    for version in "123456":
        enqueue(recorded, lease, 1, events(1, version=version))
        deliver_all(recorded, lease)
    with recorded._database.read() as connection:
        rows = connection.exec_driver_sql("SELECT COUNT(*) FROM outbox").scalar_one()
    assert rows == 2
    assert recorded.outbox.counts(LINEAGE) == (0, 12, 0)


def test_marks_and_events_enter_together_or_not_at_all(recorded: Ledger, lease: Lease) -> None:
    broken = Event("lane", "run", "START", "hash", b"")
    with pytest.raises(StateError, match="without a body"):
        recorded.outbox.enqueue(
            lease,
            [
                OutboxMark(LINEAGE, key(1), "first", events(1)),
                OutboxMark(LINEAGE, key(2), "first", [broken]),
            ],
            5,
        )
    assert due(recorded) == []
    assert len(recorded.units.pending(STACK, LINEAGE, now=0)) == 3


def test_a_unit_sent_back_or_dropped_moves_between_the_counters(
    recorded: Ledger, lease: Lease
) -> None:
    for number in (1, 2):
        recorded.units.fail(
            lease, LINEAGE, key(number), error="e", kind="k", dead=True, next_at=None, now=3
        )
    first, second = recorded.dead.letters(stack=STACK)
    assert recorded.dead.letters(stack="other") == []
    assert recorded.dead.retry(lease, [first.id]) == 1
    assert recorded.dead.drop(lease, [second.id]) == 1
    assert recorded.units.totals(STACK).pending == {LINEAGE: 2}
    states = recorded.units.sink_states(LINEAGE, [key(1), key(2)])
    assert (states[key(1)].progress, states[key(2)].progress) == ("pending", "dropped")
    recorded.units.record(lease, STACK, [seen(2, fingerprint="second")], 9)
    assert recorded.units.totals(STACK).pending == {LINEAGE: 3}


def test_cycles_are_told_newest_first_and_old_ones_forgotten(ledger: Ledger, lease: Lease) -> None:
    assert ledger.cycles.last() == []
    cycles = [CycleRecord(n, n + 1, ok=n != 3, report={"n": n, "text": "é\0"}) for n in range(5)]
    for cycle in cycles:
        ledger.cycles.record(lease, cycle, keep=3)
    assert ledger.cycles.last() == [cycles[4]]
    assert ledger.cycles.last(9) == [cycles[4], cycles[3], cycles[2]]


def deliver_all(ledger: Ledger, lease: Lease) -> None:
    rows = ledger.outbox.next_events(LINEAGE, limit=1_000, now=0)
    ledger.outbox.acknowledge(lease, LINEAGE, [row.seq for row in rows], 6)


def test_of_versions_by_runs_without_an_end_the_newest_is_the_same_on_every_database(
    ledger: Ledger, lease: Lease
) -> None:
    ended = seen(1)
    endless = replace(seen(2), end_ms=None, changed_ms=1, start_ms=1)
    ledger.units.register_sinks(lease, STACK, [LINEAGE])
    ledger.units.record(lease, STACK, [ended, endless], 1)
    marks = [
        OutboxMark(
            LINEAGE,
            key(n),
            "first",
            events(n),
            whole=True,
            makes=[Made("acme model", f"artifact-{n}", f"run-{n}")],
            exact=True,
        )
        for n in (1, 2)
    ]
    ledger.outbox.enqueue(lease, marks, 5)
    rows = ledger.outbox.next_runs(lease, LINEAGE, limit=9, now=9)
    ledger.outbox.acknowledge(lease, LINEAGE, [row.seq for row in rows], 9, whole=True)
    ends = ledger.outbox.ends_of(LINEAGE, "acme model", ["artifact-2"])
    assert ends.read is not None
    assert ends.newest is not None
    assert (ends.read.run_id, ends.newest.run_id) == ("run-2", "run-1")


def test_marks_of_a_page_cost_the_same_statements_however_many_datasets_they_name(
    recorded: Ledger, lease: Lease
) -> None:
    counts = []
    for number, datasets in ((1, 1), (2, 30)):
        names = frozenset(f"acme dataset {number} {n}" for n in range(datasets))
        mark = OutboxMark(LINEAGE, key(number), "first", events(number), whole=True, datasets=names)
        with statements(recorded) as told:
            recorded.outbox.enqueue(lease, [mark], 5)
        counts.append(len(told))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("word", ["retry", "drop"])
def test_a_start_is_never_sent_again_without_its_end(
    recorded: Ledger, lease: Lease, word: str
) -> None:
    enqueue(recorded, lease, 1, events(1))
    start, end = recorded.outbox.next_events(LINEAGE, limit=9, now=0)
    recorded.outbox.dead_event(lease, start.seq, status=400, body="no", now=1)
    recorded.outbox.acknowledge(lease, LINEAGE, [end.seq], 2)
    assert recorded.outbox.counts(LINEAGE) == (0, 1, 1)
    if word == "drop":
        recorded.dead.drop(lease)
        assert due(recorded) == []
        with recorded._database.read() as connection:
            assert connection.exec_driver_sql("SELECT COUNT(body) FROM outbox").scalar() == 0
        return
    recorded.dead.retry(lease)
    again = recorded.outbox.next_events(LINEAGE, limit=9, now=0)
    assert [(row.event_type, row.body) for row in again] == [
        ("START", b"START"),
        ("COMPLETE", b"COMPLETE"),
    ]
    assert recorded.outbox.counts(LINEAGE) == (2, 0, 0)
    recorded.outbox.acknowledge(lease, LINEAGE, [row.seq for row in again], 3)
    assert recorded.outbox.counts(LINEAGE) == (0, 2, 0)
    assert recorded.outbox.counts_by_stack(LINEAGE)[STACK] == (0, 2, 0)
