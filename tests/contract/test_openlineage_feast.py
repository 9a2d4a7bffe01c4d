"""A real catalog: Feast's OpenLineage consumer shows each recorded history as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from support.command import run_command
from support.feast_server import TOKEN, FeastServer, running_feast
from support.here import Told
from support.zenml_stores import recorded_store

from exporter.config.resources import load_mapping
from exporter.mapping.openlineage import profile_from_yaml

pytestmark = pytest.mark.feast

FEAST = profile_from_yaml("feast", load_mapping("catalogs/feast"))

STORES = ("zenml-0.5.7", "zenml-0.12.0", "tfx-1.15")
ENDS = {"COMPLETE", "FAIL", "ABORT"}

Json = dict[str, Any]  # Any: parsed JSON
Node = tuple[str, str]
Edge = tuple[str, Node, Node]


def write_config(folder: Path, name: str, url: str, state: str) -> Path:
    """Write a configuration that exports a recorded store to Feast, and to a file beside it."""
    store = recorded_store(name)
    values = {
        "repository": "acme",
        "stacks": [
            {
                "key": "local_stack",
                "source": store.url,
                "artifacts": {"roots": [str(store.folder)], "rewrite": store.rewrite},
            }
        ],
        "sinks": {
            "openlineage": [
                {"name": "feast", "catalog": "feast", "url": url, "token": TOKEN},
                {"name": "file", "url": f"{state}.jsonl"},
            ]
        },
        "state": {"url": f"sqlite:///{state}.db"},
    }
    file = folder / f"{state}.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    return file


@dataclass(frozen=True)
class Exported:
    """A history in a Feast of its own, and the events that brought it there."""

    server: FeastServer
    folder: Path
    store: str
    events: tuple[Json, ...]

    @property
    def ends(self) -> list[Json]:
        """Give the event that ended each run."""
        return [event for event in self.events if event["eventType"] in ENDS]


@pytest.fixture(scope="module", params=STORES)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Exported]:
    folder = tmp_path_factory.mktemp(request.param)
    with running_feast(folder / "feast") as server:
        config = write_config(folder, request.param, server.url, "first")
        ended = run_command("run", "--json", "-c", config, cwd=folder)
        assert ended.code == 0, ended
        told = ended.json["openlineage"]["destinations"]["feast"]
        events = tuple(map(json.loads, (folder / "first.jsonl").read_text().splitlines()))
        assert (told["delivered"], told["dead"]) == (len(events), 0)
        yield Exported(server, folder, request.param, events)


def name_of(thing: Json) -> Node:
    return thing["namespace"], thing["name"]


def expected_edges(events: tuple[Json, ...]) -> set[Edge]:
    edges: set[Edge] = set()
    for event in events:
        job = name_of(event["job"])
        edges |= {("input", name_of(one), job) for one in event["inputs"]}
        edges |= {("output", job, name_of(one)) for one in event["outputs"]}
        parent = event["run"]["facets"].get("parent")
        if parent:
            edges.add(("parent", name_of(parent["job"]), job))
        edges |= {
            ("derived", name_of(one), name_of(other))
            for one in event["inputs"]
            for other in event["outputs"]
        }
        edges |= {
            ("symlink", min(name_of(place), name_of(one)), max(name_of(place), name_of(one)))
            for one in event["outputs"]
            for place in one.get("facets", {}).get("symlinks", {}).get("identifiers", ())
        }
    return edges


def shown_edges(graph: Json) -> set[Edge]:
    """Give the edges; a symlink has no direction."""
    shown: set[Edge] = set()
    for edge in graph["edges"]:
        kind = edge["edge_type"]
        ends = [(edge[f"{end}_namespace"], edge[f"{end}_name"]) for end in ("source", "target")]
        one, other = sorted(ends) if kind == "symlink" else ends
        shown.add((kind, one, other))
    return shown


def test_every_job_is_there_with_its_newest_run(exported: Exported) -> None:
    newest = {name_of(event["job"]): event["run"]["runId"] for event in exported.ends}
    jobs = exported.server.get("jobs")["jobs"]
    shown = {(j["job_namespace"], j["job_name"]): j["latest_run_id"] for j in jobs}
    assert shown == newest


def test_every_run_has_its_tree_and_its_state(exported: Exported) -> None:
    states = {event["run"]["runId"]: event["eventType"] for event in exported.ends}
    parents = {
        event["run"]["runId"]: event["run"]["facets"]["parent"]["run"]["runId"]
        for event in exported.ends
        if "parent" in event["run"]["facets"]
    }
    roots = sorted(set(states) - set(parents))
    assert roots
    seen = set()
    for root in roots:
        tree = exported.server.get(f"runs/{root}/tree")["runs"]
        children = {run for run, parent in parents.items() if parent == root}
        assert {run["run_id"] for run in tree} == {root} | children
        for run in tree:
            assert run["state"] == states[run["run_id"]]
            assert run["parent_run_id"] == parents.get(run["run_id"])
            assert run["ended_at"] is not None
        seen |= {run["run_id"] for run in tree}
    assert seen == set(states)


def test_every_run_has_its_inputs_and_outputs(exported: Exported) -> None:
    for event in exported.ends:
        run = exported.server.get(f"runs/{event['run']['runId']}")
        for side in ("inputs", "outputs"):
            assert {name_of(one) for one in run[side]} == {name_of(one) for one in event[side]}


def test_the_graph_has_every_edge_and_no_other(exported: Exported) -> None:
    graph = exported.server.get("graph")
    assert shown_edges(graph) == expected_edges(exported.events)


def test_every_model_is_reached_from_the_data_at_the_beginning(exported: Exported) -> None:
    graph = exported.server.get("graph")
    steps = [(a, b) for kind, a, b in shown_edges(graph) if kind in {"input", "output"}]
    models = {
        (node["namespace"], node["name"])
        for node in graph["nodes"]
        if node["type"] == "dataset"
        and (node["facets"] or {}).get("datasetType", {}).get("datasetType") == "MODEL"
    }
    assert models
    for model in models:
        above, found = {model}, {model}
        while found:
            found = {a for a, b in steps if b in found} - above
            above |= found
        beginnings = above - {b for _, b in steps}
        data = {b for a, b in steps if a in beginnings} | beginnings
        assert data - models
        assert len(above) > 3


def test_every_version_is_the_work_of_the_run_that_wrote_it(exported: Exported) -> None:
    written: dict[Node, list[str]] = {}
    for event in exported.ends:
        if event["eventType"] == "COMPLETE":
            for one in event["outputs"]:
                written.setdefault(name_of(one), []).append(event["run"]["runId"])
    assert written
    assert exported.server.versions() == written


def test_a_dataset_shows_the_facets_of_the_run_that_wrote_it_last(exported: Exported) -> None:
    facets: dict[Node, Json] = {}
    for event in exported.ends:
        for one in event["outputs"]:
            if one.get("facets"):
                told = {k: v for k, v in one["facets"].items() if k not in FEAST.facets_without}
                facets[name_of(one)] = told
    shown = {
        (one["dataset_namespace"], one["dataset_name"]): json.loads(one["facets_json"] or "{}")
        for one in exported.server.get("datasets")["datasets"]
    }
    assert {node: shown[node] for node in facets} == facets


def answers(server: FeastServer, events: tuple[Json, ...]) -> Json:
    """Give all that it shows, but for its own clock and its count of repeated versions."""
    graph = server.get("graph")
    nodes = [{k: v for k, v in n.items() if k != "current_version"} for n in graph["nodes"]]
    runs = {event["run"]["runId"] for event in events}
    clock = ("updated_at", "started_at", "ended_at")
    return {
        "nodes": sorted(nodes, key=lambda node: json.dumps(node, sort_keys=True)),
        "edges": sorted(shown_edges(graph)),
        "runs": {
            run: {k: v for k, v in server.get(f"runs/{run}").items() if k not in clock}
            for run in sorted(runs)
        },
        "versions": {node: sorted(set(by)) for node, by in server.versions().items()},
    }


def test_everything_sent_twice_shows_the_same(exported: Exported) -> None:
    before = answers(exported.server, exported.events)
    taken = exported.server.events()
    config = write_config(exported.folder, exported.store, exported.server.url, "second")
    ended = run_command("run", "--json", "-c", config, cwd=exported.folder)
    assert ended.code == 0, ended
    assert exported.server.events() == taken + len(exported.events)
    assert answers(exported.server, exported.events) == before


def test_what_feast_missed_while_it_was_down_arrives_later(tmp_path: Path) -> None:
    config = write_config(tmp_path, "zenml-0.5.7", "http://127.0.0.1:1", "state")
    down = run_command("run", "--json", "-c", config, cwd=tmp_path)
    told = down.json["openlineage"]["destinations"]
    assert down.code == 4, down
    assert (told["feast"]["pending"], told["file"]["pending"]) == (46, 0)
    with running_feast(tmp_path / "feast") as server:
        config = write_config(tmp_path, "zenml-0.5.7", server.url, "state")
        up = run_command("run", "--json", "-c", config, cwd=tmp_path)
        assert up.code == 0, up
        assert up.json["openlineage"]["destinations"]["feast"]["delivered"] == 46
        events = tuple(map(json.loads, (tmp_path / "state.jsonl").read_text().splitlines()))
        assert shown_edges(server.get("graph")) == expected_edges(events)


# doctor


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lineage_checks(told: Told, here: Path, destination: Json, *, code: int) -> list[Json]:
    """Run `doctor` on one destination; give what it says of it."""
    file = write_config(here, "zenml-0.5.7", "http://127.0.0.1:1", "doctor")
    values = json.loads(file.read_text())
    values["sinks"] = {"openlineage": [{"name": "feast", "token": TOKEN, **destination}]}
    (here / "exporter.yaml").write_text(json.dumps(values))
    ended = told("doctor", "--json")
    assert ended.code == code, ended.out
    return [check for check in ended.json["checks"] if check["part"].startswith("openlineage ")]


def test_doctor_finds_feast_in_good_health_and_leaves_nothing_there(
    here: Path, told: Told, feast_server: FeastServer
) -> None:
    destination = {"url": feast_server.url, "catalog": "feast"}
    checks = lineage_checks(told, here, destination, code=0)
    assert [check["status"] for check in checks] == ["ok", "ok"]
    assert "answers as feast does" in checks[0]["message"]
    assert "takes events: it refused what is none (HTTP 400)" in checks[1]["message"]
    assert feast_server.events() == 0
    assert feast_server.get("jobs")["jobs"] == []


def test_doctor_tells_a_wrong_key(here: Path, told: Told, feast_server: FeastServer) -> None:
    destination = {"url": feast_server.url, "catalog": "feast", "token": "another-key"}
    problem = lineage_checks(told, here, destination, code=4)[-1]
    assert "refuses our credentials (HTTP 401)" in problem["message"]
    assert "another-key" not in json.dumps(problem)


def test_doctor_tells_a_wrong_endpoint(here: Path, told: Told, feast_server: FeastServer) -> None:
    destination = {"url": feast_server.url, "endpoint": "api/v2/lineage"}
    problem = lineage_checks(told, here, destination, code=4)[-1]
    assert "api/v2/lineage takes no events: it answers HTTP 404" in problem["message"]


def test_doctor_tells_that_it_is_another_catalog(
    here: Path, told: Told, feast_server: FeastServer
) -> None:
    destination = {"url": feast_server.url, "catalog": "marquez"}
    warning, fine = lineage_checks(told, here, destination, code=0)
    assert "does not answer as marquez does: HTTP 404" in warning["message"]
    assert (warning["status"], fine["status"]) == ("warning", "ok")


def test_a_feast_that_was_stopped_leaves_no_temporary_files(tmp_path: Path) -> None:
    before = set(Path(gettempdir()).glob("feast_*"))
    with running_feast(tmp_path / "feast"):
        pass
    assert set(Path(gettempdir()).glob("feast_*")) == before
    assert not (tmp_path / "feast" / "tmp").exists()
