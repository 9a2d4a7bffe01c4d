"""The ceiling of an export: the very requests it sent, sent again by a loop without anything."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.asking import Asker
from exporter.sinks.mlflow.rest import RestApi
from exporter.sinks.mlflow.transport import QUICKACK, address_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.mapping.mlflow import UnitPlan
    from exporter.sinks.mlflow.answers import Answer
    from exporter.sinks.mlflow.bindings import Applied
    from exporter.sinks.mlflow.transport import Streamed

_CREATED = re.compile(rb'"(run_id|experiment_id)": ?"(\w+)"')


@dataclass(slots=True)
class Request:
    """A request as it was sent: `gives` is the id answered, `holds` the earlier ids in it."""

    method: str
    path: str
    body: bytes
    gives: bytes | None = None
    holds: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Recording:
    """What an export sent: for its experiments, and unit by unit; and the plans behind it."""

    experiments: list[Request] = field(default_factory=list)
    units: list[list[Request]] = field(default_factory=list)
    plans: list[UnitPlan] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Count the requests of all units."""
        return sum(map(len, self.units))


class RecordingAsker(Asker):
    """Sends as the product does, on one thread, and remembers all of it."""

    def __init__(self, tracking_uri: str, recording: Recording) -> None:
        super().__init__(address_of(tracking_uri), 60.0, time.sleep)
        self.into = recording.experiments
        self._known: dict[bytes, None] = {}

    def _try(
        self, method: str, path: str, body: bytes | Streamed, headers: Mapping[str, str]
    ) -> Answer:
        if not isinstance(body, bytes):
            body = body.file.read()
        answer = super()._try(method, path, body, headers)
        text = path.encode() + body
        request = Request(method, path, body, holds=tuple(i for i in self._known if i in text))
        made = _made(path, answer.body)
        if made is not None:
            request.gives = made
            self._known[made] = None
        self.into.append(request)
        return answer


class RecordingSink(MlflowSink):
    """The product's sink, noting where each unit begins."""

    def __init__(self, tracking_uri: str, recording: Recording) -> None:
        self._recorder = RecordingAsker(tracking_uri, recording)
        api = RestApi(tracking_uri, timeout_s=60.0, asker=self._recorder)
        super().__init__(tracking_uri, api=api)
        self._recording = recording

    def apply(self, plan: UnitPlan, *args: object, **options: object) -> Applied:
        """Apply and record; one unit at a time."""
        self._recording.plans.append(plan)
        self._recording.units.append([])
        self._recorder.into = self._recording.units[-1]
        applied = super().apply(plan, *args, **options)  # type: ignore[arg-type]  # passed on as it came
        self._recorder.into = self._recording.experiments
        return applied


class BareConnection:
    """A keep-alive connection without anything: no retries, no parsing but of lengths."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = f"{parts.hostname}:{parts.port}"
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a request and give status and body of the answer."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode("ascii") + body)
        if QUICKACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        headers = data[:end].lower()
        at = headers.find(b"content-length:")
        assert at >= 0, "the answer has no length"
        size = int(headers[at + 15 :].split(b"\r\n", 1)[0])
        while len(data) < end + 4 + size:
            data += self._more()
        return int(data[9:12]), data[end + 4 :]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _more(self) -> bytes:
        block = self._socket.recv(65_536)
        assert block, "the server closed the connection"
        return block


def replay(
    connection: BareConnection, requests: list[Request], ids: dict[bytes, bytes], name: bytes
) -> None:
    """Send requests again with the ids of now in the place of those of then.

    `name` replaces the repository's name, of the same length, so that the experiments are new ones.
    """
    for request in requests:
        path, body = request.path, request.body.replace(b"recording", name)
        for old in request.holds:
            body = _replaced(body, old, ids[old])
            path = path.replace(f"/{old.decode()}/", f"/{ids[old].decode()}/")
        status, answer = connection.send(request.method, path, body)
        assert status in {200, 201, 204, 404}, answer
        if request.gives is not None:
            made = _made(path, answer)
            assert made is not None
            ids[request.gives] = made


def _replaced(body: bytes, old: bytes, new: bytes) -> bytes:
    return body.replace(b'"' + old + b'"', b'"' + new + b'"')


def _made(path: str, answer: bytes) -> bytes | None:
    """Give the id in the answer to a create."""
    if not path.endswith("/create"):
        return None
    kind = b"run_id" if "/runs/" in path else b"experiment_id"
    return next((m[2] for m in _CREATED.finditer(answer) if m[1] == kind), None)
