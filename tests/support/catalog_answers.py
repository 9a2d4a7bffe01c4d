"""What a lineage catalog answers about runs, and what it should, through documented reads only.

The same questions may be put to a real Marquez; lists of all jobs are not asked for, which takes
it long: https://github.com/MarquezProject/marquez/issues/2987
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Json = dict[str, Any]  # Any: JSON values
Name = tuple[str, str]

_STATES = {"COMPLETE": "COMPLETED", "FAIL": "FAILED", "ABORT": "ABORTED"}


@dataclass
class Picture:
    """What is known of runs, datasets and jobs.

    `runs`: run id → job, state, start and end in milliseconds. `links`: run id → dataset → the runs
    that made the versions it is linked to. `versions`: dataset → the runs that made them, sorted.
    `current`: dataset → the run that made the newest. `edges`: job → inputs and outputs.
    """

    runs: dict[str, tuple[Name, str, int | None, int | None]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    links: dict[str, dict[Name, set[str | None]]] = field(default_factory=dict)
    versions: dict[Name, list[str]] = field(default_factory=dict)
    current: dict[Name, str | None] = field(default_factory=dict)
    edges: dict[Name, tuple[set[Name], set[Name]]] = field(default_factory=dict)
    newest: dict[Name, str] = field(default_factory=dict)


def picture_of(runs: Iterable[Sequence[Json]]) -> Picture:
    """Say what a catalog should show after runs, each its events, in the order of their end."""
    picture = Picture()
    for events in runs:
        for event in events:
            _add(picture, event)
    for dataset in picture.versions.values():
        dataset.sort()
    return picture


def _add(picture: Picture, event: Json) -> None:
    run_id, job = event["run"]["runId"], _name(event["job"])
    moment = _millis(event["eventTime"])
    parent = event["run"]["facets"].get("parent")
    if parent is not None:
        picture.parents[run_id] = parent["run"]["runId"]
    picture.newest[job] = run_id
    if event["eventType"] == "START":
        picture.runs[run_id] = (job, "RUNNING", moment, None)
        return
    start = picture.runs[run_id][2]
    picture.runs[run_id] = (job, _STATES[event["eventType"]], start, moment)
    inputs = {_name(one) for one in event["inputs"]}
    outputs = {_name(one) for one in event["outputs"]}
    picture.links[run_id] = {name: {picture.current.get(name)} for name in inputs}
    for name in outputs:
        picture.versions.setdefault(name, []).append(run_id)
        if event["eventType"] == "COMPLETE":
            picture.current[name] = run_id
        picture.current.setdefault(name, None)
    picture.edges[job] = (inputs, outputs)


def answers_of(url: str, about: Picture) -> Picture:
    """Ask a catalog for all that a picture speaks of."""
    picture = Picture()
    made_by: dict[str, str | None] = {}
    for name in about.versions:
        listed = _get(url, f"/namespaces/{_q(name[0])}/datasets/{_q(name[1])}/versions?limit=1000")
        made = {one["version"]: (one["createdByRun"] or {}).get("id") for one in listed["versions"]}
        made_by |= made
        picture.versions[name] = sorted(str(run) for run in made.values())
        shown = _get(url, f"/namespaces/{_q(name[0])}/datasets/{_q(name[1])}")
        picture.current[name] = made_by.get(shown["currentVersion"])
    for run_id, (job, *_) in about.runs.items():
        shown = _get(url, f"/jobs/runs/{run_id}")
        times = [None if t is None else _millis(t) for t in (shown["startedAt"], shown["endedAt"])]
        picture.runs[run_id] = (job, shown["state"], times[0], times[1])
        if run_id in about.links:
            links: dict[Name, set[str | None]] = {}
            for one in shown["inputDatasetVersions"]:
                version = one["datasetVersionId"]
                links.setdefault(_name(version), set()).add(made_by.get(version["version"]))
            picture.links[run_id] = links
    for job in about.newest:
        shown = _get(url, f"/namespaces/{_q(job[0])}/jobs/{_q(job[1])}")
        picture.newest[job] = shown["latestRun"]["id"]
        if job in about.edges:
            sides = [{_name(one) for one in shown[side]} for side in ("inputs", "outputs")]
            picture.edges[job] = (sides[0], sides[1])
    picture.parents = about.parents
    return picture


def upstream_of(url: str, run_id: str) -> set[str]:
    """Give the ids of all runs that a run's inputs go back to, itself included."""
    query = urlencode({"runId": run_id, "depth": 20})
    return {one["run"]["id"] for one in _get(url, f"/runlineage/upstream?{query}")["runs"]}


def graph_of(url: str, kind: str, name: Name) -> set[str]:
    """Give the ids of the nodes that hang together with one."""
    query = urlencode({"nodeId": f"{kind}:{name[0]}:{name[1]}", "depth": 20})
    return {node["id"] for node in _get(url, f"/lineage?{query}")["graph"]}


def status_of(url: str, path: str) -> int:
    """Give the HTTP status of a read."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1{path}", timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def post(url: str, event: Json) -> int:
    """Send an event as it is, and give the HTTP status."""
    request = urllib.request.Request(
        f"{url}/api/v1/lineage",
        json.dumps(event).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _get(url: str, path: str) -> Json:
    with urllib.request.urlopen(f"{url}/api/v1{path}", timeout=120) as answer:
        found: Json = json.load(answer)
    return found


def _q(part: str) -> str:
    return quote(part, safe="")


def _name(one: Json) -> Name:
    return one["namespace"], one["name"]


def _millis(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
