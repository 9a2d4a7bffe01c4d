"""MLflow's public REST API over keep-alive connections, one for each thread."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlsplit

import orjson

from exporter.errors import SinkTransient
from exporter.sinks.mlflow.answers import (
    AlreadyExists,
    MissingResource,
    error_of,
    json_of,
    not_mlflow,
)
from exporter.sinks.mlflow.api import OURS_TAG, CreatedRun, ExperimentState
from exporter.sinks.mlflow.asking import Asker
from exporter.sinks.mlflow.bindings import FoundDataset, FoundRun
from exporter.sinks.mlflow.foreign import fetch_file, list_foreign, read_foreign, store_file
from exporter.sinks.mlflow.rest_models import RestModels, RestRegistry
from exporter.sinks.mlflow.transport import OutcomeUnknown, Streamed, address_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from exporter.mapping.mlflow import DatasetPlan, MetricPoint

_API = "/api/2.0/mlflow/"
_JSON = {"Content-Type": "application/json"}
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
_BYTES = {"Content-Type": "application/octet-stream"}
_PAGE = 1_000

JsonObject = dict[str, Any]  # Any: parsed JSON


class RestApi:
    """The tracking API of a server. See `TrackingApi` for what each call promises."""

    def __init__(
        self,
        tracking_uri: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        timeout_s: float,
        sleep: Callable[[float], None] = time.sleep,
        asker: Asker | None = None,
    ) -> None:
        address = address_of(tracking_uri, username=username, password=password, token=token)
        self._shown = address.shown
        self._asker = asker or Asker(address, timeout_s, sleep)
        self.models = RestModels(self._ask)
        self.registry = RestRegistry(self._ask)

    @property
    def requests(self) -> int:
        """Count what this thread has sent, repeats included."""
        return self._asker.requests

    def version(self) -> str:
        """Give the server's version after a call that needs the credentials."""
        self._post("experiments/search", {"max_results": 1})
        answer = self._asker.send("GET", "/version", b"", {}, "version", once=False)
        text = answer.body.decode("utf-8", "replace").strip()
        return text if answer.status == 200 and len(text) < 40 else "unknown"

    def experiment_by_tag(self, key: str, value: str) -> ExperimentState | None:
        """Find an experiment by a tag; of several the active one with the smallest id."""
        body = {
            "filter": f"tags.`{key}` = '{value}'",
            "view_type": "ALL",
            "max_results": 100,
        }
        found = self._post("experiments/search", body).get("experiments", [])
        states = sorted(
            map(_experiment_state, found),
            key=lambda s: (s.deleted, len(s.experiment_id), s.experiment_id),
        )
        return states[0] if states else None

    def experiment_by_name(self, name: str) -> ExperimentState | None:
        """Find an experiment by its name, deleted or not."""
        path = f"experiments/get-by-name?experiment_name={quote(name, safe='')}"
        try:
            return _experiment_state(self._part(self._get(path), "experiment"))
        except MissingResource:
            return None

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str | None:
        """Create an experiment and give its id; None where the name is taken."""
        try:
            body = self._post("experiments/create", {"name": name, "tags": _pairs(tags.items())})
        except AlreadyExists:
            return None
        return str(self._part(body, "experiment_id"))

    def experiment(self, experiment_id: str) -> ExperimentState:
        """Give an experiment by its id."""
        path = f"experiments/get?experiment_id={quote(experiment_id, safe='')}"
        return _experiment_state(self._part(self._get(path), "experiment"))

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Set one tag of an experiment."""
        body = {"experiment_id": experiment_id, "key": key, "value": value}
        self._post("experiments/set-experiment-tag", body)

    def restore_experiment(self, experiment_id: str) -> None:
        """Undo a soft delete."""
        self._post("experiments/restore", {"experiment_id": experiment_id})

    def create_run(
        self, experiment_id: str, name: str, start: int, tags: Mapping[str, str]
    ) -> CreatedRun:
        """Create a run; sent once, whatever happens."""
        body = {
            "experiment_id": experiment_id,
            "run_name": name,
            "start_time": start,
            "user_id": tags.get("mlflow.user", ""),
            "tags": _pairs(tags.items()),
        }
        info = self._part(self._post("runs/create", body, once=True), "run")["info"]
        return CreatedRun(info["run_id"], info["artifact_uri"])

    def update_run(
        self, run_id: str, *, status: str, end: int | None, name: str | None = None
    ) -> None:
        """Set status, end and name; MLflow keeps the end 0 as none."""
        body: JsonObject = {"run_id": run_id, "status": status, "end_time": end or 0}
        if name is not None:
            body["run_name"] = name
        self._post("runs/update", body)

    def log_batch(
        self,
        run_id: str,
        *,
        metrics: Sequence[MetricPoint] = (),
        params: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),
        model_id: str | None = None,
    ) -> None:
        """Write what fits into one call."""
        body: JsonObject = {"run_id": run_id}
        of_model = {"model_id": model_id}
        if metrics:
            body["metrics"] = [
                {
                    "key": point.key,
                    "value": "NaN" if math.isnan(point.value) else point.value,
                    "timestamp": point.timestamp,
                    "step": 0,
                    **({} if model_id is None or math.isnan(point.value) else of_model),
                }
                for point in metrics
            ]
        if params:
            body["params"] = _pairs(params)
        if tags:
            body["tags"] = _pairs(tags)
        self._post("runs/log-batch", body)

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetPlan]) -> None:
        """Log dataset inputs."""
        inputs = []
        for plan in datasets:
            dataset = {
                "name": plan.name,
                "digest": plan.digest,
                "source_type": plan.source_type,
                "source": plan.source,
            }
            if plan.schema:
                dataset["schema"] = plan.schema
            if plan.profile:
                dataset["profile"] = plan.profile
            inputs.append({"dataset": dataset, "tags": _pairs(plan.tags)})
        self._post("runs/log-inputs", {"run_id": run_id, "datasets": inputs})

    def search(
        self,
        experiment_id: str,
        filter_text: str,
        *,
        order: str | None = None,
        deleted: bool = False,
    ) -> Iterator[FoundRun]:
        """Give runs whole, by pages."""
        body: JsonObject = {
            "experiment_ids": [experiment_id],
            "filter": filter_text,
            "run_view_type": "DELETED_ONLY" if deleted else "ACTIVE_ONLY",
            "max_results": _PAGE,
        }
        if order is not None:
            body["order_by"] = [order]
        while True:
            page = self._post("runs/search", body)
            yield from map(_found_run, page.get("runs", []))
            if not page.get("next_page_token"):
                return
            body["page_token"] = page["next_page_token"]

    def delete_run(self, run_id: str) -> None:
        """Soft-delete a run."""
        self._post("runs/delete", {"run_id": run_id})

    def restore_run(self, run_id: str) -> None:
        """Undo a soft delete."""
        self._post("runs/restore", {"run_id": run_id})

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove one tag of a run."""
        try:
            self._post("runs/delete-tag", {"run_id": run_id, "key": key})
        except MissingResource:
            return

    def put_file(self, artifact_uri: str, path: str, file: BinaryIO, size: int) -> None:
        """Store a file under an artifact root, by the server where it proxies artifacts."""
        root = _proxied(artifact_uri)
        if root is None:
            store_file(artifact_uri, path, file)
            return
        target = _ARTIFACTS + quote(f"{root}/{path}", safe="/")
        body = Streamed(file, size) if size else b""
        answer = self._asker.send("PUT", target, body, _BYTES, "an artifact", once=False)
        if answer.status not in {200, 201, 204}:
            raise error_of(answer, "an artifact", self._shown)

    def get_file(self, artifact_uri: str, path: str) -> bytes:
        """Read a small file from under an artifact root."""
        root = _proxied(artifact_uri)
        if root is None:
            return fetch_file(artifact_uri, path)
        target = _ARTIFACTS + quote(f"{root}/{path}", safe="/")
        answer = self._asker.send("GET", target, b"", {}, "an artifact", once=False)
        if answer.status != 200:
            raise error_of(answer, "an artifact", self._shown)
        return answer.body

    def experiments(self, filter_text: str) -> Iterator[ExperimentState]:
        """Give active experiments, by pages."""
        body: JsonObject = {
            "filter": filter_text,
            "view_type": "ACTIVE_ONLY",
            "max_results": _PAGE,
            "order_by": ["experiment_id ASC"],
        }
        while True:
            page = self._post("experiments/search", body)
            yield from map(_experiment_state, page.get("experiments", []))
            if not page.get("next_page_token"):
                return
            body["page_token"] = page["next_page_token"]

    def find_runs(
        self,
        experiment_ids: Sequence[str],
        filter_text: str,
        *,
        most: int,
        order: str | None = None,
    ) -> Sequence[FoundRun]:
        """Give up to `most` active runs of several experiments, in one request."""
        body: JsonObject = {
            "experiment_ids": list(experiment_ids),
            "filter": filter_text,
            "run_view_type": "ACTIVE_ONLY",
            "max_results": most,
            **({} if order is None else {"order_by": [order]}),
        }
        return [_found_run(run) for run in self._post("runs/search", body).get("runs", [])]

    def read_file(self, artifact_uri: str, path: str) -> Generator[bytes]:
        """Give a file block by block, on a connection of its own."""
        root = _proxied(artifact_uri)
        if root is None:
            yield from read_foreign(artifact_uri, path)
            return
        connection = self._asker.connection()
        try:
            target = _ARTIFACTS + quote(f"{root}/{path}", safe="/")
            open_it = partial(self._asker.open, connection, target)
            answer = self._asker.send(
                "GET", target, b"", {}, "an artifact", once=False, exchange=open_it
            )
            if answer.status != 200:
                raise error_of(answer, "an artifact", self._shown)
            yield from connection.blocks()
        except OutcomeUnknown as error:
            raise SinkTransient(
                f"MLflow at {self._shown} broke off while it sent an artifact: {error}.",
                request="an artifact",
            ) from error
        finally:
            connection.close()

    def list_files(self, artifact_uri: str, folder: str) -> Mapping[str, int | None]:
        """Give the files in a folder, by the server where it proxies artifacts."""
        root = _proxied(artifact_uri)
        if root is None:
            return list_foreign(artifact_uri, folder)
        path = quote(f"{root}/{folder}".rstrip("/"), safe="")
        target = f"{_ARTIFACTS.rstrip('/')}?path={path}"
        answer = self._asker.send("GET", target, b"", {}, "a list of artifacts", once=False)
        found = json_of(answer, "a list of artifacts", self._shown).get("files", [])
        return {
            str(f["path"]).rpartition("/")[2]: int(f.get("file_size", 0))
            for f in found
            if not f.get("is_dir")
        }

    def break_off(self) -> None:
        """End what is under way in all threads, and send nothing more."""
        self._asker.break_off()

    def close(self) -> None:
        """Close the connections of all threads."""
        self._asker.close()

    def _part(self, body: JsonObject, name: str) -> Any:  # Any: JSON values
        """Give what an answer of MLflow always holds. Raises: SinkUnavailable where it does not."""
        if name not in body:
            raise not_mlflow(self._shown, f"an answer without {name!r}")
        return body[name]

    def _get(self, path: str) -> JsonObject:
        return self._ask("GET", path)

    def _post(self, path: str, body: JsonObject, *, once: bool = False) -> JsonObject:
        return self._ask("POST", path, body, once=once)

    def _ask(
        self, method: str, path: str, body: JsonObject | None = None, *, once: bool = False
    ) -> JsonObject:
        what = path.partition("?")[0]
        sent, headers = (b"", {}) if body is None else (orjson.dumps(body), _JSON)
        answer = self._asker.send(method, _API + path, sent, headers, what, once=once)
        return json_of(answer, what, self._shown)


def _proxied(artifact_uri: str) -> str | None:
    """Give the path that the tracking server serves; None for a root that it does not proxy."""
    parts = urlsplit(artifact_uri)
    if parts.scheme != "mlflow-artifacts" or parts.netloc:
        return None
    return parts.path.strip("/")


def _pairs(items: Any) -> list[dict[str, str]]:  # Any: any iterable of pairs
    return [{"key": key, "value": value} for key, value in items]


def _experiment_state(value: JsonObject) -> ExperimentState:
    return ExperimentState(
        str(value["experiment_id"]),
        value["name"],
        value.get("artifact_location", ""),
        value.get("lifecycle_stage") == "deleted",
        {tag["key"]: tag.get("value", "") for tag in value.get("tags", [])},
    )


def _found_run(value: JsonObject) -> FoundRun:
    info, data = value["info"], value.get("data", {})
    inputs = value.get("inputs", {}).get("dataset_inputs", [])
    outputs = value.get("outputs", {}).get("model_outputs", [])
    end = info.get("end_time")
    return FoundRun(
        run_id=info["run_id"],
        name=info.get("run_name", ""),
        status=info.get("status", ""),
        start=int(info.get("start_time", 0)),
        end=int(end) if end else None,
        artifact_uri=info.get("artifact_uri", ""),
        params={p["key"]: p.get("value", "") for p in data.get("params", [])},
        metrics={
            m["key"]: (float(m.get("value", 0.0)), int(m.get("timestamp", 0)))
            for m in data.get("metrics", [])
        },
        tags={t["key"]: t.get("value", "") for t in data.get("tags", [])},
        datasets=tuple(
            FoundDataset(
                item["dataset"]["name"],
                item["dataset"]["digest"],
                any(tag["key"] == OURS_TAG for tag in item.get("tags", [])),
            )
            for item in inputs
        ),
        models=tuple(item["model_id"] for item in outputs),
    )
