"""What a lineage catalog answers about runs, through documented reads only.

The same questions may be put to a real Marquez. Lists of jobs are not asked for, which takes it
long: https://github.com/MarquezProject/marquez/issues/2987
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field, fields
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

    `runs`: run id → job, state, start and end in milliseconds. `parents`: run id → the parent's.
    `links`: run id → dataset → the runs that made the versions it is linked to, None for a version
    that nobody made. `versions`: dataset → the runs that made them, sorted. `current`: dataset →
    the run that made the one readers get. `edges`: job → inputs and outputs. `newest`: job → its
    latest run. `parent_jobs`: job → the name of its parent.
    """

    runs: dict[str, tuple[Name, str, int | None, int | None]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    links: dict[str, dict[Name, set[str | None]]] = field(default_factory=dict)
    versions: dict[Name, list[str]] = field(default_factory=dict)
    current: dict[Name, str | None] = field(default_factory=dict)
    edges: dict[Name, tuple[set[Name], set[Name]]] = field(default_factory=dict)
    newest: dict[Name, str] = field(default_factory=dict)
    parent_jobs: dict[Name, str | None] = field(default_factory=dict)

    def end(self, run_id: str, inputs: Iterable[Name], outputs: Iterable[Name]) -> None:
        """Add what a run, whose row is there, read and wrote.

        It read what was current; what it wrote is current from now on if it ended well.
        """
        job, state, *_ = self.runs[run_id]
        sides = set(inputs), set(outputs)
        self.links[run_id] = {name: {self.current.get(name)} for name in sides[0]}
        for name in sides[1]:
            self.versions.setdefault(name, []).append(run_id)
            self.versions[name].sort()
            self.current.setdefault(name, None)
            if state == "COMPLETED":
                self.current[name] = run_id
        self.edges[job] = sides
        self.newest[job] = run_id

    def behind(self, run_id: str, *, known: bool = False) -> set[str]:
        """Give the ids of the runs that a run's links go back to, itself included.

        `known`: pass over what nobody made.
        Raises: LookupError otherwise, where something was read that nobody made.
        """
        found: set[str] = set()
        waiting = [run_id]
        while waiting:
            one = waiting.pop()
            if one in found:
                continue
            found.add(one)
            for name, makers in self.links.get(one, {}).items():
                if None in makers and not known:
                    raise LookupError(f"Nobody made {name}.")
                waiting += [maker for maker in makers if maker is not None]
        return found


def picture_of(runs: Iterable[Sequence[Json]]) -> Picture:
    """Say what a catalog should show after runs, each its events, in the order of their end."""
    picture = Picture()
    for events in runs:
        for event in events:
            _add(picture, event)
    return picture


def _add(picture: Picture, event: Json) -> None:
    run_id, job = event["run"]["runId"], _name(event["job"])
    time = _millis(event["eventTime"])
    parent = event["run"]["facets"].get("parent")
    picture.parent_jobs[job] = None if parent is None else parent["job"]["name"]
    if parent is not None:
        picture.parents[run_id] = parent["run"]["runId"]
    if event["eventType"] == "START":
        picture.runs[run_id] = (job, "RUNNING", time, None)
        picture.newest[job] = run_id
        return
    start = picture.runs[run_id][2] if run_id in picture.runs else None
    picture.runs[run_id] = (job, _STATES[event["eventType"]], start, time)
    picture.end(run_id, map(_name, event["inputs"]), map(_name, event["outputs"]))


def answers_of(url: str, about: Picture) -> Picture:
    """Ask a catalog for all that a picture speaks of; what it has not, or fails on, is absent."""
    picture = Picture()
    made_by: dict[str, str | None] = {}
    for name in about.versions:
        made = _versions(url, name)
        made_by |= made
        picture.versions[name] = sorted(str(run) for run in made.values())
        dataset = _find(url, _path(name, "datasets"))
        if dataset is not None:
            picture.current[name] = made_by.get(dataset["currentVersion"])
    for run_id in about.runs:
        _ask_run(url, run_id, about, picture, made_by)
    for job in about.newest:
        shown = _find(url, _path(job, "jobs"))
        if shown is None:
            continue
        picture.newest[job] = shown["latestRun"]["id"]
        picture.parent_jobs[job] = shown["parentJobName"]
        if job in about.edges:
            sides = [{_name(one) for one in shown[side]} for side in ("inputs", "outputs")]
            picture.edges[job] = (sides[0], sides[1])
    return picture


def _ask_run(
    url: str, run_id: str, about: Picture, picture: Picture, made_by: dict[str, str | None]
) -> None:
    shown = _find(url, f"/jobs/runs/{run_id}")
    if shown is None:
        return
    times = [None if t is None else _millis(t) for t in (shown["startedAt"], shown["endedAt"])]
    version = shown.get("jobVersion")
    job = about.runs[run_id][0] if version is None else _name(version)
    picture.runs[run_id] = (job, shown["state"], times[0], times[1])
    parent = shown["facets"].get("parent")
    if parent is not None:
        picture.parents[run_id] = parent["run"]["runId"]
    if run_id in about.links:
        links: dict[Name, set[str | None]] = {}
        for one in shown["inputDatasetVersions"]:
            version = one["datasetVersionId"]
            links.setdefault(_name(version), set()).add(made_by.get(version["version"]))
        picture.links[run_id] = links


def _versions(url: str, name: Name) -> dict[str, str | None]:
    """Give a dataset's versions and the runs that made them."""
    made: dict[str, str | None] = {}
    while True:
        answer = _find(url, f"{_path(name, 'datasets')}/versions?limit=100&offset={len(made)}")
        listed = [] if answer is None else answer["versions"]
        made |= {one["version"]: (one["createdByRun"] or {}).get("id") for one in listed}
        if len(listed) < 100:
            return made


def differences(found: Picture, wanted: Picture) -> list[str]:
    """Say in one line each what a catalog shows otherwise."""
    lines = []
    for one in fields(Picture):
        shown, right = getattr(found, one.name), getattr(wanted, one.name)
        for key in sorted({*shown, *right}, key=str):
            if shown.get(key) != right.get(key):
                label = f"{key} of {wanted.runs[key][0][1]}" if key in wanted.runs else f"{key}"
                lines.append(
                    f"{one.name}: {label}: shown {shown.get(key)}, wanted {right.get(key)}"
                )
    return lines


def upstream_of(url: str, run_id: str, *, depth: int = 20) -> set[str]:
    """Give the ids of all runs that a run's inputs go back to, itself included."""
    query = urlencode({"runId": run_id, "depth": depth})
    return {one["run"]["id"] for one in _get(url, f"/runlineage/upstream?{query}")["runs"]}


def graph_of(url: str, kind: str, name: Name, *, depth: int = 20) -> set[str]:
    """Give the ids of the nodes that hang together with one."""
    return {node["id"] for node in _graph(url, kind, name, depth)}


def edges_of(url: str, kind: str, name: Name, *, depth: int = 20) -> set[tuple[str, str]]:
    """Give the edges, from node to node, of all that hangs together with one."""
    return {
        (edge["origin"], edge["destination"])
        for node in _graph(url, kind, name, depth)
        for edge in (*node["inEdges"], *node["outEdges"])
    }


def _graph(url: str, kind: str, name: Name, depth: int) -> list[Json]:
    query = urlencode({"nodeId": f"{kind}:{name[0]}:{name[1]}", "depth": depth})
    graph: list[Json] = _get(url, f"/lineage?{query}")["graph"]
    return graph


def get(url: str, path: str) -> Json:
    """Give what one read under `/api/v1` answers."""
    return _get(url, path)


def status_of(url: str, path: str) -> int:
    """Give the HTTP status of a read."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1{path}", timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def post(url: str, event: Json) -> int:
    """Send an event as it is, and give the HTTP status."""
    return post_raw(url, json.dumps(event).encode())[0]


def post_raw(
    url: str, body: bytes, content_type: str = "application/json", **headers: str
) -> tuple[int, bytes]:
    """Send bytes; give status and body of the answer."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    request = urllib.request.Request(
        f"{url}/api/v1/lineage", body, {"Content-Type": content_type, **named}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _get(url: str, path: str) -> Json:
    with urllib.request.urlopen(f"{url}/api/v1{path}", timeout=120) as answer:
        found: Json = json.load(answer)
    return found


def _find(url: str, path: str) -> Json | None:
    try:
        return _get(url, path)
    except urllib.error.HTTPError:
        return None


def _path(name: Name, kind: str) -> str:
    return f"/namespaces/{quote(name[0], safe='')}/{kind}/{quote(name[1], safe='')}"


def _name(one: Json) -> Name:
    return one["namespace"], one["name"]


def _millis(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
