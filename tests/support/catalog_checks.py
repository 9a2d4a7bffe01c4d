"""See whether a lineage catalog answers right about the runs that were told to it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from support.catalog_answers import (
    Name,
    Picture,
    answers_of,
    differences,
    edges_of,
    graph_of,
    status_of,
    upstream_of,
)
from support.catalog_wanted import Wanted, wanted_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.hierarchy import RunSnapshot
    from exporter.mapping.openlineage import LineageNaming


def assert_answers(
    url: str,
    snapshots: Iterable[RunSnapshot],
    naming: LineageNaming | None = None,
    *,
    exact_links: bool = False,
    source_jobs: bool = False,
) -> Picture:
    """See that a catalog answers right about runs; gives what it answers.

    That is: every job and step with its state and times, none left RUNNING; every dataset with its
    versions by the right runs, a failed run's declared outputs among them; every input link; the
    graph; the runs behind every run; each model reached from its raw data.
    `source_jobs`: jobs that announce what came from elsewhere were sent as well.
    """
    wanted = wanted_of(snapshots, naming, exact_links=exact_links)
    right = wanted.picture
    found = answers_of(url, right)
    lines = differences(found, right)
    if source_jobs:
        elsewhere = {
            n for links in right.links.values() for n, made in links.items() if None in made
        }
        lines = differences(_without(found, elsewhere), _without(right, elsewhere))
    lines += [f"{run_id} is RUNNING" for run_id, run in found.runs.items() if run[1] == "RUNNING"]
    lines += _graph_lines(url, right, source_jobs=source_jobs)
    for run_id in right.links:
        try:
            behind = right.behind(run_id)
        except LookupError:
            # Marquez looks for the run that made the input; only a source job helps.
            status = status_of(url, f"/runlineage/upstream?runId={run_id}")
            if status != (200 if source_jobs else 500):
                lines.append(f"upstream: {run_id} of {right.runs[run_id][0]}: HTTP {status}")
            continue
        shown = _upstream(url, run_id, len(right.runs))
        if shown != behind:
            lines.append(f"upstream: {run_id}: shown {sorted(shown)}, wanted {sorted(behind)}")
    lines += _model_lines(url, wanted, found, exact_links=exact_links)
    if lines:
        raise AssertionError("\n".join([f"{len(lines)} answers are wrong:", *lines[:40]]))
    return found


def _upstream(url: str, run_id: str, depth: int) -> set[str]:
    try:
        return upstream_of(url, run_id, depth=depth)
    except HTTPError as error:
        return {f"HTTP {error.code}"}


def _without(picture: Picture, datasets: set[Name]) -> Picture:
    """Give the picture without the links to some datasets."""
    links = {
        run_id: {name: made for name, made in links.items() if name not in datasets}
        for run_id, links in picture.links.items()
    }
    return replace(picture, links=links)


def _graph_lines(url: str, right: Picture, *, source_jobs: bool) -> list[str]:
    wanted: set[tuple[str, str]] = set()
    shown: set[tuple[str, str]] = set()
    for job, (inputs, outputs) in right.edges.items():
        me = _node("job", job)
        wanted |= {(_node("dataset", one), me) for one in inputs}
        wanted |= {(me, _node("dataset", one)) for one in outputs}
        with suppress(HTTPError):  # a graph that is not shown lacks its edges
            shown |= edges_of(url, "job", job, depth=len(right.edges))
    if source_jobs:
        known = {_node("job", job) for job in right.edges}
        shown = {edge for edge in shown if known & {*edge}}
    return [f"graph: {edge} is missing" for edge in sorted(wanted - shown)] + [
        f"graph: {edge} is too much" for edge in sorted(shown - wanted)
    ]


def _model_lines(url: str, wanted: Wanted, found: Picture, *, exact_links: bool) -> list[str]:
    lines = []
    nodes: set[str] = set()
    for run_id, models in wanted.models.items():
        behind = wanted.behind[run_id]
        if exact_links or not wanted.old & behind:
            shown = _upstream(url, run_id, len(wanted.picture.runs))
            if "HTTP 500" in shown:  # something came from elsewhere: go from link to link
                shown = found.behind(run_id, known=True)
            missing = behind - shown
            lines += [f"model: {models} of {run_id} do not go back to {one}" for one in missing]
        if wanted.picture.newest.get(wanted.picture.runs[run_id][0]) != run_id:
            continue
        for model in models:
            with suppress(HTTPError):
                nodes = graph_of(url, "dataset", model, depth=len(wanted.picture.edges))
            missing_raw = {_node("dataset", one) for one in wanted.raw[run_id]} - nodes
            lines += [f"model: {model} is not reached from {one}" for one in missing_raw]
    return lines


def _node(kind: str, name: Name) -> str:
    return f"{kind}:{name[0]}:{name[1]}"
