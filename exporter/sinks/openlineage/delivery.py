"""Emptying one destination's outbox."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from exporter.sinks.openlineage.exact_links import with_exact_links
from exporter.sinks.openlineage.outcomes import pause_s

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from exporter.ledger import Lease, Ledger, OutboxRow
    from exporter.mapping.openlineage.profile import Order
    from exporter.sinks.openlineage.destination import Destination
    from exporter.sinks.openlineage.outcomes import Outcome

SINK_PREFIX = "openlineage/"
"""Before a destination's name it gives the name by which the ledger knows it."""
PATIENCE_S = 15.0
_GROUP = 200
_EVENTS_OF_A_RUN = 10


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
        rows = work.next_rows(now)
        if rows:
            work.send(rows, halted)
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

    def next_rows(self, now: int) -> list[OutboxRow]:
        """Give the events that may leave now, as they are sent."""
        outbox, limit = self.ledger.outbox, self.destination.page
        if self.order == "free":
            return outbox.next_events(self.sink, limit=limit, now=now)
        rows = outbox.next_runs(
            self.leader.lease,
            self.sink,
            limit=max(1, limit // _EVENTS_OF_A_RUN),
            now=now,
            stacks=self.stacks,
        )
        return with_exact_links(self.ledger, self.sink, rows, late_only=not self.exact_links)

    def next_try_ms(self, now: int) -> int | None:
        """Give how long it is until a lane that was put off may go on; None if there is none."""
        ahead = [until - now for until in self.held_until_ms.values() if until > now]
        return min(ahead, default=None)

    def send(self, rows: list[OutboxRow], halted: Callable[[], bool]) -> None:
        by_seq = {row.seq: row for row in rows}
        taken: list[int] = []
        try:
            with closing(self.destination.send(rows, halted=halted)) as outcomes:
                for outcome in outcomes:
                    if outcome.seq < 0:
                        if outcome.action == "retry":
                            self._acknowledge(taken)
                            self._not_taken(_next_of_lane(rows, outcome.seq), outcome)
                        continue
                    if outcome.action == "ack":
                        taken.append(outcome.seq)
                    row = by_seq[outcome.seq]
                    if len(taken) >= _GROUP or row.ends_unit or outcome.action != "ack":
                        self._acknowledge(taken)
                    if outcome.action != "ack":
                        self._not_taken(row, outcome)
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


def _next_of_lane(rows: Sequence[OutboxRow], seq: int) -> OutboxRow:
    """Give the event of the outbox that follows one that was only shown again: it is put off.

    There is one: the last event of a run reads nothing, so that nothing is shown after it.
    """
    place = next(i for i, row in enumerate(rows) if row.seq == seq)
    return next(row for row in rows[place:] if row.lane == rows[place].lane and row.seq > 0)
