"""Hand-built runs for the OpenLineage tests, and the specification's schemas."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from exporter.hierarchy import (
    Artifact,
    Content,
    FileRecord,
    Parameter,
    PipelineRecord,
    Port,
    RunSnapshot,
    Step,
    StepRef,
)
from exporter.mapping.mlflow import TableFacts
from exporter.mapping.openlineage import RunDetails, lineage_table
from exporter.statistics.model import (
    ColumnStatistics,
    Distinct,
    Histogram,
    Lengths,
    Quantiles,
    TableStatistics,
)

ROOT = Path(__file__).resolve().parent.parent.parent
OWN_SCHEMAS = ROOT / "mappings" / "schemas" / "1-0-0"
T0 = 1_700_000_000_123  # 2023-11-14T22:13:20.123Z

Json = dict[str, Any]  # Any: a parsed event


def artifact(number: int, step: str, output: str, *, kind: str = "DataArtifact") -> Artifact:
    """Make an artifact as ZenML writes it: the step's id ends the URI."""
    return Artifact(
        id=str(number),
        type=kind,
        uri=f"/data/store/{step}/{output}/{number}",
        producer=StepRef("train_pipeline", "run_1", step, str(number)),
    )


def training_run() -> RunSnapshot:
    """Make a run with a cached step, a list port and one artifact on two inputs."""
    return RunSnapshot(
        repository="acme",
        stack="local_stack",
        tool="zenml",
        flavour="zenml-0.5",
        pipeline=PipelineRecord("train_pipeline", 1, "1", docstring="Trains a model."),
        name="run_1",
        seq=2,
        source_id="1:2",
        status="completed",
        start=T0,
        end=T0 + 9000,
        facts=(Parameter("zenml_version", "0.5.7"),),
        steps=(
            Step(
                "importer",
                "10",
                "importer",
                "completed",
                start=T0 + 100,
                end=T0 + 200,
                outputs=(Port("train", "1"), Port("shards", "2", 0), Port("shards", "3", 1)),
            ),
            Step(
                "cleaner",
                "11",
                "cleaner",
                "cached",
                start=T0 + 250,
                end=T0 + 250,
                inputs=(Port("raw", "1", parent=0),),
                outputs=(Port("clean", "4", cached=True),),
                parents=(0,),
            ),
            Step(
                "trainer",
                "12",
                "sk_trainer",
                "completed",
                start=T0 + 300,
                end=T0 + 400,
                docstring="Fits.",
                parameters=(Parameter("C", 0.1), Parameter("on", True), Parameter("tags", ["a"])),
                inputs=(
                    Port("left", "1", parent=0),
                    Port("right", "1", parent=0),
                    Port("clean", "4", parent=1),
                    Port("shards", "2", 0, parent=0),
                    Port("shards", "3", 1, parent=0),
                ),
                outputs=(Port("model", "5"),),
                parents=(0, 1),
            ),
        ),
        artifacts=(
            artifact(1, "importer", "train"),
            artifact(2, "importer", "shards"),
            artifact(3, "importer", "shards"),
            artifact(4, "cleaner", "clean"),
            replace(
                artifact(5, "trainer", "model", kind="ModelArtifact"),
                data_type="sklearn.linear_model._logistic.LogisticRegression",
                properties=(Parameter("auc", float("nan")), Parameter("big", 2**70)),
            ),
        ),
    )


def failed_run() -> RunSnapshot:
    """Make a run whose last step failed before it wrote what it had declared."""
    run = training_run()
    importer, cleaner, trainer = run.steps
    broken = replace(trainer, status="failed", outputs=(), declared_outputs=("model", "report"))
    return replace(run, status="failed", steps=(importer, cleaner, broken))


def rich_run() -> tuple[RunSnapshot, RunDetails]:
    """Make a run that has something for every facet, and what was read of its artifacts."""
    run = training_run()
    importer, cleaner, trainer = run.steps
    facts = (
        *run.facts,
        Parameter("git_sha", "3f2a1c"),
        Parameter("git_remote", "git@git.example:acme/churn.git"),
        Parameter("git_branch", "main"),
        Parameter("owner", ["ada", "team:ml"]),
        Parameter("nominal_time", "2023-11-14T23:00:00+01:00"),
        Parameter("tags", ["nightly"]),
    )
    files = (FileRecord("df.parquet", 2_000, "b" * 64),)
    placed = replace(
        run.artifacts[0],
        uri="s3://lake/pipelines/train_pipeline/importer/train/1",
        content=Content("copied", "a" * 64, 2_000, files),
    )
    trainer = replace(trainer, facts=(Parameter("source_code", "def trainer():\n    ...\n"),))
    run = replace(
        run,
        facts=facts,
        steps=(importer, cleaner, trainer),
        artifacts=(placed, *run.artifacts[1:]),
    )
    facts_of_table = TableFacts(120, 3, 0.0, "", lineage_table([described_table()]).to_text())
    return run, RunDetails({"4": 0.9}, {"1": facts_of_table})


def described_table(columns: int = 3, rows: int = 120) -> TableStatistics:
    """Make the description of a table of numbers, texts and truths."""
    kinds = (_number_column, _text_column, _truth_column)
    made = tuple(kinds[number % 3](f"column_{number}", rows) for number in range(columns))
    return TableStatistics(rows, made, columns)


def _number_column(name: str, rows: int) -> ColumnStatistics:
    points = ((0.0, 0.5), (0.25, 1.5), (0.5, 2.5), (0.75, 3.5), (1.0, 4.5))
    return ColumnStatistics(
        name,
        "float",
        "double",
        rows,
        nulls=3,
        distinct=Distinct(70, "exact"),
        minimum=0.5,
        maximum=4.5,
        mean=2.4,
        deviation=1.1,
        zeros=0,
        quantiles=Quantiles(points, "exact", rows),
        histogram=Histogram(-1, 1, (10, 20, 30, 20, 10, 9, 8, 10)),
    )


def _text_column(name: str, rows: int) -> ColumnStatistics:
    return ColumnStatistics(
        name,
        "string",
        "string",
        rows,
        nulls=0,
        distinct=Distinct(12, "exact"),
        minimum="a private value",
        maximum="z private value",
        empty=1,
        lengths=Lengths(0, 9, 4.5),
    )


def _truth_column(name: str, rows: int) -> ColumnStatistics:
    return ColumnStatistics(name, "bool", "bool", rows, nulls=0, trues=40)


def specification_folder() -> Path:
    """Give the folder with the OpenLineage specification's JSON schemas, or skip the test."""
    named = os.environ.get("EXPORTER_TEST_OPENLINEAGE_SCHEMAS")
    folder = Path(named) if named else ROOT.parent / "shared" / "openlineage-schemas"
    if not (folder / "OpenLineage.json").is_file():
        pytest.skip(
            "needs a folder with the OpenLineage specification's JSON schemas: "
            "set EXPORTER_TEST_OPENLINEAGE_SCHEMAS"
        )
    return folder


class Specification:
    """The specification's schemas, and ours, as one judge of events."""

    def __init__(self, folder: Path) -> None:
        schemas = [
            json.loads(path.read_text(encoding="utf-8"))
            for place in (folder, OWN_SCHEMAS)
            for path in sorted(place.glob("*.json"))
        ]
        self.ids = {schema["$id"] for schema in schemas}
        self._registry = jsonschema_rs.Registry([(s["$id"], s) for s in schemas])
        self._event = self._of("https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent")
        self._facets: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def check(self, event: Json) -> None:
        """Raise for an event that the specification, or a facet's own schema, does not allow."""
        self._event.validate(event)
        for schema_url, value in facets_of(event):
            if schema_url not in self._facets:
                assert schema_url.split("#")[0] in self.ids, f"{schema_url} does not exist"
                self._facets[schema_url] = self._of(schema_url)
            self._facets[schema_url].validate(value)

    def _of(self, url: str) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator(
            {"$ref": url}, registry=self._registry, validate_formats=True
        )


@cache
def specification() -> Specification:
    """Give the judge; skips where the schemas are absent."""
    return Specification(specification_folder())


def facets_of(event: Json) -> list[tuple[str, Json]]:
    """List every facet of an event with the URL of its schema."""
    holders = [event["run"]["facets"], event["job"]["facets"]]
    for dataset in (*event["inputs"], *event["outputs"]):
        holders += [dataset.get(key, {}) for key in ("facets", "inputFacets", "outputFacets")]
    return [(value["_schemaURL"], value) for holder in holders for value in holder.values()]
