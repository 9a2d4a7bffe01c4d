"""Lineage catalogs to tell events to: the stand-in, and a real Marquez where there is one."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from fakes.marquez import FakeMarquez, running_catalog

from support.catalog_answers import get, graph_of, post, status_of, upstream_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Json = dict[str, Any]  # Any: JSON values

REAL = "EXPORTER_TEST_MARQUEZ_URL"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACET = {"_producer": "https://example.org/", "_schemaURL": "https://example.org/facet.json"}

_KINDS = ["stand-in", *(["marquez"] if os.environ.get(REAL) else [])]


@pytest.fixture
def marquez() -> Iterator[FakeMarquez]:
    """Give the stand-in, running."""
    with running_catalog() as catalog:
        yield catalog


@pytest.fixture(params=_KINDS)
def catalog_url(request: pytest.FixtureRequest) -> str:
    """Give the address of the stand-in and, where EXPORTER_TEST_MARQUEZ_URL names it, a Marquez."""
    if request.param == "marquez":
        return os.environ[REAL].rstrip("/")
    catalog: FakeMarquez = request.getfixturevalue("marquez")
    return catalog.url


@pytest.fixture
def repository() -> str:
    """Give a repository's name that no test before had: a real catalog forgets nothing."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def teller(catalog_url: str, repository: str) -> Teller:
    """Give who tells a catalog events of a namespace of their own."""
    return Teller(catalog_url, f"zenml://{repository}/local")


@dataclass
class Teller:
    """Tells a catalog events by short words, and asks it for what became of them.

    Times are minutes after 08:00 on `day`. A dataset is a name, a name with facets, or one of
    another namespace.
    """

    url: str
    namespace: str
    day: int = 1
    sent: list[Json] = field(default_factory=list)

    @property
    def base(self) -> str:
        """Give the path of the namespace."""
        return f"/namespaces/{_quoted(self.namespace)}"

    def event(
        self,
        kind: str | None,
        job: str,
        run: str,
        minute: int = 0,
        *,
        inputs: Sequence[str | Json] = (),
        outputs: Sequence[str | Json] = (),
        parent: tuple[str, ...] | None = None,
        job_facets: Json | None = None,
        run_facets: Json | None = None,
        namespace: str | None = None,
    ) -> Json:
        """Make an event. `parent` is its run and its job, and its namespace if another one."""
        facets = dict(run_facets or {})
        if parent is not None:
            told = {"namespace": (*parent, self.namespace)[2], "name": parent[1]}
            facets["parent"] = {**FACET, "run": {"runId": self.id(parent[0])}, "job": told}
        return {
            "eventType": kind,
            "eventTime": self.time(minute),
            "run": {"runId": self.id(run), "facets": facets},
            "job": {
                "namespace": self.namespace if namespace is None else namespace,
                "name": job,
                "facets": job_facets or {},
            },
            "inputs": [self.dataset(one) for one in inputs],
            "outputs": [self.dataset(one) for one in outputs],
            "producer": "https://example.org/",
            "schemaURL": SCHEMA,
        }

    def tell(self, kind: str | None, job: str, run: str, minute: int = 0, **more: Any) -> int:
        """Send an event; give the HTTP status."""
        return self.send(self.event(kind, job, run, minute, **more))

    def send(self, event: Json) -> int:
        """Send an event as it is; give the HTTP status."""
        self.sent.append(event)
        return post(self.url, event)

    def whole(self, job: str, run: str, day: int, **more: Any) -> None:
        """Send START without datasets and COMPLETE with those given."""
        self.day = day
        assert self.tell("START", job, run, 0) == 201
        assert self.tell("COMPLETE", job, run, 5, **more) == 201

    def id(self, run: str) -> str:
        """Give a run's id."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.namespace}/{run}"))

    def time(self, minute: int) -> str:
        """Give a time of the day that is told of."""
        return f"2026-03-{self.day:02}T08:{minute:02}:00Z"

    def dataset(self, told: str | Json) -> Json:
        """Give a dataset of this namespace, by name."""
        if isinstance(told, str):
            return {"namespace": self.namespace, "name": told, "facets": {}}
        return {"namespace": self.namespace, **told}

    def run(self, run: str) -> Json:
        """Ask for a run."""
        return get(self.url, f"/jobs/runs/{self.id(run)}")

    def job(self, job: str) -> Json:
        """Ask for a job."""
        return get(self.url, f"{self.base}/jobs/{_quoted(job)}")

    def jobs(self) -> set[str]:
        """Ask for the names of the jobs of this namespace."""
        listed = get(self.url, f"{self.base}/jobs?limit=1000")["jobs"]
        return {one["name"] for one in listed}

    def shown(self, dataset: str) -> Json:
        """Ask for a dataset."""
        return get(self.url, f"{self.base}/datasets/{_quoted(dataset)}")

    def versions(self, dataset: str) -> list[Json]:
        """Ask for a dataset's versions, newest first."""
        path = f"{self.base}/datasets/{_quoted(dataset)}/versions"
        versions: list[Json] = get(self.url, path)["versions"]
        return versions

    def makers(self, dataset: str) -> list[str | None]:
        """Ask for the ids of the runs that made a dataset's versions, newest first."""
        return [(one["createdByRun"] or {}).get("id") for one in self.versions(dataset)]

    def current(self, dataset: str) -> str | None:
        """Ask for the id of the run that made the current version."""
        uuid_now = self.shown(dataset)["currentVersion"]
        made = {one["version"]: one["createdByRun"] for one in self.versions(dataset)}
        return (made.get(uuid_now) or {}).get("id")

    def links(self, run: str) -> dict[str, list[str | None]]:
        """Ask for what a run read: dataset → the runs that made the versions it is linked to."""
        found: dict[str, list[str | None]] = {}
        for one in self.run(run)["inputDatasetVersions"]:
            version = one["datasetVersionId"]
            made = {v["version"]: v["createdByRun"] for v in self.versions(version["name"])}
            maker = (made[version["version"]] or {}).get("id")
            found.setdefault(version["name"], []).append(maker)
        return found

    def edges(self, job: str) -> tuple[set[str], set[str]]:
        """Ask for the inputs and outputs that the graph shows of a job."""
        shown = self.job(job)
        return {d["name"] for d in shown["inputs"]}, {d["name"] for d in shown["outputs"]}

    def graph(self, kind: str, name: str) -> set[str]:
        """Ask for the names of the nodes around one."""
        nodes = graph_of(self.url, kind, (self.namespace, name))
        return {node.split(f"{self.namespace}:", 1)[1] for node in nodes}

    def upstream(self, run: str) -> set[str]:
        """Ask for the ids of the runs behind a run."""
        return upstream_of(self.url, self.id(run))

    def upstream_status(self, run: str) -> int:
        """Ask whether the runs behind a run are shown."""
        return status_of(self.url, f"/runlineage/upstream?runId={self.id(run)}")


def _quoted(part: str) -> str:
    return quote(part, safe="")
