"""Emptying one destination's outbox."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from exporter.sinks.openlineage.outcomes import pause_s
from exporter.sinks.openlineage.telling import Telling, telling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from exporter.ledger import Lease, Ledger, OutboxRow
    from exporter.mapping.openlineage.profile import Order
    from exporter.sinks.openlineage.destination import Destination
    from exporter.sinks.openlineage.outcomes import Outcome

SINK_PREFIX = "openlineage/"
"""Before a destination's name it gives the name by which the ledger knows it."""
PATIENCE_S = 15.0
_GROUP = 200
_RUNS = 200


class Leader(Protocol):
    """Whoever holds the lease."""

    @property
    def lease(self) -> Lease:
        """The lease; raises LeaseLost once it was taken over."""


class DeliveryClock(Protocol):
    """Tells the time and waits."""

    def now_ms(self) -> int:
        """Give the wall clock in UTC milliseconds."""

    def monotonic_s(self) -> float:
        """Give seconds that never run backwards."""

    def wait(self, seconds: float) -> None:
        """Wait, or return early when the work is to stop."""


class StopSign(Protocol):
    """A wish to stop."""

    @property
    def requested(self) -> bool:
        """Tell whether the work should end."""


@dataclass(slots=True)
class DeliveryReport:
    """What one call did: events acknowledged, put off, and made dead letters."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0


def deliver(
    ledger: Ledger,
    leader: Leader,
    destination: Destination,
    *,
    clock: DeliveryClock,
    stop: StopSign,
    budget_s: float | None = None,
    patience_s: float = PATIENCE_S,
    report: DeliveryReport | None = None,
    order: Order = "free",
    exact_links: bool = False,
    stacks: Collection[str] | None = None,
) -> DeliveryReport:
    """Send what is due to a destination until nothing is, and note of each event what became of it.

    Order: per lane that of the outbox; with `runs` whole runs by their end, no further than the
        earliest that is still to come of `stacks`. An event that fails holds its lane for a pause
        that doubles, and only for a bounded number of tries; then it is a dead letter and the lane
        goes on. A run that is told late, and with `exact_links` any, finds what it read: the end
        of the run that made it comes before its reader again, and that of the newest after it.
    Repeat: only what has not been noted as delivered is sent. A crash between sending and noting
        sends up to a group of events again.
    Limits: stops when asked to, after `budget_s` seconds, or when the next try is further away
        than what is left of `patience_s` seconds of waiting.
    Raises: SinkUnavailable when the destination as a whole is out of reach; what was delivered
        before is noted, and counted in `report` if one was given. LeaseLost, StateUnavailable.
    """
    counts = report if report is not None else DeliveryReport()
    work = _Delivery(ledger, leader, destination, clock, counts, {}, order, exact_links, stacks)
    ends_s = None if budget_s is None else clock.monotonic_s() + budget_s

    def halted() -> bool:
        return stop.requested or (ends_s is not None and clock.monotonic_s() >= ends_s)

    patience_ms = patience_s * 1000
    while not halted():
        now = clock.now_ms()
        told = work.next_rows(now)
        if told.rows:
            work.send(told, halted)
            continue
        pause_ms = work.next_try_ms(now)
        if pause_ms is None or pause_ms > patience_ms:
            break
        patience_ms -= pause_ms
        clock.wait(pause_ms / 1000)
    return counts


@dataclass(slots=True)
class _Delivery:
    ledger: Ledger
    leader: Leader
    destination: Destination
    clock: DeliveryClock
    report: DeliveryReport
    held_until_ms: dict[str, int]
    order: Order
    exact_links: bool
    stacks: Collection[str] | None

    @property
    def sink(self) -> str:
        return SINK_PREFIX + self.destination.name

    def next_rows(self, now: int) -> Telling:
        """Give the events that may leave now, as they are sent."""
        outbox = self.ledger.outbox
        if self.order == "free":
            limit = self.destination.page
            return Telling(outbox.next_events(self.sink, limit=limit, now=now), {})
        rows = outbox.next_runs(
            self.leader.lease,
            self.sink,
            limit=_RUNS,
            now=now,
            stacks=self.stacks,
        )
        return telling(self.ledger, self.sink, rows, exact_links=self.exact_links)

    def next_try_ms(self, now: int) -> int | None:
        """Give how long it is until a lane that was put off may go on; None if there is none."""
        ahead = [until - now for until in self.held_until_ms.values() if until > now]
        return min(ahead, default=None)

    def send(self, told: Telling, halted: Callable[[], bool]) -> None:
        """Send events and note each that was taken, with all that had to be told again for it."""
        by_seq = {row.seq: row for row in told.rows}
        lacking = _needed(told)
        taken: list[int] = []
        in_doubt: set[str] = set()
        try:
            with closing(self.destination.send(told.rows, halted=halted)) as outcomes:
                for outcome in outcomes:
                    row = by_seq[told.with_row.get(outcome.seq, outcome.seq)]
                    if outcome.action != "ack":
                        self._acknowledge(taken)
                        self._not_taken(row, outcome)
                        if outcome.action == "retry":
                            in_doubt.add(row.run_id)
                        continue
                    needed = lacking[row.seq]
                    if outcome.seq not in needed:
                        continue
                    needed.remove(outcome.seq)
                    if needed or row.run_id in in_doubt:
                        continue
                    taken.append(row.seq)
                    if len(taken) >= _GROUP or row.ends_unit:
                        self._acknowledge(taken)
        finally:
            self._acknowledge(taken)

    def _acknowledge(self, taken: list[int]) -> None:
        if not taken:
            return
        seqs = taken[:]
        taken.clear()
        self.ledger.outbox.acknowledge(
            self.leader.lease,
            self.sink,
            seqs,
            self.clock.now_ms(),
            whole=self.order == "runs",
        )
        self.report.delivered += len(seqs)

    def _not_taken(self, row: OutboxRow, outcome: Outcome) -> None:
        tries, now = row.attempts + 1, self.clock.now_ms()
        if outcome.action == "dead" or tries >= outcome.tries:
            self.ledger.outbox.dead_event(
                self.leader.lease,
                row.seq,
                status=outcome.status,
                body=outcome.body,
                now=now,
                whole=self.order == "runs",
            )
            self.report.dead += 1
            return
        pause_ms = round(pause_s(tries, row.seq, outcome.retry_after_s) * 1000)
        self.ledger.outbox.retry_event(
            self.leader.lease,
            row.seq,
            next_at=now + pause_ms,
            status=outcome.status,
            body=outcome.body,
        )
        self.held_until_ms[row.lane] = now + pause_ms
        self.report.retried += 1


def _needed(told: Telling) -> dict[int, set[int]]:
    """Say of each event of the outbox what has to be taken before it counts as delivered.

    That is itself, and what is told again after it: left out, a dataset would show an old version.
    """
    needed: dict[int, set[int]] = {}
    for row in told.rows:
        if row.seq not in told.with_row:
            needed[row.seq] = {row.seq}
        elif told.with_row[row.seq] in needed:
            needed[told.with_row[row.seq]].add(row.seq)
    return needed
