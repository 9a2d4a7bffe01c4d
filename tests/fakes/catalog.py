"""A catalog on loopback that behaves as Marquez 0.51 was seen to, for events and for reads."""

from __future__ import annotations

import gzip
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from support.openlineage_server import Reply

from fakes.catalog_rules import (
    Poison,
    clean_job_namespace,
    node_fails,
    poison_of,
    refusal_of,
)
from fakes.catalog_state import CatalogState, Dataset, Job, Name, Run, Version, millis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json = dict[str, Any]  # Any: JSON values

_BASE = "/api/v1"
_TAKEN = Reply()
_MISSING = 404, {"code": 404, "message": "not found"}
_BROKEN = Reply(500, b"<html>HTTP ERROR 500 Internal Server Error</html>", "text/html")


@dataclass
class FakeCatalog:
    """The running catalog. `before` decides what becomes of an event before it is looked at.

    `together` holds the run ids of which two events were under way at the same time: on a real
    server the state of such a run is left to chance.
    """

    url: str = ""
    state: CatalogState = field(default_factory=CatalogState)
    before: Callable[[Json], Reply | None] = lambda _event: None
    posts: int = 0
    together: set[str] = field(default_factory=set)
    poison: Poison = field(default_factory=Poison)
    _under_way: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, raw: bytes) -> Reply:
        """Take a request's body."""
        try:
            event = json.loads(raw)
        except ValueError:
            return Reply(500, b'{"code":400,"message":"Unable to process JSON"}')
        run_id = str(((event if isinstance(event, dict) else {}).get("run") or {}).get("runId"))
        with self._lock:
            self.posts += 1
            if run_id in self._under_way:
                self.together.add(run_id)
            self._under_way.append(run_id)
            instead = self.before(event)
        try:
            if instead is not None and (instead.delay_s or instead.status != 201):
                time.sleep(instead.delay_s)
                if instead.status != 201:
                    return instead
            with self._lock:
                reply = self._take(event)
            return instead or reply
        finally:
            with self._lock:
                self._under_way.remove(run_id)

    def get(self, target: str) -> tuple[int, object]:
        """Answer a read."""
        parts = urlsplit(target)
        path = parts.path.removeprefix(_BASE)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        with self._lock:
            return self._read([unquote(p) for p in path.strip("/").split("/")], query)

    def _take(self, event: Any) -> Reply:
        if isinstance(event, dict):
            found = poison_of(event)
            self.poison = Poison(*(a or b for a, b in zip(self.poison, found, strict=True)))
        refusal = refusal_of(event)
        if refusal is not None:
            if refusal.applies_run:
                self.state.take_run(_with_clean_job(event))
            return Reply(refusal.status, refusal.body, refusal.content_type)
        self.state.take(_with_clean_job(event))
        return _TAKEN

    def _read(self, path: list[str], query: dict[str, str]) -> tuple[int, object]:
        match path:
            case ["namespaces"]:
                names = [{"name": name} for name in sorted(self.state.namespaces)]
                return (500, None) if self.poison.namespaces else (200, {"namespaces": names})
            case ["jobs"]:
                jobs = [self._job(job) for job in self.state.jobs.values()]
                return (500, None) if self.poison.jobs else (200, {"jobs": jobs})
            case ["jobs", "runs", run_id]:
                run = self.state.runs.get(run_id)
                return _MISSING if run is None else (200, self._run(run))
            case ["namespaces", namespace, "jobs", *rest]:
                return self._jobs(namespace, rest)
            case ["namespaces", namespace, "datasets", *rest]:
                return self._datasets(namespace, rest)
            case ["lineage"]:
                return self._lineage(query["nodeId"])
            case ["runlineage", "upstream"]:
                return self._upstream(query["runId"])
        return _MISSING

    def _jobs(self, namespace: str, path: list[str]) -> tuple[int, object]:
        if not path:
            jobs = [j for n, j in self.state.jobs.items() if n.namespace == namespace]
            return 200, {"jobs": [self._job(job) for job in jobs], "totalCount": len(jobs)}
        job = self.state.jobs.get(Name(namespace, path[0]))
        if job is None:
            return _MISSING
        if path[1:] == ["runs"]:
            return 200, {"runs": [self._run(self.state.runs[i]) for i in job.runs[::-1]]}
        return 200, self._job(job)

    def _datasets(self, namespace: str, path: list[str]) -> tuple[int, object]:
        if not path:
            found = [d for n, d in self.state.datasets.items() if n.namespace == namespace]
            return 200, {"datasets": [_dataset(one) for one in found]}
        dataset = self.state.datasets.get(Name(namespace, path[0]))
        if dataset is None:
            return _MISSING
        if path[1:] == ["versions"]:
            versions = [self._version(dataset, v) for v in dataset.versions[::-1]]
            return 200, {"versions": versions, "totalCount": len(versions)}
        return 200, _dataset(dataset)

    def _job(self, job: Job) -> Json:
        latest = None if job.current_run is None else self._run(self.state.runs[job.current_run])
        return {
            "id": job.name._asdict(),
            **job.name._asdict(),
            "parentJobName": None if job.parent is None else job.parent.name,
            "facets": job.facets,
            "inputs": [name._asdict() for name in sorted(job.inputs)],
            "outputs": [name._asdict() for name in sorted(job.outputs)],
            "latestRun": latest,
        }

    def _run(self, run: Run) -> Json:
        times = [millis(run.started_at), millis(run.ended_at)]
        start, end = times
        return {
            "id": run.run_id,
            "state": run.state,
            "createdAt": run.created_at,
            "startedAt": run.started_at,
            "endedAt": run.ended_at,
            "durationMs": None if start is None or end is None else end - start,
            "facets": run.facets,
            "inputDatasetVersions": [
                {"datasetVersionId": _version_id(n, v), "facets": run.input_facets.get(n, {})}
                for n, v in run.inputs
            ],
            "outputDatasetVersions": [
                {"datasetVersionId": _version_id(n, v), "facets": v.facets} for n, v in run.outputs
            ],
        }

    def _version(self, dataset: Dataset, version: Version) -> Json:
        made_by = version.run_id
        return {
            "id": _version_id(dataset.name, version),
            "version": version.uuid,
            "createdAt": version.created_at,
            "fields": version.fields,
            "facets": version.facets,
            "createdByRun": None if made_by is None else self._run(self.state.runs[made_by]),
        }

    def _lineage(self, node_id: str) -> tuple[int, object]:
        kind, _, rest = node_id.partition(":")
        known = self.state.jobs if kind == "job" else self.state.datasets
        name = next((n for n in known if f"{n.namespace}:{n.name}" == rest), None)
        if name is None:
            return _MISSING
        if self.poison.nodes or node_fails(*name):
            return 500, None
        seen, waiting = set[tuple[str, Name]](), [(kind, name)]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += self.state.neighbours(node)
        return 200, {"graph": [self._node(*node) for node in sorted(seen)]}

    def _node(self, kind: str, name: Name) -> Json:
        me = f"{kind}:{name.namespace}:{name.name}"
        if kind == "job":
            job = self.state.jobs[name]
            before = [f"dataset:{n.namespace}:{n.name}" for n in sorted(job.inputs)]
            after = [f"dataset:{n.namespace}:{n.name}" for n in sorted(job.outputs)]
        else:
            jobs = sorted(self.state.jobs.values(), key=lambda one: one.name)
            before = [f"job:{j.name.namespace}:{j.name.name}" for j in jobs if name in j.outputs]
            after = [f"job:{j.name.namespace}:{j.name.name}" for j in jobs if name in j.inputs]
        return {
            "id": me,
            "type": kind.upper(),
            "inEdges": [{"origin": other, "destination": me} for other in before],
            "outEdges": [{"origin": me, "destination": other} for other in after],
        }

    def _upstream(self, run_id: str) -> tuple[int, object]:
        if run_id not in self.state.runs:
            return _MISSING
        try:
            runs = self.state.upstream(run_id)
        except LookupError:
            return 500, None
        return 200, {
            "runs": [
                {"run": {"id": r.run_id, "status": r.state}, "job": r.job._asdict()} for r in runs
            ]
        }


@contextmanager
def running_catalog() -> Iterator[FakeCatalog]:
    """Start the catalog on a free port, and stop it."""
    catalog = FakeCatalog()
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(catalog))
    listener.daemon_threads = True
    catalog.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield catalog
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def _handler_for(catalog: FakeCatalog) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                raw = gzip.decompress(raw)
            if self.path != f"{_BASE}/lineage":
                self._answer(404, b"", "application/json")
                return
            reply = catalog.post(raw)
            if reply.drop:
                self.close_connection = True
                return
            self._answer(reply.status, reply.body, reply.content_type)

        def do_GET(self) -> None:
            status, value = catalog.get(self.path)
            if value is None:
                self._answer(_BROKEN.status, _BROKEN.body, _BROKEN.content_type)
            else:
                self._answer(status, json.dumps(value).encode(), "application/json")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    return Handler


def _dataset(dataset: Dataset) -> Json:
    current = dataset.current
    return {
        "id": dataset.name._asdict(),
        **dataset.name._asdict(),
        "type": "DB_TABLE",
        "sourceName": dataset.source,
        "description": dataset.description,
        "currentVersion": None if current is None else current.uuid,
        "fields": [] if current is None else current.fields,
        "facets": {} if current is None else current.facets,
    }


def _version_id(name: Name, version: Version) -> Json:
    return {**name._asdict(), "version": version.uuid}


def _with_clean_job(event: Json) -> Json:
    job = event["job"]
    return {**event, "job": {**job, "namespace": clean_job_namespace(job["namespace"])}}
