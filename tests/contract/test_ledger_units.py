"""Units on every database: what is new, what changed, what each sink lacks, and the totals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.ledgers import LINEAGE, MLFLOW, STACK, events, key, seen

from exporter.errors import StateError
from exporter.ledger import AppliedUnit, Lease, Ledger, OutboxMark, Totals

if TYPE_CHECKING:
    from collections.abc import Sequence

SINKS = [MLFLOW, LINEAGE]


def pending(ledger: Ledger, sink: str, *, now: int = 0) -> list[str]:
    return [unit.source_id for unit in ledger.units.pending(STACK, sink, now=now)]


def finish(ledger: Ledger, lease: Lease, numbers: Sequence[int], fingerprint: str) -> None:
    applied = [AppliedUnit(key(n), fingerprint, {key(n): f"mlflow-{n}"}) for n in numbers]
    ledger.bindings.finish(lease, MLFLOW, applied, 5)


def test_a_new_unit_is_pending_for_every_sink_in_order_of_discovery(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, SINKS)
    outcome = ledger.units.record(lease, STACK, [seen(3), seen(1), seen(2)], 10)
    assert outcome == (("3", "1", "2"), (), ())
    assert pending(ledger, MLFLOW) == ["3", "1", "2"] == pending(ledger, LINEAGE)
    states = ledger.units.known(STACK, ["1", "2", "9"])
    assert set(states) == {"1", "2"}
    assert states["1"].first_seen_ms == 10
    assert states["1"].key == key(1)


def test_the_same_page_again_changes_nothing(ledger: Ledger, lease: Lease) -> None:
    ledger.units.register_sinks(lease, STACK, SINKS)
    ledger.units.record(lease, STACK, [seen(1), seen(2)], 10)
    finish(ledger, lease, [1, 2], "first")
    assert ledger.units.record(lease, STACK, [seen(1), seen(2)], 20) == ((), (), ("1", "2"))
    assert pending(ledger, MLFLOW) == []
    assert ledger.units.known(STACK, ["1"])["1"].first_seen_ms == 10


def test_a_changed_unit_is_pending_again_and_its_dead_letter_withdrawn(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, SINKS)
    ledger.units.record(lease, STACK, [seen(1), seen(2)], 10)
    finish(ledger, lease, [1], "first")
    fail(ledger, lease, 2, dead=True)
    assert ledger.units.totals(STACK).dead == 1
    outcome = ledger.units.record(
        lease, STACK, [seen(1, fingerprint="second"), seen(2, fingerprint="second")], 20
    )
    assert outcome.changed == ("1", "2")
    assert pending(ledger, MLFLOW) == ["1", "2"]
    assert ledger.dead.letters() == []
    assert ledger.units.known(STACK, ["1"])["1"].first_seen_ms == 20
    state = ledger.units.sink_states(MLFLOW, [key(1)])[key(1)]
    assert (state.progress, state.fingerprint, state.attempts) == ("pending", "first", 0)


def test_a_unit_that_changed_while_a_sink_worked_on_it_stays_pending(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, SINKS)
    ledger.units.record(lease, STACK, [seen(1)], 10)
    ledger.units.record(lease, STACK, [seen(1, fingerprint="second")], 20)
    finish(ledger, lease, [1], "first")
    assert pending(ledger, MLFLOW) == ["1"]
    finish(ledger, lease, [1], "second")
    assert pending(ledger, MLFLOW) == []


def test_a_new_sink_has_every_unit_to_do_and_one_that_left_catches_up(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.record(lease, STACK, [seen(1)], 10)
    ledger.units.register_sinks(lease, STACK, [MLFLOW])
    assert pending(ledger, MLFLOW) == ["1"]
    assert ledger.units.totals(STACK).pending == {MLFLOW: 1}
    finish(ledger, lease, [1], "first")
    ledger.units.register_sinks(lease, STACK, [LINEAGE])
    ledger.units.record(lease, STACK, [seen(2)], 20)
    assert pending(ledger, MLFLOW) == []
    assert ledger.units.count_pending(STACK) == 2
    ledger.units.register_sinks(lease, STACK, SINKS)
    assert pending(ledger, MLFLOW) == ["2"]
    assert ledger.units.totals(STACK).done == {MLFLOW: 1}


def test_pages_of_pending_units_follow_each_other(ledger: Ledger, lease: Lease) -> None:
    ledger.units.register_sinks(lease, STACK, SINKS)
    ledger.units.record(lease, STACK, [seen(n) for n in range(7)], 10)
    found: list[str] = []
    after = 0
    while page := ledger.units.pending(STACK, MLFLOW, now=0, after=after, limit=3):
        found += [unit.source_id for unit in page]
        after = page[-1].position
    assert found == [str(n) for n in range(7)]


def test_a_failed_unit_waits_for_its_time_and_a_dead_one_for_a_person(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, SINKS)
    ledger.units.record(lease, STACK, [seen(1)], 10)
    assert fail(ledger, lease, 1, next_at=100) == 1
    assert pending(ledger, MLFLOW, now=99) == []
    assert pending(ledger, MLFLOW, now=100) == ["1"]
    assert fail(ledger, lease, 1, dead=True) == 2
    assert pending(ledger, MLFLOW, now=100) == []
    (letter,) = ledger.dead.letters()
    assert (letter.what, letter.sink, letter.source_id, letter.run) == (
        "unit",
        MLFLOW,
        "1",
        "run-1",
    )
    assert (letter.error, letter.kind, letter.attempts, letter.since_ms) == ("refused", "k", 2, 50)


def test_unfinished_and_unsettled_units_are_open_and_lineage_may_pass_them_by(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, SINKS)
    page = [seen(1, unfinished=True), seen(2, settled=False), seen(3)]
    ledger.units.record(lease, STACK, page, 10)
    assert ledger.units.open(STACK) == ["1", "2"]
    assert ledger.units.totals(STACK).waiting == 2
    settled = ledger.units.pending(STACK, LINEAGE, now=0, settled_only=True)
    assert [unit.source_id for unit in settled] == ["3"]
    ledger.units.record(lease, STACK, [seen(2)], 20)
    assert ledger.units.open(STACK) == ["1"]
    settled = ledger.units.pending(STACK, LINEAGE, now=0, settled_only=True)
    assert [unit.source_id for unit in settled] == ["2", "3"]


def test_totals_count_distinct_artifacts_and_follow_every_change(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, [MLFLOW])
    page = [
        seen(1, artifacts=("a", "b", "a")),
        seen(2, artifacts=("b", "c"), pipeline="score", steps=4),
    ]
    ledger.units.record(lease, STACK, page, 10)
    assert sizes(ledger) == (2, 2, 7, 3)
    ledger.units.record(lease, STACK, [seen(1, fingerprint="x", artifacts=("d",), steps=1)], 20)
    assert sizes(ledger) == (2, 2, 5, 3)
    ledger.units.mark_gone(lease, STACK, ["2"], 30)
    assert sizes(ledger) == (1, 1, 1, 1)
    ledger.units.record(lease, STACK, [page[1]], 40)
    assert sizes(ledger) == (2, 2, 5, 3)


def test_pipelines_without_runs_are_counted_while_the_source_lists_them(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.record(lease, STACK, [seen(1, pipeline="train")], 10)
    ledger.units.record_pipelines(lease, STACK, ["train", "empty", "x" * 10_000, "nul\0"])
    assert ledger.units.totals(STACK).pipelines == 4
    ledger.units.record_pipelines(lease, STACK, ["train", "empty"])
    assert ledger.units.totals(STACK).pipelines == 2
    ledger.units.record_pipelines(lease, STACK, [])
    assert ledger.units.totals(STACK).pipelines == 1
    ledger.units.mark_gone(lease, STACK, ["1"], 20)
    assert ledger.units.totals(STACK).pipelines == 0


def test_a_vanished_unit_is_told_once_and_pending_until_each_sink_knows(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, SINKS)
    ledger.units.record(lease, STACK, [seen(1), seen(2)], 10)
    finish(ledger, lease, [1, 2], "first")
    gone = ledger.units.mark_gone(lease, STACK, ["1", "404"], 20)
    assert [(unit.source_id, unit.gone) for unit in gone] == [("1", True)]
    assert ledger.units.mark_gone(lease, STACK, ["1"], 30) == []
    (unit,) = ledger.units.pending(STACK, MLFLOW, now=0)
    assert (unit.source_id, unit.gone) == ("1", True)
    ledger.units.skip(lease, MLFLOW, [(key(1), "whatever the sink held")], 40)
    assert pending(ledger, MLFLOW) == []
    back = ledger.units.record(lease, STACK, [seen(1)], 50)
    assert back.changed == ("1",)
    assert pending(ledger, MLFLOW) == ["1"]


def test_a_rebuilt_store_that_numbers_its_runs_anew_keeps_every_unit(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, [MLFLOW])
    ledger.units.record(lease, STACK, [seen(n) for n in (1, 2, 3)], 10)
    finish(ledger, lease, [1, 2, 3], "first")
    swapped = [seen(1, source_id="2"), seen(2, source_id="1"), seen(3, source_id="9")]
    outcome = ledger.units.record(lease, STACK, swapped, 20)
    assert outcome.unchanged == ("2", "1", "9")
    assert pending(ledger, MLFLOW) == []
    known = ledger.units.known(STACK, ["1", "2", "3", "9"])
    assert {source: unit.key for source, unit in known.items()} == {
        "1": key(2),
        "2": key(1),
        "9": key(3),
    }


def test_a_run_that_takes_anothers_place_makes_that_one_vanish(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, [MLFLOW])
    ledger.units.record(lease, STACK, [seen(1)], 10)
    finish(ledger, lease, [1], "first")
    ledger.units.record(lease, STACK, [seen(2, source_id="1")], 20)
    units = ledger.units.pending(STACK, MLFLOW, now=0)
    assert [(unit.key, unit.source_id, unit.gone) for unit in units] == [
        (key(1), "", True),
        (key(2), "1", False),
    ]
    assert ledger.units.totals(STACK).runs == 1
    assert ledger.units.source_ids(STACK, [key(1), key(2)]) == ["1"]


def test_an_unreadable_run_is_a_dead_letter_until_it_can_be_read(
    ledger: Ledger, lease: Lease
) -> None:
    def cannot_read(error: str) -> bool:
        return ledger.units.fail_run(
            lease, STACK, "7", pipeline="p", run="r", error=error, kind="unknown_flavour", now=10
        )

    assert cannot_read("odd")
    assert not cannot_read("odd")
    totals = ledger.units.totals(STACK)
    assert (totals.runs, totals.dead) == (1, 1)
    assert ledger.dead.drop(lease) == 1
    assert not cannot_read("odd")
    assert ledger.dead.letters() == []
    assert cannot_read("odder")
    assert ledger.dead.retry(lease) == 1
    assert ledger.units.open(STACK) == ["7"]
    assert cannot_read("odder")
    assert ledger.units.open(STACK) == []
    ledger.units.record(lease, STACK, [seen(7)], 20)
    totals = ledger.units.totals(STACK)
    assert (totals.runs, totals.dead) == (1, 0)


@pytest.mark.parametrize("given_up", [False, True])
def test_a_run_that_vanishes_before_it_could_be_read_is_withdrawn(
    ledger: Ledger, lease: Lease, *, given_up: bool
) -> None:
    for number in ("7", "8"):
        ledger.units.fail_run(
            lease, STACK, number, pipeline="p", run="r", error="odd", kind="k", now=10
        )
    if given_up:
        ledger.dead.drop(lease)
    assert ledger.units.unread(STACK) == ["7", "8"]
    assert ledger.units.unread(STACK, ["8", "404"]) == ["8"]
    assert ledger.units.unread("other") == []
    assert ledger.units.mark_gone(lease, STACK, ["8"], 20) == []
    assert ledger.units.unread(STACK) == ["7"]
    assert ledger.units.totals(STACK).runs == 1


def test_a_run_is_waiting_or_dead_or_pending_but_never_two_of_these(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, SINKS)
    page = [seen(1, unfinished=True), seen(2, unfinished=True), seen(3), seen(4)]
    ledger.units.record(lease, STACK, page, 10)
    fail(ledger, lease, 1, dead=True)
    fail(ledger, lease, 3, dead=True)
    totals = ledger.units.totals(STACK)
    assert (totals.waiting, totals.dead, ledger.units.count_pending(STACK)) == (1, 2, 1)


def test_the_count_of_stale_runs_is_of_those_that_a_cycle_aborts(
    ledger: Ledger, lease: Lease
) -> None:
    times = [(50, 10), (51, 10), (None, 50), (None, 51), (None, None), (10, 99), (99, 10)]
    page = [
        replace(seen(n, unfinished=going), changed_ms=changed, start_ms=start)
        for n, (changed, start, going) in enumerate(
            (changed, start, going) for changed, start in times for going in (True, False)
        )
    ]
    ledger.units.record(lease, STACK, page, 10)
    stale = [(unit.changed_ms, unit.start_ms) for unit in page if unit.is_stale(50)]
    assert stale == [(50, 10), (None, 50), (10, 99)]
    assert ledger.units.count_stale(STACK, before_ms=50) == len(stale)


def test_the_rescan_goes_round_in_slices_and_moves_only_when_saved(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.record(lease, STACK, [seen(n) for n in range(5)], 10)
    first = ledger.units.next_rescan(STACK, 3)
    assert first.source_ids == ("0", "1", "2")
    assert not first.turn_ends
    assert ledger.units.next_rescan(STACK, 3) == first
    ledger.units.save_rescan(lease, STACK, first, 100)
    assert ledger.units.turn(STACK) == (100, None, None)
    second = ledger.units.next_rescan(STACK, 3)
    assert second.source_ids == ("3", "4")
    assert second.turn_ends
    ledger.units.save_rescan(lease, STACK, second, 160)
    assert ledger.units.turn(STACK) == (None, 100, 160)
    assert ledger.units.next_rescan(STACK, 5).source_ids == ("0", "1", "2", "3", "4")
    assert ledger.units.next_rescan(STACK, 5, after=second.position).source_ids == ()


def test_the_rescan_ends_its_turn_with_the_runs_that_could_never_be_read(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.record(lease, STACK, [seen(n) for n in range(3)], 10)
    for number in ("1", "7", "8", "9"):
        ledger.units.fail_run(
            lease, STACK, number, pipeline="p", run="r", error="odd", kind="k", now=10
        )
    ledger.dead.drop(lease, [letter.id for letter in ledger.dead.letters()][:2])
    slices = []
    for now in range(4):
        rescan = ledger.units.next_rescan(STACK, 2)
        slices.append((rescan.source_ids, rescan.turn_ends))
        ledger.units.save_rescan(lease, STACK, rescan, now)
    assert slices[:3] == [(("0", "1"), False), (("2", "7"), False), (("8", "9"), True)]
    assert slices[3] == slices[0]
    assert ledger.units.next_rescan(STACK, 9, after=0).source_ids == ("0", "1", "2", "7", "8", "9")


def test_cursors_are_kept_per_stack_with_their_policy(ledger: Ledger, lease: Lease) -> None:
    assert ledger.units.cursor(STACK) == (None, None)
    ledger.units.save_cursor(lease, STACK, {"execution": 7, "odd": "\ud800\0"}, "digest")
    assert ledger.units.cursor(STACK) == ({"execution": 7, "odd": "\ud800\0"}, "digest")
    assert ledger.units.cursor("other") == (None, None)
    ledger.units.save_rescan(lease, STACK, ledger.units.next_rescan(STACK, 5), 1)
    assert ledger.units.cursor(STACK).policy == "digest"


def test_two_stacks_may_use_the_same_source_ids(ledger: Ledger, lease: Lease) -> None:
    ledger.units.record(lease, STACK, [seen(1, artifacts=("a",))], 10)
    ledger.units.record(lease, "other", [seen(2, source_id="1", artifacts=("a",))], 10)
    assert ledger.units.known(STACK, ["1"])["1"].key == key(1)
    assert ledger.units.known("other", ["1"])["1"].key == key(2)
    assert ledger.units.totals("other").artifacts == 1


def test_odd_characters_and_long_names_survive(ledger: Ledger, lease: Lease) -> None:
    names = ["quote ' \" #", "emoji 🐍", "nul \0", "lone \udcff", "\ufdd00000", "x" * 9_000]
    units = [seen(n, pipeline=name, artifacts=(name[:900],)) for n, name in enumerate(names)]
    ledger.units.record(lease, STACK, units, 10)
    known = ledger.units.known(STACK, [str(n) for n in range(len(names))])
    assert [known[str(n)].pipeline for n in range(len(names))] == names
    assert ledger.units.record(lease, STACK, units, 20).unchanged == tuple("012345")
    assert sizes(ledger)[3] == len(names)


def test_a_unit_that_was_never_recorded_cannot_be_marked(ledger: Ledger, lease: Lease) -> None:
    with pytest.raises(StateError, match="does not know"):
        ledger.outbox.enqueue(lease, [OutboxMark(LINEAGE, key(404), "first", events(1))], 1)
    assert ledger.outbox.counts(LINEAGE) == (0, 0, 0)


def test_an_unknown_stack_is_empty(ledger: Ledger) -> None:
    assert ledger.units.totals("nowhere") == Totals(0, 0, 0, 0, 0, 0)
    assert ledger.units.open("nowhere") == []
    assert ledger.units.next_rescan("nowhere", 5) == ((), 0, True)
    assert ledger.units.turn("nowhere") == (None, None, None)


def fail(
    ledger: Ledger, lease: Lease, number: int, *, dead: bool = False, next_at: int | None = None
) -> int:
    return ledger.units.fail(
        lease, MLFLOW, key(number), error="refused", kind="k", dead=dead, next_at=next_at, now=50
    )


def sizes(ledger: Ledger) -> tuple[int, int, int, int]:
    totals = ledger.units.totals(STACK)
    return totals.pipelines, totals.runs, totals.steps, totals.artifacts
