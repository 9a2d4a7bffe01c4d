"""What an MLflow sink made of units, on every database: intents, bindings, homes, contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.ledgers import MLFLOW, STACK, key, seen

from exporter.ledger import AppliedUnit, ExperimentRow, Intent, Lease, Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = key("a step")


@pytest.fixture
def recorded(ledger: Ledger, lease: Lease) -> Ledger:
    """Give a ledger that knows three units."""
    ledger.units.register_sinks(lease, STACK, [MLFLOW])
    ledger.units.record(lease, STACK, [seen(n) for n in (1, 2, 3)], 1)
    return ledger


def test_an_intent_stays_open_until_its_unit_is_finished(recorded: Ledger, lease: Lease) -> None:
    recorded.bindings.begin(lease, MLFLOW, [key(1), key(2)], "process", 5)
    assert recorded.bindings.intents(MLFLOW, [key(1), key(3)]) == {
        key(1): Intent("process", 5, recheck=False)
    }
    finish(recorded, lease, [AppliedUnit(key(1), "first", {key(1): "run"})])
    assert set(recorded.bindings.open_intents(MLFLOW)) == {key(2)}
    assert recorded.bindings.open_intents("mlflow/other") == {}


def test_a_later_intent_takes_the_place_of_an_earlier_one(recorded: Ledger, lease: Lease) -> None:
    recorded.bindings.begin(lease, MLFLOW, [key(1)], "process", 5)
    recorded.bindings.begin(lease, MLFLOW, [key(1)], "another", 9)
    assert recorded.bindings.open_intents(MLFLOW) == {key(1): Intent("another", 9, recheck=False)}


def test_a_failure_leaves_the_intent_open(recorded: Ledger, lease: Lease) -> None:
    recorded.bindings.begin(lease, MLFLOW, [key(1)], "process", 5)
    recorded.units.fail(
        lease, MLFLOW, key(1), error="timeout", kind="transient", dead=False, next_at=9, now=6
    )
    assert set(recorded.bindings.open_intents(MLFLOW)) == {key(1)}


def test_a_unit_to_look_at_once_more_is_done_but_its_intent_stays(
    recorded: Ledger, lease: Lease
) -> None:
    recorded.bindings.begin(lease, MLFLOW, [key(1)], "process", 5)
    finish(recorded, lease, [AppliedUnit(key(1), "first", {key(1): "run"}, recheck=True)])
    assert recorded.bindings.open_intents(MLFLOW)[key(1)].recheck
    assert recorded.units.sink_states(MLFLOW, [key(1)])[key(1)].progress == "done"
    finish(recorded, lease, [AppliedUnit(key(1), "first", {key(1): "run"})])
    assert recorded.bindings.open_intents(MLFLOW) == {}


def test_finishing_replaces_all_bindings_of_the_unit(recorded: Ledger, lease: Lease) -> None:
    finish(recorded, lease, [AppliedUnit(key(1), "first", {key(1): "parent", STEP: "child"})])
    finish(recorded, lease, [AppliedUnit(key(1), "first", {key(1): "parent-2"})])
    assert recorded.bindings.of(MLFLOW, [key(1), key(2)]) == {key(1): {key(1): "parent-2"}}
    assert recorded.bindings.of("mlflow/other", [key(1)]) == {}


def test_bindings_found_by_a_scan_may_belong_to_units_not_known_yet(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.bindings.save(lease, MLFLOW, {key(9): {key(9): "parent", STEP: "child"}, key(8): {}})
    assert ledger.bindings.of(MLFLOW, [key(8), key(9)]) == {
        key(9): {key(9): "parent", STEP: "child"}
    }
    ledger.bindings.save(lease, MLFLOW, {key(9): {}})
    assert ledger.bindings.of(MLFLOW, [key(9)]) == {}


def test_homes_are_kept_per_sink_and_stack_and_the_last_one_counts(
    recorded: Ledger, lease: Lease
) -> None:
    finish(recorded, lease, [AppliedUnit(key(1), "first", homes={"a": (STEP, "outputs/x")})])
    finish(recorded, lease, [AppliedUnit(key(2), "first", homes={"a": (STEP, "outputs/y")})])
    assert recorded.bindings.homes(MLFLOW, STACK, ["a", "b"]) == {"a": (STEP, "outputs/y")}
    assert recorded.bindings.homes(MLFLOW, "other", ["a"]) == {}


def test_contents_hold_for_the_policy_they_were_worked_out_under(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.bindings.save_contents(lease, STACK, "copy", {"a": '{"state":"copied"}'})
    assert ledger.bindings.contents(STACK, "copy", ["a", "b"]) == {"a": '{"state":"copied"}'}
    assert ledger.bindings.contents(STACK, "reference", ["a"]) == {}
    ledger.bindings.save_contents(lease, STACK, "reference", {"a": "{}"})
    assert ledger.bindings.contents(STACK, "copy", ["a"]) == {}


def test_an_experiment_may_be_bound_anew(ledger: Ledger, lease: Lease) -> None:
    assert ledger.bindings.experiment(MLFLOW, key("train")) is None
    for row in (ExperimentRow("1", "here", scanned=False), ExperimentRow("2", "there", True)):
        ledger.bindings.save_experiment(lease, MLFLOW, key("train"), row)
        assert ledger.bindings.experiment(MLFLOW, key("train")) == row


def test_a_page_larger_than_a_statement_takes_is_finished_whole(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.units.register_sinks(lease, STACK, [MLFLOW])
    numbers = range(1_300)
    ledger.units.record(lease, STACK, [seen(n, artifacts=(f"a{n}",)) for n in numbers], 1)
    ledger.bindings.begin(lease, MLFLOW, [key(n) for n in numbers], "process", 2)
    finish(
        ledger,
        lease,
        [
            AppliedUnit(key(n), "first", {key(n): f"run-{n}"}, {f"a{n}": (STEP, "x")})
            for n in numbers
        ],
    )
    assert ledger.units.totals(STACK).done == {MLFLOW: 1_300}
    assert len(ledger.bindings.of(MLFLOW, [key(n) for n in numbers])) == 1_300
    assert len(ledger.bindings.homes(MLFLOW, STACK, [f"a{n}" for n in numbers])) == 1_300
    assert ledger.bindings.open_intents(MLFLOW) == {}


def finish(ledger: Ledger, lease: Lease, applied: Sequence[AppliedUnit]) -> None:
    ledger.bindings.finish(lease, MLFLOW, applied, 7)
