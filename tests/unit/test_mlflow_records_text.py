"""The record: what MLflow keeps of a run gives the run back exactly."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mlflow_samples import five_steps
from support.strategies import runs

from exporter.errors import StoreUnreadable
from exporter.hierarchy import Parameter, RunSnapshot, canonical_bytes, run_to_value, step_key
from exporter.mapping.mlflow import Home
from exporter.mapping.records_text import SEAL_TAG, EncodedRecord, decode_record, encode_record


def sealed(record: EncodedRecord) -> dict[str, str]:
    """Give the tags as they stand on a parent run."""
    return {**record.tags, SEAL_TAG: record.seal, "mlflow.user": "somebody"}


def read(record: EncodedRecord) -> tuple[RunSnapshot, dict[str, Home]]:
    """Read a record back as an MLflow run would give it."""
    files = dict([record.file]) if record.file is not None else {}
    return decode_record(sealed(record), files.__getitem__)


@settings(max_examples=200, deadline=None)
@given(run=runs(), path=st.text(max_size=20))
def test_any_run_comes_back_from_its_record_exactly(run: RunSnapshot, path: str) -> None:
    homes = {a.id: Home("f" * 64, path) for a in run.artifacts[::2]}
    homes |= {a.id: Home(step_key(run, s), path) for s in run.steps for a in run.artifacts[1::2]}
    back, back_homes = read(encode_record(run, homes))
    assert canonical_bytes(run_to_value(back)) == canonical_bytes(run_to_value(run))
    assert back_homes == homes


@settings(max_examples=50, deadline=None)
@given(run=runs())
def test_every_part_is_ascii_and_fits_a_tag_of_any_database(run: RunSnapshot) -> None:
    for text in encode_record(run, {}).tags.values():
        assert text.isascii()
        assert "\0" not in text
        assert len(text) <= 8_000


def test_the_same_run_has_the_same_seal_and_another_run_another() -> None:
    run = five_steps()
    assert encode_record(run, {}).seal == encode_record(five_steps(), {}).seal
    assert encode_record(run, {}).seal != encode_record(five_steps(rate=0.2), {}).seal


def test_a_short_record_is_readable_json() -> None:
    record = encode_record(replace(five_steps(), steps=()), {})
    text = record.tags["exporter.record"]
    assert text.startswith("1j")
    assert json.loads(text[2:])["run"]["run"]["name"] == "run_1"


def test_a_record_of_incompressible_text_goes_into_several_tags_then_into_a_file() -> None:
    noise = "".join(hashlib.sha256(b"%d" % n).hexdigest() for n in range(1_000))
    record = encode_record(replace(five_steps(), facts=(Parameter("noise", noise[:20_000]),)), {})
    assert 1 < len(record.tags) <= 4
    assert record.file is None
    huge = replace(five_steps(), facts=(Parameter("noise", noise),))
    record = encode_record(huge, {})
    assert record.file is not None
    assert record.file[0].startswith("exporter/record.")
    assert record.tags["exporter.record"] == f"1@{record.file[0]}"
    assert read(record)[0] == huge


def test_an_altered_a_partial_and_an_unsealed_record_are_refused() -> None:
    record = encode_record(five_steps(), {})
    tags = sealed(record)
    with pytest.raises(StoreUnreadable, match="no seal"):
        decode_record(
            {k: v for k, v in tags.items() if k != SEAL_TAG}, dict[str, bytes]().__getitem__
        )
    with pytest.raises(StoreUnreadable, match=r"lacks the tag exporter\.record"):
        decode_record({SEAL_TAG: record.seal}, dict[str, bytes]().__getitem__)
    other = encode_record(five_steps(rate=0.3), {})
    with pytest.raises(StoreUnreadable, match="does not match its seal"):
        decode_record({**tags, **other.tags}, dict[str, bytes]().__getitem__)
    damaged = {**tags, "exporter.record": tags["exporter.record"][:-20]}
    with pytest.raises(StoreUnreadable):
        decode_record(damaged, dict[str, bytes]().__getitem__)


def test_a_record_of_a_newer_form_asks_for_an_upgrade() -> None:
    record = encode_record(five_steps(), {})
    tags = {**sealed(record), "exporter.record": "2z..."}
    with pytest.raises(StoreUnreadable, match="upgrade"):
        decode_record(tags, dict[str, bytes]().__getitem__)
