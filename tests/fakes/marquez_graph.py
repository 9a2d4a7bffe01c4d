"""What hangs together in the stand-in catalog: its current graph, and the runs behind a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fakes.marquez_rows import spelled
from fakes.marquez_shapes import shown_dataset, shown_job

if TYPE_CHECKING:
    from fakes.marquez_rows import Job, Name, Run
    from fakes.marquez_state import CatalogState

Json = dict[str, Any]  # Any: JSON values


def graph(state: CatalogState, kind: str, rest: str, depth: int) -> tuple[int, Json | None]:
    """Give the current graph around a job or dataset; `depth` counts layers of jobs.

    Source: names that cannot be asked for, https://github.com/MarquezProject/marquez/issues/2921
    """
    known = state.jobs if kind == "job" else state.names
    name = next((one for one in known if f"{one.namespace}:{one.name}" == rest), None)
    if name is None or name.namespace.startswith("arn:"):
        return 404, {"code": 404, "message": f"Node '{kind}:{rest}' not found."}
    has_scheme = "://" in name.namespace
    if (has_scheme and name.name[:1].isdigit()) or name.name.startswith("//"):
        return 500, None
    if kind == "job":
        layer = {name}
    else:
        dataset = state.names[name].name
        layer = {j.name for j in state.jobs.values() if dataset in j.inputs | j.outputs}
        if not layer:
            return 200, {"graph": [_dataset_node(state, dataset, [])]}
    jobs = set(layer)
    for _ in range(depth):
        touched = {d for one in layer for d in _sides(state.jobs[one])}
        layer = {j.name for j in state.jobs.values() if _sides(j) & touched} - jobs
        if not layer:
            break
        jobs |= layer
    found = [state.jobs[one] for one in sorted(jobs)]
    if any(job.broken for job in found):
        return 500, None
    datasets = sorted({d for job in found for d in _sides(job)})
    nodes = [_dataset_node(state, one, found) for one in datasets]
    return 200, {"graph": [*nodes, *(_job_node(state, job) for job in found)]}


def upstream(state: CatalogState, run_id: str, depth: int) -> tuple[int, Json | None]:
    """Give a run and the runs that made what it is linked to, and so on."""
    if run_id not in state.runs:
        return 404, {"code": 404, "message": f"Run '{run_id}' not found."}
    found: dict[str, Run] = {}
    layer = [run_id]
    for _ in range(depth + 1):
        following: list[str] = []
        for one in layer:
            run = state.runs.get(one)
            if run is None or one in found:
                continue
            found[one] = run
            if any(version.run_id is None for version in run.inputs):
                return 500, None  # it looks for the run that made the version, and there is none
            following += [version.run_id for version in run.inputs if version.run_id]
        layer = following
    return 200, {"runs": [_upstream_run(run) for run in found.values()]}


def _upstream_run(run: Run) -> Json:
    version = None if run.job_version is None else run.job_version.uuid
    return {
        "job": {**run.job._asdict(), "version": version},
        "run": {
            "id": run.run_id,
            "start": spelled(run.started_at),
            "end": spelled(run.ended_at),
            "status": run.state,
        },
        "inputs": [
            {
                **version.dataset.name._asdict(),
                "version": version.uuid,
                "producedByRunId": version.run_id,
            }
            for version in run.inputs
        ],
    }


def _sides(job: Job) -> set[Name]:
    return job.inputs | job.outputs


def _node_id(kind: str, name: Name) -> str:
    return f"{kind}:{name.namespace}:{name.name}"


def _edges(origins: list[str], me: str, destinations: list[str]) -> Json:
    return {
        "inEdges": [{"origin": one, "destination": me} for one in origins],
        "outEdges": [{"origin": me, "destination": one} for one in destinations],
    }


def _job_node(state: CatalogState, job: Job) -> Json:
    me = _node_id("job", job.name)
    before = [_node_id("dataset", one) for one in sorted(job.inputs)]
    after = [_node_id("dataset", one) for one in sorted(job.outputs)]
    # A job with a parent takes its colour from the parent's run.
    parent = None if job.parent is None else state.jobs.get(job.parent)
    latest = None if parent is None else state.runs.get(parent.current_run or "")
    data = shown_job(job, state, latest=latest)
    return {"id": me, "type": "JOB", "data": data, **_edges(before, me, after)}


def _dataset_node(state: CatalogState, name: Name, jobs: list[Job]) -> Json:
    me = _node_id("dataset", name)
    makers = [_node_id("job", job.name) for job in jobs if name in job.outputs]
    readers = [_node_id("job", job.name) for job in jobs if name in job.inputs]
    data = shown_dataset(name, state.names[name])
    return {"id": me, "type": "DATASET", "data": data, **_edges(makers, me, readers)}
