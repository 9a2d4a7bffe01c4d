"""A real ledger with events in its outbox, and a clock that tests move."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from exporter.hierarchy import PipelineRecord, run_key
from exporter.ledger import Lease, Ledger, OutboxMark, SeenUnit
from exporter.mapping.openlineage import LineageNaming, run_events
from support.lineage_samples import training_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from exporter.hierarchy import RunSnapshot
    from exporter.ledger import OutboxCounts
    from exporter.mapping.openlineage import LineageEvent

NAMING = LineageNaming()


@dataclass
class SteppingClock:
    """A clock that stands still unless somebody waits."""

    ms: int = 1_800_000_000_000
    waits: list[float] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.ms += round(seconds * 1000)


@dataclass
class StopSwitch:
    """A wish to stop that a test makes."""

    requested: bool = False


@dataclass
class LineageOutbox:
    """A ledger under a lease, with what tests ask of it."""

    ledger: Ledger
    lease: Lease
    clock: SteppingClock = field(default_factory=SteppingClock)
    stop: StopSwitch = field(default_factory=StopSwitch)

    def see(self, runs: list[RunSnapshot], destination: str = "events") -> None:
        """Record runs whose events are still to come."""
        self.ledger.units.register_sinks(self.lease, "local_stack", [f"openlineage/{destination}"])
        self.record(runs)

    def record(self, runs: list[RunSnapshot]) -> None:
        """Record runs as they are seen."""
        now = self.clock.now_ms()
        self.ledger.units.record(self.lease, "local_stack", [_seen(run) for run in runs], now)

    def queue(
        self,
        runs: list[RunSnapshot],
        destination: str = "events",
        *,
        whole: bool = False,
        more: Callable[[Sequence[LineageEvent]], tuple[LineageEvent, ...]] = lambda _events: (),
    ) -> int:
        """Queue the events of runs; give how many. With `whole` they leave run by run.

        `more` gives events to go before those of a run.
        """
        now = self.clock.now_ms()
        self.ledger.units.record(self.lease, "local_stack", [_seen(run) for run in runs], now)
        marks = []
        for run in runs:
            events = run_events(run, NAMING)
            events = (*more(events), *events)
            mark = OutboxMark(f"openlineage/{destination}", run_key(run), "f", events)
            if whole:
                mark = mark._replace(whole=True, datasets=datasets_of(events))
            marks.append(mark)
        return self.ledger.outbox.enqueue(self.lease, marks, now)

    def counts(self, destination: str = "events") -> OutboxCounts:
        return self.ledger.outbox.counts(f"openlineage/{destination}")

    def bodies(self, destination: str = "events") -> list[bytes]:
        """Give what is still to be sent."""
        rows = self.ledger.outbox.next_events(
            f"openlineage/{destination}", limit=10**6, now=self.clock.now_ms()
        )
        return [row.body for row in rows]

    def dead(self) -> list[Any]:  # Any: whatever the ledger's letters are
        return list(self.ledger.dead.letters())


def datasets_of(events: Iterable[LineageEvent]) -> frozenset[str]:
    """Name what events read and write."""
    told = [json.loads(event.body) for event in events]
    return frozenset(
        f"{one['namespace']} {one['name']}" for e in told for one in (*e["inputs"], *e["outputs"])
    )


@contextmanager
def opened_outbox(folder: Path, *, ttl_s: float = 600) -> Iterator[LineageOutbox]:
    """Open the ledger on SQLite in a folder, a fresh one if there is none, under a lease."""
    ledger = Ledger.open(f"sqlite:///{folder}/state.db")
    try:
        yield LineageOutbox(ledger, ledger.leases.acquire("test", ttl_s))
    finally:
        ledger.close()


def run_named(name: str, *, pipeline: str = "train_pipeline") -> RunSnapshot:
    """Give the training run under another name, of another pipeline if wanted."""
    run = training_run()
    artifacts = tuple(
        replace(a, producer=a.producer._replace(pipeline=pipeline) if a.producer else None)
        for a in run.artifacts
    )
    return replace(
        run,
        pipeline=PipelineRecord(pipeline, 1, pipeline),
        name=name,
        source_id=f"{pipeline}:{name}",
        artifacts=artifacts,
    )


def _seen(run: RunSnapshot) -> SeenUnit:
    return SeenUnit(
        key=run_key(run),
        source_id=run.source_id,
        pipeline=run.pipeline.name,
        run=run.name,
        status=run.status,
        unfinished=False,
        settled=True,
        fingerprint="f",
        steps=len(run.steps),
        artifact_ids=[artifact.id for artifact in run.artifacts],
        changed_ms=run.end,
        start_ms=run.start,
        end_ms=run.end,
    )
