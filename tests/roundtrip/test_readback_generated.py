"""The law on generated histories: whatever a source says, MLflow gives it back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.fake_history import FakeArtifacts, FakeHistory
from support.readback_site import Exported
from support.strategies import histories, odd_text

import exporter
from exporter.hierarchy import Parameter, RunSnapshot, canonical_bytes
from exporter.history.repository import Repository

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from exporter.hierarchy import Artifact, PipelineRecord
    from exporter.sinks.mlflow.database import DatabaseApi

    Drawn = tuple[list[PipelineRecord], list[RunSnapshot]]

FEW, MANY = 10, 25
_STACKS = ("local", 'it\'s "prod"; --', "λ/%2F stack")
_SEGMENT = st.sampled_from(["data", "a b#c", "ä🦊", "%2F", "x" * 200, "-", "n\nl", 'q"', "w:0"])
_PATH = st.lists(_SEGMENT, min_size=1, max_size=3).map("/".join)
_SAME = st.booleans()
_BYTES = st.binary(max_size=40)
_FOLDER = st.dictionaries(_PATH, _BYTES, max_size=3)


@st.composite
def stacks(draw: DrawFn) -> list[tuple[FakeHistory, FakeArtifacts]]:
    """Draw one to three stacks, some with the names of others, with bytes for some artifacts."""
    keys = draw(st.lists(st.sampled_from(_STACKS), min_size=1, max_size=3, unique=True))
    made: list[Drawn] = []
    for key in keys:
        same_names = draw(_SAME)
        if made and same_names:
            pipelines, runs = made[0]
            runs = [replace(run, stack=key) for run in runs]
        else:
            pipelines, runs = draw(described(*draw(histories(stack=key, max_runs=3))))
        made.append((pipelines, runs))
    return [
        (FakeHistory(pipelines, runs, stack=key), draw(stored(runs)))
        for key, (pipelines, runs) in zip(keys, made, strict=True)
    ]


@st.composite
def described(
    draw: DrawFn, pipelines: list[PipelineRecord], runs: list[RunSnapshot]
) -> tuple[list[PipelineRecord], list[RunSnapshot]]:
    """Give pipelines docstrings, one run a value of 100 kB, and one artifact one record."""
    docstring = st.none() | odd_text() | st.just("é" * 30_000)
    described = {p.name: replace(p, docstring=draw(docstring)) for p in pipelines}
    pool: dict[str, Artifact] = {}
    out = []
    for run in runs:
        artifacts = tuple(pool.setdefault(a.id, a) for a in run.artifacts)
        steps = run.steps
        if steps and draw(st.integers(0, 3)) == 0:
            long = Parameter("long", draw(odd_text()) + "x" * 100_000)
            steps = (replace(steps[0], parameters=(long,)), *steps[1:])
        pipeline = described[run.pipeline.name]
        out.append(replace(run, pipeline=pipeline, artifacts=artifacts, steps=steps))
    return list(described.values()), out


@st.composite
def stored(draw: DrawFn, runs: list[RunSnapshot]) -> FakeArtifacts:
    """Draw the bytes of the artifacts: a file, a folder, none, or outside the roots."""
    found: dict[str, bytes | dict[str, bytes]] = {}
    refused = []
    for uri in dict.fromkeys(a.uri for run in runs for a in run.artifacts):
        match draw(st.sampled_from(["file", "folder", "missing", "refused"])):
            case "file":
                found[uri] = draw(_BYTES)
            case "folder":
                found[uri] = _without_conflicts(draw(_FOLDER))
            case "refused":
                refused.append(uri)
            case _:
                pass
    return FakeArtifacts(found, refused=refused)


def _without_conflicts(folder: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out files that are where another's folder is, as in any file system."""
    return {
        path: data
        for path, data in folder.items()
        if not any(other.startswith(f"{path}/") for other in folder)
    }


def check_law(
    drawn: list[tuple[FakeHistory, FakeArtifacts]], tracking: tuple[str, DatabaseApi]
) -> None:
    """Export, read back, and compare the snapshots and the bytes."""
    exported = Exported(*tracking)
    source = []
    for history, files in drawn:
        ids = [h.source_id for p in history.pipelines() for h in history.heads(p)]
        runs = [
            replace(run, repository=exported.repository)
            for run in history.runs(ids)
            if isinstance(run, RunSnapshot)
        ]
        renamed = FakeHistory(
            history.pipelines(), runs, repository=exported.repository, stack=history.stack
        )
        exported.export(renamed, files)
        source.append((renamed, files))
        event(f"{len(runs)} runs in a stack")
    wanted = exporter.snapshot(Repository(source))
    if not wanted["pipelines"]:
        return
    with exported.open() as back:
        found = exporter.snapshot(back)
        assert found["pipelines"] == wanted["pipelines"]
        for one, other in zip(found["runs"], wanted["runs"], strict=True):
            assert canonical_bytes(one) == canonical_bytes(other)
        assert canonical_bytes(found) == canonical_bytes(wanted)
        for history, files in source:
            compare_bytes(back, history.stack, files)


def compare_bytes(back: Repository, stack: str, files: FakeArtifacts) -> None:
    """Compare what every step of a stack gave with the bytes that were drawn."""
    for pipeline in back.get_pipelines():
        if pipeline.stack_key != stack:
            continue
        for run in pipeline.get_runs():
            for step in run.steps:
                for output in step.outputs:
                    if output.content.state == "copied":
                        for path, _ in files.files(output.record):
                            with output.open(path) as got, files.open(output.record, path) as own:
                                assert got.read() == own.read()
                                event("a file compared")


@settings(max_examples=FEW, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=stacks())
def test_any_history_is_read_back_as_it_was(
    drawn: list[tuple[FakeHistory, FakeArtifacts]], tracking_database: tuple[str, DatabaseApi]
) -> None:
    check_law(drawn, tracking_database)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=stacks())
def test_many_histories_are_read_back_as_they_were(
    drawn: list[tuple[FakeHistory, FakeArtifacts]], tracking_database: tuple[str, DatabaseApi]
) -> None:
    check_law(drawn, tracking_database)
