"""What Marquez 0.51 remembers of OpenLineage events, and how their order changes it.

Pure state, no network. Behaviour as observed on a real server; threads about it:
https://github.com/MarquezProject/marquez/issues/2264 (an event after the end opens a run again),
https://github.com/MarquezProject/marquez/issues/2733 (inputs are linked to the newest version),
https://github.com/MarquezProject/marquez/issues/3066 (edges appear with the end).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

Json = dict[str, Any]  # Any: a parsed event

STATES = {"COMPLETE": "COMPLETED", "FAIL": "FAILED", "ABORT": "ABORTED"}


class Name(NamedTuple):
    """The full name of a job or a dataset."""

    namespace: str
    name: str


@dataclass
class Version:
    """One version of a dataset; nobody made it when only a reader spoke of it."""

    uuid: str
    run_id: str | None
    created_at: str
    facets: Json = field(default_factory=dict)
    fields: list[Json] = field(default_factory=list)


@dataclass
class Dataset:
    """A dataset with its versions in the order of their arrival."""

    name: Name
    source: str = ""
    description: str | None = None
    versions: list[Version] = field(default_factory=list)
    current: Version | None = None


@dataclass
class Run:
    """A run: the last event decides about its state."""

    run_id: str
    job: Name
    created_at: str
    state: str = "NEW"
    started_at: str | None = None
    ended_at: str | None = None
    parent: str | None = None
    facets: Json = field(default_factory=dict)
    inputs: list[tuple[Name, Version]] = field(default_factory=list)
    input_facets: dict[Name, Json] = field(default_factory=dict)
    outputs: list[tuple[Name, Version]] = field(default_factory=list)


@dataclass
class Job:
    """A job; the edges are those of the run whose event came last."""

    name: Name
    parent: Name | None = None
    facets: Json = field(default_factory=dict)
    inputs: set[Name] = field(default_factory=set)
    outputs: set[Name] = field(default_factory=set)
    runs: list[str] = field(default_factory=list)
    current_run: str | None = None
    version_run: str | None = None


class CatalogState:
    """The catalog's memory. Not thread-safe."""

    def __init__(self) -> None:
        self.namespaces: set[str] = set()
        self.jobs: dict[Name, Job] = {}
        self.runs: dict[str, Run] = {}
        self.datasets: dict[Name, Dataset] = {}
        self.events: list[Json] = []

    def take(self, event: Json) -> None:
        """Apply an event whose names and values are in order."""
        self.events.append(event)
        run = self.take_run(event)
        job = self.jobs[run.job]
        kind = event["eventType"]
        inputs = [self._read(run, one) for one in event.get("inputs") or ()]
        outputs = [self._write(run, one, event) for one in event.get("outputs") or ()]
        if kind in STATES:
            job.inputs = {name for name, _ in run.inputs}
            job.outputs = {name for name, _ in run.outputs}
            job.version_run = run.run_id
        else:
            job.inputs, job.outputs = set(inputs), set(outputs)

    def take_run(self, event: Json) -> Run:
        """Apply what an event says of its run and job alone: this is what a refusal leaves."""
        kind, time, run_id = event["eventType"], event["eventTime"], event["run"]["runId"]
        facets = event["run"].get("facets") or {}
        parent = self._parent(facets.get("parent"), event)
        name = self._job_name(event["job"], parent)
        job = self.jobs.setdefault(name, Job(name))
        self.namespaces.add(name.namespace)
        job.parent = job.parent if parent is None else parent.job
        job.facets |= event["job"].get("facets") or {}
        run = self.runs.get(run_id)
        if run is None:
            run = self.runs[run_id] = Run(run_id, name, time)
        if run_id not in job.runs:
            job.runs.append(run_id)
        run.job = name
        run.parent = run.parent if parent is None else parent.run_id
        run.facets |= facets
        if kind in STATES:
            run.state, run.ended_at = STATES[kind], time
        else:
            run.state = "RUNNING"
            if kind != "OTHER" or run.started_at is None or run.ended_at is not None:
                run.started_at = time
        job.current_run = run_id
        return run

    def upstream(self, run_id: str) -> list[Run]:
        """Give a run and all runs that made what it read, and what those read.

        Raises: LookupError when something was read that no run made.
        """
        found: dict[str, Run] = {}
        waiting = [run_id]
        while waiting:
            run = self.runs[waiting.pop()]
            if run.run_id in found:
                continue
            found[run.run_id] = run
            for name, version in run.inputs:
                if version.run_id is None:
                    raise LookupError(f"u_r_uuid not found: {name}")
                waiting.append(version.run_id)
        return list(found.values())

    def neighbours(self, node: tuple[str, Name]) -> set[tuple[str, Name]]:
        """Give the nodes that share an edge with a job or a dataset."""
        kind, name = node
        if kind == "job":
            job = self.jobs.get(name, Job(name))
            return {("dataset", one) for one in job.inputs | job.outputs}
        return {("job", j.name) for j in self.jobs.values() if name in j.inputs | j.outputs}

    def _parent(self, facet: Json | None, event: Json) -> Run | None:
        """Find the parent run by its id; one whose name is not exact is another, invented one."""
        if facet is None:
            return None
        run_id, told = facet["run"]["runId"], Name(facet["job"]["namespace"], facet["job"]["name"])
        known = self.runs.get(run_id)
        if known is not None and known.job == told:
            return known
        invented = run_id if known is None else _uuid(run_id, told)
        if invented not in self.runs:
            # In the child's namespace, whatever the facet says.
            name = Name(event["job"]["namespace"], told.name)
            run = self.runs[invented] = Run(invented, name, event["eventTime"])
            run.state = STATES.get(event["eventType"], "RUNNING")
            job = self.jobs.setdefault(name, Job(name))
            job.runs.append(invented)
            job.current_run = invented
        return self.runs[invented]

    @staticmethod
    def _job_name(job: Json, parent: Run | None) -> Name:
        if parent is None:
            return Name(job["namespace"], job["name"])
        simple = job["name"].removeprefix(f"{parent.job.name}.")
        return Name(job["namespace"], f"{parent.job.name}.{simple}")

    def _dataset(self, told: Json) -> Dataset:
        name = Name(told["namespace"], told["name"])
        self.namespaces.add(name.namespace)
        return self.datasets.setdefault(name, Dataset(name))

    def _read(self, run: Run, told: Json) -> Name:
        """Link the run to the version that is current now, and merge what the reader says of it."""
        dataset = self._dataset(told)
        facets = told.get("facets") or {}
        if dataset.current is None:
            made = Version(_uuid(*dataset.name, run.run_id), None, run.created_at)
            dataset.versions.append(made)
            dataset.current = made
        if (dataset.name, dataset.current) not in run.inputs:
            run.inputs.append((dataset.name, dataset.current))
        dataset.current.facets |= facets
        kept = run.input_facets.setdefault(dataset.name, {})
        kept |= told.get("inputFacets") or {}
        if "dataQualityMetrics" in (told.get("inputFacets") or {}):
            dataset.current.facets["dataQualityMetrics"] = told["inputFacets"]["dataQualityMetrics"]
        documentation = facets.get("documentation") or {}
        dataset.description = documentation.get("description")
        return dataset.name

    def _write(self, run: Run, told: Json, event: Json) -> Name:
        """Make the run's version, one for each source and columns; a good end makes it current."""
        dataset = self._dataset(told)
        facets = told.get("facets") or {}
        dataset.source = (facets.get("dataSource") or {}).get("name", dataset.source)
        documentation = facets.get("documentation") or {}
        dataset.description = documentation.get("description")
        columns = (facets.get("schema") or {}).get("fields") or []
        lifecycle = (facets.get("lifecycleStateChange") or {}).get("lifecycleStateChange", "")
        uuid = _uuid(*dataset.name, dataset.source, columns, lifecycle, run.run_id)
        version = next((one for one in dataset.versions if one.uuid == uuid), None)
        if version is None:
            version = Version(uuid, run.run_id, event["eventTime"], fields=columns)
            dataset.versions.append(version)
        version.facets |= {**facets, **(told.get("outputFacets") or {})}
        if (dataset.name, version) not in run.outputs:
            run.outputs.append((dataset.name, version))
        if event["eventType"] == "COMPLETE":
            dataset.current = version
        return dataset.name


def millis(time: str | None) -> int | None:
    """Give a time as milliseconds since 1970."""
    return None if time is None else round(datetime.fromisoformat(time).timestamp() * 1000)


def _uuid(*parts: object) -> str:
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
