"""What each facet says, and what it never says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from support.lineage_samples import (
    OWN_SCHEMAS,
    described_table,
    failed_run,
    rich_run,
    specification,
    training_run,
)
from support.strategies import odd_text

from exporter.hierarchy import Artifact, Content, FileRecord, Parameter, Port, RunSnapshot, StepRef
from exporter.mapping.mlflow import TableFacts
from exporter.mapping.openlineage import (
    CatalogProfile,
    LineageNaming,
    LineageTable,
    RunDetails,
    lineage_table,
    run_events,
)
from exporter.mapping.openlineage.dataset_facets import layout, storage
from exporter.mapping.openlineage.secret_text import without_password
from exporter.mapping.openlineage.text import safe_uri
from exporter.sinks.openlineage import EventCheck
from exporter.statistics.model import (
    ColumnStatistics,
    Sampling,
    TableStatistics,
    TopValue,
    TopValues,
)

NAMING = LineageNaming()
APART = CatalogProfile("apart", input_facets="apart")
CHECK = EventCheck.of_folder(OWN_SCHEMAS)

Json = dict[str, Any]  # Any: a parsed event


def parsed(
    run: RunSnapshot, profile: Any = APART, naming: LineageNaming = NAMING, **options: Any
) -> list[Json]:  # Any: passed on as it is
    found = []
    for event in run_events(run, naming, profile, **options):
        CHECK.check(event.body)
        found.append(json.loads(event.body))
    return found


def rich(profile: Any = APART, **options: Any) -> list[Json]:  # Any: passed on as it is
    run, details = rich_run()
    return parsed(run, profile, details=details, **options)


def outputs(event: Json) -> dict[str, Json]:
    return {dataset["name"]: dataset for dataset in event["outputs"]}


def said(facet: Json) -> Json:
    return {key: value for key, value in facet.items() if not key.startswith("_")}


def test_the_source_of_a_run_is_where_its_commit_is() -> None:
    location = said(rich()[0]["job"]["facets"]["sourceCodeLocation"])
    assert location == {
        "type": "git",
        "url": "https://git.example/acme/churn",
        "repoUrl": "https://git.example/acme/churn",
        "version": "3f2a1c",
        "branch": "main",
    }


def test_without_an_address_the_commit_is_a_tag_only() -> None:
    run = replace(training_run(), facts=(Parameter("git_sha", "3f2a1c"),))
    start = parsed(run)[0]
    assert "sourceCodeLocation" not in start["job"]["facets"]
    assert {"key": "commit", "value": "3f2a1c", "source": "PIPELINE_EXPORTER"} in (
        start["run"]["facets"]["tags"]["tags"]
    )


def test_the_mapping_gives_an_address_where_the_history_has_only_the_commit() -> None:
    run = replace(training_run(), facts=(Parameter("git_sha", "3f2a1c"),))
    naming = replace(NAMING, source_code="https://git.example/acme/tree/{commit}")
    location = parsed(run, naming=naming)[0]["job"]["facets"]["sourceCodeLocation"]
    assert location["url"] == "https://git.example/acme/tree/3f2a1c"


def test_a_scheduled_run_says_when_it_was_due_in_utc() -> None:
    nominal = rich()[0]["run"]["facets"]["nominalTime"]
    assert said(nominal) == {"nominalStartTime": "2023-11-14T22:00:00.000Z"}
    assert "nominalTime" not in parsed(training_run())[0]["run"]["facets"]


@pytest.mark.parametrize("value", ["soon", "", True, None, 1.5, "9999-12-31T23:59:59-12:00"])
def test_a_due_time_that_is_no_time_is_left_out(value: Any) -> None:  # Any: any source value
    run = replace(training_run(), facts=(Parameter("nominal_time", value),))
    assert "nominalTime" not in parsed(run)[0]["run"]["facets"]


def test_a_pipeline_has_the_parameters_of_its_steps() -> None:
    (start, *_, end) = parsed(training_run())
    for event in (start, end):
        listed = event["run"]["facets"]["executionParameters"]["parameters"]
        assert [one["key"] for one in listed] == ["trainer.C", "trainer.on", "trainer.tags"]


def test_a_step_names_those_it_waited_for_and_their_runs_if_they_ran() -> None:
    events = parsed(training_run())
    importer, trainer = events[2], events[4]
    assert trainer["run"]["facets"]["jobDependencies"]["upstream"] == [
        {
            "job": {"namespace": "zenml://acme/local_stack", "name": "train_pipeline.importer"},
            "run": {"runId": importer["run"]["runId"]},
        },
        {"job": {"namespace": "zenml://acme/local_stack", "name": "train_pipeline.cleaner"}},
    ]


def test_metrics_are_those_that_mlflow_gets() -> None:
    run = training_run()
    details = RunDetails({"5": {"acc": 0.9, "name": "x", "odd": float("inf")}})
    events = parsed(run, details=details)
    step = said(events[4]["run"]["facets"]["pipelineExporter_metrics"])["metrics"]
    assert step == [
        {"key": "model.acc", "value": 0.9},
        {"key": "model.odd", "text": "Infinity"},
        {"key": "model.auc", "text": "NaN"},
        {"key": "model.big", "text": "1180591620717411303424"},
    ]
    whole = said(events[5]["run"]["facets"]["pipelineExporter_metrics"])["metrics"]
    assert [one["key"] for one in whole] == [f"trainer.{one['key']}" for one in step]
    assert "pipelineExporter_metrics" not in events[3]["run"]["facets"]


def test_a_table_shows_schema_figures_and_statistics() -> None:
    table = outputs(rich()[2])["train_pipeline.importer.train"]
    facets = table["facets"]
    assert said(facets["schema"])["fields"][0] == {
        "name": "column_0",
        "type": "double",
        "ordinal_position": 1,
    }
    quality = said(facets["dataQualityMetrics"])
    assert (quality["rowCount"], quality["bytes"], quality["fileCount"]) == (120, 2_000, 1)
    assert quality["columnMetrics"]["column_0"] == {
        "nullCount": 3,
        "count": 120,
        "distinctCount": 70,
        "min": 0.5,
        "max": 4.5,
        "quantiles": {"0": 0.5, "0.25": 1.5, "0.5": 2.5, "0.75": 3.5, "1": 4.5},
    }
    assert said(table["outputFacets"]["outputStatistics"]) == {
        "rowCount": 120,
        "size": 2_000,
        "fileCount": 1,
    }
    column = facets["pipelineExporter_statistics"]["columns"][0]
    assert column["histogram"] == {
        "exponent": -1,
        "first": 1,
        "counts": [10, 20, 30, 20, 10, 9, 8, 10],
    }


def test_no_value_of_the_data_is_in_an_event_unless_values_may_be_shown() -> None:
    assert b"private value" not in orjson.dumps(rich())
    column = ColumnStatistics("c", "string", "string", 2, 0, minimum="private value")
    shown = replace(column, top=TopValues((TopValue("private value", 2),), exact=True))
    hidden, told = (lineage_table([TableStatistics(2, (one,), 1)]) for one in (column, shown))
    assert b"private" not in b"".join(hidden[1:])
    assert b'"top":[{"value":"private value","count":2}]' in told.statistics


def test_splits_of_one_artifact_have_one_schema_and_statistics_each() -> None:
    train, test = (replace(described_table(2, rows), name=name) for name, rows in SPLITS)
    table = lineage_table([train, test])
    assert table.rows == 150
    assert len(orjson.loads(table.fields)) == 2
    assert orjson.loads(table.column_metrics) == {}
    columns = orjson.loads(table.statistics)
    assert [(one["split"], one["rows"]) for one in columns] == [
        ("train", 100),
        ("train", 100),
        ("eval", 50),
        ("eval", 50),
    ]


SPLITS = (("train", 100), ("eval", 50))


def test_a_table_of_which_a_part_was_read_claims_no_row_count() -> None:
    part = replace(described_table(), sampled=Sampling(120, None, "first rows"))
    assert lineage_table([part]).rows is None


def test_columns_of_one_name_are_told_apart_and_long_names_are_cut() -> None:
    columns = tuple(
        ColumnStatistics(name, "int", "int64", 1, 0) for name in ("a", "a", "", "x" * 300, "\x00")
    )
    table = lineage_table([TableStatistics(1, columns, 5)])
    assert [one["ordinal_position"] for one in orjson.loads(table.fields)] == [1, 2, 3, 4, 5]
    assert all(0 < len(one["name"]) <= 255 for one in orjson.loads(table.fields))
    assert list(orjson.loads(table.column_metrics))[:3] == ["a", "a#2", "_"]


def test_numbers_that_json_has_none_for_are_left_out() -> None:
    inf = float("inf")
    column = ColumnStatistics(
        "c", "float", "double", 1, 0, minimum=-inf, maximum=10**30, mean=float("nan"), deviation=inf
    )
    table = lineage_table([TableStatistics(1, (column,), 1)])
    assert orjson.loads(table.column_metrics) == {"c": {"nullCount": 0, "count": 1}}
    assert {"mean", "deviation"}.isdisjoint(orjson.loads(table.statistics)[0])


def test_a_table_of_five_thousand_columns_is_bounded() -> None:
    table = lineage_table([described_table(5_000)])
    assert len(orjson.loads(table.fields)) == 1_000
    assert len(table.statistics) <= 60_000
    assert orjson.loads(table.statistics)[0]["name"] == "column_0"


def test_a_table_is_kept_as_text_and_comes_back() -> None:
    table = lineage_table([described_table()])
    assert LineageTable.from_text(table.to_text()) == table
    unknown = table._replace(rows=None)
    assert LineageTable.from_text(unknown.to_text()) == unknown
    assert LineageTable.from_text("") is None


def test_a_model_says_its_framework_flavour_and_files() -> None:
    run = training_run()
    files = (FileRecord("model", 9, "c" * 64),)
    model = replace(
        run.artifacts[4],
        content=Content("copied", "c" * 64, 9, files),
        materializer="zenml.x.SklearnMaterializer@zenml_0.5.7",
    )
    (output,) = parsed(replace(run, artifacts=(*run.artifacts[:4], model)))[4]["outputs"]
    assert said(output["facets"]["pipelineExporter_model"]) == {
        "framework": "sklearn",
        "flavour": "sklearn",
        "modelClass": "sklearn.linear_model._logistic.LogisticRegression",
        "materializer": "zenml.x.SklearnMaterializer@zenml_0.5.7",
        "files": ["model"],
    }


def test_the_data_source_is_the_artifact_store_not_only_its_bucket() -> None:
    events = rich()
    train = outputs(events[2])["train_pipeline.importer.train"]["facets"]
    assert said(train["dataSource"]) == {
        "name": "s3://lake/pipelines/train_pipeline",
        "uri": "s3://lake/pipelines/train_pipeline",
    }
    model = outputs(events[4])["train_pipeline.trainer.model"]["facets"]
    assert said(model["dataSource"])["uri"] == "file:///data/store"


def test_a_symlink_is_the_place_of_all_versions_and_never_of_one() -> None:
    events = rich()
    train = outputs(events[2])["train_pipeline.importer.train"]["facets"]
    assert said(train["symlinks"])["identifiers"] == [
        {
            "namespace": "s3://lake",
            "name": "pipelines/train_pipeline/importer/train",
            "type": "LOCATION",
        }
    ]
    assert "symlinks" not in outputs(events[4])["train_pipeline.trainer.model"]["facets"]


def test_the_layout_of_an_unknown_uri_is_not_guessed() -> None:
    assert layout("s3://b/some/where", "7", "p") is None
    assert layout("/step/out/7", "7", "p") is None
    assert layout("/store/step/out/7/part", "7", "store") == ("/store", "/store/step/out")


@pytest.mark.parametrize(
    ("uri", "files", "layer", "kind"),
    [
        ("/data/x", ["df.parquet"], "file", "parquet"),
        ("s3://b/x", ["a.csv.gz", "b.csv"], "s3", "csv"),
        ("gs://b/x", ["Split-train/data_tfrecord-00000-of-00001.gz"], "gs", "tfrecord"),
        ("/data/m", ["saved_model.pb", "variables/variables.index"], "file", "savedmodel"),
        ("/data/x", ["a.csv", "b.json"], "file", None),
        ("/data/x.json", [], "file", "json"),
    ],
    ids=["parquet", "csv", "tfrecord", "savedmodel", "mixed", "by-uri"],
)
def test_storage_is_told_by_names(uri: str, files: list[str], layer: str, kind: str | None) -> None:
    records = tuple(FileRecord(name, 1, "d" * 64) for name in files)
    content = Content("copied", "d" * 64, 1, records) if files else None
    facet = storage(Artifact("1", "DataArtifact", uri, content=content))
    assert facet is not None
    assert (facet["storageLayer"], facet.get("fileFormat")) == (layer, kind)


def test_an_input_is_bare_unless_the_catalog_keeps_input_facets_apart() -> None:
    (train, *_) = rich()[4]["inputs"]
    assert set(train["facets"]) == {"version", "schema"}
    (bare, *_) = rich(CatalogProfile("bare"))[4]["inputs"]
    assert set(bare) == {"namespace", "name", "inputFacets"}


def test_facets_that_a_catalog_does_not_want_are_left_out() -> None:
    profile = CatalogProfile("few", facets_without=("tags", "schema", "pipelineExporter_read"))
    events = rich(profile)
    assert all("tags" not in event["run"]["facets"] for event in events)
    table = outputs(events[2])["train_pipeline.importer.train"]
    assert {"storage", "dataQualityMetrics"} <= set(table["facets"])
    assert "schema" not in table["facets"]
    assert all(set(d) == {"namespace", "name"} for event in events for d in event["inputs"])


def test_without_own_facets_every_facet_is_of_the_specification() -> None:
    for event in rich(CatalogProfile("plain", own_facets=False)):
        specification().check(event)
        assert "pipelineExporter" not in json.dumps(event)


def test_a_catalog_may_rename_namespaces_and_job_types() -> None:
    profile = CatalogProfile(
        "atlan",
        job_namespace="my-connection",
        namespaces={"zenml://acme/local_stack": "features"},
        job_types={"PIPELINE": "DAG", "STEP": "TASK"},
    )
    events = rich(profile)
    assert {event["job"]["namespace"] for event in events} == {"my-connection"}
    assert events[1]["run"]["facets"]["parent"]["job"]["namespace"] == "my-connection"
    assert {d["namespace"] for event in events for d in event["outputs"]} == {"features"}
    kinds = [event["job"]["facets"]["jobType"]["jobType"] for event in events]
    assert kinds == ["DAG", "TASK", "TASK", "TASK", "TASK", "DAG"]


def test_only_accepted_events_are_told_and_only_edges_where_that_is_asked() -> None:
    assert [e["eventType"] for e in rich(CatalogProfile("ends", accepts=("COMPLETE",)))] == [
        "COMPLETE",
        "COMPLETE",
        "COMPLETE",
    ]
    (trainer,) = rich(CatalogProfile("edges", accepts=("COMPLETE",), edges_only=True))
    assert trainer["job"]["name"] == "train_pipeline.trainer"


def test_a_failed_step_declares_no_outputs_where_the_catalog_wants_none() -> None:
    assert parsed(failed_run(), CatalogProfile("none", failed_outputs="none"))[4]["outputs"] == []


def test_a_dot_in_a_name_stays_visible_where_the_catalog_keeps_dots() -> None:
    run = training_run()
    dotted = replace(run, pipeline=replace(run.pipeline, name="train.v2"))
    names = {
        dots: parsed(dotted, CatalogProfile(dots, dots=dots))[0]["job"]["name"]
        for dots in ("keep", "replace")
    }
    assert names["keep"].startswith("train.v2-")
    assert names["replace"].startswith("train_v2-")


def test_names_keep_to_the_catalogs_length() -> None:
    run = training_run()
    long = replace(run, pipeline=replace(run.pipeline, name="p" * 300))
    for event in parsed(long, CatalogProfile("short", name_length=60)):
        assert len(event["job"]["name"]) <= 60
        assert all(len(dataset["name"]) <= 60 for dataset in event["outputs"])


def test_no_password_leaves_in_any_facet() -> None:
    uri = "postgresql://me:hunter2@db/shop/sales/orders"
    run = training_run()
    given_in = Artifact("77", "DataArtifact", uri, properties=(Parameter("from", uri),))
    made = replace(run.artifacts[4], uri=f"{uri}/trainer/model/5", producer=None)
    step = replace(
        run.steps[2],
        parameters=(Parameter("dsn", uri), Parameter("all", [uri])),
        inputs=(Port("data", "77"),),
    )
    run = replace(run, steps=(*run.steps[:2], step), artifacts=(*run.artifacts[:4], made, given_in))
    for event in parsed(run):
        assert "hunter2" not in json.dumps(event)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://u:p@h/d", "postgres://u:***@h/d"),
        ("a s3://k:s@b/x and http://u:p@w/", "a s3://k:***@b/x and http://u:***@w/"),
        ("abfss://box@acct/x", "abfss://box@acct/x"),
        ("mail me@example.com: now", "mail me@example.com: now"),
        ("postgres://:p@h", "postgres://:***@h"),
        ("redis://u:p@ss@h/0", "redis://u:***@h/0"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, shown: str) -> None:
    assert without_password(text) == shown


@pytest.mark.parametrize(
    ("uri", "safe"),
    [
        ("/srv/a b", "file:///srv/a%20b"),
        ("s3://b/ü", "s3://b/%C3%BC"),
        ("s3://b/50%_x", "s3://b/50%25_x"),
        ("s3://b/a%20b", "s3://b/a%20b"),
        ("s3://b/{x}[1]\\", "s3://b/%7Bx%7D%5B1%5D%5C"),
        ("C:\\data", "C:%5Cdata"),
        ("plain", "file:///plain"),
        ("x://a#b#c", "x://a#b%23c"),
    ],
)
def test_uris_are_percent_encoded(uri: str, safe: str) -> None:
    assert safe_uri(uri) == safe


@given(odd_text())
def test_any_uri_becomes_one_that_the_schema_takes(text: str) -> None:
    run = training_run()
    placed = replace(
        run.artifacts[0],
        uri=f"s3://b/{text}/importer/train/1",
        producer=StepRef("train_pipeline", "run_1", "importer", "1"),
    )
    assert len(safe_uri(text * 10)) <= 255
    parsed(replace(run, artifacts=(placed, *run.artifacts[1:])))


def wide_run() -> tuple[RunSnapshot, RunDetails]:
    """Make a run whose importer writes a table of five hundred columns, its source beside it."""
    run, _ = rich_run()
    code = Parameter("source_code", "x = 1\n" * 1_000)
    step = replace(run.steps[0], facts=(code,))
    text = lineage_table([described_table(500)]).to_text()
    details = RunDetails(tables={"1": TableFacts(120, 500, 0.0, "", text)})
    return replace(run, steps=(step, *run.steps[1:])), details


@pytest.mark.parametrize(
    ("limit", "truncated"),
    [
        (0, None),
        (200_000, None),
        (110_000, ["statistics"]),
        (60_000, ["statistics", "columnMetrics"]),
        (20_000, ["statistics", "columnMetrics", "schema"]),
        (9_000, ["statistics", "columnMetrics", "schema", "sourceCode"]),
    ],
)
def test_an_event_over_the_limit_leaves_out_what_says_least(
    limit: int, truncated: list[str] | None
) -> None:
    run, details = wide_run()
    profile = CatalogProfile("small", max_bytes=limit)
    event = run_events(run, NAMING, profile, details=details)[2]
    CHECK.check(event.body, max_bytes=limit)
    body = json.loads(event.body)
    specification().check(body)
    assert body["run"]["facets"]["pipelineExporter_run"].get("truncated") == truncated
    assert "version" in body["outputs"][0]["facets"]


def test_what_fits_is_the_same_whatever_the_limit() -> None:
    run, details = wide_run()
    free, roomy = (
        run_events(run, NAMING, CatalogProfile("x", max_bytes=limit), details=details)
        for limit in (0, 10**6)
    )
    assert free == roomy
