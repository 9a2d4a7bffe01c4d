"""What the events of one run say, and in which order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from openlineage.client.uuid import generate_static_uuid
from support.lineage_samples import (
    OWN_SCHEMAS,
    T0,
    artifact,
    failed_run,
    specification,
    training_run,
)

from exporter.hierarchy import Artifact, Content, Parameter, Port, Step, StepRef, run_key
from exporter.hierarchy.times import iso_from_ms
from exporter.mapping.openlineage import LineageNaming, own, run_events
from exporter.mapping.openlineage.facets import parameter_text
from exporter.mapping.openlineage.ids import lineage_run_id
from exporter.sinks.openlineage.check import EventCheck

NAMING = LineageNaming()
CHECK = EventCheck.of_folder(OWN_SCHEMAS)

Json = dict[str, Any]  # Any: a parsed event


def parsed(run: Any, **options: Any) -> list[Json]:  # Any: passed on as it is
    return [json.loads(event.body) for event in run_events(run, NAMING, **options)]


def told(event: Json) -> str:
    return f"{event['job']['name']} {event['eventType']}"


def test_a_run_is_told_from_its_start_to_its_end_with_the_steps_that_ran_between() -> None:
    assert [told(event) for event in parsed(training_run())] == [
        "train_pipeline START",
        "train_pipeline.importer START",
        "train_pipeline.importer COMPLETE",
        "train_pipeline.trainer START",
        "train_pipeline.trainer COMPLETE",
        "train_pipeline COMPLETE",
    ]


def test_event_times_are_those_of_the_source() -> None:
    events = run_events(training_run(), NAMING)
    assert [event.event_time for event in events] == [
        iso_from_ms(T0 + offset) for offset in (0, 100, 200, 300, 400, 9000)
    ]


def test_producers_come_before_consumers_whatever_their_place() -> None:
    run = training_run()
    importer, _, trainer = run.steps
    swapped = replace(
        run,
        steps=(
            replace(trainer, parents=(1,), inputs=(Port("left", "1", parent=1),)),
            replace(importer, parents=(), inputs=()),
        ),
    )
    assert [told(event) for event in parsed(swapped)][1:5:2] == [
        "train_pipeline.importer START",
        "train_pipeline.trainer START",
    ]


def test_steps_in_a_circle_are_told_by_their_place() -> None:
    run = training_run()
    importer, _, trainer = run.steps
    circle = replace(run, steps=(replace(importer, parents=(1,)), replace(trainer, parents=(0,))))
    assert len(parsed(circle)) == 6


def test_every_event_of_a_step_names_its_parent_and_root() -> None:
    events = parsed(training_run())
    pipeline = {
        "run": {"runId": events[0]["run"]["runId"]},
        "job": {"namespace": "zenml://acme/local_stack", "name": "train_pipeline"},
    }
    for event in events[1:-1]:
        parent = event["run"]["facets"]["parent"]
        assert {"run": parent["run"], "job": parent["job"]} == pipeline
        assert parent["root"] == pipeline
    assert "parent" not in events[0]["run"]["facets"]


def test_datasets_have_stable_names_and_stand_on_the_terminal_event_only() -> None:
    events = parsed(training_run())
    assert all(not e["inputs"] and not e["outputs"] for e in events if e["eventType"] == "START")
    trainer = events[4]
    assert [dataset["name"] for dataset in trainer["inputs"]] == [
        "train_pipeline.importer.train",
        "train_pipeline.cleaner.clean",
        "train_pipeline.importer.shards",
    ]
    assert [dataset["name"] for dataset in trainer["outputs"]] == ["train_pipeline.trainer.model"]


def test_an_artifact_read_twice_is_one_input_that_tells_both() -> None:
    read = parsed(training_run())[4]["inputs"][0]["inputFacets"]["pipelineExporter_read"]
    assert [entry["input"] for entry in read["artifacts"]] == ["left", "right"]
    assert read["count"] == 2


def test_an_input_says_which_run_wrote_it_if_that_run_has_events() -> None:
    events = parsed(training_run())
    train, clean, _ = events[4]["inputs"]
    (importer_id,) = {events[1]["run"]["runId"], events[2]["run"]["runId"]}
    assert train["inputFacets"]["pipelineExporter_read"]["artifacts"][0]["producerRunId"] == (
        importer_id
    )
    cached = clean["inputFacets"]["pipelineExporter_read"]["artifacts"][0]
    assert "producerRunId" not in cached
    assert cached["producer"]["step"] == "cleaner"


def test_inputs_carry_no_dataset_facets_that_would_relabel_the_newest_version() -> None:
    for event in parsed(training_run()):
        assert all(set(d) == {"namespace", "name", "inputFacets"} for d in event["inputs"])


def test_a_port_that_holds_a_list_is_one_dataset_with_its_artifacts_in_order() -> None:
    outputs = parsed(training_run())[2]["outputs"]
    assert [dataset["name"] for dataset in outputs] == [
        "train_pipeline.importer.train",
        "train_pipeline.importer.shards",
    ]
    held = outputs[1]["facets"]["pipelineExporter_artifact"]["artifacts"]
    assert [(entry["id"], entry["index"]) for entry in held] == [("2", 0), ("3", 1)]
    assert outputs[1]["facets"]["version"]["datasetVersion"] == "2+3"


def test_a_model_is_a_dataset_of_that_type_with_its_framework() -> None:
    (model,) = parsed(training_run())[4]["outputs"]
    assert model["facets"]["datasetType"]["datasetType"] == "MODEL"
    assert model["facets"]["datasetType"]["subType"] == "sklearn"
    properties = model["facets"]["pipelineExporter_artifact"]["artifacts"][0]["properties"]
    assert properties == [
        {"key": "auc", "value": "NaN"},
        {"key": "big", "value": "1180591620717411303424"},
    ]


def test_a_copied_artifact_shows_its_digest() -> None:
    run = training_run()
    copied = replace(run.artifacts[4], content=Content("copied", "a" * 64, 12))
    run = replace(run, artifacts=(*run.artifacts[:4], copied))
    entry = parsed(run)[4]["outputs"][0]["facets"]["pipelineExporter_artifact"]["artifacts"][0]
    assert (entry["sha256"], entry["sizeBytes"]) == ("a" * 64, 12)


def test_parameters_are_listed_as_text() -> None:
    for event in parsed(training_run())[3:5]:
        assert event["run"]["facets"]["executionParameters"]["parameters"] == [
            {"key": "C", "value": "0.1"},
            {"key": "on", "value": "true"},
            {"key": "tags", "value": '["a"]'},
        ]


def test_a_parameter_of_100_kb_is_cut_and_says_so() -> None:
    run = training_run()
    trainer = replace(run.steps[2], parameters=(Parameter("long", "x" * 100_000),))
    event = parsed(replace(run, steps=(*run.steps[:2], trainer)))[3]
    (listed,) = event["run"]["facets"]["executionParameters"]["parameters"]
    assert len(listed["value"]) == 10_000
    assert listed["value"].endswith("[100000 characters in all]")


def test_parameters_of_one_name_are_told_apart() -> None:
    run = training_run()
    twice = (Parameter("C", 1), Parameter("C", 2, declared=True))
    trainer = replace(run.steps[2], parameters=twice)
    event = parsed(replace(run, steps=(*run.steps[:2], trainer)))[3]
    listed = event["run"]["facets"]["executionParameters"]["parameters"]
    assert [entry["key"] for entry in listed] == ["C", "C#2"]


def test_engine_and_job_type_are_always_there() -> None:
    for event in parsed(training_run()):
        engine = event["run"]["facets"]["processing_engine"]
        assert (engine["name"], engine["version"]) == ("ZenML", "0.5.7")
        job_type = event["job"]["facets"]["jobType"]
        kind = "STEP" if "." in event["job"]["name"] else "PIPELINE"
        assert (job_type["processingType"], job_type["integration"]) == ("BATCH", "ZENML")
        assert job_type["jobType"] == kind


def test_docstrings_document_their_jobs() -> None:
    events = parsed(training_run())
    assert events[0]["job"]["facets"]["documentation"]["description"] == "Trains a model."
    assert events[3]["job"]["facets"]["documentation"]["description"] == "Fits."
    assert "documentation" not in events[1]["job"]["facets"]


def test_cached_steps_are_named_by_the_end_of_the_pipeline() -> None:
    assert parsed(training_run())[-1]["run"]["facets"]["pipelineExporter_run"]["cachedSteps"] == [
        "cleaner"
    ]


def test_a_failed_step_says_why_and_names_what_it_should_have_written() -> None:
    events = parsed(failed_run())
    step, pipeline = events[4], events[5]
    assert (step["eventType"], pipeline["eventType"]) == ("FAIL", "FAIL")
    assert "no error text" in step["run"]["facets"]["errorMessage"]["message"]
    assert "'trainer'" in pipeline["run"]["facets"]["errorMessage"]["message"]
    assert [(d["name"], d["facets"]) for d in step["outputs"]] == [
        ("train_pipeline.trainer.model", {}),
        ("train_pipeline.trainer.report", {}),
    ]


def test_a_failed_step_without_known_outputs_declares_none() -> None:
    run = failed_run()
    bare = replace(run.steps[2], declared_outputs=())
    assert parsed(replace(run, steps=(*run.steps[:2], bare)))[4]["outputs"] == []


def test_a_run_still_going_has_no_events_until_it_is_given_up() -> None:
    run = training_run()
    going = replace(
        run,
        status="running",
        end=None,
        steps=(run.steps[0], replace(run.steps[2], status="running")),
    )
    assert run_events(going, NAMING) == ()
    given_up = parsed(going, stale=True)
    assert [event["eventType"] for event in given_up[3:]] == ["START", "ABORT", "ABORT"]
    assert given_up[-1]["eventTime"] == iso_from_ms(T0 + 400)


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        ("completed", "COMPLETE"),
        ("failed", "FAIL"),
        ("retried", "FAIL"),
        ("cancelled", "ABORT"),
        ("stopped", "ABORT"),
        ("running", "ABORT"),
        ("unknown", "COMPLETE"),
        ("a word of tomorrow", "COMPLETE"),
    ],
)
def test_each_status_ends_a_step_in_its_own_way(status: str, ending: str) -> None:
    run = training_run()
    run = replace(run, status="failed", steps=(replace(run.steps[0], status=status),))
    assert parsed(run)[2]["eventType"] == ending


@pytest.mark.parametrize("status", ["cached", "skipped", "pending", "queued"])
def test_a_step_that_never_ran_has_no_events(status: str) -> None:
    run = training_run()
    run = replace(run, steps=(replace(run.steps[0], status=status, start=None, end=None),))
    assert len(parsed(run)) == 2


def test_a_run_without_any_time_is_told_at_the_epoch() -> None:
    run = training_run()
    bare = replace(run.steps[0], start=None, end=None)
    events = run_events(replace(run, start=None, end=None, steps=(bare,)), NAMING)
    assert {event.event_time for event in events} == {"1970-01-01T00:00:00.000Z"}


def test_an_artifact_of_another_pipeline_has_the_name_its_own_run_gave_it() -> None:
    run = training_run()
    foreign = Artifact(
        id="77",
        type="Examples",
        uri="/data/pipelines/other/CsvExampleGen/examples/41/Split-train",
        producer=StepRef("other", "run_9", "CsvExampleGen", "41"),
    )
    step = replace(run.steps[0], inputs=(Port("data", "77"),))
    event = parsed(replace(run, steps=(step,), artifacts=(*run.artifacts, foreign)))[2]
    (dataset,) = event["inputs"]
    assert dataset["name"] == "other.CsvExampleGen.examples"
    assert dataset["namespace"] == event["job"]["namespace"]


def test_an_artifact_taken_from_an_earlier_run_is_no_new_version() -> None:
    run = training_run()
    taken = replace(run.steps[0], outputs=(Port("train", "1", cached=True), Port("shards", "2")))
    outputs = parsed(replace(run, steps=(taken,)))[2]["outputs"]
    assert [dataset["name"] for dataset in outputs] == ["train_pipeline.importer.shards"]


def test_a_step_that_only_passes_on_an_artifact_does_not_claim_to_have_written_it() -> None:
    run = training_run()
    resolver = Step(
        "resolver", "13", "Resolver", "completed", start=T0, outputs=(Port("latest", "5"),)
    )
    pusher = replace(
        run.steps[0], name="pusher", inputs=(Port("model", "5", parent=2),), outputs=()
    )
    events = parsed(replace(run, steps=(*run.steps[1:], resolver, pusher)))
    by_job = {told(event): event for event in events}
    assert by_job["train_pipeline.resolver COMPLETE"]["outputs"] == []
    (model,) = by_job["train_pipeline.pusher COMPLETE"]["inputs"]
    assert model["name"] == "train_pipeline.trainer.model"


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("/srv/raw/iris.csv", "file", "/srv/raw/iris.csv"),
        ("file:///srv/raw/iris.csv", "file", "/srv/raw/iris.csv"),
        ("s3://bucket/raw/iris.csv", "s3://bucket", "raw/iris.csv"),
        ("hdfs://name:8020/raw", "hdfs://name:8020", "raw"),
        ("s3://user:secret@bucket/raw", "s3://bucket", "raw"),
        ("", "zenml://acme/local_stack", "handed in"),
    ],
)
def test_an_artifact_that_no_step_wrote_has_the_name_of_its_place(
    uri: str, namespace: str, name: str
) -> None:
    run = training_run()
    external = Artifact(id="77", type="DataArtifact", uri=uri, name="handed in")
    step = replace(run.steps[0], inputs=(Port("data", "77"),))
    event = parsed(replace(run, steps=(step,), artifacts=(*run.artifacts, external)))[2]
    (dataset,) = event["inputs"]
    assert (dataset["namespace"], dataset["name"]) == (namespace, name)


def test_run_ids_are_those_of_the_public_client() -> None:
    run = training_run()
    moment = datetime.fromtimestamp(T0 / 1000, tz=UTC)
    expected = generate_static_uuid(moment, run_key(run).encode("ascii"))
    assert run_events(run, NAMING)[0].run_id == str(expected)


def test_an_attempt_is_a_run_of_its_own_on_the_same_job() -> None:
    run = training_run()
    first = replace(run.steps[0], status="failed")
    second = replace(run.steps[0], attempt=2)
    events = parsed(replace(run, steps=(first, second)))[1:-1]
    assert len({event["run"]["runId"] for event in events}) == 2
    assert len({event["job"]["name"] for event in events}) == 1


def test_the_same_run_gives_the_same_bytes_in_another_process_and_time_zone() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests');"
        "from support.lineage_samples import training_run;"
        "from exporter.mapping.openlineage import LineageNaming, run_events;"
        "sys.stdout.buffer.write(b'\\n'.join("
        "e.body for e in run_events(training_run(), LineageNaming())))"
    )
    here = b"\n".join(event.body for event in run_events(training_run(), NAMING))
    for zone in ("Asia/Kathmandu", "America/New_York"):
        there = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            cwd=OWN_SCHEMAS.parent.parent.parent,
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": "7"},
        )
        assert there.stdout == here


def test_the_content_hash_leaves_out_who_sends_and_which_release() -> None:
    run = training_run()
    moved = replace(NAMING, base_url="https://elsewhere.example/x", adapter_version="9.9.9")
    ours, theirs = run_events(run, NAMING), run_events(run, moved)
    assert [e.content_hash for e in ours] == [e.content_hash for e in theirs]
    assert all(mine.body != other.body for mine, other in zip(ours, theirs, strict=True))
    assert len({e.content_hash for e in ours}) == len(ours)
    for event in theirs:
        CHECK.check(event.body)
        assert b"pipeline-exporter.invalid" not in event.body


def test_the_content_hash_changes_with_what_the_event_says() -> None:
    run = training_run()
    other = replace(run, steps=(*run.steps[:2], replace(run.steps[2], docstring="Fits better.")))
    changed = [
        old.content_hash != new.content_hash
        for old, new in zip(run_events(run, NAMING), run_events(other, NAMING), strict=True)
    ]
    assert changed == [False, False, False, True, True, False]


def test_text_that_looks_like_our_placeholders_stays_as_it_is() -> None:
    run = training_run()
    odd = '"\\u0000" "\\u0000/schemas \x00 \x00\x00'
    trainer = replace(run.steps[2], parameters=(Parameter(odd, odd),), docstring=odd)
    event = parsed(replace(run, steps=(*run.steps[:2], trainer)))[3]
    shown = odd.replace("\x00", "\ufffd")
    assert event["job"]["facets"]["documentation"]["description"] == shown
    (listed,) = event["run"]["facets"]["executionParameters"]["parameters"]
    assert listed == {"key": shown, "value": shown}


@pytest.mark.parametrize("run", [training_run(), failed_run()], ids=["completed", "failed"])
def test_events_follow_the_specification_and_our_own_schema(run: Any) -> None:
    for event in run_events(run, NAMING):
        CHECK.check(event.body)
        specification().check(json.loads(event.body))


def test_bodies_are_compact_utf_8_json() -> None:
    for event in run_events(training_run(), NAMING):
        assert orjson.dumps(orjson.loads(event.body)) == event.body


@pytest.mark.parametrize(
    "start", [None, 0, 1, T0, 253_402_300_799_999, 10**18, -(10**18), -62_135_596_800_000]
)
def test_any_start_time_makes_a_run_id(start: int | None) -> None:
    text = lineage_run_id("k", start)
    assert len(text) == 36
    assert text[14] == "7"


def test_a_run_of_ten_thousand_shards_makes_an_event_of_bounded_size() -> None:
    run = training_run()
    shards = tuple(artifact(number, "importer", "train") for number in range(10_000))
    step = replace(
        run.steps[0],
        outputs=tuple(Port("train", shard.id, place) for place, shard in enumerate(shards)),
    )
    event = run_events(replace(run, steps=(step,), artifacts=shards), NAMING)[2]
    CHECK.check(event.body)
    assert len(event.body) < 64_000
    facet = json.loads(event.body)["outputs"][0]["facets"]["pipelineExporter_artifact"]
    assert (facet["count"], len(facet["artifacts"])) == (10_000, 100)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("password", "***"),
        ("db_password", "***"),
        ("step.api_key", "***"),
        ("APIKEY", "***"),
        ("aws_secret_access_key", "***"),
        ("auth-token", "***"),
        ("access_token", "***"),
        ("max_tokens", "hidden"),
        ("tokenizer", "hidden"),
        ("primary_key", "hidden"),
        ("compass", "hidden"),
    ],
)
def test_a_parameter_named_as_a_secret_is_masked(name: str, shown: str) -> None:
    assert parameter_text(Parameter(name, "hidden")) == shown


def test_no_event_ends_before_it_began() -> None:
    run = training_run()
    first = run.steps[0]
    assert first.start is not None
    assert run.start is not None
    back = replace(
        run,
        end=run.start - 1_000,
        steps=(replace(first, end=first.start - 1_000), *run.steps[1:]),
    )
    for events in (parsed(back)[:1] + parsed(back)[-1:], parsed(back)[1:3]):
        start, end = (event["eventTime"] for event in events)
        assert start == end


@pytest.mark.parametrize("where", ["name", "property"])
def test_an_artifact_whose_place_says_nothing_has_the_output_that_its_name_says(where: str) -> None:
    said = "other:run_9:maker:model:0"
    foreign = Artifact(
        id="77",
        type="Model",
        uri="s3://models/prod/current",
        producer=StepRef("other", "run_9", "maker", "41"),
        name=said if where == "name" else None,
        properties=(Parameter("name", said),) if where == "property" else (),
    )
    run = training_run()
    step = replace(run.steps[0], inputs=(Port("base", "77"),))
    event = parsed(replace(run, steps=(step,), artifacts=(*run.artifacts, foreign)))[2]
    (dataset,) = event["inputs"]
    assert dataset["name"] == "other.maker.model"


_LONGEST = "\U0001f600" * 1_000


@pytest.mark.parametrize("count", [1, 8, 100])
def test_each_facet_of_our_own_keeps_to_its_size(count: int) -> None:
    properties = tuple(Parameter(f"k{number}", _LONGEST) for number in range(10))
    made = [
        replace(
            training_run().artifacts[0],
            id=f"{number}{_LONGEST}",
            type=_LONGEST,
            uri=_LONGEST * 3,
            name=_LONGEST,
            state=_LONGEST,
            data_type=_LONGEST,
            materializer=_LONGEST,
            properties=properties,
            producer=StepRef(_LONGEST, _LONGEST, _LONGEST, "7"),
        )
        for number in range(count)
    ]
    ports = tuple(Port(_LONGEST, one.id, index) for index, one in enumerate(made))
    read = [own.read_artifact(port, one, None) for port, one in zip(ports, made, strict=True)]
    named = [own.read_parameter(_LONGEST, _LONGEST) for _ in range(count)]
    facets = [
        own.own_artifact(_LONGEST, _LONGEST, _LONGEST, list(zip(ports, made, strict=True))),
        own.own_read(read, named),
        own.own_run(training_run(), None, [_LONGEST] * count),
        own.own_model(made[0], _LONGEST, _LONGEST),
    ]
    for facet in facets:
        assert len(orjson.dumps(facet)) <= 64 * 1024
    artifacts = orjson.loads(orjson.dumps(facets[0]))["artifacts"]
    assert artifacts[0]["id"].startswith("0")
