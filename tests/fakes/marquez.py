"""A catalog with memory on loopback, which behaves as Marquez 0.51.1 was seen to.

No package of Marquez can be installed, so tests of delivery have this one. It takes events one at
a time, in the order in which their bodies have come, and answers the documented reads under
`/api/v1`.
Tests of its own hold it to what was seen: `tests/contract/test_fake_marquez.py`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from support.openlineage_server import Reply
from support.quiet_server import serving

from fakes.marquez_limits import Refusal, damage, page, refusal_of_body, refusal_of_event
from fakes.marquez_reads import BASE, Answer, missing, read
from fakes.marquez_rows import Name
from fakes.marquez_state import CatalogState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json = dict[str, Any]  # Any: JSON values

_TAKEN = Reply()
_GONE = Reply(drop=True)


@dataclass
class FakeMarquez:
    """The running catalog, with what tests set and what they look at.

    `before` may answer in the catalog's place: a Reply of 201 is given after the event was applied
    (late, cut off or not at all, as it says), any other one without. None leaves it to the catalog.
    `after` is told of each event that was applied, before its answer leaves.
    `dies_after`: so many posts are answered; whoever asks later finds the connection closed, until
    `revive`. `takes_s`: how long each event is under way.
    `posts` counts requests, `replies` their statuses. `together` holds the runs of which two events
    were under way at once; on a real server four in ten of such runs stay RUNNING. With
    `harms_races` all of them do here.
    """

    url: str = ""
    state: CatalogState = field(default_factory=CatalogState)
    before: Callable[[Json], Reply | None] = lambda _event: None
    after: Callable[[Json], None] = lambda _event: None
    dies_after: int | None = None
    takes_s: float = 0.0
    harms_races: bool = False
    posts: int = 0
    replies: list[int] = field(default_factory=list)
    together: set[str] = field(default_factory=set)
    most_under_way: int = 0
    _under_way: list[str] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_dead(self) -> bool:
        """Tell whether it answers nobody any more."""
        return self.dies_after is not None and self.posts >= self.dies_after

    def revive(self) -> None:
        """Answer again; nothing was forgotten."""
        self.dies_after = None

    def post(self, raw: bytes, content_type: str) -> Reply:
        """Take one request's body."""
        with self._lock:
            if self.is_dead:
                return _GONE
            self.posts += 1
            event, refusal = refusal_of_body(raw)
            if "json" not in content_type:
                refusal = page(415)
            told = event or {}
            run = told.get("run")
            run_id = str(run.get("runId")) if isinstance(run, dict) else ""
            self._comes(run_id)
            instead = self.before(told)
            if refusal is not None:
                reply = instead or _as_reply(refusal)
            elif instead is not None and instead.status != _TAKEN.status:
                reply = instead
            else:
                taken = self._take(told)
                reply = taken if taken.status != _TAKEN.status or instead is None else instead
        try:
            time.sleep(self.takes_s + reply.delay_s)
        finally:
            with self._lock:
                self._goes(run_id, reply)
        return reply

    def get(self, target: str) -> Answer | None:
        """Answer one read; None when it is dead."""
        with self._lock:
            return None if self.is_dead else read(self.state, target)

    def delete(self, target: str) -> Answer:
        """Hide a job or a dataset; an event brings it back."""
        with self._lock:
            match [unquote(part) for part in target.removeprefix(f"{BASE}/").split("/")]:
                case ["namespaces", namespace, "jobs", name]:
                    job = self.state.jobs.get(Name(namespace, name))
                    if job is not None:
                        job.hidden = True
                        return 200, {"name": name}
            return missing(target)

    def _take(self, event: Json) -> Reply:
        refusal = refusal_of_event(event)
        if refusal is None:
            self.state.take(event)
        elif refusal.leaves == "run" and "run" in event:
            self.state.take_run(event)
        damage(event, self.state)
        if refusal is not None:
            return _as_reply(refusal)
        self.after(event)
        return _TAKEN

    def _comes(self, run_id: str) -> None:
        if run_id in self._under_way:
            self.together.add(run_id)
        self._under_way.append(run_id)
        self.most_under_way = max(self.most_under_way, len(self._under_way))

    def _goes(self, run_id: str, reply: Reply) -> None:
        self._under_way.remove(run_id)
        self.replies.append(reply.status)
        run = self.state.runs.get(run_id)
        if self.harms_races and run is not None and run_id in self.together:
            run.state = "RUNNING"


@contextmanager
def running_catalog(**settings: Any) -> Iterator[FakeMarquez]:  # Any: fields of FakeMarquez
    """Start a catalog on a free port of loopback, and stop it."""
    catalog = FakeMarquez(**settings)
    with serving(type("Handler", (_Handler,), {"catalog": catalog})) as catalog.url:
        yield catalog


class _Handler(BaseHTTPRequestHandler):
    catalog: FakeMarquez
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            with contextlib.suppress(OSError, EOFError, zlib.error):
                raw = gzip.decompress(raw)
        if self.path.partition("?")[0] != f"{BASE}/lineage":
            self._read_answer((404, None))
            return
        reply = self.catalog.post(raw, self.headers.get("Content-Type") or "")
        if not reply.drop:
            self._answer(reply)
        if reply.drop or reply.break_off or reply.close_after:
            self.close_connection = True

    def do_GET(self) -> None:
        self._read_answer(self.catalog.get(self.path))

    def do_DELETE(self) -> None:
        self._read_answer(self.catalog.delete(self.path))

    def _read_answer(self, answer: Answer | None) -> None:
        if answer is None:
            self.close_connection = True
            return
        status, value = answer
        if value is None:
            self._answer(Reply(status, b"<html>HTTP ERROR</html>", "text/html"))
        else:
            self._answer(Reply(status, json.dumps(value).encode()))

    def _answer(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        promised = len(reply.body) + (10 if reply.break_off else 0)
        self.send_header("Content-Length", str(promised))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


def _as_reply(refusal: Refusal) -> Reply:
    return Reply(refusal.status, refusal.body, refusal.content_type)
