"""Stores of every flavour, schema and oddity, written by plain SQL and read back."""

from __future__ import annotations

import math
import sqlite3
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from support.generator import (
    CACHED,
    CANCELED,
    COMPLETE,
    FAILED,
    OUTPUT,
    RUNNING,
    Flavour,
    GeneratedStore,
    PropertyValue,
    StepSpec,
)
from support.stores import copy_into

from exporter.hierarchy import (
    Parameter,
    Port,
    RunSnapshot,
    UnreadableRun,
    canonical_bytes,
    run_from_value,
    run_to_value,
)
from exporter.sources.mlmd import open_mlmd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from exporter.sources.mlmd import FlavourProfile, MlmdHistory

SCHEMAS = [6, 7, 8, 9, 10]
FLAVOURS: list[Flavour] = list(get_args(Flavour))


def opened(
    url: str,
    profiles: Mapping[str, FlavourProfile],
    *,
    flavour: str = "auto",
    page_runs: int = 200,
) -> MlmdHistory:
    return open_mlmd(
        url,
        repository="acme",
        stack="local",
        flavour=flavour,
        profiles=profiles,
        page_runs=page_runs,
    )


def walk(history: MlmdHistory) -> list[RunSnapshot | UnreadableRun]:
    try:
        return [run for ids in history.changes(None).source_ids for run in history.runs(ids)]
    finally:
        history.close()


def snapshots(history: MlmdHistory) -> list[RunSnapshot]:
    runs = walk(history)
    assert all(isinstance(run, RunSnapshot) for run in runs), runs
    return [run for run in runs if isinstance(run, RunSnapshot)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GeneratedStore]:
    made = GeneratedStore(tmp_path / "metadata.db", schema=8)
    yield made
    made.close()


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_flavour_on_every_schema_reads_the_same_run(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile], flavour: Flavour, schema: int
) -> None:
    with GeneratedStore(tmp_path / "metadata.db", schema=schema, flavour=flavour) as made:
        first = made.chain("train", "run_1")
        made.chain("train", "run_2", reuse=first, c=0.1)
    one, two = snapshots(opened(made.url, mlmd_profiles))
    expected = {"zenml-0.5-early": "zenml-0.5", "zenml-0.6-early": "zenml-0.6"}.get(
        flavour, flavour
    )
    assert {one.flavour, two.flavour} == {expected}
    names = ["importer", "analyzer", "trainer", "evaluator", "deployer"]
    for run in (one, two):
        assert [s.name for s in run.steps] == [s.entrypoint for s in run.steps] == names
        assert [s.parents for s in run.steps] == [(), (0,), (1,), (2,), (3,)]
        assert run.status == "completed"
        assert run_from_value(run_to_value(run)) == run
    assert [s.status for s in two.steps] == ["cached"] * 2 + ["completed"] * 3
    assert [p.cached for p in two.steps[0].outputs] == [True, True]
    assert [s.inputs[0].cached for s in two.steps[1:]] == [True, True, False, False]
    producer = two.artifact(two.steps[0].outputs[0].artifact).producer
    assert producer == ("train", "run_1", "importer", one.steps[0].source_id)
    values = {p.name: p.value for p in two.steps[2].parameters}
    tags: object = ["a", "b"]
    assert values == {"C": 0.1, "solver": "lbfgs", "max_iter": 200, "tags": tags}
    if flavour == "zenml-0.6":
        assert one.run_stack == "default"
        assert "context:zenml.stack" in {f.name for f in one.facts}
    if flavour == "zenml-0.6-early":
        assert Parameter("context:pipeline_requirements.pipeline_requirements", "pandas") in (
            one.facts
        )


def test_queries_rise_by_pages_and_not_by_what_they_hold(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    """A walk costs at most 25 queries a page and 3 at its end, the opening 14 and the cursor 8."""
    counts: dict[tuple[int, int], int] = {}
    for runs, page_runs in ((20, 10), (40, 10), (80, 10), (80, 20), (160, 20)):
        with GeneratedStore(tmp_path / f"{runs}-{page_runs}.db", schema=8) as made:
            made.fill(runs)
        history = opened(made.url, mlmd_profiles, page_runs=page_runs)
        statements: list[str] = []

        @event.listens_for(history.engine, "before_cursor_execute")
        def _count(*args: object, statements: list[str] = statements) -> None:
            if not str(args[2]).startswith("BEGIN"):
                statements.append(str(args[2]))

        assert len(walk(history)) == runs
        counts[runs, runs // page_runs] = len(statements)
    pages = {pages: count for (_, pages), count in counts.items()}
    a, rest = 25, 11
    for number, count in pages.items():
        assert count <= a * number + rest
    # the same number of pages costs the same, whatever is on them
    assert counts[40, 4] == counts[80, 4]
    assert counts[80, 8] == counts[160, 8]
    # and a page more costs the same each time
    assert (counts[80, 8] - counts[40, 4]) % 4 == 0


def test_a_cycle_without_changes_costs_the_same_at_any_size(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    counts = []
    for runs in (10, 300):
        with GeneratedStore(tmp_path / f"{runs}.db", schema=8) as made:
            made.fill(runs)
        history = opened(made.url, mlmd_profiles)
        cursor = history.changes(None).cursor
        statements: list[str] = []
        event.listen(
            history.engine,
            "before_cursor_execute",
            lambda *args, statements=statements: statements.append(str(args[2])),
        )
        assert history.changes(cursor).untouched
        assert statements == []
        changes = history.changes(cursor | {"header": None})
        assert list(changes.source_ids) == []
        counts.append(len(statements))
        history.close()
    assert counts[0] == counts[1] <= 20


def test_a_page_reads_its_runs_alike_whatever_else_is_on_it(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    with GeneratedStore(tmp_path / "metadata.db", schema=7) as made:
        made.fill(60)
    whole = [canonical_bytes(run_to_value(r)) for r in snapshots(opened(made.url, mlmd_profiles))]
    for page_runs in (1, 7):
        history = opened(made.url, mlmd_profiles, page_runs=page_runs)
        assert [canonical_bytes(run_to_value(r)) for r in snapshots(history)] == whole
    history = opened(made.url, mlmd_profiles)
    ids = [i for page in history.changes(None).source_ids for i in page][::-17]
    sparse = [
        canonical_bytes(run_to_value(r)) for r in history.runs(ids) if isinstance(r, RunSnapshot)
    ]
    assert sparse == whole[::-17]
    history.close()


@pytest.mark.parametrize("schema", [7, 8])
def test_one_artifact_on_two_ports_is_on_both(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile], schema: int
) -> None:
    with GeneratedStore(tmp_path / "metadata.db", schema=schema) as made:
        made.run(
            "p",
            "r",
            [
                StepSpec("importer", outputs=("train",)),
                StepSpec("compare", inputs=(("left", -1, 0), ("right", -1, 0)), outputs=("out",)),
            ],
        )
    (run,) = snapshots(opened(made.url, mlmd_profiles))
    assert run.steps[1].inputs == (
        Port("left", "1", 0, cached=False, parent=0),
        Port("right", "1", 0, cached=False, parent=0),
    )
    assert run.steps[1].outputs == (Port("out", "2", 0),)


def test_list_ports_keep_their_indexes(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    inputs = (("models", -2, 0), ("models", -1, 1), ("data", -3, None))
    store.run(
        "p",
        "r",
        [StepSpec("a", outputs=("x", "y", "z")), StepSpec("b", inputs=inputs)],
    )
    store.flush()
    (run,) = snapshots(opened(store.url, mlmd_profiles))
    # by the lowest artifact of the port, then name, then index
    assert [(p.name, p.artifact, p.index) for p in run.steps[1].inputs] == [
        ("data", "1", None),
        ("models", "2", 0),
        ("models", "3", 1),
    ]


def test_pipelines_that_share_a_run_name_share_no_steps(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    one = store.chain("one", "same")
    two = store.chain("two", "same", reuse=one)
    store.flush()
    history = opened(store.url, mlmd_profiles)
    assert [h.source_id for p in history.pipelines() for h in history.heads(p)] == [
        one.source_id,
        two.source_id,
    ]
    first, second = snapshots(history)
    assert [s.source_id for s in first.steps] == ["1", "2", "3", "4", "5"]
    assert [s.source_id for s in second.steps] == ["6", "7", "8", "9", "10"]
    assert [p.cached for p in second.steps[0].outputs] == [True, True]
    assert second.artifact("1").producer == ("one", "same", "importer", "1")
    # delivered in this run by its own cached step, whose artifact another run made
    assert second.steps[1].inputs == (Port("data", "2", 0, cached=True, parent=0),)


def test_a_failed_step_declares_what_its_properties_name(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    store.run("p", "r", [StepSpec("boom", state=FAILED)])
    store.property("Execution", 1, "zenml-b_materializer_source", '"x"')
    store.property("Execution", 1, "zenml-a_materializer_source", '"x"')
    store.flush()
    (run,) = snapshots(opened(store.url, mlmd_profiles))
    assert run.status == "failed"
    assert run.steps[0].declared_outputs == ("a", "b")


def test_a_failed_step_without_names_takes_those_of_its_newest_earlier_success(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    store.flavour = "tfx"
    store.run("p", "r1", [StepSpec("t", outputs=("old",))])
    store.run("p", "r2", [StepSpec("t", outputs=("model", "metrics"))])
    store.run("q", "r3", [StepSpec("t", outputs=("other",))])
    store.run("p", "r4", [StepSpec("t", state=FAILED)])
    store.run("p", "r5", [StepSpec("t", outputs=("later",))])
    store.run("p", "r6", [StepSpec("new", state=FAILED)])
    store.flush()
    runs = {r.name: r for r in snapshots(opened(store.url, mlmd_profiles))}
    assert runs["r4"].steps[0].declared_outputs == ("metrics", "model")
    assert runs["r5"].steps[0].declared_outputs == ()
    assert runs["r6"].steps[0].declared_outputs == ()


@pytest.mark.parametrize(
    ("flavour", "states", "steps", "status"),
    [
        ("zenml-0.5", (COMPLETE, RUNNING), ("completed", "running"), "running"),
        ("zenml-0.5", (FAILED, RUNNING), ("failed", "running"), "failed"),
        ("zenml-0.5", (CACHED, CACHED), ("cached", "cached"), "completed"),
        ("zenml-0.5", (None, CANCELED), ("failed", "failed"), "failed"),
        ("tfx", (COMPLETE, CANCELED), ("completed", "cancelled"), "completed"),
        ("tfx", (None, 0), ("unknown", "unknown"), "unknown"),
        ("tfx", (COMPLETE, 1), ("completed", "pending"), "running"),
    ],
)
def test_states_are_told_in_the_softwares_own_words(
    store: GeneratedStore,
    mlmd_profiles: Mapping[str, FlavourProfile],
    flavour: Flavour,
    states: tuple[int | None, ...],
    steps: tuple[str, ...],
    status: str,
) -> None:
    store.flavour = flavour
    specs = [StepSpec(f"s{i}", state=s, outputs=("o",)) for i, s in enumerate(states)]
    store.run("p", "r", specs)
    store.flush()
    (run,) = snapshots(opened(store.url, mlmd_profiles))
    assert tuple(s.status for s in run.steps) == steps
    assert run.status == status
    assert (run.end is None) == (status == "running" or "running" in steps)


def test_several_executions_of_one_step_are_attempts(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    store.run("p", "r", [StepSpec("t", state=FAILED), StepSpec("t"), StepSpec("u")])
    store.flush()
    (run,) = snapshots(opened(store.url, mlmd_profiles))
    assert [(s.name, s.attempt) for s in run.steps] == [("t", 1), ("t", 2), ("u", 1)]


def test_a_producer_is_the_lowest_execution_that_was_not_cached(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    store.run("p", "r", [StepSpec("a", state=CACHED), StepSpec("b"), StepSpec("c")])
    artifact = store.artifact("DataArtifact", "/x")
    for execution in (1, 2, 3):
        store.event(execution, artifact, OUTPUT, [("out", 0)])
    store.flush()
    (run,) = snapshots(opened(store.url, mlmd_profiles))
    assert [s.outputs[0].cached for s in run.steps] == [True, False, True]
    producer = run.artifacts[0].producer
    assert producer is not None
    assert producer.step == "b"


def test_events_without_a_path_and_of_other_kinds(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    store.run("p", "r", [StepSpec("a")])
    artifact = store.artifact("DataArtifact", "/x", state=None)
    store.event(1, artifact, OUTPUT, [])
    store.event(1, artifact, 0, [("unknown", 0)])
    store.event(1, artifact, 7, [("pending", 0)])
    store.flush()
    (run,) = snapshots(opened(store.url, mlmd_profiles))
    assert run.steps[0].outputs == (Port("", "1"),)
    assert run.steps[0].inputs == ()
    assert run.artifacts[0].state is None


def test_values_of_every_column_are_read(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    with GeneratedStore(tmp_path / "metadata.db", schema=10, flavour="tfx") as made:
        values: dict[str, PropertyValue] = {
            "b": True,
            "y": b"\x00\xff",
            "i": 2**62,
            "f": math.inf,
            "z": -0.0,
            "n": None,
        }
        made.run("p", "r", [StepSpec("a", parameters=values)])
        made.property("Execution", 1, "i", 5, custom=False)
    (run,) = snapshots(opened(made.url, mlmd_profiles))
    told = [(p.name, p.value, p.declared) for p in run.steps[0].parameters]
    assert told == [
        ("b", True, False),
        ("f", math.inf, False),
        ("i", 5, True),
        ("i", 2**62, False),
        ("n", None, False),
        ("y", b"\x00\xff", False),
        ("z", 0.0, False),  # SQLite keeps no negative zero
    ]


@pytest.mark.parametrize(
    ("pipeline_type", "run_type", "flavour"),
    [
        ("system.Pipeline", "system.PipelineRun", "kfp-v2"),
        (None, "KfpRun", "kfp-v1"),
        ("pipeline", "run", "tfx-0"),
    ],
)
def test_a_run_of_software_that_is_not_read_is_named(
    store: GeneratedStore,
    mlmd_profiles: Mapping[str, FlavourProfile],
    pipeline_type: str | None,
    run_type: str,
    flavour: str,
) -> None:
    known = store.chain("train", "known")
    execution = store.execution("their.Step", COMPLETE, 1, 2, None)
    run = store.context(run_type, "their-run")
    store.context("component_run", "c")
    store.associate(run, execution)
    if pipeline_type:
        store.associate(store.context(pipeline_type, "their-pipeline"), execution)
    store.flush()
    first, second = walk(opened(store.url, mlmd_profiles))
    assert isinstance(first, RunSnapshot)
    assert first.source_id == known.source_id
    assert isinstance(second, UnreadableRun)
    assert second.name == "their-run"
    assert second.pipeline == ("their-pipeline" if pipeline_type else "their-run")
    assert flavour in second.reason
    history = opened(store.url, mlmd_profiles)
    assert list(history.runs([second.source_id])) == [second]
    history.close()


def test_zenml_020_is_named_and_not_read(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    store.run("p", "r", [StepSpec("a")], contexts={"zenml": {"step_configuration": "{}"}})
    store.flush()
    (run,) = walk(opened(store.url, mlmd_profiles))
    assert isinstance(run, UnreadableRun)
    assert "zenml-0.20" in run.reason


def test_a_pinned_flavour_holds_for_every_run(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    store.chain("p", "r")
    store.flush()
    (run,) = snapshots(opened(store.url, mlmd_profiles, flavour="tfx"))
    assert (run.tool, run.flavour) == ("tfx", "tfx")
    assert "zenml-step_source" in {p.name for p in run.steps[0].parameters}


def test_a_run_that_shows_nothing_is_of_the_stores_flavour(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    with GeneratedStore(tmp_path / "metadata.db", schema=7, flavour="zenml-0.5-early") as made:
        made.chain("p", "first")
        made.run("p", "bare", [StepSpec("a", state=RUNNING)])
    first, bare = snapshots(opened(made.url, mlmd_profiles))
    assert first.flavour == bare.flavour == "zenml-0.5"


def test_a_stores_executions_outside_every_pipeline_are_no_runs(
    store: GeneratedStore, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    execution = store.execution("mine.Step", COMPLETE, 1, 2, None)
    store.associate(store.context("pipeline_run", "alone"), execution)
    store.context("pipeline", "empty")
    store.flush()
    history = opened(store.url, mlmd_profiles)
    assert [p.name for p in history.pipelines()] == ["empty"]
    assert list(history.heads(history.pipelines()[0])) == []
    assert walk(history) == []


@pytest.mark.parametrize("schema", [7, 8, 10])
@pytest.mark.parametrize(
    "server", ["postgres_url", pytest.param("mariadb_url", marks=pytest.mark.mariadb)]
)
def test_generated_stores_read_alike_on_servers(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    mlmd_profiles: Mapping[str, FlavourProfile],
    server: str,
    schema: int,
) -> None:
    url: str = request.getfixturevalue(server)
    with GeneratedStore(tmp_path / "metadata.db", schema=schema, flavour="zenml-0.6") as made:
        made.fill(40)
        made.chain('na\'me "x" 😀 %s', "run/with#odd?name", state=FAILED)
        made.flavour = "tfx"
        made.chain("tfx-pipeline", "tfx-run", state=RUNNING)
    copy_into(made.path, url, "postgresql" if server == "postgres_url" else "mysql")
    there = opened(url, mlmd_profiles, page_runs=16)
    changes = there.changes(None)
    mine = [run_to_value(r) for r in snapshots(opened(made.url, mlmd_profiles))]
    read = [r for ids in changes.source_ids for r in there.runs(ids)]
    assert [run_to_value(r) for r in read if isinstance(r, RunSnapshot)] == mine
    again = there.changes(changes.cursor)
    assert not again.untouched
    assert list(again.source_ids) == []
    heads = [h for p in there.pipelines() for h in there.heads(p)]
    assert {h.source_id for h in heads} == {v["run"]["source_id"] for v in mine}
    there.close()


_NAMES = st.text(min_size=1, max_size=40).filter(lambda s: "\x00" not in s)
_VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=40),
    st.binary(max_size=20),
)


@settings(
    max_examples=30,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    names=st.lists(st.tuples(_NAMES, _NAMES), min_size=1, max_size=4, unique=True),
    parameters=st.dictionaries(_NAMES, _VALUES, max_size=4),
    states=st.lists(st.sampled_from([None, 0, 1, 2, 3, 4, 5, 6]), min_size=1, max_size=4),
    ports=st.lists(_NAMES, min_size=1, max_size=3, unique=True),
    schema=st.sampled_from([6, 7, 8, 10]),
    flavour=st.sampled_from(FLAVOURS),
)
def test_any_history_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    mlmd_profiles: Mapping[str, FlavourProfile],
    names: list[tuple[str, str]],
    parameters: dict[str, int | float | str | bytes],
    states: list[int | None],
    ports: list[str],
    schema: int,
    flavour: Flavour,
) -> None:
    path = tmp_path_factory.mktemp("generated") / "metadata.db"
    written = {}
    with GeneratedStore(path, schema=schema, flavour=flavour) as made:
        for pipeline, name in names:
            specs = [
                StepSpec(f"s{i}", state=s, outputs=ports, parameters=parameters)
                for i, s in enumerate(states)
            ]
            written[made.run(pipeline, name, specs).source_id] = (pipeline, name)
    runs = snapshots(opened(made.url, mlmd_profiles))
    assert {r.source_id: (r.pipeline.name, r.name) for r in runs} == written
    for run in runs:
        assert [s.name for s in run.steps] == [f"s{i}" for i in range(len(states))]
        for step in run.steps:
            told = {p.name: p for p in step.parameters}
            hidden = {f.name for f in step.facts}
            for key, given_value in parameters.items():
                if key in hidden or (isinstance(given_value, bytes) and schema == 6):
                    continue  # schema 6 has no column for bytes
                known = told[key]
                assert given_value in (known.value, known.text), (key, known)
            assert sorted(p.name for p in step.outputs) == sorted(ports)
            for port in step.outputs:
                producer = run.artifact(port.artifact).producer
                assert producer == (run.pipeline.name, run.name, step.name, step.source_id)
        value = run_to_value(run)
        assert canonical_bytes(run_to_value(run_from_value(value))) == canonical_bytes(value)


def test_a_store_of_many_steps_is_written_fast(tmp_path: Path) -> None:
    with GeneratedStore(tmp_path / "metadata.db", schema=8) as made:
        made.fill(200)
    connection = sqlite3.connect(made.path)
    assert connection.execute("SELECT COUNT(*) FROM Execution").fetchone() == (1000,)
    connection.close()
