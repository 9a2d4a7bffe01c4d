"""The recorded stores, read back in every field: as files, in PostgreSQL and in MariaDB."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from support.stores import RECORDED, TFX, ZENML_05, ZENML_12, RecordedStore, copy_into

from exporter.hierarchy import (
    Artifact,
    Parameter,
    Port,
    RunSnapshot,
    Step,
    canonical_bytes,
    run_from_value,
    run_to_value,
)
from exporter.sources.mlmd import MlmdHistory, open_mlmd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.sources.mlmd import FlavourProfile

Json = dict[str, Any]  # Any: JSON of expected walks


@pytest.fixture(params=["file", "postgresql", pytest.param("mysql", marks=pytest.mark.mariadb)])
def moved(request: pytest.FixtureRequest) -> Callable[[RecordedStore], str]:
    """Give a function that puts a store into one kind of database and gives its URL."""
    kind: str = request.param
    url = {"postgresql": "postgres_url", "mysql": "mariadb_url"}.get(kind)
    target: str = request.getfixturevalue(url) if url else ""

    def move(store: RecordedStore) -> str:
        if kind == "file":
            return store.url
        copy_into(store.database, target, "postgresql" if kind == "postgresql" else "mysql")
        return target

    return move


def read_all(history: MlmdHistory) -> list[RunSnapshot]:
    runs: list[RunSnapshot] = []
    for ids in history.changes(None).source_ids:
        for run in history.runs(ids):
            assert isinstance(run, RunSnapshot)
            runs.append(run)
    return runs


def walk(
    store: RecordedStore, url: str, profiles: Mapping[str, FlavourProfile]
) -> list[RunSnapshot]:
    sidecars = (store.folder / "home" / ".config" / "zenml", store.folder / "repo")
    history = open_mlmd(
        url, repository="acme", stack="local", profiles=profiles, sidecar_dirs=sidecars
    )
    try:
        return read_all(history)
    finally:
        history.close()


@pytest.mark.parametrize("store", [ZENML_05, ZENML_12], ids=lambda s: str(s.name))
def test_every_step_reads_as_its_own_software_answered(
    store: RecordedStore,
    moved: Callable[[RecordedStore], str],
    mlmd_profiles: Mapping[str, FlavourProfile],
) -> None:
    told = [
        as_expected(run, step, with_docstring=store is ZENML_12)
        for run in sorted(walk(store, moved(store), mlmd_profiles), key=lambda r: r.pipeline.seq)
        for step in run.steps
    ]
    expected = store.expected()
    assert len(told) == store.steps
    for mine, theirs in zip(told, expected, strict=True):
        assert mine == theirs


@pytest.mark.parametrize("store", RECORDED, ids=lambda s: str(s.name))
def test_counts_equal_those_of_sql(
    store: RecordedStore,
    moved: Callable[[RecordedStore], str],
    mlmd_profiles: Mapping[str, FlavourProfile],
) -> None:
    runs = walk(store, moved(store), mlmd_profiles)
    assert len({run.pipeline.name for run in runs}) == store.pipelines
    assert len(runs) == store.runs
    assert sum(len(run.steps) for run in runs) == store.steps
    assert len({a.id for run in runs for a in run.artifacts}) == store.artifacts


@pytest.mark.parametrize("store", RECORDED, ids=lambda s: str(s.name))
def test_a_store_is_the_same_history_in_every_database(
    store: RecordedStore,
    moved: Callable[[RecordedStore], str],
    mlmd_profiles: Mapping[str, FlavourProfile],
) -> None:
    values = [run_to_value(run) for run in walk(store, moved(store), mlmd_profiles)]
    there = [run_to_value(run) for run in walk(store, store.url, mlmd_profiles)]
    assert canonical_bytes(values) == canonical_bytes(there)
    assert [run_to_value(run_from_value(v)) for v in values] == values


def test_tfx_runs_read_as_the_database_says(mlmd_profiles: Mapping[str, FlavourProfile]) -> None:
    runs = {run.seq: run for run in walk(TFX, TFX.url, mlmd_profiles)}
    assert [(r.name, r.status, len(r.steps)) for r in runs.values()] == [
        ("2026-11-23T12:41:15.556127", "failed", 5),
        ("2026-11-23T12:43:06.575845", "completed", 6),
        ("2026-11-23T12:44:02.830854", "completed", 6),
        ("2026-11-23T12:44:32.073403", "completed", 6),
        ("2026-11-23T12:45:03.226904", "failed", 2),
    ]
    assert {r.tool for r in runs.values()} == {"tfx"}
    assert [s.status for s in runs[16].steps] == ["cached"] * 6
    trainer = runs[17].steps[4]
    assert (trainer.name, trainer.entrypoint) == ("Trainer", "Trainer")
    assert trainer.type == "tfx.components.trainer.component.Trainer"
    assert Parameter("custom_config", {"lr": 0.1}, '{"lr": 0.1}') in trainer.parameters
    assert Parameter("train_args", {"num_steps": 20}, '{\n  "num_steps": 20\n}') in (
        trainer.parameters
    )
    assert trainer.outputs == (Port("model_run", "8", 0), Port("model", "9", 0))
    assert Parameter("parent_context:pipeline", "iris-tfx") in runs[2].facts
    assert Parameter("tfx_version", "1.15.1") in runs[2].facts
    # the failed trainer of the first run: nothing earlier tells its outputs
    assert runs[2].steps[4].declared_outputs == ()


def test_tfx_artifacts_keep_types_structs_and_metrics(
    mlmd_profiles: Mapping[str, FlavourProfile],
) -> None:
    runs = walk(TFX, TFX.url, mlmd_profiles)
    artifacts = {a.id: a for run in runs for a in run.artifacts}
    assert artifacts["4"].type == "ExampleAnomalies"
    assert Parameter("blessed", {"eval": 1.0, "train": 1.0}) in artifacts["4"].properties
    assert Parameter("split_names", '["train", "eval"]', None, declared=True) in (
        artifacts["4"].properties
    )
    assert Parameter("auc", 0.93) in artifacts["11"].properties
    assert artifacts["12"].uri == "/data/tfx-1.15/pipelines/boom-tfx/MakeMetric/label/24/value"


@pytest.mark.parametrize("store", RECORDED, ids=lambda s: str(s.name))
def test_nothing_recorded_of_a_run_is_dropped(
    store: RecordedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    """Every name, text and URI that the tables hold of runs is somewhere in the walk."""
    told = b"\n".join(
        canonical_bytes(run_to_value(run)) for run in walk(store, store.url, mlmd_profiles)
    ).decode()
    connection = sqlite3.connect(f"file:{store.database}?mode=ro", uri=True)
    queries = [
        "SELECT name FROM Context",
        "SELECT name FROM Execution WHERE name IS NOT NULL",
        "SELECT name FROM Artifact WHERE name IS NOT NULL",
        "SELECT uri FROM Artifact",
        "SELECT DISTINCT t.name FROM Type t JOIN Execution e ON e.type_id = t.id",
        "SELECT DISTINCT t.name FROM Type t JOIN Artifact a ON a.type_id = t.id",
        "SELECT name FROM ArtifactProperty WHERE name NOT IN ('materializer', 'datatype', 'name')",
        "SELECT name FROM ExecutionProperty",
        "SELECT name FROM ContextProperty",
        "SELECT step_key FROM EventPath WHERE step_key IS NOT NULL",
    ]
    for query in queries:
        for (text,) in connection.execute(query):
            spelled = canonical_bytes(text).decode()[1:-1]
            assert spelled in told, (query, text)
    connection.close()


def test_heads_and_pipelines_agree_with_the_walk(
    moved: Callable[[RecordedStore], str], mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    url = moved(ZENML_05)
    history = open_mlmd(url, repository="acme", stack="local", profiles=mlmd_profiles)
    runs = read_all(history)
    pipelines = history.pipelines()
    assert [p.name for p in pipelines] == [
        "train_pipeline",
        "dup_input_pipeline",
        "failing_pipeline",
        "stats_pipeline",
    ]
    heads = [
        (p.name, h.source_id, h.name, h.seq, h.start) for p in pipelines for h in history.heads(p)
    ]
    assert heads == [(r.pipeline.name, r.source_id, r.name, r.seq, r.start) for r in runs]
    assert {r.pipeline for r in runs} == set(pipelines)
    history.close()


def test_runs_come_in_the_order_asked_for_without_those_that_are_gone(
    mlmd_profiles: Mapping[str, FlavourProfile],
) -> None:
    history = open_mlmd(ZENML_05.url, repository="acme", stack="local", profiles=mlmd_profiles)
    asked = ["24:25", "1:99", "1:2", "18:2", "no id", "1:18"]
    assert [run.source_id for run in history.runs(asked) if isinstance(run, RunSnapshot)] == [
        "24:25",
        "1:2",
    ]
    history.close()


def as_expected(run: RunSnapshot, step: Step, *, with_docstring: bool) -> Json:
    """Spell a step as the legacy API's answers are spelled in `expected_walk.json`."""
    out = {
        "pipeline": run.pipeline.name,
        "pid": run.pipeline.seq,
        "run": run.name,
        "rid": run.seq,
        "run_status": run.status,
        "step": step.name,
        "impl": step.entrypoint,
        "id": int(step.source_id),
        "status": step.status,
        "parents": [int(run.steps[p].source_id) for p in step.parents],
        "parameters": {p.name: p.value for p in step.parameters},
        "inputs": {p.name: _port(run, p) for p in step.inputs},
        "outputs": {p.name: _port(run, p) for p in step.outputs},
    }
    if with_docstring:
        versions = [f.value for f in run.facts if f.name == "zenml_version"]
        return out | {"docstring": step.docstring, "zenml_version": versions[0]}
    return out | {"cached": step.status == "cached"}


def _port(run: RunSnapshot, port: Port) -> Json:
    artifact: Artifact = run.artifact(port.artifact)
    return {
        "id": int(artifact.id),
        "type": artifact.type,
        "uri": artifact.uri,
        "mat": artifact.materializer,
        "dt": artifact.data_type,
        "producer": int(artifact.producer.source_id) if artifact.producer else None,
        "cached": port.cached,
    }
