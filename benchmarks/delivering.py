"""Delivering OpenLineage events to a server that takes its time, beside bare sockets.

The server runs in a process of its own and answers each event after 20 ms. The bare peer sends the
same bodies on as many keep-alive connections, and keeps no ledger.
"""

from __future__ import annotations

import json
import multiprocessing
import queue
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.figures import Figure, Spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

_ANSWER_S = 0.02
_EVENTS = 4_000
_PER_LANE = 10
_LANES = (8, 32)
_ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


def measure(folder: Path, *, rounds: int) -> list[Figure]:
    """Deliver the same events by turns, through a ledger and bare."""
    found: list[Figure] = []
    bodies = [_event(number) for number in range(_EVENTS)]
    with _slow_server() as url:
        for lanes in _LANES:
            ratios, rates = [], []
            for number in range(rounds):
                bare = _EVENTS / _bare(url, bodies, lanes)
                ours = _EVENTS / _ours(folder / f"delivery-{lanes}-{number}.db", url, bodies, lanes)
                ratios.append(ours / bare)
                rates.append((ours, bare))
            spread = Spread.of(ratios)
            ours, bare = sorted(rates)[len(rates) // 2]
            found.append(
                Figure(
                    f"events delivered to a server that answers in 20 ms, {lanes} connections, of "
                    "bare sockets",
                    spread.median,
                    target=0.8,
                    bound="at least",
                    note=f"{spread}; {ours:,.0f} and {bare:,.0f} events/s",
                )
            )
    return found


def _event(number: int) -> bytes:
    filler = {f"key{i}": f"value {i} of {number}" for i in range(120)}
    return json.dumps({"run": {"runId": f"{number:032x}"}, "facets": filler}).encode()


def _ours(state: Path, url: str, bodies: Sequence[bytes], lanes: int) -> float:
    """Deliver through a ledger on SQLite; give the seconds until the last event is noted."""
    from exporter.ledger import Ledger, OutboxMark, SeenUnit
    from exporter.mapping.openlineage import CatalogProfile, LineageEvent
    from exporter.sinks.openlineage import HttpDestination, deliver
    from exporter.sync.clock import Stop, SystemClock

    with Ledger.open(f"sqlite:///{state}") as ledger:
        lease = ledger.leases.acquire("benchmark", 600)
        units, marks = [], []
        for first in range(0, len(bodies), _PER_LANE):
            key = f"{first:064x}"
            units.append(SeenUnit(key, key, "p", key, "completed", False, True, "f"))
            events = [
                LineageEvent(key, f"{number}", "COMPLETE", "2026-01-01T00:00:00Z", "h", body)  # type: ignore[arg-type]
                for number, body in enumerate(bodies[first : first + _PER_LANE], first)
            ]
            marks.append(OutboxMark("openlineage/slow", key, "f", events))
        ledger.units.record(lease, "stack", units, 1)
        ledger.outbox.enqueue(lease, marks, 1)
        destination = HttpDestination("slow", url, profile=CatalogProfile("slow", lanes=lanes))
        stop = Stop()
        began = time.perf_counter()
        report = deliver(ledger, _Leader(lease), destination, clock=SystemClock(stop), stop=stop)
        seconds = time.perf_counter() - began
        destination.close()
    assert report.delivered == len(bodies)
    return seconds


class _Leader:
    def __init__(self, lease: Any) -> None:  # Any: the ledger's own
        self.lease = lease


def _bare(url: str, bodies: Sequence[bytes], lanes: int) -> float:
    """Send the bodies as they are, each connection the next one after its answer."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for body in bodies:
        head = f"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        waiting.put(head.encode() + body)
    parts = urlsplit(url)

    def work() -> None:
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                try:
                    request = waiting.get_nowait()
                except queue.Empty:
                    return
                connection.sendall(request)
                if not connection.recv(4096).startswith(b"HTTP/1.1 201"):
                    raise RuntimeError("the server did not take an event")

    threads = [threading.Thread(target=work) for _ in range(lanes)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


@contextmanager
def _slow_server() -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(told: Connection) -> None:
    """Answer every request after a while; a thread for each connection."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    told.send(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb") as stream:
        while stream.readline():
            length = 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            stream.read(length)
            time.sleep(_ANSWER_S)
            connection.sendall(_ANSWER)
