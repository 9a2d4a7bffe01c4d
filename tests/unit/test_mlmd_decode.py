"""Property rows, structs and event paths as values."""

from __future__ import annotations

import base64
import json
import math

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from exporter.hierarchy import Parameter
from exporter.sources.mlmd.decode import (
    STRUCT_PREFIX,
    PropertyRow,
    decode_struct,
    json_parameter,
    native_parameter,
    native_property,
    raw_value,
)
from exporter.sources.mlmd.page import entrypoint, step_name
from exporter.sources.mlmd.ports import port_names, sorted_ports
from exporter.sources.mlmd.store import within


def text_row(text: str, custom: int = 1) -> PropertyRow:
    return (1, "p", custom, None, None, text, None, None, None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, width=64) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=8), _JSON, max_size=5))
def test_a_struct_decodes_as_protobuf_wrote_it(value: dict[str, object]) -> None:
    struct = struct_pb2.Struct()
    struct.update(value)
    text = STRUCT_PREFIX + base64.b64encode(struct.SerializeToString()).decode()
    assert decode_struct(text) == value


@pytest.mark.parametrize(
    "text", ["mlmd-struct::%%%", "mlmd-struct::CgE", "mlmd-struct:://///w==", "mlmd-struct::CwwL"]
)
def test_a_broken_struct_stays_text(text: str) -> None:
    assert decode_struct(text) == text


@given(st.binary(max_size=60))
def test_no_bytes_break_the_struct_decoder(data: bytes) -> None:
    decode_struct(STRUCT_PREFIX + base64.b64encode(data).decode())


def test_a_value_is_typed_by_its_column() -> None:
    empty: PropertyRow = (1, "p", 1, None, None, None, None, None, None)
    assert raw_value(empty) is None
    assert raw_value((1, "p", 1, 3, None, None, None, None, None)) == 3
    assert raw_value((1, "p", 1, None, 3, None, None, None, None)) == 3.0
    assert isinstance(raw_value((1, "p", 1, None, 3, None, None, None, None)), float)
    assert raw_value((1, "p", 1, None, None, None, b"\0", None, None)) == b"\0"
    assert raw_value((1, "p", 1, None, None, None, None, b"\1", None)) == b"\1"
    assert raw_value((1, "p", 1, None, None, None, None, None, 1)) is True
    assert raw_value((1, "p", 1, None, None, "1", None, None, None)) == "1"


@pytest.mark.parametrize(
    ("text", "value", "kept"),
    [
        ("120", 120, None),
        ("1.0", 1.0, None),
        ('"lbfgs"', "lbfgs", None),
        ('"\u00fc"', "ü", None),
        ("null", None, None),
        ('["a", "b"]', ["a", "b"], None),
        ("1e5", 100000.0, "1e5"),
        ('{"a":1}', {"a": 1}, '{"a":1}'),
        ('{"a": 1, "a": 2}', {"a": 2}, '{"a": 1, "a": 2}'),
        ("no JSON", "no JSON", "no JSON"),
        ("Infinity", math.inf, None),
        ("1e400", math.inf, "1e400"),
        ("123456789012345678901234567890", 123456789012345678901234567890, None),
        ("9" * 5000, "9" * 5000, "9" * 5000),
        ("[" * 100_000, "[" * 100_000, "[" * 100_000),
    ],
)
def test_json_text_is_decoded_and_kept_where_something_is_lost(
    text: str, value: object, kept: str | None
) -> None:
    assert json_parameter(text_row(text)) == Parameter("p", value, kept)  # type: ignore[arg-type]  # JSON


def test_nan_is_decoded() -> None:
    value = json_parameter(text_row("NaN")).value
    assert isinstance(value, float)
    assert math.isnan(value)


@given(_JSON)
def test_what_json_dumps_wrote_needs_no_text(value: object) -> None:
    assert json_parameter(text_row(json.dumps(value))) == Parameter("p", value, None)  # type: ignore[arg-type]  # JSON


def test_native_text_is_decoded_only_when_it_is_a_container() -> None:
    assert native_parameter(text_row("12")) == Parameter("p", "12")
    assert native_parameter(text_row("[]")) == Parameter("p", [], "[]")
    assert native_parameter(text_row("{broken")) == Parameter("p", "{broken")
    assert native_property(text_row("[]")) == Parameter("p", "[]")
    assert native_property(text_row("x", 0)) == Parameter("p", "x", None, declared=True)


KEY, INDEX = 0, 1


@pytest.mark.parametrize("ordered", [True, False])
def test_ports_of_an_event(*, ordered: bool) -> None:
    def names(*rows: tuple[int, int, int | None, str | None]) -> list[tuple[str, int | None]]:
        return port_names(list(rows), ordered=ordered)

    assert names() == [("", None)]
    assert names((1, KEY, None, "a"), (1, INDEX, 0, None)) == [("a", 0)]
    assert names((1, KEY, None, "a")) == [("a", None)]
    assert names((1, INDEX, 3, None)) == [("", 3)]
    two = ((1, KEY, None, "a"), (1, INDEX, 0, None), (1, KEY, None, "b"), (1, INDEX, 0, None))
    assert names(*two) == [("a", 0), ("b", 0)]
    other = (*two[:3], (1, INDEX, 1, None))
    expected = [("a", 0), ("b", 1)] if ordered else [("a", None), ("b", None)]
    assert names(*other) == expected


def test_ports_stand_by_lowest_artifact_then_name_then_index() -> None:
    found = [("b", 1, 9), ("b", 0, 3), ("a", 0, 3), ("z", None, 1), ("a", 0, 3)]
    assert sorted_ports(found) == [("z", None, 1), ("a", 0, 3), ("b", 0, 3), ("b", 1, 9)]


def test_a_step_is_named_by_its_property_then_its_node_then_its_type() -> None:
    assert step_name('"trainer"', "p", "p.sk_trainer", "m.sk_trainer") == "trainer"
    assert step_name('"tr\\u00e4iner"', "p", None, "") == "träiner"
    assert step_name("bare", "p", None, "") == "bare"
    assert step_name(None, "p.q", "p.q.a.b", "m.x") == "a.b"
    assert step_name(None, "p", "other.a", "m.x") == "other.a"
    assert step_name(None, "p", None, "m.x") == "x"
    assert entrypoint("plain") == "plain"


@given(st.sets(st.integers(1, 10_000), min_size=1))
def test_a_condition_holds_at_least_the_ids(ids: set[int]) -> None:
    condition = within("id", ids)
    if "BETWEEN" in condition:
        low, _, high = condition.removeprefix("id BETWEEN ").partition(" AND ")
        assert all(int(low) <= i <= int(high) for i in ids)
    else:
        assert {int(i) for i in condition[7:-1].split(",")} == ids
