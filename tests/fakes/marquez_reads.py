"""The documented reads of the stand-in catalog, by path and query."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from fakes.marquez_graph import graph, upstream
from fakes.marquez_rows import Name, moment
from fakes.marquez_shapes import (
    shown_dataset,
    shown_job,
    shown_job_version,
    shown_namespace,
    shown_run,
    shown_version,
)
from fakes.marquez_state import is_clean_namespace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakes.marquez_rows import Job
    from fakes.marquez_state import CatalogState

Json = dict[str, Any]  # Any: JSON values
Answer = tuple[int, Json | None]  # None: the web server's page of that status

BASE = "/api/v1"
BROKEN: Answer = 500, None
_NODE = re.compile(r"(job|dataset):(.*)", re.DOTALL)


def missing(what: str) -> Answer:
    """Answer that there is none."""
    return 404, {"code": 404, "message": f"{what} not found."}


def read(state: CatalogState, target: str) -> Answer:
    """Answer one GET."""
    parts = urlsplit(target)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    if not parts.path.startswith(f"{BASE}/"):
        return missing(parts.path)
    match [unquote(part) for part in parts.path.removeprefix(f"{BASE}/").split("/")]:
        case ["namespaces", *rest]:
            answer = _in_namespace(state, rest, query)
        case ["jobs"]:
            answer = _job_list(state, list(state.jobs.values()), query)
        case ["jobs", "runs", run_id, *rest]:
            answer = _run(state, run_id, rest, query)
        case ["lineage"]:
            answer = _lineage(state, query)
        case ["runlineage", "upstream"]:
            answer = upstream(state, query.get("runId", ""), int(query.get("depth", "20")))
        case ["events", "lineage"]:
            answer = _events(state, query)
        case _:
            answer = missing(parts.path)
    return answer


def _in_namespace(state: CatalogState, path: list[str], query: dict[str, str]) -> Answer:
    if not path:
        return _namespaces(state, query)
    time = state.namespaces.get(path[0])
    if time is None:
        return missing(f"Namespace '{path[0]}'")
    match path[1:]:
        case []:
            return 200, shown_namespace(path[0], time)
        case ["jobs", *rest]:
            return _jobs(state, path[0], rest, query)
        case ["datasets", *rest]:
            return _datasets(state, path[0], rest, query)
    return missing("/".join(path))


def _page(rows: Sequence[Any], query: dict[str, str]) -> Sequence[Any]:  # Any: rows of one kind
    start = int(query.get("offset", "0"))
    return rows[start : start + int(query.get("limit", "100"))]


def _namespaces(state: CatalogState, query: dict[str, str]) -> Answer:
    rows = _page(sorted(state.namespaces.items()), query)
    if not all(is_clean_namespace(name) for name, _ in rows):
        return BROKEN
    return 200, {"namespaces": [shown_namespace(name, time) for name, time in rows]}


def _job_list(state: CatalogState, jobs: list[Job], query: dict[str, str]) -> Answer:
    shown = sorted((job for job in jobs if not job.hidden), key=lambda job: job.name)
    rows: Sequence[Job] = _page(shown, query)
    if any(job.breaks_lists for job in rows):
        return BROKEN
    return 200, {"jobs": [shown_job(job, state) for job in rows], "totalCount": len(shown)}


def _jobs(state: CatalogState, namespace: str, path: list[str], query: dict[str, str]) -> Answer:
    if not path:
        return _job_list(state, [j for n, j in state.jobs.items() if n[0] == namespace], query)
    job = state.jobs.get(Name(namespace, path[0]))
    if job is None or job.hidden:
        return missing(f"Job '{path[0]}'")
    if job.broken:
        return BROKEN
    match path[1:]:
        case []:
            return 200, shown_job(job, state)
        case ["versions"]:
            versions = sorted(job.versions.values(), key=lambda one: one.created_at, reverse=True)
            rows = [shown_job_version(job, one, state) for one in _page(versions, query)]
            return 200, {"versions": rows, "totalCount": len(versions)}
        case ["runs"]:
            runs = [state.runs[one] for one in job.runs if one in state.runs]
            # Newest start first, those without one last.
            runs.sort(
                key=lambda r: (r.started_at is None, -(r.started_at or r.created_at).timestamp())
            )
            rows = [shown_run(one) for one in _page(runs, query)]
            return 200, {"runs": rows, "totalCount": len(runs)}
    return missing("/".join(path))


def _datasets(
    state: CatalogState, namespace: str, path: list[str], query: dict[str, str]
) -> Answer:
    if not path:
        names = sorted(name for name in state.names if name.namespace == namespace)
        rows = [shown_dataset(name, state.names[name]) for name in _page(names, query)]
        return 200, {"datasets": rows, "totalCount": len(names)}
    name = Name(namespace, path[0])
    dataset = state.names.get(name)
    if dataset is None:
        return missing(f"Dataset '{path[0]}'")
    if not path[1:]:
        return 200, shown_dataset(name, dataset)
    newest_first = sorted(dataset.versions.values(), key=lambda one: one.created_at, reverse=True)
    match path[1:]:
        case ["versions"]:
            rows = [shown_version(name, one, state) for one in _page(newest_first, query)]
            return 200, {"versions": rows, "totalCount": len(newest_first)}
        case ["versions", uuid] if uuid in dataset.versions:
            return 200, shown_version(name, dataset.versions[uuid], state)
    return missing("/".join(path))


def _run(state: CatalogState, run_id: str, path: list[str], query: dict[str, str]) -> Answer:
    run = state.runs.get(run_id)
    if run is None:
        return missing(f"Run '{run_id}'")
    if state.jobs[run.job].broken:
        return BROKEN
    if not path:
        return 200, shown_run(run)
    kinds = {"run": run.facets, "job": run.job_facets}
    if path == ["facets"] and query.get("type") in kinds:
        return 200, {"runId": run_id, "facets": kinds[query["type"]].shown()}
    return missing("/".join(path))


def _lineage(state: CatalogState, query: dict[str, str]) -> Answer:
    node = _NODE.fullmatch(query.get("nodeId", ""))
    if node is None:
        return 400, None
    return graph(state, node[1], node[2], int(query.get("depth", "20")))


def _events(state: CatalogState, query: dict[str, str]) -> Answer:
    after = moment(query.get("after", "1970-01-01T00:00:00Z"))
    before = moment(query.get("before", "2030-01-01T00:00:00Z"))
    found = [e for e in state.events if after <= moment(e["eventTime"]) < before]
    found.sort(
        key=lambda event: moment(event["eventTime"]),
        reverse=query.get("sortDirection", "desc") == "desc",
    )
    return 200, {"events": list(_page(found, query)), "totalCount": len(found)}
