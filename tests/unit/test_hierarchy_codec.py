"""The canonical spelling of runs and values: nothing is lost, and equal bytes mean equal values."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.samples import train_run
from support.strategies import contents, parameters, runs, times, values

from exporter.hierarchy import (
    Artifact,
    Content,
    Parameter,
    RunSnapshot,
    Value,
    canonical_bytes,
    decode_value,
    encode_value,
    iso_from_ms,
    ms_from_iso,
    run_from_value,
    run_to_value,
)
from exporter.hierarchy.times import datetime_from_ms


def _same(a: Value, b: Value) -> bool:
    """Compare with types: 1, 1.0 and True differ, NaN equals NaN, 0.0 differs from -0.0."""
    if type(a) is not type(b):
        return False
    match a, b:
        case float(), float():
            return (math.isnan(a) and math.isnan(b)) or (
                a == b and math.copysign(1, a) == math.copysign(1, b)
            )
        case list(), list():
            return len(a) == len(b) and all(map(_same, a, b))
        case dict(), dict():
            return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
        case _:
            return a == b


@given(values())
def test_a_value_survives_json_with_its_type(value: Value) -> None:
    spelled = canonical_bytes(encode_value(value))
    assert _same(decode_value(json.loads(spelled)), value)


@given(values(), values())
def test_values_have_equal_bytes_exactly_when_they_are_equal(a: Value, b: Value) -> None:
    equal = canonical_bytes(encode_value(a)) == canonical_bytes(encode_value(b))
    assert equal == _same(a, b)


@pytest.mark.parametrize("huge", [10**4299, 10**4300, -(10**5000), 16**9000], ids=lambda _: "huge")
def test_an_integer_of_any_length_survives(huge: int) -> None:
    assert decode_value(json.loads(canonical_bytes(encode_value(huge)))) == huge


@pytest.mark.parametrize(
    "spelled", [{"t": "int", "v": 1}, {"t": "date", "v": "x"}, {"t": "none", "v": 0}]
)
def test_what_is_no_typed_value_is_refused(spelled: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode_value(spelled)  # type: ignore[arg-type]  # the point of the test


@settings(max_examples=200)
@given(runs())
def test_a_run_survives_its_canonical_spelling(run: RunSnapshot) -> None:
    value = run_to_value(run)
    again = run_from_value(json.loads(canonical_bytes(value)))
    assert canonical_bytes(run_to_value(again)) == canonical_bytes(value)
    assert again.changed is None
    assert (again.name, again.seq, again.source_id) == (run.name, run.seq, run.source_id)
    assert [step.parents for step in again.steps] == [step.parents for step in run.steps]


@given(runs(), parameters())
def test_a_changed_run_has_other_bytes(run: RunSnapshot, facts: tuple[Parameter, ...]) -> None:
    before = canonical_bytes(run_to_value(run))
    assert before != canonical_bytes(run_to_value(replace(run, status=f"{run.status}.")))
    assert before != canonical_bytes(
        run_to_value(replace(run, facts=(*run.facts, Parameter("new", 1))))
    )
    artifact = Artifact("fresh", "T", "u", properties=facts)
    assert before != canonical_bytes(
        run_to_value(replace(run, artifacts=(*run.artifacts, artifact)))
    )


def test_bookkeeping_of_the_store_is_no_part_of_the_value() -> None:
    run = train_run()
    assert run_to_value(replace(run, changed=5)) == run_to_value(run)
    assert replace(run, changed=5) == run


@given(contents())
def test_a_content_survives(content: Content) -> None:
    run = train_run()
    artifact = replace(run.artifacts[0], content=content)
    filled = replace(run, artifacts=(artifact, *run.artifacts[1:]))
    again = run_from_value(json.loads(canonical_bytes(run_to_value(filled))))
    assert again.artifacts[0].content == content


@given(times())
def test_a_time_survives_its_iso_spelling(ms: int | None) -> None:
    assert ms_from_iso(iso_from_ms(ms)) == ms


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_every_time_a_calendar_holds_reads_as_iso_utc(ms: int) -> None:
    text = iso_from_ms(ms)
    assert text is not None
    assert text.endswith("Z")
    assert len(text) == len("2026-11-23T12:34:04.356Z")
    moment = datetime_from_ms(ms)
    assert moment is not None
    assert moment.utcoffset() is not None


@given(st.integers())
def test_no_time_is_too_far_for_a_datetime(ms: int) -> None:
    assert datetime_from_ms(ms) is not None
