"""The events of one pipeline run, in the order in which they should leave."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Mapping  # noqa: TC003 - the types of the fields are read at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import orjson

from exporter.hierarchy import run_key, step_key
from exporter.hierarchy.status import is_unfinished, mlflow_status
from exporter.hierarchy.times import datetime_from_ms
from exporter.mapping.mlflow.measures import step_numbers
from exporter.mapping.mlflow.tables import table_numbers
from exporter.mapping.openlineage import facets, own
from exporter.mapping.openlineage.datasets import RunDatasets
from exporter.mapping.openlineage.ids import lineage_run_id
from exporter.mapping.openlineage.naming import RunNames
from exporter.mapping.openlineage.profile import ContentProfile
from exporter.mapping.openlineage.sizing import fitting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from exporter.hierarchy import Parameter, RunSnapshot, Step, Value
    from exporter.mapping.mlflow import TableFacts
    from exporter.mapping.openlineage.datasets import DatasetName
    from exporter.mapping.openlineage.facets import Json
    from exporter.mapping.openlineage.ids import OlRunId
    from exporter.mapping.openlineage.naming import LineageNaming
    from exporter.mapping.openlineage.profile import CatalogProfile

EventType = Literal["START", "COMPLETE", "FAIL", "ABORT"]

_DID_NOT_RUN = frozenset({"cached", "skipped"})
_NOT_YET = frozenset({"pending", "queued"})
_TERMINAL: dict[str, EventType] = {
    "FINISHED": "COMPLETE",
    "FAILED": "FAIL",
    "KILLED": "ABORT",
    "RUNNING": "ABORT",
}
_OWN = "pipelineExporter_"
MAX_UPSTREAM = 500
_BASE_BYTES, _ADAPTER_BYTES = b'"\\u0000', b'"\\u0000\\u0000"'


class LineageEvent(NamedTuple):
    """One event, ready to be sent.

    `lane`: events of one lane leave in order, the next when the last is answered. `event_time` is
    ISO 8601 with `Z`. `content_hash` covers everything but the producer's address and the
    exporter's version. `body` is UTF-8 JSON. `from_elsewhere` are the inputs that no pipeline of
    ours made, by namespace and name.
    """

    lane: str
    run_id: OlRunId
    event_type: EventType
    event_time: str
    content_hash: str
    body: bytes
    from_elsewhere: tuple[DatasetName, ...] = ()


@dataclass(frozen=True, slots=True)
class RunDetails:
    """What was read of a run's artifacts, by artifact id: small values, and tables."""

    scalars: Mapping[str, Value] = field(default_factory=dict)
    tables: Mapping[str, TableFacts | None] = field(default_factory=dict)


_NOTHING = RunDetails()
_ANY = ContentProfile()


def run_events(
    run: RunSnapshot,
    naming: LineageNaming,
    profile: CatalogProfile | ContentProfile = _ANY,
    *,
    stale: bool = False,
    details: RunDetails = _NOTHING,
) -> tuple[LineageEvent, ...]:
    """Give START and terminal event of an ended run and of each of its steps that ran.

    Order: the pipeline's START; for each step its START and terminal, producers before consumers;
        the pipeline's terminal. Datasets stand on terminal events only. A cached step has no
        events: it did not run. Events that the profile does not accept are left out.
    Repeat: the same run, profile and details give the same bytes. Fill `Artifact.content` and
        `details` always or never: they are in the events.
    Limits: a run still going has none yet. `stale` says that it is given up; its pipeline and
        unfinished steps end with ABORT. An event over the profile's `max_bytes` leaves out what
        says least about lineage (see `sizing`), and may still be over it.
    """
    if is_unfinished(run.status) and not stale:
        return ()
    told = _Telling(
        run, naming, profile if isinstance(profile, ContentProfile) else profile.content, details
    )
    return tuple(event for event in told.events() if event is not None)


class _Telling:
    """Tells one run by one profile."""

    def __init__(
        self,
        run: RunSnapshot,
        naming: LineageNaming,
        profile: ContentProfile,
        details: RunDetails,
    ) -> None:
        self._run = run
        self._naming = naming
        self._profile = profile
        self._details = details
        self._ran = {
            position: lineage_run_id(step_key(run, step), step.start)
            for position, step in enumerate(run.steps)
            if _did_run(step)
        }
        self._run_id = lineage_run_id(run_key(run), run.start)
        self._names = RunNames.of(run, naming, self._run_id, profile)
        self._datasets = RunDatasets(run, naming, self._names, self._ran, details.tables)
        self._artifacts = {artifact.id: artifact for artifact in run.artifacts}
        self._renamed = dict(profile.job_types)
        self._base = b'"' + naming.base_url.encode("ascii")
        self._adapter = orjson.dumps(naming.adapter_version)

    def events(self) -> Iterator[LineageEvent | None]:
        """Yield the events in order, None for one that the profile leaves out."""
        run, names = self._run, self._names
        start, end = _span(run)
        job = self._job(names.pipeline, "PIPELINE", run.pipeline.docstring, [run.facts])
        engine = facets.processing_engine(run)
        shared = {
            "processing_engine": engine,
            "executionParameters": facets.execution_parameters(_all_parameters(run)),
            "nominalTime": facets.nominal_time([run.facts], self._naming.facts.nominal_time),
            "tags": facets.run_tags(run, self._naming),
        }
        first = {**shared, **self._own_run(None, None)}
        yield self._event(job, self._run_id, "START", start, first)
        parent = facets.parent(self._run_id, names.job_namespace, names.pipeline)
        for position in _producers_first(run, self._ran, self._datasets):
            yield from self._step(position, {"processing_engine": engine, "parent": parent}, start)
        terminal = _TERMINAL[mlflow_status(run.status)]
        cached = [step.name for step in run.steps if step.status == "cached"]
        last = {
            **shared,
            **self._own_run(None, cached),
            **self._own_metrics(self._all_numbers()),
        }
        if terminal == "FAIL":
            last["errorMessage"] = facets.error_message(_pipeline_error(run))
        yield self._event(job, self._run_id, terminal, end, last)

    def _step(self, position: int, shared: Json, run_start: int) -> Iterator[LineageEvent | None]:
        run, step, run_id = self._run, self._run.steps[position], self._ran[position]
        known = [step.facts, run.facts]
        job = self._job(self._names.step(step.name), "STEP", step.docstring, known)
        code = facets.source_code([step.facts], self._naming.facts.code)
        if code is not None and self._wants("sourceCode"):
            job["facets"]["sourceCode"] = code
        run_facets = {
            **shared,
            "executionParameters": facets.execution_parameters(
                ("", one) for one in step.parameters
            ),
            "jobDependencies": facets.job_dependencies(self._upstream(step)),
            **self._own_run(step, None),
        }
        start = step.start if step.start is not None else step.end
        if start is None:
            start = run_start
        yield self._event(job, run_id, "START", start, run_facets)
        terminal = _TERMINAL[mlflow_status(step.status)]
        run_facets.update(self._own_metrics(self._numbers(step).items()))
        if terminal == "FAIL":
            run_facets["errorMessage"] = facets.error_message(
                f"The step {step.name!r} ended as {step.status!r}; the source recorded no error "
                "text."
            )
        outside = self._datasets.outside(step)
        inputs = self._datasets.inputs(step, outside)
        told = self._event(
            job,
            run_id,
            terminal,
            max(start, step.end) if step.end is not None else start,
            run_facets,
            inputs.datasets,
            self._datasets.outputs(step, outside, ended_well=terminal == "COMPLETE"),
        )
        yield told and told._replace(from_elsewhere=inputs.from_elsewhere)

    def _job(
        self,
        name: str,
        kind: str,
        docstring: str | None,
        known: Sequence[Sequence[Parameter]],
    ) -> Json:
        made = {
            "jobType": facets.job_type(self._run.tool, kind, self._renamed),
            "documentation": facets.documentation(docstring),
            "sourceCodeLocation": facets.source_code_location(known, self._naming),
            "ownership": facets.ownership(known, self._naming.facts.owners),
        }
        return {
            "namespace": self._names.job_namespace,
            "name": name,
            "facets": self._wanted(made),
        }

    def _own_run(self, step: Step | None, cached: list[str] | None) -> Json:
        if not self._wants("pipelineExporter_run"):
            return {}
        return {"pipelineExporter_run": own.own_run(self._run, step, cached)}

    def _own_metrics(self, numbers: Iterable[tuple[str, float | int]]) -> Json:
        if not self._wants("pipelineExporter_metrics"):
            return {}
        return {"pipelineExporter_metrics": own.own_metrics(numbers)}

    def _upstream(self, step: Step) -> list[Json]:
        """Name the steps that this one waited for, once each."""
        found: dict[str, Json] = {}
        for position in step.parents:
            name = self._names.step(self._run.steps[position].name)
            one: Json = {"job": {"namespace": self._names.job_namespace, "name": name}}
            if position in self._ran:
                one["run"] = {"runId": self._ran[position]}
            found[name] = one
        return list(found.values())[:MAX_UPSTREAM]

    def _numbers(self, step: Step) -> dict[str, float | int]:
        """Give a step's numbers as MLflow gets them."""
        return {
            **dict(table_numbers(step, self._details.tables)),
            **dict(step_numbers(step, self._artifacts, self._details.scalars)),
        }

    def _all_numbers(self) -> Iterator[tuple[str, float | int]]:
        last_attempt = {step.name: step for step in self._run.steps}
        for step in last_attempt.values():
            for name, number in self._numbers(step).items():
                yield f"{step.name}.{name}", number

    def _wants(self, key: str) -> bool:
        if key.startswith(_OWN) and not self._profile.own_facets:
            return False
        return key not in self._profile.facets_without

    def _wanted(self, made: Json) -> Json:
        return {key: one for key, one in made.items() if one is not None and self._wants(key)}

    def _event(
        self,
        job: Json,
        run_id: OlRunId,
        event_type: EventType,
        time_ms: int,
        run_facets: Json,
        inputs: Sequence[Json] = (),
        outputs: Sequence[Json] = (),
    ) -> LineageEvent | None:
        profile = self._profile
        if event_type not in profile.accepts or (profile.edges_only and not (inputs and outputs)):
            return None
        event_time = _event_time(time_ms)
        event: Json = {
            "eventType": event_type,
            "eventTime": event_time,
            "run": {"runId": run_id, "facets": self._wanted(run_facets)},
            "job": job,
            "inputs": [self._dataset(one) for one in inputs],
            "outputs": [self._dataset(one) for one in outputs],
            "producer": facets.BASE,
            "schemaURL": facets.EVENT_SCHEMA,
        }
        content = orjson.dumps(event)
        body = self._spelled(content)
        if 0 < profile.max_bytes < len(body):
            over = len(body) - len(content)
            content = fitting(event, profile.max_bytes - over, orjson.dumps)
            body = self._spelled(content)
        digest = hashlib.sha256(content).hexdigest()
        return LineageEvent(self._names.lane, run_id, event_type, event_time, digest, body)

    def _dataset(self, dataset: Json) -> Json:
        for holder in ("facets", "inputFacets", "outputFacets"):
            if holder in dataset:
                dataset[holder] = self._wanted(dataset[holder])
        for holder in ("inputFacets", "outputFacets"):
            if holder in dataset and not dataset[holder]:
                del dataset[holder]
        return dataset

    def _spelled(self, content: bytes) -> bytes:
        return content.replace(_ADAPTER_BYTES, self._adapter, 1).replace(_BASE_BYTES, self._base)


def _all_parameters(run: RunSnapshot) -> Iterator[tuple[str, Parameter]]:
    """Give the parameters of all steps, of the last attempt of each, as the pipeline's own."""
    last_attempt = {step.name: step for step in run.steps}
    for step in last_attempt.values():
        for parameter in step.parameters:
            yield f"{step.name}.", parameter


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
    """Give the run's start and end; where it has none, those of its steps, else the epoch.

    The end of a clock that went back is the start.
    """
    times = [time for step in run.steps for time in (step.start, step.end) if time is not None]
    start = run.start
    if start is None:
        start = min(times, default=run.end if run.end is not None else 0)
    end = run.end if run.end is not None else max(times, default=start)
    return start, max(start, end)


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
