"""Names that every catalog takes, and that two things never share."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from support.lineage_samples import ROOT, training_run
from support.strategies import odd_text

from exporter.errors import ConfigError
from exporter.mapping.openlineage import (
    CatalogProfile,
    LineageNaming,
    naming_from_yaml,
    run_events,
)
from exporter.mapping.openlineage.naming import (
    NAME_LENGTH,
    RunNames,
    clean_name,
    clean_namespace_part,
    clean_part,
)
from exporter.mapping.openlineage.text import bounded_text, clean_text, value_text

NAMES = RunNames.of(training_run(), LineageNaming(), "id")
PLAIN = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_ -]{0,50}", fullmatch=True).filter(
    lambda name: not re.search("-[0-9a-f]{8}$", name)
)


@given(PLAIN)
def test_an_ordinary_name_stays_as_it_is(name: str) -> None:
    assert clean_part(name, 80) == name


@given(odd_text(), st.sampled_from([53, 80, 120]))
@example("", 53)
@example("//share", 53)
@example("2026_data", 53)
@example("x" * 300, 53)
def test_any_name_becomes_one_that_catalogs_take(name: str, limit: int) -> None:
    clean = clean_part(name, limit)
    assert 0 < len(clean) <= limit
    assert re.fullmatch(r"(?![0-9])(?!//)[^\x00-\x1f\x7f-\x9f.]+", clean)
    clean.encode("utf-8")


@given(odd_text(), odd_text())
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (clean_part(one, 80) == clean_part(other, 80)) == (one == other)
    assert (clean_name(one) == clean_name(other)) == (one == other)
    assert (clean_namespace_part(one) == clean_namespace_part(other)) == (one == other)


@given(odd_text(), st.sampled_from([53, 80]))
@example("9lives", 80)
@example("a.b", 80)
@example("a\x01b", 80)
@example("x" * 100, 80)
@example("", 80)
def test_a_name_that_reads_like_a_changed_one_is_told_apart(name: str, limit: int) -> None:
    for clean in (
        lambda text: clean_part(text, limit),
        lambda text: clean_part(text, limit, dots="keep"),
        lambda text: clean_name(text, limit),
        clean_namespace_part,
    ):
        once = clean(name)
        assert once == name or clean(once) != once


@given(odd_text())
@example("b")
def test_no_pipeline_with_a_dot_is_a_step_of_another(step: str) -> None:
    names = replace(NAMES, profile=CatalogProfile("keep", dots="keep").content)
    changed = replace(names, pipeline=clean_part(f"a.{step}", 120, dots="keep"))
    inner = replace(names, pipeline="a")
    assert changed.pipeline != inner.step(changed.pipeline.partition(".")[2])


def test_a_name_that_ends_with_a_date_stays_as_it_is() -> None:
    assert clean_part("train-20231114", 80) == "train-20231114"


@given(odd_text(), odd_text())
@example("a.b", "a_b")
def test_different_names_stay_different_where_dots_stay(one: str, other: str) -> None:
    shown = [clean_part(name, 80, dots="keep") for name in (one, other)]
    assert (shown[0] == shown[1]) == (one == other)
    for name in shown:
        assert re.fullmatch(r"(?![0-9])(?!//)(?!\.)[^\x00-\x1f\x7f-\x9f]+", name)


@given(odd_text(), odd_text(), odd_text(), odd_text())
@example("a.b", "c", "a", "b.c")
def test_the_dot_never_makes_two_steps_one(p1: str, s1: str, p2: str, s2: str) -> None:
    one, other = NAMES.dataset(p1, s1, "out"), NAMES.dataset(p2, s2, "out")
    assert (one == other) == ((p1, s1) == (p2, s2))
    assert len(one) <= NAME_LENGTH


@given(odd_text())
def test_namespaces_keep_to_the_letters_that_catalogs_take(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_\-.@+]{1,200}", clean_namespace_part(name))


@given(odd_text(), st.integers(40, 400))
def test_text_is_storable_and_bounded(text: str, limit: int) -> None:
    clean = bounded_text(text, limit)
    assert len(clean) <= max(limit, min(len(text), limit))
    assert "\x00" not in clean
    clean.encode("utf-8")
    assert clean_text(clean) == clean


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        (True, "true"),
        (1, "1"),
        (1.0, "1.0"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (2**200, str(2**200)),
        (b"\x00\xff", "AP8="),
        ([1, "ä", {"k": None}], '[1, "ä", {"k": null}]'),
        (16**5000, hex(16**5000)),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "number",
)
def test_values_are_spelled_as_json(value: Any, text: str) -> None:  # Any: any source value
    assert value_text(value) == text


def test_the_shipped_mapping_is_the_default() -> None:
    raw = yaml.safe_load((ROOT / "mappings" / "openlineage.yaml").read_text())
    shipped = naming_from_yaml(raw)
    assert len(shipped.places) > 20
    assert replace(shipped, places=()) == LineageNaming()
    assert naming_from_yaml({}) == LineageNaming()


@pytest.mark.parametrize(
    ("lane", "expected"),
    [
        ("pipeline", "acme/local_stack/train_pipeline"),
        ("stack", "acme/local_stack"),
        ("run", run_events(training_run(), LineageNaming())[0].run_id),
    ],
)
def test_the_lane_is_the_users_choice(lane: str, expected: str) -> None:
    events = run_events(training_run(), naming_from_yaml({"lane": lane}))
    assert {event.lane for event in events} == {expected}


def test_namespaces_are_the_users_choice() -> None:
    naming = naming_from_yaml(
        {"job_namespace": "{repository}", "dataset_namespace": "lake/{stack}"}
    )
    body = run_events(training_run(), naming)[2].body
    assert b'"job":{"namespace":"acme"' in body
    assert b'{"namespace":"lake/local_stack"' in body


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"job_namspace": "x"}, "job_namespace"),
        ({"job_namespace": "a b"}, "refuse"),
        ({"job_namespace": "{pipeline}"}, "pipeline"),
        ({"job_namespace": "{tool!r}"}, "tool"),
        ({"job_namespace": "{tool"}, "template"),
        ({"job_namespace": ""}, "not a text"),
        ({"dataset_namespace": 3}, "not a text"),
        ({"dataset_namespace": "x" * 300}, "longer"),
        ({"lane": "global"}, "run, pipeline or stack"),
        ({"lane": ["run"]}, "run, pipeline or stack"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": 'https://x"y'}, "base_url"),
        ({"default_dataset_type": "file"}, "capitals"),
        ({"dataset_types": {"Model": None}}, "capitals"),
        ({"dataset_types": ["Model"]}, "table"),
        ({3: 4}, "unknown key"),
    ],
)
def test_a_wrong_mapping_is_said_with_its_key(raw: dict[Any, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        naming_from_yaml(raw)


def test_the_schemas_name_themselves_after_their_files() -> None:
    for path in sorted(Path(ROOT / "mappings" / "schemas").rglob("*.json")):
        schema = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert schema["$id"].endswith(f"/schemas/{path.parent.name}/{path.name}")
        if path.name.endswith("Facet.json"):
            (key,) = schema["properties"]
            entity = key.removeprefix("pipelineExporter_").capitalize()
            assert path.name.startswith(f"PipelineExporter{entity}")
