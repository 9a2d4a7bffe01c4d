"""How the stand-in catalog's memory changes by an event: as Marquez' does, by order of arrival.

What is modelled was observed on Marquez 0.51.1. Much of it is known there: a run that is opened
again (https://github.com/MarquezProject/marquez/issues/2264), readers linked to whatever version is
newest (https://github.com/MarquezProject/marquez/issues/2733), edges that only ends bring back
(https://github.com/MarquezProject/marquez/issues/3066).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fakes.marquez_rows import (
    ENDS,
    Dataset,
    Facets,
    Job,
    JobVersion,
    Name,
    Run,
    Version,
    moment,
    uuid_of,
)

if TYPE_CHECKING:
    from datetime import datetime

Json = dict[str, Any]  # Any: JSON values

_REWRITTEN = re.compile(r"[^a-zA-Z:/0-9_\-.@+]")
_CLEAN = re.compile(r"[a-zA-Z:;=/0-9_\-.@+]{1,1024}")


def stored_namespace(namespace: str) -> str:
    """Give a namespace as it is stored, which for `;`, `=` and what is not allowed means `_`."""
    return _REWRITTEN.sub("_", namespace)


def is_clean_namespace(namespace: str) -> bool:
    """Tell whether reads of a namespace work."""
    return _CLEAN.fullmatch(namespace) is not None


class CatalogState:
    """The catalog's memory. Not thread-safe.

    `names` holds datasets by name and by symlink; `events` is every event that came so far that it
    was kept.
    """

    def __init__(self) -> None:
        self.namespaces: dict[str, datetime] = {}
        self.jobs: dict[Name, Job] = {}
        self.runs: dict[str, Run] = {}
        self.names: dict[Name, Dataset] = {}
        self.events: list[Json] = []

    # --- events ---------------------------------------------------------------------------------

    def take(self, event: Json) -> None:
        """Apply an event whole."""
        schema = str(event.get("schemaURL", ""))
        if schema.endswith("DatasetEvent"):
            self._take_dataset(event)
        elif schema.endswith("JobEvent"):
            self._take_job(event)
        else:
            self._take_run_event(event)

    def take_run(self, event: Json) -> tuple[Run, Job]:
        """Apply what an event says of its run and job alone; a refusal may leave as much."""
        time, kind, told = moment(event["eventTime"]), event.get("eventType"), event["run"]
        self.events.append(event)
        facets = told.get("facets") or {}
        namespace = stored_namespace(event["job"]["namespace"])
        parent = self._parent(facets.get("parent"), namespace, kind, time)
        job = self._job(event["job"], namespace, parent, time)
        run = self._run(told["runId"], job, None if parent is None else parent.run_id, time)
        run.updated_at = time
        nominal = facets.get("nominalTime") or {}
        run.nominal = (nominal.get("nominalStartTime"), nominal.get("nominalEndTime"))
        run.facets.tell(time, facets)
        run.job_facets.tell(time, event["job"].get("facets"))
        job.current_run = run.run_id
        if kind is not None and str(kind).upper() in ENDS:
            run.state, run.ended_at = ENDS[str(kind).upper()], time
        elif kind is not None:
            # OTHER and words nobody knows run as well, and move the start.
            run.state, run.started_at = "RUNNING", time
        return run, job

    def forget(self, before: datetime) -> None:
        """Forget what is older, by the time of the event and not of its arrival; datasets stay."""
        gone = {run_id for run_id, run in self.runs.items() if run.created_at < before}
        self.events = [event for event in self.events if moment(event["eventTime"]) >= before]
        self.runs = {key: run for key, run in self.runs.items() if key not in gone}
        for dataset in self.names.values():
            dataset.versions = {k: v for k, v in dataset.versions.items() if v.run_id not in gone}
            if dataset.current is not None and dataset.current.run_id in gone:
                dataset.current = None
        for name, job in list(self.jobs.items()):
            job.runs = [run_id for run_id in job.runs if run_id not in gone]
            if not job.runs:
                del self.jobs[name]

    def _take_run_event(self, event: Json) -> None:
        run, job = self.take_run(event)
        time, kind = moment(event["eventTime"]), str(event.get("eventType")).upper()
        inputs, outputs = event.get("inputs") or [], event.get("outputs") or []
        for one in inputs:
            self._read(one, run, time)
        for one in outputs:
            self._written(one, run, time)
        # An event without inputs (outputs) takes the job's edges away; only an end builds them.
        job.inputs = job.inputs if inputs else set()
        job.outputs = job.outputs if outputs else set()
        if kind in ENDS:
            self._end(run, job, time)
        if kind == "COMPLETE":
            for version in run.outputs:
                version.dataset.current = version

    def _take_dataset(self, event: Json) -> None:
        time = moment(event["eventTime"])
        self.events.append(event)
        version = self._written(event["dataset"], None, time)
        version.dataset.current = version

    def _take_job(self, event: Json) -> None:
        time = moment(event["eventTime"])
        self.events.append(event)
        namespace = stored_namespace(event["job"]["namespace"])
        job = self._job(event["job"], namespace, None, time)
        inputs = [self._dataset(one, time).name for one in event.get("inputs") or ()]
        outputs = [self._dataset(one, time).name for one in event.get("outputs") or ()]
        self._version_job(job, frozenset(inputs), frozenset(outputs), None, time)

    # --- runs and jobs --------------------------------------------------------------------------

    def _parent(
        self, facet: Json | None, namespace: str, kind: str | None, time: datetime
    ) -> Run | None:
        """Find the parent by its id, if namespace and name are exact; else invent one."""
        if facet is None:
            return None
        told = Name(facet["job"]["namespace"], facet["job"]["name"])
        run_id = facet["run"]["runId"]
        known = self.runs.get(run_id)
        if known is not None and known.job == told:
            return known
        # In the child's namespace, whatever was told, and with the child's state.
        invented = Name(namespace, told.name)
        if known is not None:
            run_id = uuid_of(*told, run_id)
        if run_id not in self.runs:
            job = self.place_job(invented, time)
            run = self._run(run_id, job, None, time)
            run.state = ENDS.get(str(kind).upper(), "RUNNING")
            job.current_run = run_id
        return self.runs[run_id]

    def _job(self, told: Json, namespace: str, parent: Run | None, time: datetime) -> Job:
        name = told["name"]
        if parent is not None:
            name = f"{parent.job.name}.{name.removeprefix(f'{parent.job.name}.')}"
        job = self.place_job(Name(namespace, name), time)
        if parent is not None:
            job.parent = parent.job
        facets = told.get("facets") or {}
        job.description = (facets.get("documentation") or {}).get("description")
        job.location = (facets.get("sourceCodeLocation") or {}).get("url")
        job.updated_at, job.hidden = time, False
        return job

    def place_job(self, name: Name, time: datetime) -> Job:
        """Find or make the row of a job."""
        self.namespaces.setdefault(name.namespace, time)
        return self.jobs.setdefault(name, Job(name, time, time))

    def _run(self, run_id: str, job: Job, parent: str | None, time: datetime) -> Run:
        run = self.runs.get(run_id)
        if run is None:
            run = self.runs[run_id] = Run(run_id, job.name, parent, time, time)
            job.runs.append(run_id)
        return run

    def _end(self, run: Run, job: Job, time: datetime) -> None:
        """Build the job's edges from all that the run ever had."""
        inputs = frozenset(version.dataset.name for version in run.inputs)
        outputs = frozenset(version.dataset.name for version in run.outputs)
        run.job_version = self._version_job(job, inputs, outputs, run.run_id, time)

    @staticmethod
    def _version_job(
        job: Job,
        inputs: frozenset[Name],
        outputs: frozenset[Name],
        run_id: str | None,
        time: datetime,
    ) -> JobVersion:
        uuid = uuid_of(*job.name, sorted(inputs), sorted(outputs), job.location)
        version = job.versions.setdefault(
            uuid, JobVersion(uuid, time, inputs, outputs, job.location, run_id)
        )
        version.latest_run = run_id
        job.current_version = version
        job.inputs, job.outputs = set(inputs), set(outputs)
        return version

    # --- datasets -------------------------------------------------------------------------------

    def _dataset(self, told: Json, time: datetime) -> Dataset:
        """Find or make the dataset; a mention without a description takes the description away."""
        namespace = told["namespace"]
        if is_clean_namespace(namespace):
            namespace = stored_namespace(namespace)
        self.namespaces.setdefault(namespace, time)
        name = Name(namespace, told["name"])
        dataset = self.names.setdefault(name, Dataset(name, time, time))
        facets = told.get("facets") or {}
        dataset.updated_at = time
        dataset.description = (facets.get("documentation") or {}).get("description")
        for link in (facets.get("symlinks") or {}).get("identifiers") or ():
            self.namespaces.setdefault(link["namespace"], time)
            self.names.setdefault(Name(link["namespace"], link["name"]), dataset)
        return dataset

    def _read(self, told: Json, run: Run, time: datetime) -> None:
        """Link the run to the version that is current now; its `version` facet does not matter."""
        dataset = self._dataset(told, time)
        if dataset.current is None:
            # Nobody made it: a version without run, which the next reader gets as well.
            dataset.current = self._version(dataset, told, None, time, seed=run.run_id)
        version = dataset.current
        if version not in run.inputs:
            run.inputs.append(version)
        version.facets.tell(time, told.get("facets"))
        version.facets.tell(time, told.get("inputFacets"))
        run.input_facets.setdefault(dataset.name, Facets()).tell(time, told.get("inputFacets"))

    def _written(self, told: Json, run: Run | None, time: datetime) -> Version:
        """Make the run's version, one for each source, columns and kind of change."""
        dataset = self._dataset(told, time)
        facets = told.get("facets") or {}
        dataset.source = (facets.get("dataSource") or {}).get("name") or "default"
        seed = str(time) if run is None else run.run_id
        version = self._version(dataset, told, run, time, seed=seed)
        dataset.deleted = version.lifecycle == "DROP"
        version.facets.tell(time, facets)
        version.facets.tell(time, told.get("outputFacets"))
        if run is not None:
            if version not in run.outputs:
                run.outputs.append(version)
            kept = run.output_facets.setdefault(dataset.name, Facets())
            kept.tell(time, told.get("outputFacets"))
        return version

    @staticmethod
    def _version(
        dataset: Dataset, told: Json, run: Run | None, time: datetime, *, seed: str
    ) -> Version:
        facets = told.get("facets") or {}
        columns = (facets.get("schema") or {}).get("fields") or []
        change = (facets.get("lifecycleStateChange") or {}).get("lifecycleStateChange")
        uuid = uuid_of(*dataset.name, dataset.source, columns, change, seed)
        made_by = None if run is None else run.run_id
        return dataset.versions.setdefault(
            uuid, Version(dataset, uuid, made_by, time, columns, dataset.source, change)
        )
