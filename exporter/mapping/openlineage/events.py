"""The events of one pipeline run, in the order in which they should leave."""

from __future__ import annotations

import hashlib
import heapq
from typing import TYPE_CHECKING, Literal, NamedTuple

import orjson

from exporter.hierarchy import run_key, step_key
from exporter.hierarchy.status import is_unfinished, mlflow_status
from exporter.hierarchy.times import datetime_from_ms
from exporter.mapping.openlineage import facets
from exporter.mapping.openlineage.datasets import RunDatasets
from exporter.mapping.openlineage.ids import lineage_run_id
from exporter.mapping.openlineage.naming import RunNames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.hierarchy import RunSnapshot, Step
    from exporter.mapping.openlineage.facets import Json
    from exporter.mapping.openlineage.ids import OlRunId
    from exporter.mapping.openlineage.naming import LineageNaming

EventType = Literal["START", "COMPLETE", "FAIL", "ABORT"]

_DID_NOT_RUN = frozenset({"cached", "skipped"})
_NOT_YET = frozenset({"pending", "queued"})
_TERMINAL: dict[str, EventType] = {
    "FINISHED": "COMPLETE",
    "FAILED": "FAIL",
    "KILLED": "ABORT",
    "RUNNING": "ABORT",
}
_BASE_BYTES, _ADAPTER_BYTES = b'"\\u0000', b'"\\u0000\\u0000"'


class LineageEvent(NamedTuple):
    """One event, ready to be sent.

    `lane`: events of one lane leave in order, the next when the last is answered. `event_time` is
    ISO 8601 with `Z`. `content_hash` covers everything but the producer's address and the
    exporter's version. `body` is UTF-8 JSON.
    """

    lane: str
    run_id: OlRunId
    event_type: EventType
    event_time: str
    content_hash: str
    body: bytes


def run_events(
    run: RunSnapshot, naming: LineageNaming, *, stale: bool = False
) -> tuple[LineageEvent, ...]:
    """Give START and terminal event of an ended run and of each of its steps that ran.

    Order: the pipeline's START; for each step its START and terminal, producers before consumers;
        the pipeline's terminal. Datasets stand on terminal events only. A cached step has no
        events: it did not run.
    Repeat: the same run gives the same bytes. Fill `Artifact.content` always or never: its digests
        are in the events.
    Limits: a run still going has none yet. `stale` says that it is given up; its pipeline and
        unfinished steps end with ABORT.
    """
    if is_unfinished(run.status) and not stale:
        return ()
    ran = {
        position: lineage_run_id(step_key(run, step), step.start)
        for position, step in enumerate(run.steps)
        if _did_run(step)
    }
    run_id = lineage_run_id(run_key(run), run.start)
    names = RunNames.of(run, naming, run_id)
    datasets = RunDatasets(run, naming, names, ran)
    start, end = _span(run)
    pipeline = _Writer(names, naming, run_id, names.pipeline, _pipeline_job(run))
    run_facets = {"processing_engine": facets.processing_engine(run)}
    events = [
        pipeline.event(
            "START", start, {**run_facets, "pipelineExporter_run": facets.own_run(run, None, None)}
        )
    ]
    step_facets = {
        **run_facets,
        "parent": facets.parent(run_id, names.job_namespace, names.pipeline),
    }
    for position in _producers_first(run, ran, datasets):
        events += _step_events(
            run, run.steps[position], ran[position], names, naming, datasets, step_facets, start
        )
    terminal = _TERMINAL[mlflow_status(run.status)]
    cached = [step.name for step in run.steps if step.status == "cached"]
    run_facets["pipelineExporter_run"] = facets.own_run(run, None, cached)
    if terminal == "FAIL":
        run_facets["errorMessage"] = facets.error_message(_pipeline_error(run))
    events.append(pipeline.event(terminal, end, run_facets))
    return tuple(events)


class _Writer:
    """Writes the events of one OpenLineage run."""

    def __init__(
        self, names: RunNames, naming: LineageNaming, run_id: OlRunId, job: str, job_facets: Json
    ) -> None:
        self._lane = names.lane
        self._run_id = run_id
        self._job = {"namespace": names.job_namespace, "name": job, "facets": job_facets}
        self._base = b'"' + naming.base_url.encode("ascii")
        self._adapter = orjson.dumps(naming.adapter_version)

    def event(
        self,
        event_type: EventType,
        time_ms: int,
        run_facets: Json,
        inputs: Sequence[Json] = (),
        outputs: Sequence[Json] = (),
    ) -> LineageEvent:
        event_time = _event_time(time_ms)
        content = orjson.dumps(
            {
                "eventType": event_type,
                "eventTime": event_time,
                "run": {"runId": self._run_id, "facets": run_facets},
                "job": self._job,
                "inputs": inputs,
                "outputs": outputs,
                "producer": facets.BASE,
                "schemaURL": facets.EVENT_SCHEMA,
            }
        )
        body = content.replace(_ADAPTER_BYTES, self._adapter).replace(_BASE_BYTES, self._base)
        digest = hashlib.sha256(content).hexdigest()
        return LineageEvent(self._lane, self._run_id, event_type, event_time, digest, body)


def _step_events(
    run: RunSnapshot,
    step: Step,
    run_id: OlRunId,
    names: RunNames,
    naming: LineageNaming,
    datasets: RunDatasets,
    shared: Json,
    run_start: int,
) -> Iterator[LineageEvent]:
    writer = _Writer(names, naming, run_id, names.step(step.name), _step_job(run, step))
    run_facets = {**shared, "pipelineExporter_run": facets.own_run(run, step, None)}
    parameters = facets.execution_parameters(step.parameters)
    if parameters is not None:
        run_facets["executionParameters"] = parameters
    start = step.start if step.start is not None else step.end
    if start is None:
        start = run_start
    yield writer.event("START", start, run_facets)
    terminal = _TERMINAL[mlflow_status(step.status)]
    if terminal == "FAIL":
        run_facets["errorMessage"] = facets.error_message(
            f"The step {step.name!r} ended as {step.status!r}; the source recorded no error text."
        )
    yield writer.event(
        terminal,
        step.end if step.end is not None else start,
        run_facets,
        datasets.inputs(step),
        datasets.outputs(step, declared=terminal != "COMPLETE"),
    )


def _pipeline_job(run: RunSnapshot) -> Json:
    return _job_facets(run.tool, "PIPELINE", run.pipeline.docstring)


def _step_job(run: RunSnapshot, step: Step) -> Json:
    return _job_facets(run.tool, "STEP", step.docstring)


def _job_facets(tool: str, kind: str, docstring: str | None) -> Json:
    made = {"jobType": facets.job_type(tool, kind)}
    documentation = facets.documentation(docstring)
    if documentation is not None:
        made["documentation"] = documentation
    return made


def _pipeline_error(run: RunSnapshot) -> str:
    failed = [step.name for step in run.steps if mlflow_status(step.status) == "FAILED"]
    if not failed:
        return f"The run ended as {run.status!r}; the source recorded no error text."
    shown = ", ".join(repr(name) for name in failed[:10])
    return f"Failed steps: {shown}. The source recorded no error text."


def _did_run(step: Step) -> bool:
    if step.status in _DID_NOT_RUN:
        return False
    return step.status not in _NOT_YET or step.start is not None


def _span(run: RunSnapshot) -> tuple[int, int]:
    """Give the run's start and end; where it has none, those of its steps, else the epoch."""
    times = [time for step in run.steps for time in (step.start, step.end) if time is not None]
    start = run.start
    if start is None:
        start = min(times, default=run.end if run.end is not None else 0)
    end = run.end if run.end is not None else max(times, default=start)
    return start, end


def _event_time(time_ms: int) -> str:
    moment = datetime_from_ms(time_ms)
    assert moment is not None  # noqa: S101 - only an absent time gives None
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _producers_first(run: RunSnapshot, ran: dict[int, OlRunId], datasets: RunDatasets) -> list[int]:
    """Order the steps that ran so that producers come before consumers, else by position.

    Steps in a circle, which no orchestrator writes but a store can hold, follow by position.
    """
    waits: dict[int, set[int]] = {}
    for position in ran:
        step = run.steps[position]
        before = datasets.producers(step).union(
            step.parents, (port.parent for port in step.inputs if port.parent is not None)
        )
        waits[position] = {p for p in before if p in ran and p != position}
    followers: dict[int, list[int]] = {}
    for position, before in waits.items():
        for producer in before:
            followers.setdefault(producer, []).append(position)
    ready = [position for position, before in waits.items() if not before]
    heapq.heapify(ready)
    ordered: list[int] = []
    while ready:
        position = heapq.heappop(ready)
        ordered.append(position)
        for follower in followers.get(position, ()):
            waits[follower].discard(position)
            if not waits[follower]:
                heapq.heappush(ready, follower)
    placed = set(ordered)
    return ordered + [position for position in ran if position not in placed]
