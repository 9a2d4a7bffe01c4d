"""Identity is names and nothing else."""

from __future__ import annotations

import string
from dataclasses import replace

from hypothesis import given
from support.samples import train_run
from support.strategies import odd_text, runs

from exporter.hierarchy import RunSnapshot, history_key, run_key, step_key


@given(runs())
def test_a_key_is_64_hex_digits_and_the_same_every_time(run: RunSnapshot) -> None:
    key = run_key(run)
    assert len(key) == 64
    assert set(key) <= set(string.hexdigits.lower())
    assert key == run_key(run)


@given(runs())
def test_a_moved_store_keeps_its_keys(run: RunSnapshot) -> None:
    moved = replace(run, source_id="elsewhere", seq=run.seq + 1, status="failed", artifacts=())
    assert run_key(moved) == run_key(run)
    for step in run.steps:
        assert step_key(moved, replace(step, source_id="other")) == step_key(run, step)


@given(odd_text(), odd_text(), odd_text(), odd_text())
def test_moving_text_between_names_changes_the_key(a: str, b: str, c: str, d: str) -> None:
    first = history_key(a + b, c, "zenml", d)
    assert (first == history_key(a, b + c, "zenml", d)) == ((a + b, c) == (a, b + c))


def test_every_level_and_attempt_has_a_key_of_its_own() -> None:
    run = train_run()
    keys = [run_key(run), history_key("acme", "local", None, "train_pipeline")]
    keys += [step_key(run, step) for step in run.steps]
    assert len(set(keys)) == 5


def test_keys_never_change_between_releases() -> None:
    assert history_key("acme", "local", "zenml", "train", "run_1", "é", 1) == (
        "652776ff3e291a67ae095c0223c57ed753dccbfc0e63a14c75e47fcfba0a61a8"
    )
