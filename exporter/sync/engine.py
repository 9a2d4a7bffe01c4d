"""A cycle over all stacks of the settings: lead, read, write, deliver, remember."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from exporter.config import resource_folder
from exporter.errors import (
    ConfigError,
    ExporterError,
    SinkUnavailable,
    SourceError,
    SourceUnavailable,
)
from exporter.ledger import CycleRecord, Ledger
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.openlineage import (
    SCHEMA_FOLDER,
    SINK_PREFIX,
    DeliveryReport,
    EventCheck,
    deliver,
    open_destination,
)
from exporter.sources.open import open_stack
from exporter.sync.clock import Stop, SystemClock, when_overdue
from exporter.sync.cycle import StackCycle
from exporter.sync.experiments import Experiments
from exporter.sync.intake import CycleRules
from exporter.sync.leading import LEASE_TTL_S, Leadership, process_name
from exporter.sync.lineage_export import LineageExport
from exporter.sync.mlflow_export import GRACE_MS, MlflowExport, mlflow_sink_name
from exporter.sync.outcomes import Failure, FailureBook
from exporter.sync.policy import Mappings, stack_policy
from exporter.sync.report import CycleReport, LineageCounts, MlflowCounts, StackReport
from exporter.sync.stacks import OpenStack, refuse_own_sink

if TYPE_CHECKING:
    from exporter.config import OpenLineageSettings, Settings, StackSettings
    from exporter.sync.clock import Clock
    from exporter.sync.cycle import Progress


_SAID = 200  # characters of an answer that a note repeats
_PATIENCE_S = (
    10.0  # after a signal to stop, for answers of MLflow; deploy/ grants more before a kill
)


def quiet(stack: str, runs: int, phase: str) -> None:
    """Tell nobody how far a cycle is."""


@dataclass(slots=True)
class Engine:
    """Runs cycles for one configuration.

    `grace_ms` is how long a create of a killed process may still commit, `lease_ttl_s` how long its
    lease outlives it.
    """

    settings: Settings
    stop: Stop = field(default_factory=Stop)
    clock: Clock | None = None
    grace_ms: int = GRACE_MS
    lease_ttl_s: float = LEASE_TTL_S
    process: str = field(default_factory=process_name)
    migrate: bool = False

    def cycle(
        self,
        *,
        full: bool = False,
        repair: bool = False,
        progress: Progress = quiet,
        delivery_s: float | None = None,
    ) -> CycleReport:
        """Run one cycle under the lease; events that are not out after `delivery_s` wait.

        Repeat: with nothing new, nothing is written and MLflow is not asked.
        Raises: ConfigError, also without any sink; LeaseHeld, LeaseLost, StateError. What is wrong
        with one stack or sink is in the report.
        """
        sinks = self.settings.sinks
        if sinks.mlflow is None and not sinks.openlineage:
            raise ConfigError(
                "The configuration names no sink, so there is nothing to write to.",
                hint="Add sinks.mlflow.tracking_uri, or a destination under sinks.openlineage.",
            )
        clock = self.clock or SystemClock(self.stop)
        mappings = Mappings.load(self.settings)
        report = CycleReport(total=self._new_report())
        started_ms, started_s = clock.now_ms(), clock.monotonic_s()
        with ExitStack() as closing:
            ledger = closing.enter_context(
                Ledger.open(self.settings.state.url.get_secret_value(), migrate=self.migrate)
            )
            leadership = closing.enter_context(
                Leadership(ledger, self.process, ttl_s=self.lease_ttl_s)
            )
            ledger.claim(leadership.lease, self.settings.repository)
            failures = FailureBook(ledger, leadership, clock, self.settings.masker())
            work = _Work(
                mappings,
                ledger,
                leadership,
                clock,
                failures,
                self._rules(full=full, repair=repair),
                progress,
                report,
                delivery_s,
            )
            mlflow = self._mlflow(closing, work)
            lineage = self._lineage(work)
            for stack in self.settings.stacks:
                shown = report.stacks[stack.key] = self._new_report()
                if self.stop.requested:
                    continue
                began_s = clock.monotonic_s()
                self._run_stack(work, stack, shown, mlflow, lineage)
                for note in shown.artifacts.to_notes():
                    shown.notes.append({"stack": stack.key, "note": note})
                shown.seconds = clock.monotonic_s() - began_s
            delivered = self._deliver(work)
            self._total(work, delivered)
            report.stopped = self.stop.requested
            report.total.seconds = clock.monotonic_s() - started_s
            report.exit_code = max(report.exit_code, 0 if report.total.ok else 1)
            ledger.cycles.record(
                leadership.lease,
                CycleRecord(started_ms, clock.now_ms(), report.exit_code == 0, report.to_json()),
            )
        return report

    def _new_report(self) -> StackReport:
        sinks = self.settings.sinks
        return StackReport(
            mlflow=MlflowCounts() if sinks.mlflow is not None else None,
            destinations={d.name: LineageCounts() for d in sinks.openlineage} or None,
        )

    def _rules(self, *, full: bool, repair: bool) -> CycleRules:
        return CycleRules(
            settle_ms=int(self.settings.settle.total_seconds() * 1000),
            stale_after_ms=int(self.settings.stale_after.total_seconds() * 1000),
            rescan_runs=self.settings.rescan.runs,
            full=full,
            repair=repair,
        )

    def _mlflow(self, closing: ExitStack, work: _Work) -> MlflowExport | None:
        wanted = self.settings.sinks.mlflow
        if wanted is None:
            return None
        sink = open_mlflow(self.settings)
        closing.callback(sink.close)
        closing.enter_context(when_overdue(self.stop, _PATIENCE_S, sink.break_off))
        executor = closing.enter_context(ThreadPoolExecutor(wanted.threads, "mlflow"))
        name = mlflow_sink_name(wanted.tracking_uri.get_secret_value())
        return MlflowExport(
            name=name,
            sink=sink,
            experiments=Experiments(
                repository=self.settings.repository,
                sink_name=name,
                sink=sink,
                naming=work.mappings.mlflow,
                ledger=work.ledger,
                leadership=work.leadership,
                failures=work.failures,
                repair=work.rules.repair,
            ),
            naming=work.mappings.mlflow,
            ledger=work.ledger,
            leadership=work.leadership,
            executor=executor,
            clock=work.clock,
            stop=self.stop,
            process=self.process,
            failures=work.failures,
            grace_ms=self.grace_ms,
            repair=work.rules.repair,
        )

    def _lineage(self, work: _Work) -> LineageExport | None:
        names = tuple(d.name for d in self.settings.sinks.openlineage)
        if not names:
            return None
        return LineageExport(
            destinations=names,
            catalogs=work.mappings.catalogs,
            naming=work.mappings.openlineage,
            check=EventCheck.of_folder(resource_folder("mappings") / SCHEMA_FOLDER),
            ledger=work.ledger,
            leadership=work.leadership,
            clock=work.clock,
            failures=work.failures,
        )

    def _run_stack(
        self,
        work: _Work,
        stack: StackSettings,
        shown: StackReport,
        mlflow: MlflowExport | None,
        lineage: LineageExport | None,
    ) -> None:
        """Bring the sinks up to date with one stack; what is wrong with it stops no other."""
        where = {"stack": stack.key}
        try:
            opened = work.failures.attempt(partial(self._open, work, stack))
        except SourceError as error:
            _note(shown, where, work.mask(str(error)))
            work.report.exit_code = max(work.report.exit_code, _exit_code(error))
            return
        if isinstance(opened, Failure):
            _note(shown, where, opened.message)
            code = 1 if opened.is_unexpected else 2
            work.report.exit_code = max(work.report.exit_code, code)
            return
        cycle = StackCycle(
            stack=opened,
            ledger=work.ledger,
            leadership=work.leadership,
            clock=work.clock,
            stop=self.stop,
            rules=work.rules,
            report=shown,
            progress=work.progress,
            failures=work.failures,
            mlflow=mlflow,
            lineage=lineage,
        )
        try:
            failure = work.failures.attempt(cycle.run)
            if failure is not None:
                _note(shown, where, failure.message)
        except SourceError as error:
            _note(shown, where, work.mask(str(error)))
            work.report.exit_code = max(work.report.exit_code, _exit_code(error))
        finally:
            opened.history.close()
        if cycle.unavailable is not None:
            _note(shown, {**where, "sink": "mlflow"}, work.mask(str(cycle.unavailable)))
            work.report.exit_code = 4

    def _open(self, work: _Work, stack: StackSettings) -> OpenStack:
        refuse_own_sink(self.settings, stack)
        policy = stack_policy(work.mappings, stack)
        history, artifacts = open_stack(self.settings, stack)
        return OpenStack(stack.key, history, artifacts, policy)

    def _deliver(self, work: _Work) -> dict[str, int]:
        """Empty the outboxes, each destination at its own pace; give how many events each took."""
        total = work.report.total
        destinations = self.settings.sinks.openlineage
        delivered: dict[str, int] = {}
        if not destinations:
            return delivered
        sinks = {wanted.name: SINK_PREFIX + wanted.name for wanted in destinations}
        befores = {n: work.ledger.outbox.counts_by_stack(sink) for n, sink in sinks.items()}
        reports = {wanted.name: DeliveryReport() for wanted in destinations}
        with ThreadPoolExecutor(len(destinations), "deliver") as executor:
            tries = {
                wanted.name: executor.submit(
                    work.failures.attempt,
                    partial(self._deliver_to, work, wanted, reports[wanted.name]),
                )
                for wanted in destinations
            }
        for wanted in destinations:
            sink, before, done = sinks[wanted.name], befores[wanted.name], reports[wanted.name]
            try:
                failure = tries[wanted.name].result()
                if failure is not None:
                    _note(total, {"sink": sink}, failure.message)
                    code = 2 if failure.kind == ConfigError.__name__ else 1
                    work.report.exit_code = max(work.report.exit_code, code)
            except SinkUnavailable as error:
                _note(total, {"sink": sink}, work.mask(str(error)))
                work.report.exit_code = 4
            trouble = work.ledger.outbox.trouble(sink)
            if trouble is not None:
                said = " ".join(work.mask(trouble.response).split())[:_SAID] or "no reason"
                status = "" if trouble.status is None else f"HTTP {trouble.status}: "
                note = f"events wait for their next try, after {status}{said}"
                total.notes.append({"sink": sink, "note": note})
            delivered[wanted.name] = done.delivered
            total.failed += done.dead
            total.dead_now += done.dead
            after = work.ledger.outbox.counts_by_stack(sink)
            for key, shown in work.report.stacks.items():
                if key in after and shown.destinations is not None:
                    counts, now = shown.destinations[wanted.name], after[key]
                    counts.pending, counts.dead = now.pending, now.dead
                    counts.delivered = now.delivered
                    counts.delivered -= before[key].delivered if key in before else 0
        return delivered

    def _deliver_to(self, work: _Work, wanted: OpenLineageSettings, done: DeliveryReport) -> None:
        profile = work.mappings.catalogs[wanted.name]
        with closing(open_destination(wanted, profile)) as destination:
            deliver(
                work.ledger,
                work.leadership,
                destination,
                clock=work.clock,
                stop=self.stop,
                budget_s=work.delivery_s,
                report=done,
                order=profile.order,
                exact_links=profile.exact_links,
                stacks=[stack.key for stack in self.settings.stacks],
            )

    def _total(self, work: _Work, delivered: dict[str, int]) -> None:
        """Add up; events of a stack that is configured no more count in the total only."""
        total = work.report.total
        for key, shown in work.report.stacks.items():
            _count_units(work.ledger, key, shown)
            total.add(shown)
        for name, counts in (total.destinations or {}).items():
            standing = work.ledger.outbox.counts(SINK_PREFIX + name)
            counts.delivered = delivered[name]
            counts.pending, counts.dead = standing.pending, standing.dead


@dataclass(frozen=True, slots=True)
class _Work:
    """What all parts of one cycle share."""

    mappings: Mappings
    ledger: Ledger
    leadership: Leadership
    clock: Clock
    failures: FailureBook
    rules: CycleRules
    progress: Progress
    report: CycleReport
    delivery_s: float | None

    def mask(self, text: str) -> str:
        """Take the settings' secrets out of a text."""
        return self.failures.mask(text)


def _count_units(ledger: Ledger, key: str, shown: StackReport) -> None:
    """Say where a stack's units stand, each in one place; what a sink lacks is waiting too."""
    totals = ledger.units.totals(key)
    source, units = shown.source, shown.units
    source.pipelines, source.runs = totals.pipelines, totals.runs
    source.steps, source.artifacts = totals.steps, totals.artifacts
    units.dead = totals.dead
    units.waiting = totals.waiting + ledger.units.count_pending(key)
    at_rest = totals.runs - units.waiting - units.dead
    units.written = min(units.written, at_rest)
    units.unchanged = at_rest - units.written


def open_mlflow(settings: Settings, *, creates: bool = True) -> MlflowSink:
    """Give the sink of the settings; nothing is contacted yet.

    An empty tracking database gets MLflow's tables when it is, only where `creates`.
    """
    wanted = settings.sinks.mlflow
    if wanted is None:
        raise ExporterError("No MLflow is configured.", hint="Add sinks.mlflow.tracking_uri.")
    return MlflowSink(
        wanted.tracking_uri.get_secret_value(),
        username=wanted.username,
        password=wanted.password.get_secret_value() if wanted.password else None,
        token=wanted.token.get_secret_value() if wanted.token else None,
        creates=creates,
    )


def _exit_code(error: SourceError) -> int:
    return 4 if isinstance(error, SourceUnavailable) else 2


def _note(report: StackReport, where: dict[str, str], error: str) -> None:
    report.failed += 1
    report.errors.append({**where, "error": error})
