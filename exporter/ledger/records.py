"""What goes into the ledger and comes out of it: frozen values.

Units: every `*_ms`, `now` and `next_at` is an integer of UTC milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SinkProgress = Literal["pending", "done", "dead", "dropped"]
LetterKind = Literal["unit", "run", "event"]
CursorValue = dict[str, Any]  # Any: JSON values whose meaning is the source's own


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write, proven by `token`; every take-over raises the token by one."""

    owner: str
    token: int
    ttl_s: float
    expires_ms: int


class LeaseHolder(NamedTuple):
    """Who leads now, by the database's clock; `expires_in_s` is negative once it has run out."""

    owner: str
    token: int
    expires_in_s: float


class StackCursor(NamedTuple):
    """How far a stack was read, and the digest of the policy it was read under."""

    cursor: CursorValue | None
    policy: str | None


@dataclass(frozen=True, slots=True)
class SeenUnit:
    """One pipeline run as the source shows it now.

    `fingerprint` names the content; `unfinished` means the source still works on it, `settled` that
    its last change is old enough to be believed. `changed_ms` is the store's own clock.
    """

    key: str
    source_id: str
    pipeline: str
    run: str
    status: str
    unfinished: bool
    settled: bool
    fingerprint: str
    steps: int = 0
    artifact_ids: Sequence[str] = ()
    changed_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None

    def is_stale(self, before_ms: int) -> bool:
        """Tell whether it goes on by its own word, and has stood still since before a time."""
        return self.unfinished and stands_still(self.changed_ms, self.start_ms, before_ms)


def stands_still(changed_ms: int | None, start_ms: int | None, before_ms: int) -> bool:
    """Tell whether nothing has changed since `before_ms`; of a run without times nobody knows."""
    last_ms = start_ms if changed_ms is None else changed_ms
    return last_ms is not None and last_ms <= before_ms


@dataclass(frozen=True, slots=True)
class UnitState:
    """What the ledger knows of a unit.

    `position` is its place in the order of discovery; `first_seen_ms` is when this very fingerprint
    was first seen.
    """

    position: int
    key: str
    source_id: str
    stack: str
    pipeline: str
    run: str
    status: str
    unfinished: bool
    settled: bool
    gone: bool
    fingerprint: str
    first_seen_ms: int
    changed_ms: int | None
    start_ms: int | None
    end_ms: int | None

    @property
    def waiting(self) -> bool:
        """Tell whether the unit is to be looked at in every cycle."""
        return not self.gone and (self.unfinished or not self.settled)


class RecordOutcome(NamedTuple):
    """What `record` made of a page, as source ids in the order given."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]


class PendingUnit(NamedTuple):
    """A unit that a sink has yet to hold; `position` is what the next page starts after."""

    position: int
    source_id: str
    key: str
    fingerprint: str
    attempts: int
    gone: bool
    pipeline: str
    run: str


class SinkState(NamedTuple):
    """How far one sink is with one unit; `fingerprint` is what it holds, None before the first."""

    progress: SinkProgress
    fingerprint: str | None
    attempts: int
    next_at: int | None

    def is_due(self, now: int) -> bool:
        """Tell whether the sink may be given the unit now: it is pending, and no pause is left."""
        return self.progress == "pending" and (self.next_at is None or self.next_at <= now)


class Rescan(NamedTuple):
    """A slice of the rolling re-scan: what to read, and how far that brings the turn."""

    source_ids: tuple[str, ...]
    position: int
    turn_ends: bool


class RescanTurn(NamedTuple):
    """When the turn under way began, and when the last whole turn began and ended."""

    began_ms: int | None
    last_began_ms: int | None
    last_ended_ms: int | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What the ledger knows of a stack; a unit is in at most one of `waiting` and `dead`.

    `pipelines` to `artifacts` are what the source holds (distinct, vanished runs left out). `dead`
    counts those with an open dead letter. `done` and `pending` are per sink, with vanished runs.
    """

    pipelines: int
    runs: int
    steps: int
    artifacts: int
    waiting: int
    dead: int
    done: Mapping[str, int] = field(default_factory=dict)
    pending: Mapping[str, int] = field(default_factory=dict)


class Intent(NamedTuple):
    """A create that may have happened. `recheck` asks for one more look in the next cycle."""

    process: str
    written_ms: int
    recheck: bool


class HomeRow(NamedTuple):
    """Where an artifact's copied files are: under the nested run of `step_key`, at `path`."""

    step_key: str
    path: str


@dataclass(frozen=True, slots=True)
class AppliedUnit:
    """What an MLflow sink did with a unit: `bindings` maps keys to run ids and is complete."""

    key: str
    fingerprint: str
    bindings: Mapping[str, str] = field(default_factory=dict)
    homes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    recheck: bool = False


class ExperimentRow(NamedTuple):
    """An experiment the ledger knows; `scanned` says that its runs were searched for ours once."""

    experiment_id: str
    artifact_location: str
    scanned: bool


class OutboxEvent(Protocol):
    """An event to deliver; a NamedTuple or dataclass with these fields is one."""

    @property
    def lane(self) -> str:
        """Events of one lane leave in order."""

    @property
    def run_id(self) -> str:
        """The run the event speaks of."""

    @property
    def event_type(self) -> str:
        """START, COMPLETE, FAIL or ABORT."""

    @property
    def event_time(self) -> str:
        """ISO 8601 UTC."""

    @property
    def content_hash(self) -> str:
        """Equal for events that say the same."""

    @property
    def body(self) -> bytes:
        """The bytes that are sent, on every try the same."""


class OutboxMark(NamedTuple):
    """The events of one unit for one sink, and the fingerprint they were made from.

    `whole` says that they leave run by run, and `datasets` names what the run read and wrote, for
    runs that share one go one after the other. `makes` says which versions the run made, and
    `reads` which it read. With `exact` the ends of makers are kept, to link any later reader.
    """

    sink: str
    unit_key: str
    fingerprint: str
    events: Sequence[OutboxEvent]
    whole: bool = False
    datasets: frozenset[str] = frozenset()
    makes: Sequence[Made] = ()
    reads: Sequence[Read] = ()
    exact: bool = False


class Made(NamedTuple):
    """One version of a dataset: the artifact, and the run whose end tells of it."""

    dataset: str
    artifact: str
    run_id: str


class Read(NamedTuple):
    """One version of a dataset that was read: the artifact, and the run whose events say so."""

    dataset: str
    artifact: str
    run_id: str


class OutboxRow(NamedTuple):
    """An event that is due.

    `unit` is set where events leave run by run, and `ends_unit` on the last one of a run;
    `is_late` says that its run was told of before in part, or that a newer one was.
    `revision` counts the corrections of an end that was delivered before; one that `corrects` is
    sent without inputs, for the catalog has those.
    """

    seq: int
    lane: str
    run_id: str
    event_type: str
    event_time: str
    content_hash: str
    body: bytes
    attempts: int
    revision: int = 0
    corrects: bool = False
    unit: str = ""
    ends_unit: bool = False
    is_late: bool = False


class OutboxCounts(NamedTuple):
    """How many events of a destination wait, were delivered in all, and are dead letters."""

    pending: int
    delivered: int
    dead: int


class Trouble(NamedTuple):
    """Why an event waits: the status, if there was an answer, what was said, and the next try."""

    status: int | None
    response: str
    attempts: int
    next_at: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Something that will not be tried again by itself.

    `what` is `unit` (a sink refused a run), `run` (the source's run cannot be read; `sink` is
    empty) or `event` (a destination refused an event; `event` names it). `kind` is the caller's
    word for the class of error.
    """

    id: int
    what: LetterKind
    stack: str
    sink: str
    source_id: str
    pipeline: str
    run: str
    event: str
    kind: str
    error: str
    attempts: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class CycleRecord:
    """One cycle that ended; `report` is the JSON value that `run --json` printed."""

    started_ms: int
    ended_ms: int
    ok: bool
    report: dict[str, Any]  # Any: JSON values, shaped by the caller
