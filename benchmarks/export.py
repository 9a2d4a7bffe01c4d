"""Exporting runs of five steps to MLflow, beside the same requests sent bare and client loops.

The product's side is a whole cycle: the store read, plans made, requests sent, the ledger written.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from benchmarks.bare import BareConnection, Recording, RecordingSink, Request, replay
from benchmarks.figures import Figure, Spread, timed
from benchmarks.servers import mlflow_server
from benchmarks.stores import settings, training_store, write_outputs
from exporter.ledger import Ledger
from exporter.sync import engine as engine_module
from exporter.sync.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlflow.tracking import MlflowClient

    from exporter.config import Settings
    from exporter.mapping.mlflow import UnitPlan
    from exporter.sinks.mlflow import MlflowSink

T = TypeVar("T")
_OF_BARE = 0.9
_OF_CLIENT = {4: 5.0, 1: 3.5}
_numbers = count(1)


def measure(folder: Path, *, workers: int, runs: int, rounds: int) -> list[Figure]:
    """Export at one and at four threads to a server of so many workers, else as it comes."""
    home = folder / f"export-{workers}"
    shutil.rmtree(home, ignore_errors=True)
    path = training_store(folder, runs)
    write_outputs(path, home / "outputs")
    options = () if workers == 4 else ("--workers", str(workers))
    with mlflow_server(home / "server", options) as url:
        bench = _Export(home, path, url, runs)
        bench.record()
        figures = []
        for threads in (1, 4):
            figures += bench.compare(threads, rounds, _OF_CLIENT[workers], f"{workers} workers")
    return figures


@dataclass(slots=True)
class _Export:
    home: Path
    store: Path
    url: str
    runs: int
    recording: Recording = None  # type: ignore[assignment]  # set by `record`

    def record(self) -> None:
        """Export once, unit by unit, and remember what was sent; it also warms the server."""
        self.recording = Recording()
        wanted = self._settings("recording", threads=1)
        opened = engine_module.open_mlflow

        def open_recording(settings: Settings) -> MlflowSink:  # noqa: ARG001 - as the original
            return RecordingSink(self.url, self.recording)

        engine_module.open_mlflow = open_recording
        try:
            self._cycle(wanted)
        finally:
            engine_module.open_mlflow = opened
        assert len(self.recording.units) == self.runs

    def compare(self, threads: int, rounds: int, of_client: float, server: str) -> list[Figure]:
        """Take turns, round by round, and compare runs per second within each round."""
        sides: dict[str, Callable[[int], float]] = {
            "product": self.product,
            "bare": self.bare,
            "client": partial(self.client, "export_batched"),
            "singly": partial(self.client, "export_one_by_one"),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        names = list(sides)
        for turn in range(rounds):
            first_two = names[:2] if turn % 2 else names[1::-1]
            for name in [*first_two, *names[2:]]:
                rates[name].append(sides[name](threads))
        where = f"export, {server}, {threads} thread{'s' if threads > 1 else ''}"

        def ratio(other: str, of: str = "product") -> Spread:
            pairs = zip(rates[of], rates[other], strict=True)
            return Spread.of([one / two for one, two in pairs])

        bare, client, singly = ratio("bare"), ratio("client"), ratio("singly")
        ceiling = f"{singly}; the bare loop itself ×{ratio('singly', 'bare').median:.2f}"
        per_run = self.recording.requests / self.runs
        speeds = ", ".join(f"{Spread.of(v).median:.2f} {name}" for name, v in rates.items())
        note = f"{bare}; runs/s: {speeds}; {per_run:.1f} requests a run"
        return [
            Figure(f"{where} / bare loop", bare.median, "×", _OF_BARE, "at least", note),
            Figure(
                f"{where} / client loop, batched", client.median, "×", None, "at least", f"{client}"
            ),
            Figure(f"{where} / client loop", singly.median, "×", of_client, "at least", ceiling),
        ]

    def product(self, threads: int) -> float:
        """Run a cycle of the product; give runs per second."""
        wanted = self._settings(f"prod{next(_numbers):05d}", threads)
        return self.runs / timed(lambda: self._cycle(wanted)).wall

    def bare(self, threads: int) -> float:
        """Send the recorded requests again; give runs per second."""
        name = f"bare{next(_numbers):05d}".encode()
        local: list[BareConnection] = []
        ids: dict[bytes, bytes] = {}

        def work(queue: SimpleQueue[list[Request]]) -> None:
            connection = BareConnection(self.url)
            local.append(connection)
            for unit in _drained(queue):
                replay(connection, unit, dict(ids), name)

        first = BareConnection(self.url)

        def all_of_it() -> None:
            replay(first, self.recording.experiments, ids, name)
            _in_threads(work, self.recording.units, threads)

        seconds = timed(all_of_it).wall
        for connection in [first, *local]:
            connection.close()
        return self.runs / seconds

    def client(self, how: str, threads: int) -> float:
        """Export some of the runs by the client; give runs per second."""
        from mlflow.tracking import MlflowClient

        from benchmarks import client_loop

        export: Callable[[MlflowClient, str, UnitPlan], None] = getattr(client_loop, how)
        client = MlflowClient(tracking_uri=self.url)
        plans = self.recording.plans[: max(threads * 2, self.runs // 5)]
        name = f"client{next(_numbers):05d}"

        def work(queue: SimpleQueue[UnitPlan]) -> None:
            for plan in _drained(queue):
                export(client, experiments[plan.experiment.key], plan)

        experiments = {}
        for plan in plans:
            if plan.experiment.key not in experiments:
                title = f"{name}/{plan.experiment.name}"
                experiments[plan.experiment.key] = client.create_experiment(title)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints two lines for every run
            seconds = timed(lambda: _in_threads(work, plans, threads)).wall
        return len(plans) / seconds

    def _settings(self, repository: str, threads: int) -> Settings:
        made = settings(
            self.home / repository,
            self.store,
            self.url,
            threads=threads,
            repository=repository,
            outputs=self.home / "outputs",
        )
        Ledger.open(made.state.url.get_secret_value(), migrate=True).close()
        return made

    def _cycle(self, wanted: Settings) -> None:
        report = Engine(wanted).cycle()
        assert report.exit_code == 0, report.to_json()
        assert report.total.units.written == self.runs


def _in_threads(work: Callable[[SimpleQueue[T]], None], items: list[T], threads: int) -> None:
    queue: SimpleQueue[T] = SimpleQueue()
    for item in items:
        queue.put(item)
    with ThreadPoolExecutor(threads) as executor:
        for future in [executor.submit(work, queue) for _ in range(threads)]:
            future.result()


def _drained(queue: SimpleQueue[T]) -> Iterator[T]:
    with contextlib.suppress(Empty):
        while True:
            yield queue.get_nowait()
