"""MLflow's public REST API over keep-alive connections, one for each thread."""

from __future__ import annotations

import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlsplit

import orjson

from exporter.errors import SinkRateLimited, SinkTransient, SinkUnavailable
from exporter.sinks.mlflow.answers import (
    AlreadyExists,
    MissingResource,
    error_of,
    json_of,
    not_mlflow,
)
from exporter.sinks.mlflow.api import OURS_TAG, CreatedRun, ExperimentState
from exporter.sinks.mlflow.bindings import FoundDataset, FoundRun
from exporter.sinks.mlflow.foreign import fetch_file, list_foreign, read_foreign, store_file
from exporter.sinks.mlflow.rest_models import RestModels, RestRegistry
from exporter.sinks.mlflow.transport import (
    Connection,
    NotHttp,
    NotSent,
    NotTrusted,
    OutcomeUnknown,
    Streamed,
    address_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from exporter.mapping.mlflow import DatasetPlan, MetricPoint
    from exporter.sinks.mlflow.answers import Answer

_API = "/api/2.0/mlflow/"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
_JSON = {"Content-Type": "application/json"}
_BYTES = {"Content-Type": "application/octet-stream"}
_PAGE = 1_000
_UNANSWERED = 3  # tries in a row, of whatever request, after which the server counts as hanging
_FAILED = 3  # requests in a row, of whatever thread, after which the server counts as in trouble
_OF_A_GATEWAY = frozenset({502, 503, 504})
_DELAYS_S = (0.0, 0.2, 1.0, 3.0)  # before each further try
_LONGEST_WAIT_S = 20.0  # a server that asks for more gets its way: the unit waits, not the thread

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
    ) -> None:
        self._address = address_of(tracking_uri, username=username, password=password, token=token)
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[Connection] = []
        self._broken_off = False
        self._has_answered = False
        self._troubled = 0  # requests in a row that were given up, of all threads
        self._silent = 0  # tries in a row that timed out, of all threads
        self.models = RestModels(self._ask)
        self.registry = RestRegistry(self._ask)

    @property
    def requests(self) -> int:
        """Count what this thread has sent, repeats included."""
        return getattr(self._local, "requests", 0)

    def version(self) -> str:
        """Give the server's version after a call that needs the credentials."""
        self._post("experiments/search", {"max_results": 1})
        answer = self._send("GET", "/version", b"", {}, "version", once=False)
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
        answer = self._send("PUT", target, body, _BYTES, "an artifact", once=False)
        if answer.status not in {200, 201, 204}:
            raise error_of(answer, "an artifact", self._address.shown)

    def get_file(self, artifact_uri: str, path: str) -> bytes:
        """Read a small file from under an artifact root."""
        root = _proxied(artifact_uri)
        if root is None:
            return fetch_file(artifact_uri, path)
        target = _ARTIFACTS + quote(f"{root}/{path}", safe="/")
        answer = self._send("GET", target, b"", {}, "an artifact", once=False)
        if answer.status != 200:
            raise error_of(answer, "an artifact", self._address.shown)
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
        connection = Connection(self._address, timeout_s=self._timeout_s)
        try:
            target = _ARTIFACTS + quote(f"{root}/{path}", safe="/")
            open_it = partial(self._open, connection, target)
            answer = self._send("GET", target, b"", {}, "an artifact", once=False, exchange=open_it)
            if answer.status != 200:
                raise error_of(answer, "an artifact", self._address.shown)
            yield from connection.blocks()
        except OutcomeUnknown as error:
            raise SinkTransient(
                f"MLflow at {self._address.shown} broke off while it sent an artifact: {error}.",
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
        answer = self._send("GET", target, b"", {}, "a list of artifacts", once=False)
        found = json_of(answer, "a list of artifacts", self._address.shown).get("files", [])
        return {
            str(f["path"]).rpartition("/")[2]: int(f.get("file_size", 0))
            for f in found
            if not f.get("is_dir")
        }

    def break_off(self) -> None:
        """End what is under way in all threads, and send nothing more."""
        with self._lock:
            self._broken_off = True
            connections = list(self._connections)
        for connection in connections:
            connection.break_off()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
        self._local = threading.local()

    def _part(self, body: JsonObject, name: str) -> Any:  # Any: JSON values
        """Give what an answer of MLflow always holds. Raises: SinkUnavailable where it does not."""
        if name not in body:
            raise not_mlflow(self._address.shown, f"an answer without {name!r}")
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
        answer = self._send(method, _API + path, sent, headers, what, once=once)
        return json_of(answer, what, self._address.shown)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | Streamed,
        headers: Mapping[str, str],
        what: str,
        *,
        once: bool,
        exchange: Callable[[], Answer] | None = None,
    ) -> Answer:
        """Send a request; again where that has no second effect and may help.

        `exchange` is one try, where it is to be other than on the thread's own connection.

        Raises: SinkUnavailable without a connection; SinkTransient where the outcome of a request
        sent `once` is not known or the tries are used up; SinkRateLimited where the server asks for
        a long pause. SinkUnavailable as well where that is the server's trouble, not the request's.
        """
        one_try = exchange or partial(self._try, method, path, body, headers)
        tries = iter(_DELAYS_S)
        while True:
            try:
                answer = self._unless_broken_off(one_try, what)
            except NotTrusted as error:
                raise SinkUnavailable(
                    f"MLflow at {self._address.shown} cannot be reached: {error}.",
                    hint="Name the certificate of its authority in SSL_CERT_FILE or "
                    "MLFLOW_TRACKING_SERVER_CERT_PATH.",
                ) from error
            except NotSent as error:
                if self._wait_for_next(tries) and self._rewound(body):
                    continue
                raise SinkUnavailable(
                    f"MLflow at {self._address.shown} cannot be reached: {error}.",
                    hint="Is the server running, and is sinks.mlflow.tracking_uri right?",
                ) from error
            except OutcomeUnknown as error:
                self._note_silence(error, what)
                if not once and self._wait_for_next(tries) and self._rewound(body):
                    continue
                raise SinkTransient(
                    f"MLflow at {self._address.shown}: {what} had no clear outcome: {error}.",
                    request=what,
                    unclear=True,
                ) from error
            self._silent = 0
            self._has_answered = True
            if answer.status < 400:
                self._troubled = 0
                return answer
            failure = error_of(answer, what, self._address.shown)
            if not isinstance(failure, SinkTransient):
                self._troubled = 0
                return answer
            if once:
                raise self._in_trouble(failure, answer.status)
            wait = failure.retry_after_s if isinstance(failure, SinkRateLimited) else 0.0
            if wait > _LONGEST_WAIT_S or not self._wait_for_next(tries, wait):
                raise self._in_trouble(failure, answer.status)
            if not self._rewound(body):
                raise failure

    def _in_trouble(self, failure: SinkTransient, status: int) -> SinkTransient | SinkUnavailable:
        """Tell a server that is in trouble from one that fails on a request.

        A gateway before it says so, or request after request, of whatever thread, fails.
        """
        with self._lock:
            self._troubled += 1
            troubled = self._troubled
        is_passed_on = status in _OF_A_GATEWAY and not isinstance(failure, SinkRateLimited)
        if not is_passed_on and troubled < _FAILED:
            return failure
        return SinkUnavailable(
            f"{failure.message} It is in trouble.",
            hint=failure.hint or "Nothing is lost: a later cycle goes on where this one stopped.",
            unclear=True,
        )

    def _try(
        self, method: str, path: str, body: bytes | Streamed, headers: Mapping[str, str]
    ) -> Answer:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = Connection(self._address, timeout_s=self._timeout_s)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        self._local.requests = self.requests + 1
        return connection.send(method, path, body, headers)

    def _open(self, connection: Connection, path: str) -> Answer:
        self._local.requests = self.requests + 1
        return connection.open(path)

    def _note_silence(self, error: OutcomeUnknown, what: str) -> None:
        """Count a try that timed out; any answer begins the count anew.

        Raises: SinkUnavailable where that makes the server one that hangs.
        """
        if not isinstance(error.__cause__, TimeoutError):
            return
        with self._lock:
            self._silent += 1
            hangs = self._silent >= _UNANSWERED
        if hangs:
            raise SinkUnavailable(
                f"MLflow at {self._address.shown} takes requests and does not answer "
                f"({what}: {error}).",
                hint="Is its database reachable, and has it workers left?",
                request=what,
                unclear=True,
            ) from error

    def _unless_broken_off(self, one_try: Callable[[], Answer], what: str) -> Answer:
        """Try once.

        Raises: SinkUnavailable where `break_off` came before or meanwhile, or where something that
        has never answered as a server of HTTP does speaks another language.
        """
        try:
            if not self._broken_off:
                return one_try()
        except OutcomeUnknown as error:
            if isinstance(error, NotHttp) and not self._has_answered:
                raise not_mlflow(self._address.shown, f"{what}: {error}") from error
            if not self._broken_off:
                raise
        raise SinkUnavailable(
            f"MLflow at {self._address.shown} did not answer {what} in the time left after the "
            "signal to stop.",
            hint="Nothing is lost: the next cycle completes what was under way.",
            request=what,
            unclear=True,
        )

    def _wait_for_next(self, tries: Iterator[float], at_least: float = 0.0) -> bool:
        delay = next(tries, None)
        if delay is None:
            return False
        if max(delay, at_least) > 0:
            self._sleep(max(delay, at_least))
        return True

    def _rewound(self, body: bytes | Streamed) -> bool:
        """Tell whether the body can be sent from its begin again."""
        if isinstance(body, Streamed):
            if not body.file.seekable():
                return False
            body.file.seek(0)
        return True


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
