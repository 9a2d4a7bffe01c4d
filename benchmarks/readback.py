"""Reading runs back out of MLflow, beside the same pages of parent runs searched bare."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks.bare import BareConnection
from benchmarks.figures import Figure, Spread, timed
from benchmarks.filling import fill
from benchmarks.servers import mlflow_server
from benchmarks.stores import STEPS, history, training_store
from exporter.hierarchy import Content, RunSnapshot
from exporter.history.repository import Repository
from exporter.mapping.mlflow import MlflowNaming, plan_experiment, plan_unit
from exporter.readback import ReadbackArtifacts, ReadbackHistory
from exporter.readback.locating import Locator
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from exporter.hierarchy import PipelineRecord

_TARGET = 1.5
_PAGE = 1_000
_PARENTS = "tags.`exporter.record` LIKE '1%'"


def measure(folder: Path, *, runs: int, rounds: int) -> list[Figure]:
    """Read all runs with their steps and parameters, and page bare, in turns."""
    home = folder / "readback"
    shutil.rmtree(home, ignore_errors=True)
    found = list(_snapshots(folder, runs))
    pipeline = found[0].pipeline
    with mlflow_server(home / "server", ("--workers", "1")) as url:
        api = RestApi(url, timeout_s=60)
        naming = MlflowNaming()
        planned = plan_experiment("bench", "bench", pipeline, naming)
        experiment_id = api.create_experiment(planned.name, planned.tags)
        assert experiment_id is not None
        database = home / "server" / "mlflow.db"
        fill(database, experiment_id, (plan_unit(run, {}, naming) for run in found))
        pairs, requests = [], (0, 0)
        for turn in range(rounds + 1):
            sides = (
                partial(_read, api, pipeline, runs),
                partial(_page, url, experiment_id, runs),
            )
            seconds, counts = [0.0, 0.0], [0, 0]
            for side in (0, 1) if turn % 2 else (1, 0):
                seconds[side], counts[side] = _timed(sides[side])
            if turn:  # the first warms both
                pairs.append(seconds)
            requests = (counts[0], counts[1])
        api.close()
    ratios = Spread.of([ours / theirs for ours, theirs in pairs])
    ours, theirs = (Spread.of([pair[side] for pair in pairs]) for side in (0, 1))
    note = (
        f"{ratios}; {ours.median:.2f} s in {requests[0]} requests, bare {theirs.median:.2f} s in "
    )
    note += f"{requests[1]}; {rounds} rounds"
    name = f"read back {runs:,} runs × {STEPS} steps / bare paged search of the parents"
    return [Figure(name, ratios.median, "×", _TARGET, note=note)]


def _snapshots(folder: Path, runs: int) -> Iterator[RunSnapshot]:
    """Give runs of one pipeline, whose artifacts are only referenced."""
    walked = history(training_store(folder, runs))
    first: PipelineRecord | None = None
    for ids in walked.changes(None).source_ids:
        for run in walked.runs(ids):
            assert isinstance(run, RunSnapshot)
            first = first or run.pipeline
            artifacts = tuple(replace(a, content=Content("referenced")) for a in run.artifacts)
            yield replace(run, pipeline=first, artifacts=artifacts)
    walked.close()


def _timed(work: Callable[[], int]) -> tuple[float, int]:
    answers: list[int] = []
    seconds = timed(lambda: answers.append(work())).wall
    return seconds, answers[0]


def _read(api: RestApi, pipeline: PipelineRecord, runs: int) -> int:
    """Walk everything through the public API; give the number of requests."""
    before = api.requests
    back = ReadbackHistory(api, "bench", "bench")
    repository = Repository([(back, ReadbackArtifacts(api, Locator(api, back)))])
    seen = sum(
        len(step.parameters) > 0
        for run in repository.get_pipeline(pipeline.name).get_runs()
        for step in run.steps
    )
    assert seen == runs * STEPS
    return api.requests - before


def _page(url: str, experiment_id: str, runs: int) -> int:
    """Page through the parents and parse the JSON; give the number of requests."""
    body: dict[str, Any] = {  # Any: JSON values
        "experiment_ids": [experiment_id],
        "filter": _PARENTS,
        "max_results": _PAGE,
        "order_by": ["attributes.start_time ASC"],
    }
    seen = sent = 0
    bare = BareConnection(url)  # the server closes one that was idle for seconds
    while True:
        status, answer = bare.send("POST", "/api/2.0/mlflow/runs/search", orjson.dumps(body))
        assert status == 200, answer
        sent += 1
        page = orjson.loads(answer)
        seen += len(page.get("runs", []))
        if not page.get("next_page_token"):
            break
        body["page_token"] = page["next_page_token"]
    bare.close()
    assert seen == runs
    return sent
