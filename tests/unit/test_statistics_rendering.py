"""Files rendered from statistics: messages, schemas and the report, with hostile names in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from google.protobuf import json_format, text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.types.schema import Schema as MlflowSchema
from support.pages import Page
from support.strategies import NASTY
from support.tables import LIMITS, described, parquet
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from exporter.statistics import text
from exporter.statistics.describing import TableDescription, load, render
from exporter.statistics.model import Histogram, StatLimits
from exporter.statistics.schema import infer

HOSTILE = [name for name in NASTY if "\ud800" not in name]
SHOWN = StatLimits(values=5)
MIXED = pd.DataFrame(
    {
        "f": [0.5, np.inf, None, -1e300],
        "i": [1, 2, 3, 2**62],
        "b": [True, False, True, True],
        "s": ["a", "b", None, "<b>bold</b>"],
        "c": pd.Categorical(["x", "y", "x", "x"]),
        "y": [b"\0", b"", b"a", None],
        "t": pd.to_datetime(["2026-01-01", "1600-01-01", "NaT", "2026-01-02"]),
        "d": pd.to_timedelta([1, 2, 3, None], unit="s"),
        "l": [[1], [], None, [1, 2]],
        "n": [None] * 4,
    }
)

ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "h1",
    "h2",
    "h3",
    "p",
    "div",
    "span",
    "b",
    "bdi",
    "i",
    "a",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "svg",
    "rect",
    "polyline",
    "dl",
    "dt",
    "dd",
    "section",
    "footer",
}


def page_of(description: TableDescription, previous: TableDescription | None = None) -> str:
    return render(description, previous, title=HOSTILE[15])["report.html"].decode()


def check_safe(page: str) -> Page:
    seen = Page(page)
    assert {tag for tag, _ in seen.tags} <= ALLOWED
    for _, attributes in seen.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#")[:1] == "#"  # type: ignore[index]  # never None here
        assert "src" not in attributes
    assert "<script" not in page
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page
    return seen


def hostile_table() -> pa.Table:
    values = pa.array([*HOSTILE, *HOSTILE[:3]])
    return pa.table([values] * len(HOSTILE), names=HOSTILE)


def test_a_report_of_hostile_names_and_values_is_inert() -> None:
    description = described(parquet(hostile_table()), SHOWN)
    seen = check_safe(page_of(description, description))
    assert "<script>alert(1)</script>" in seen.words, "it is shown as text"
    policy = next(a for tag, a in seen.tags if tag == "meta" and "http-equiv" in a)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert seen.tags.index(("meta", policy)) < [tag for tag, _ in seen.tags].index("style")


@given(st.lists(st.text(max_size=10), min_size=1, max_size=4), st.lists(st.text(), max_size=5))
@settings(max_examples=40)
def test_any_names_and_values_are_escaped(names: list[str], values: list[str]) -> None:
    table = pa.table([pa.array(values, type=pa.string())] * len(names), names=names)
    check_safe(page_of(described(parquet(table), SHOWN)))


def test_every_kind_and_every_change_has_its_place_in_a_report() -> None:
    now = described(parquet(MIXED))
    before = described(parquet(MIXED.drop(columns=["i"]).assign(gone=1, s=[1, 2, 3, 4])))
    words = check_safe(page_of(now, before)).words
    for column in MIXED.columns:
        assert column in words
    assert "No longer there: gone" in words
    assert "type changed" in words
    assert "not in the run before" in words
    assert "<b>bold" not in words, "values are shown only when asked for"


def test_an_empty_table_has_a_report() -> None:
    for frame in (pd.DataFrame(), MIXED[:0]):
        description = described(parquet(frame))
        check_safe(page_of(description, description))


def test_messages_come_back_as_the_model_they_were_made_of() -> None:
    for limits in (LIMITS, SHOWN):
        description = described(parquet(MIXED), limits)
        rendered = render(description)
        assert load(rendered["statistics.pb"]) == description
        message = statistics_pb2.DatasetFeatureStatisticsList()
        message.ParseFromString(rendered["statistics.pb"])
        as_json = statistics_pb2.DatasetFeatureStatisticsList()
        json_format.Parse(rendered["statistics.json"], as_json)
        assert as_json == message
        schema = text_format.Parse(rendered["schema.pbtxt"].decode(), schema_pb2.Schema())
        assert [feature.name for feature in schema.feature] == list(MIXED.columns)


@pytest.mark.parametrize("raw", [b"", b"\xff\xff", b"\x0a\x02\x10\x05"])
def test_bytes_of_another_origin_are_not_loaded_as_ours(raw: bytes) -> None:
    found = load(raw)
    assert found is None or not any(table.columns for table in found.tables)


def test_a_message_says_what_the_standard_asks_for() -> None:
    (dataset,) = _message(described(parquet(MIXED), SHOWN)).datasets
    features = {feature.path.step[0]: feature for feature in dataset.features}
    kinds = statistics_pb2.FeatureNameStatistics
    assert dataset.num_examples == 4
    assert features["i"].type == kinds.INT
    assert features["i"].num_stats.max == 2.0**62
    assert features["b"].type == kinds.INT
    assert features["b"].num_stats.num_zeros == 1
    assert features["s"].type == kinds.STRING
    assert features["s"].string_stats.unique == 3
    assert features["s"].string_stats.common_stats.num_missing == 1
    assert features["y"].type == kinds.BYTES
    assert features["l"].type == kinds.STRUCT
    assert features["t"].type == kinds.INT
    counted = sum(b.sample_count for b in features["f"].num_stats.histograms[0].buckets)
    assert counted == 2, "finite values"


def _message(description: TableDescription) -> Any:
    message = statistics_pb2.DatasetFeatureStatisticsList()
    message.ParseFromString(render(description)["statistics.pb"])
    return message


def test_the_schema_message_has_types_presence_and_ranges() -> None:
    schema = text_format.Parse(
        render(described(parquet(MIXED)))["schema.pbtxt"].decode(), schema_pb2.Schema()
    )
    features = {feature.name: feature for feature in schema.feature}
    assert features["i"].int_domain.max == 2**62
    assert features["i"].presence.min_fraction == 1
    assert features["s"].presence.min_fraction == 0
    assert features["b"].HasField("bool_domain")
    assert features["t"].time_domain.integer_format == schema_pb2.TimeDomain.UNIX_MILLISECONDS
    assert features["n"].presence.min_count == 0


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e30))
@settings(max_examples=30)
def test_the_range_in_a_schema_message_holds_every_value(low: float, spread: float) -> None:
    frame = pd.DataFrame({"x": [low, low + spread]})
    schema = text_format.Parse(
        render(described(parquet(frame)))["schema.pbtxt"].decode(), schema_pb2.Schema()
    )
    domain = schema.feature[0].float_domain
    assert domain.min <= low
    assert domain.max >= low + spread


def test_the_table_schema_is_of_frictionless_types_with_unique_names() -> None:
    table = pa.table([pa.array([1, 2]), pa.array(["a", None])], names=["x", "x"])
    fields = json.loads(render(described(parquet(table)))["table-schema.json"])["fields"]
    assert fields[0]["constraints"] == {"required": True, "minimum": 1, "maximum": 2}
    assert [(f["name"], f["type"], f.get("title")) for f in fields] == [
        ("x", "integer", None),
        ("x#2", "string", "x"),
    ]
    mixed = json.loads(render(described(parquet(MIXED)))["table-schema.json"])["fields"]
    assert [field["type"] for field in mixed] == [
        "number", "integer", "boolean", "string", "string", "string", "datetime", "duration",
        "any", "any",
    ]  # fmt: skip
    assert mixed[6]["constraints"] == {
        "minimum": "1600-01-01T00:00:00Z",
        "maximum": "2026-01-02T00:00:00Z",
    }


def test_mlflow_takes_the_column_list_as_its_own_schema() -> None:
    listed = json.loads(described(parquet(MIXED)).colspec)["mlflow_colspec"]
    schema = MlflowSchema.from_json(json.dumps(listed))
    assert schema.input_names() == list(MIXED.columns)
    assert [column.required for column in schema.inputs] == [
        bool(MIXED[name].notna().all()) for name in MIXED.columns
    ]


def test_a_domain_of_values_is_given_when_all_are_known_and_may_be_shown() -> None:
    frame = pd.DataFrame({"s": ["b", "a", "b"]})
    (column,) = described(parquet(frame), SHOWN).schema.columns
    assert column.values == ("a", "b")
    assert described(parquet(frame), StatLimits(values=1)).schema.columns[0].values is None
    assert described(parquet(frame)).schema.columns[0].values is None


def test_the_schema_of_splits_is_that_of_both() -> None:
    one = described(parquet(pd.DataFrame({"x": [1, 5], "y": [1.0, None], "z": ["a", "b"]})))
    two = described(parquet(pd.DataFrame({"x": [0], "y": [2.0], "z": [1]})))
    three = described(parquet(pd.DataFrame({"x": [7]})))
    schema = infer([*one.tables, *two.tables])
    assert [(c.name, c.kind, c.required) for c in schema.columns] == [
        ("x", "int", True),
        ("y", "float", False),
        ("z", "other", True),
    ]
    assert (schema.columns[0].minimum, schema.columns[0].maximum) == (0, 5)
    assert not infer([*one.tables, *three.tables]).columns[2].required


def test_the_same_table_gives_the_same_bytes_in_every_process() -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import hashlib\n"
        "from unit.test_statistics_rendering import MIXED, SHOWN, described, parquet, render\n"
        "found = described(parquet(MIXED), SHOWN)\n"
        "made = render(found, found)\n"
        "print({name: hashlib.sha256(raw).hexdigest() for name, raw in made.items()})\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed},
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0, "0"),
        (1234567, "1,234,567"),
        (1234.5678, "1,234.6"),
        (0.1, "0.1"),
        (1e-9, "1e\N{MINUS SIGN}9"),
        (-2.5e300, "\N{MINUS SIGN}2.5e300"),
        (float("inf"), "∞"),
        (99999.99, "100,000"),
        (None, ""),
    ],
)
def test_numbers_are_written_with_the_digits_that_count(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("part", "shown"),
    [(0, "0 %"), (1e-9, "<0.1 %"), (0.05, "5.0 %"), (0.9999, ">99.9 %"), (1, "100 %")],
)
def test_a_ratio_never_hides_what_is_there(part: float, shown: str) -> None:
    assert text.ratio(part) == shown


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_moments_are_written_as_the_calendar_has_them(seconds: int) -> None:
    expected = str(np.datetime64(seconds, "s")).replace("T", " ").removesuffix(" 00:00:00")
    assert text.moment("datetime", seconds * 1000.0) == expected


def test_a_report_of_200_columns_links_each_to_its_part() -> None:
    frame = pd.DataFrame({f"feature_{i}": [float(i)] for i in range(200)})
    seen = check_safe(page_of(described(parquet(frame))))
    links = [a["href"] for tag, a in seen.tags if tag == "a"]
    ids = [f"#{a['id']}" for tag, a in seen.tags if tag == "section"]
    assert links == ids
    assert len(set(links)) == 200


def test_a_histogram_in_wider_bins_has_the_same_counts() -> None:
    fine = Histogram(-1, -3, (1, 2, 3, 4, 5))
    assert fine.edges == (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0)
    wide = fine.coarsened(0)
    assert wide == Histogram(0, -2, (1, 5, 9))
    assert re.match(r"\(-2\.0, -1\.0", str(wide.edges))
