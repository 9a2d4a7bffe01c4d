"""Whatever is done to a ledger, in any order: counters equal counts, and a plain model agrees."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import text
from support.ledgers import LINEAGE, MLFLOW, STACK, events, key, seen

from exporter.ledger import AppliedUnit, Ledger, OutboxMark

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.ledger import SeenUnit

SINKS = (MLFLOW, LINEAGE)
numbers = st.integers(0, 7)
groups = st.lists(numbers, unique=True, max_size=4)
fingerprints = st.sampled_from(["first", "second"])


class LedgerMachine(RuleBasedStateMachine):
    """Drives one ledger and a model of dictionaries side by side."""

    @initialize()
    def open_ledger(self) -> None:
        self.folder = TemporaryDirectory()
        self.ledger = Ledger.open(f"sqlite:///{self.folder.name}/state.db")
        self.lease = self.ledger.leases.acquire("test", 600)
        self.ledger.units.register_sinks(self.lease, STACK, SINKS)
        self.now = 0
        self.units: dict[int, SeenUnit] = {}
        self.gone: set[int] = set()
        self.done: dict[tuple[str, int], str] = {}
        self.stuck: dict[tuple[str, int], str] = {}
        self.unreadable: set[int] = set()
        self.bound: dict[int, str] = {}
        self.intents: set[int] = set()

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    def tick(self) -> int:
        self.now += 1
        return self.now

    def known(self, group: list[int]) -> list[int]:
        return [n for n in group if n in self.units]

    @rule(
        group=groups,
        fingerprint=fingerprints,
        unfinished=st.booleans(),
        artifacts=st.lists(st.sampled_from("abc"), max_size=3),
    )
    def record(
        self, group: list[int], fingerprint: str, *, unfinished: bool, artifacts: list[str]
    ) -> None:
        page = [
            seen(
                n,
                fingerprint=f"{fingerprint}{artifacts}",
                unfinished=unfinished,
                artifacts=tuple(artifacts),
                pipeline=f"p{n % 3}",
                steps=len(artifacts),
            )
            for n in group
        ]
        changed = {
            n
            for n, unit in zip(group, page, strict=True)
            if n not in self.units
            or n in self.gone
            or self.units[n].fingerprint != unit.fingerprint
        }
        outcome = self.ledger.units.record(self.lease, STACK, page, self.tick())
        assert {int(s) for s in (*outcome.new, *outcome.changed)} == changed
        for n, unit in zip(group, page, strict=True):
            self.units[n] = unit
        self.gone -= set(group)
        self.unreadable -= set(group)
        for sink in SINKS:
            for n in changed:
                self.done.pop((sink, n), None)
                self.stuck.pop((sink, n), None)

    @rule(group=groups)
    def vanish(self, group: list[int]) -> None:
        expected = {n for n in group if n in self.units and n not in self.gone}
        left = self.ledger.units.mark_gone(self.lease, STACK, [str(n) for n in group], self.tick())
        assert {int(unit.source_id) for unit in left} == expected
        self.gone |= expected
        self.unreadable -= set(group)
        for sink in SINKS:
            for n in expected:
                self.done.pop((sink, n), None)
                self.stuck.pop((sink, n), None)

    @rule(group=groups)
    def begin(self, group: list[int]) -> None:
        self.ledger.bindings.begin(
            self.lease, MLFLOW, [key(n) for n in group], "process", self.tick()
        )
        self.intents |= set(group)

    @rule(group=groups, recheck=st.booleans())
    def finish(self, group: list[int], *, recheck: bool) -> None:
        units = self.known(group)
        run_id = f"run-{self.tick()}"
        applied = [
            AppliedUnit(key(n), self.units[n].fingerprint, {key(n): run_id}, recheck=recheck)
            for n in units
        ]
        self.ledger.bindings.finish(self.lease, MLFLOW, applied, self.now)
        for n in units:
            self.done[MLFLOW, n] = self.units[n].fingerprint
            self.stuck.pop((MLFLOW, n), None)
            self.bound[n] = run_id
        if not recheck:
            self.intents -= set(units)

    @rule(group=groups, version=st.sampled_from("12"))
    def enqueue(self, group: list[int], version: str) -> None:
        units = self.known(group)
        marks = [
            OutboxMark(LINEAGE, key(n), self.units[n].fingerprint, events(n, version=version))
            for n in units
        ]
        self.ledger.outbox.enqueue(self.lease, marks, self.tick())
        for n in units:
            self.done[LINEAGE, n] = self.units[n].fingerprint
            self.stuck.pop((LINEAGE, n), None)

    @rule(answer=st.sampled_from(["taken", "later", "refused"]), many=st.integers(1, 4))
    def deliver(self, answer: str, many: int) -> None:
        rows = self.ledger.outbox.next_events(LINEAGE, limit=many, now=self.tick())
        outbox = self.ledger.outbox
        answers: dict[str, Callable[[int], None]] = {
            "taken": lambda seq: outbox.acknowledge(self.lease, LINEAGE, [seq], self.now),
            "later": lambda seq: outbox.retry_event(
                self.lease, seq, next_at=self.now + 3, status=503, body="busy"
            ),
            "refused": lambda seq: outbox.dead_event(
                self.lease, seq, status=400, body="no", now=self.now
            ),
        }
        for row in rows:
            answers[answer](row.seq)

    @rule(n=numbers, sink=st.sampled_from(SINKS), dead=st.booleans())
    def fail(self, n: int, sink: str, *, dead: bool) -> None:
        if n not in self.units or (sink, n) in self.done:
            return
        self.ledger.units.fail(
            self.lease,
            sink,
            key(n),
            error="e",
            kind="k",
            dead=dead,
            next_at=None,
            now=self.tick(),
        )
        if dead:
            self.stuck[sink, n] = "dead"
        else:
            self.stuck.pop((sink, n), None)

    @rule(n=numbers)
    def cannot_read(self, n: int) -> None:
        if n in self.units:
            return
        self.ledger.units.fail_run(
            self.lease,
            STACK,
            str(n),
            pipeline="p",
            run="r",
            error="odd",
            kind="unknown_flavour",
            now=self.tick(),
        )
        self.unreadable.add(n)

    @rule(drop=st.booleans())
    def empty_the_letters(self, *, drop: bool) -> None:
        letters = self.ledger.dead.letters()
        act = self.ledger.dead.drop if drop else self.ledger.dead.retry
        assert act(self.lease) == len(letters)
        assert self.ledger.dead.letters() == []
        if drop:
            self.stuck = dict.fromkeys(self.stuck, "dropped")
        else:
            self.stuck = {entry: how for entry, how in self.stuck.items() if how == "dropped"}

    @rule()
    def open_again(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(f"sqlite:///{self.folder.name}/state.db")

    @invariant()
    def the_model_agrees(self) -> None:
        if not hasattr(self, "ledger"):
            return
        units = self.ledger.units
        here = {n: unit for n, unit in self.units.items() if n not in self.gone}
        totals = units.totals(STACK)
        assert totals.runs == len(here) + len(self.unreadable)
        assert totals.steps == sum(unit.steps for unit in here.values())
        assert totals.artifacts == len({a for unit in here.values() for a in unit.artifact_ids})
        assert totals.pipelines == len({unit.pipeline for unit in here.values()})
        for sink in SINKS:
            pending = {unit.key for unit in units.pending(STACK, sink, now=self.now)}
            assert pending == {
                key(n)
                for n in self.units
                if (sink, n) not in self.done and (sink, n) not in self.stuck
            }
        assert set(self.ledger.bindings.open_intents(MLFLOW)) == {key(n) for n in self.intents}
        bound = self.ledger.bindings.of(MLFLOW, [key(n) for n in self.bound])
        assert bound == {key(n): {key(n): run_id} for n, run_id in self.bound.items()}

    @invariant()
    def counters_equal_counts(self) -> None:
        if not hasattr(self, "ledger"):
            return
        with self.ledger._database.read() as connection:
            counted = {
                (scope, name): value
                for scope, name, value in connection.execute(
                    text("SELECT scope, name, value FROM counters WHERE value <> 0")
                )
            }
            actual: dict[tuple[str, str], int] = {}
            for sink, progress, number in connection.execute(
                text("SELECT sink, progress, COUNT(*) FROM unit_sinks GROUP BY 1, 2")
            ):
                actual[f"stack/{STACK}", f"{progress}/{sink}"] = number
            for destination, state, number in connection.execute(
                text("SELECT destination, state, COUNT(*) FROM outbox GROUP BY 1, 2")
            ):
                if state in ("queued", "dead"):
                    name = {"queued": "pending"}.get(state, state)
                    actual[f"outbox/{destination}", name] = number
        sizes = ("runs", "steps", "artifacts", "pipelines", "delivered")
        per_stack = {k: v for k, v in counted.items() if k[1].startswith("delivered/")}
        assert {
            k: v for k, v in counted.items() if k[1] not in sizes and k not in per_stack
        } == actual
        # What was delivered keeps no rows to count; its stacks add up to the whole.
        assert {
            (scope, f"delivered/{STACK}"): value
            for (scope, name), value in counted.items()
            if name == "delivered"
        } == per_stack


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
