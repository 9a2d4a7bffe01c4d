"""Laws that the events of any run keep, however odd its names, values and times."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.lineage_samples import (
    OWN_SCHEMAS,
    described_table,
    specification,
    training_run,
)
from support.strategies import runs

from exporter.config import load_mapping
from exporter.errors import ConfigError, SinkTerminal
from exporter.hierarchy import Artifact, Port, RunSnapshot, Step, Value
from exporter.mapping.mlflow import TableFacts
from exporter.mapping.openlineage import (
    CatalogProfile,
    LineageNaming,
    RunDetails,
    lineage_table,
    naming_from_yaml,
    run_events,
)
from exporter.sinks.openlineage import EventCheck

CHECK = EventCheck.of_folder(OWN_SCHEMAS)
NAMING = LineageNaming()
SHIPPED = naming_from_yaml(load_mapping("openlineage"))
LAWS = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@given(runs())
@LAWS
def test_any_event_passes_our_own_schema(run: RunSnapshot) -> None:
    for event in run_events(run, NAMING, stale=True):
        CHECK.check(event.body)


@given(runs())
@settings(LAWS, max_examples=30)
def test_any_event_passes_the_specification(run: RunSnapshot) -> None:
    judge = specification()
    for event in run_events(run, NAMING, stale=True):
        judge.check(json.loads(event.body))


@st.composite
def profiles(draw: st.DrawFn) -> CatalogProfile:
    """Draw a profile that a user could write."""
    return CatalogProfile(
        "drawn",
        input_facets=draw(st.sampled_from(["bare", "apart"])),
        failed_outputs=draw(st.sampled_from(["declared", "none"])),
        own_facets=draw(st.booleans()),
        facets_without=tuple(draw(st.sets(st.sampled_from(OPTIONAL)))),
        job_namespace=draw(st.sampled_from([None, "my-connection"])),
        namespaces=draw(st.sampled_from([{}, {"file": "share"}])),
        job_types=draw(st.sampled_from([{}, {"PIPELINE": "DAG", "STEP": "TASK"}])),
        dots=draw(st.sampled_from(["keep", "replace"])),
        name_length=draw(st.sampled_from([60, 255, 4_000])),
        first_digit=draw(st.sampled_from(["prefix", "keep"])),
        accepts=tuple(draw(st.sets(st.sampled_from(["START", "COMPLETE", "FAIL"]), min_size=1))),
        edges_only=draw(st.booleans()),
        max_bytes=draw(st.sampled_from([0, 2_000, 5_000])),
    )


OPTIONAL = [
    "executionParameters", "tags", "documentation", "version", "datasetType", "dataSource",
    "storage", "pipelineExporter_run", "pipelineExporter_read", "pipelineExporter_artifact",
    "outputStatistics",
]  # fmt: skip


@given(runs(), profiles(), st.booleans())
@LAWS
def test_any_run_under_any_profile_gives_valid_events_only(
    run: RunSnapshot,
    profile: CatalogProfile,
    described: bool,
) -> None:
    details = RunDetails()
    if described:
        text = lineage_table([described_table(4)]).to_text()
        facts = TableFacts(1, 4, 0.0, "", text)
        numbers: list[Value] = [0.5, float("nan"), 10**30, {"a\x00": float("-inf")}]
        details = RunDetails(
            {a.id: numbers[n % 4] for n, a in enumerate(run.artifacts)},
            {a.id: facts for a in run.artifacts},
        )
    judge = specification()
    for event in run_events(run, SHIPPED, profile, stale=True, details=details):
        assert event.event_type in profile.accepts
        CHECK.check(event.body)
        judge.check(json.loads(event.body))


@given(runs())
@LAWS
def test_any_run_has_one_start_before_one_end_and_its_parent_around_it(run: RunSnapshot) -> None:
    events = run_events(run, NAMING, stale=True)
    seen: dict[str, list[str]] = {}
    for event in events:
        seen.setdefault(event.run_id, []).append(event.event_type)
    assert all(kinds[0] == "START" and len(kinds) == 2 for kinds in seen.values())
    assert all(kinds[1] != "START" for kinds in seen.values())
    assert events[0].run_id == events[-1].run_id
    assert len({event.lane for event in events}) == 1


@given(st.data())
@LAWS
def test_whatever_the_order_of_the_steps_producers_are_told_before_consumers(
    data: st.DataObject,
) -> None:
    count = data.draw(st.integers(1, 6))
    reads = [data.draw(st.sets(st.integers(0, n - 1))) if n else set() for n in range(count)]
    places = data.draw(st.permutations(range(count)))
    made = [
        Step(
            f"step{n}",
            str(n),
            "f",
            "completed",
            inputs=tuple(Port("in", str(m), index) for index, m in enumerate(sorted(reads[n]))),
            outputs=(Port("out", str(n)),),
        )
        for n in places
    ]
    artifacts = tuple(Artifact(str(n), "DataArtifact", f"/data/{n}") for n in range(count))
    run = replace(training_run(), steps=tuple(made), artifacts=artifacts)
    ended: set[str] = set()
    for event in run_events(run, NAMING):
        body = json.loads(event.body)
        for dataset in body["inputs"]:
            assert dataset["name"] in ended
        if event.event_type != "START":
            ended.update(dataset["name"] for dataset in body["outputs"])


@given(runs())
@settings(LAWS, max_examples=20)
def test_the_same_run_gives_the_same_events(run: RunSnapshot) -> None:
    assert run_events(run, NAMING, stale=True) == run_events(run, NAMING, stale=True)


def broken(change: Any) -> bytes:  # Any: a function that changes a parsed event
    event = json.loads(run_events(training_run(), NAMING)[4].body)
    change(event)
    return json.dumps(event).encode()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda e: e.update(eventTime="2026-11-23T12:00:00"), "eventTime"),
        (lambda e: e.update(eventType="OTHER"), "eventType"),
        (lambda e: e["run"].update(runId="nope"), "run.runId"),
        (lambda e: e["job"].update(namespace="zenml://a b"), "job.namespace"),
        (lambda e: e["job"].update(name=""), "job.name"),
        (lambda e: e["job"].update(name="9lives"), "job.name"),
        (lambda e: e["job"]["facets"].pop("jobType"), "job.facets"),
        (lambda e: e["run"]["facets"].pop("parent"), "run.facets"),
        (lambda e: e["inputs"][0].update(facets={"dataSource": {}}), "inputs.0"),
        (lambda e: e["outputs"][0]["facets"]["dataSource"].update(uri="s3://a b"), "outputs.0"),
        (lambda e: e["outputs"][0].update(name=""), "outputs.0.name"),
        (lambda e: e["outputs"][0].update(name="//share/x"), "outputs.0.name"),
        (lambda e: e["inputs"][0].update(namespace="über"), "inputs.0.namespace"),
        (lambda e: e["outputs"][0].update(namespace="a;b"), "outputs.0.namespace"),
        (lambda e: e.update(eventType="START"), "outputs"),
        (lambda e: e.update(eventType="FAIL"), "run.facets"),
        (
            lambda e: e["outputs"][0]["facets"]["version"].update(datasetVersion="a\x00b"),
            "outputs.0.facets.version.datasetVersion",
        ),
        (
            lambda e: e["run"]["facets"]["executionParameters"]["parameters"][0].update(value=1),
            "run.facets.executionParameters.parameters.0.value",
        ),
    ],
)
def test_a_wrong_event_is_refused_by_the_name_of_its_field(change: Any, field: str) -> None:
    with pytest.raises(SinkTerminal) as caught:
        CHECK.check(broken(change))
    assert caught.value.context["field"].startswith(field)  # type: ignore[attr-defined]  # a text


def test_no_value_appears_in_the_message_about_a_wrong_event() -> None:
    with pytest.raises(SinkTerminal) as caught:
        CHECK.check(broken(lambda e: e["job"].update(namespace="my secret password")))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"{}", b"\xff"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(SinkTerminal):
        CHECK.check(body)


def test_missing_schemas_are_said(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="schemas"):
        EventCheck.of_folder(tmp_path)


@given(st.integers(0, 3))
def test_an_event_of_a_run_with_other_content_differs(offset: int) -> None:
    run = training_run()
    moved = replace(run, end=(run.end or 0) + offset)
    same = run_events(run, NAMING)[-1].content_hash == run_events(moved, NAMING)[-1].content_hash
    assert same == (offset == 0)
