"""Brings a page of units into MLflow: intents, then the sink in threads, then what it answered.

A unit that the ledger has never begun is created straight; any other is compared with what MLflow
holds. An intent left open means that a create may have happened: it is looked up, no earlier than a
grace time after it was written (a killed client's create can commit late), and once more in the
next cycle. A unit some of whose artifacts are missing or corrupt is done, and keeps its intent for
a bounded number of further looks: bytes come back without a trace in the source.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from exporter.config.masking import mask_url
from exporter.errors import SinkUnavailable, SourceError
from exporter.hierarchy import step_key
from exporter.ledger import AppliedUnit
from exporter.mapping.mlflow import Home, plan_unit
from exporter.sync.experiments import SCAN_PROCESS
from exporter.sync.outcomes import Failure, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from exporter.hierarchy import RunSnapshot
    from exporter.ledger import Intent, Ledger
    from exporter.mapping.mlflow import MlflowNaming, UnitPlan, Upload
    from exporter.sinks.mlflow import Applied, ExperimentBinding, MlflowSink
    from exporter.sync.clock import Clock, Stop
    from exporter.sync.contents import FilledRun
    from exporter.sync.experiments import Experiments
    from exporter.sync.leading import Leadership
    from exporter.sync.outcomes import FailureBook
    from exporter.sync.report import StackReport
    from exporter.sync.stacks import OpenStack
    from exporter.sync.tables import TableDescriber

GRACE_MS = 5_000
_GROUP = 16
_LOOK_PROCESS = "look"
_LOOKS = 8
_FIRST_LOOK_MS = 60_000


def mlflow_sink_name(tracking_uri: str) -> str:
    """Name the sink in the ledger: another tracking URI is another, another password is not."""
    bare = mask_url(tracking_uri).rstrip("/")
    return f"mlflow/{hashlib.sha256(bare.encode()).hexdigest()[:12]}"


@dataclass(slots=True)
class _Prepared:
    unit: FilledRun
    plan: UnitPlan
    experiment: ExperimentBinding
    bound: Mapping[str, str]
    fresh: bool
    recheck: bool
    looks: int
    relies_on: frozenset[str]


@dataclass(slots=True)
class Exported:
    """The keys in which something was written, and the units whose files are not as planned."""

    written: set[str] = field(default_factory=set)
    misread: list[FilledRun] = field(default_factory=list)


@dataclass(slots=True)
class MlflowExport:
    """Writes units of any stack into one tracking server; `process` signs the intents."""

    name: str
    sink: MlflowSink
    experiments: Experiments
    naming: MlflowNaming
    ledger: Ledger
    leadership: Leadership
    executor: Executor
    clock: Clock
    stop: Stop
    process: str
    failures: FailureBook
    grace_ms: int = GRACE_MS
    repair: bool = False
    _looks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def export(
        self,
        stack: OpenStack,
        units: Sequence[FilledRun],
        report: StackReport,
        exported: Exported,
        *,
        tables: TableDescriber | None = None,
        last: bool = False,
    ) -> None:
        """Write units; `exported` takes what was written, also where MLflow then goes away.

        Those whose files changed since they were digested are given back in `misread`, but when
        this is the `last` try: then it is a failure like any other.

        Repeat: a unit MLflow already holds whole costs one search and changes nothing.
        Raises: SinkUnavailable when the server is out of reach, SourceError when the store is; what
        was written until then is recorded. StateError. Nothing is under way any more then.
        """
        keys = [unit.key for unit in units]
        intents = self.ledger.bindings.intents(self.name, keys)
        bound = self.ledger.bindings.of(self.name, keys)
        units = self._put_off(units, intents, bound)
        if self.experiments.bind((unit.run for unit in units), report):
            intents = self.ledger.bindings.intents(self.name, keys)
            bound = self.ledger.bindings.of(self.name, keys)
        homes = self._homes(stack, units)
        promised: dict[str, str] = {}
        prepared: list[_Prepared] = []
        for unit in units:
            if self.stop.requested:
                return
            preparing = partial(self._prepare, unit, homes, promised, intents, bound, report)
            result = self.failures.attempt(preparing)
            if isinstance(result, Failure):
                self._failed(unit, bound.get(unit.key, {}), result, report)
            else:
                prepared.append(result)
                if tables is not None:
                    tables.expect(result.plan, unit.run)
                homes.update(result.plan.new_homes)
                promised.update(dict.fromkeys(result.plan.new_homes, unit.key))
        self._wait_out_grace(intents)
        self.ledger.bindings.begin(
            self.leadership.lease,
            self.name,
            [p.unit.key for p in prepared],
            self.process,
            self.clock.now_ms(),
        )
        self._apply_all(
            partial(self._attempt, stack, tables), prepared, report, exported, last=last
        )

    def to_look_at_again(self) -> list[str]:
        """Give the keys of units that an earlier cycle looked up and that want one more look."""
        return self.ledger.bindings.to_recheck(self.name, self.clock.now_ms())

    def _put_off(
        self,
        units: Sequence[FilledRun],
        intents: Mapping[str, Intent],
        bound: Mapping[str, Mapping[str, str]],
    ) -> list[FilledRun]:
        """Leave out the units looked at for lost bytes that are lost still; give the others."""
        looks = {k: look for k, i in intents.items() if (look := _look(i)) and not self.repair}
        states = self.ledger.units.sink_states(self.name, looks)
        same = [
            unit
            for unit in units
            if unit.key in looks
            and looks[unit.key][1] == unit.lost > 0
            and states[unit.key].progress == "done"
            and states[unit.key].fingerprint == unit.fingerprint
        ]
        again: list[AppliedUnit] = []
        for unit in same:
            number = looks[unit.key][0] + 1
            if number < _LOOKS:
                self._looks[unit.key] = (number, unit.lost)
            again.append(
                AppliedUnit(
                    unit.key,
                    unit.fingerprint,
                    bindings=bound.get(unit.key, {}),
                    recheck=number < _LOOKS,
                )
            )
        self._record(again)
        left_out = {unit.key for unit in same}
        return [unit for unit in units if unit.key not in left_out]

    def _homes(self, stack: OpenStack, units: Sequence[FilledRun]) -> dict[str, Home]:
        ids = list({a.id for unit in units for a in unit.run.artifacts})
        rows = self.ledger.bindings.homes(self.name, stack.key, ids)
        return {artifact_id: Home(*row) for artifact_id, row in rows.items()}

    def _prepare(
        self,
        unit: FilledRun,
        homes: Mapping[str, Home],
        promised: Mapping[str, str],
        intents: Mapping[str, Intent],
        bound: Mapping[str, Mapping[str, str]],
        report: StackReport,
    ) -> _Prepared:
        """Plan a unit; `promised` names, by artifact, the unit of this page that is to hold it."""
        run = unit.run
        foreign = elsewhere(run, homes)
        plan = plan_unit(run, foreign, self.naming, unit.scalars, unit.tables)
        experiment = self.experiments.of(plan.experiment, run.stack, run.pipeline.name, report)
        intent = intents.get(unit.key)
        known = bound.get(unit.key, {})
        return _Prepared(
            unit=unit,
            plan=plan,
            experiment=experiment,
            bound=known,
            fresh=intent is None and not known,
            recheck=intent is not None and not intent.recheck and intent.process != SCAN_PROCESS,
            relies_on=frozenset(promised[i] for i in foreign if i in promised) - {unit.key},
            looks=look[0] + 1 if intent is not None and (look := _look(intent)) else 0,
        )

    def _wait_out_grace(self, intents: Mapping[str, Intent]) -> None:
        written = [i.written_ms for i in intents.values() if not i.recheck]
        if written:
            pause_ms = max(written) + self.grace_ms - self.clock.now_ms()
            self.clock.wait(min(pause_ms, self.grace_ms) / 1000)

    def _apply_all(
        self,
        work: Callable[[_Prepared], Applied | Failure],
        prepared: Sequence[_Prepared],
        report: StackReport,
        exported: Exported,
        *,
        last: bool,
    ) -> None:
        """Apply with a few units in flight; record in groups, also when a sink or source goes away.

        A unit that relies on copies in another one of the page is recorded after that one, and not
        at all where that one failed: it stays pending, and is planned anew.
        Raises: what went away, when no unit is in flight any more.
        """
        finished: list[AppliedUnit] = []
        held: dict[str, list[AppliedUnit]] = {}
        sound: set[str] = set()
        running: dict[Future[Applied | Failure], _Prepared] = {}
        queue = iter(prepared)
        lost: SinkUnavailable | SourceError | None = None
        try:
            while True:
                if lost is not None or self.stop.requested:
                    running = {f: p for f, p in running.items() if not f.cancel()}
                else:
                    for p in islice(queue, _GROUP - len(running)):
                        running[self.executor.submit(work, p)] = p
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    p = running.pop(future)
                    try:
                        result = future.result()
                    except (SinkUnavailable, SourceError) as error:
                        lost = lost or error
                        continue
                    outcome = self._outcome(p, result, exported, report, last=last)
                    if outcome and p.relies_on <= sound:
                        sound.add(p.unit.key)
                        finished.extend(outcome)
                    else:
                        held[p.unit.key] = outcome
                if len(finished) >= _GROUP:
                    self._record(finished)
                    finished = []
        finally:  # the ledger may end it, too: nobody writes once the page is closed
            wait([future for future in running if not future.cancel()])
        self._record([*finished, *_sound_at_last(prepared, held, sound)])
        if lost is not None:
            raise lost

    def _outcome(
        self,
        p: _Prepared,
        result: Applied | Failure,
        exported: Exported,
        report: StackReport,
        *,
        last: bool,
    ) -> list[AppliedUnit]:
        """Count what became of a unit; give what is to be recorded, nothing when it failed."""
        if isinstance(result, Failure):
            if result.is_artifact and not last:
                exported.misread.append(p.unit)
            else:
                self._failed(p.unit, p.bound, result, report)
            return []
        self._count(report, p, result)
        if result.runs_created or result.runs_updated or result.runs_deleted:
            exported.written.add(p.unit.key)
        retry_pages = p.fresh and bool(result.pages_failed)
        look_again = not p.recheck and p.unit.lost > 0 and p.looks < _LOOKS
        if look_again:
            self._looks[p.unit.key] = (p.looks, p.unit.lost)
        return [_applied_unit(p, result, recheck=p.recheck or look_again or retry_pages)]

    def _attempt(
        self, stack: OpenStack, tables: TableDescriber | None, p: _Prepared
    ) -> Applied | Failure:
        return attempt(partial(self._apply, stack, tables, p), self.failures.mask)

    def _apply(self, stack: OpenStack, tables: TableDescriber | None, p: _Prepared) -> Applied:
        _ = self.leadership.lease  # raises once the lease is lost: nothing more may be written
        return self.sink.apply(
            p.plan,
            p.experiment,
            bound=p.bound,
            fresh=p.fresh,
            open_file=partial(_open_file, stack, p.unit.run),
            derive=None if tables is None else partial(self._derive, tables, p),
            repair=self.repair,
        )

    def _derive(self, tables: TableDescriber, p: _Prepared, upload: Upload) -> Mapping[str, bytes]:
        return tables.files(p.plan, p.unit.run, upload, self.sink, p.experiment.experiment_id)

    def _record(self, finished: Sequence[AppliedUnit]) -> None:
        looks: dict[tuple[int, int], list[str]] = {}
        for unit in finished:
            if unit.key in self._looks:
                looks.setdefault(self._looks.pop(unit.key), []).append(unit.key)
        for (number, lost), keys in looks.items():
            process = f"{_LOOK_PROCESS}/{number}/{lost}"
            due_ms = self.clock.now_ms() + (_FIRST_LOOK_MS << 2 * number)
            self.ledger.bindings.begin(self.leadership.lease, self.name, keys, process, due_ms)
        if finished:
            self.ledger.bindings.finish(
                self.leadership.lease, self.name, finished, self.clock.now_ms()
            )

    def _failed(
        self,
        unit: FilledRun,
        bound: Mapping[str, str],
        failure: Failure,
        report: StackReport,
    ) -> None:
        """Note a failure; what was deleted in MLflow is none, and is left so until a repair."""
        if not failure.is_deleted:
            self.failures.note(self.name, unit.run, unit.key, failure, report)
            return
        self._record([AppliedUnit(unit.key, unit.fingerprint, bindings=bound)])
        _add_note(report, {**_where(unit.run), "note": failure.message})

    def _count(self, report: StackReport, p: _Prepared, applied: Applied) -> None:
        report.kept_beside.update(p.plan.kept_beside)
        counts = report.mlflow
        if counts is not None:
            counts.runs_created += applied.runs_created
            counts.runs_updated += applied.runs_updated
            counts.requests += applied.requests
            counts.files += applied.files
            counts.bytes += applied.bytes
            counts.tables += applied.tables
            counts.models += applied.models
            counts.models_registered += applied.models_registered
        if applied.models_left_deleted:
            note = (
                f"{applied.models_left_deleted} of its MLflow models were deleted there and stay "
                "deleted; `pipeline-exporter run --repair` brings them back."
            )
            _add_note(report, {**_where(p.unit.run), "note": note})
        if applied.pages_failed:
            reason = self.failures.mask(applied.pages_failed)
            _add_pages_note(report, p.unit.run.stack, reason)
        if applied.left_deleted:
            number = len(applied.left_deleted)
            note = (
                f"{number} of its MLflow runs were deleted there and stay deleted; "
                "`pipeline-exporter run --repair` brings them back."
            )
            _add_note(report, {**_where(p.unit.run), "note": note})


def elsewhere(run: RunSnapshot, homes: Mapping[str, Home]) -> dict[str, Home]:
    """Give the homes of a run's artifacts in other units; its own are planned anew."""
    own = {step_key(run, step) for step in run.steps}
    return {
        a.id: home
        for a in run.artifacts
        if (home := homes.get(a.id)) is not None and home.step_key not in own
    }


def _open_file(stack: OpenStack, run: RunSnapshot, artifact_id: str, path: str) -> BinaryIO:
    return stack.artifacts.open(run.artifact(artifact_id), path)


def _sound_at_last(
    prepared: Sequence[_Prepared], held: Mapping[str, list[AppliedUnit]], sound: set[str]
) -> Iterator[AppliedUnit]:
    """Give the held units whose copies elsewhere turned out well; these come first in a page."""
    for p in prepared:
        if held.get(p.unit.key) and p.relies_on <= sound:
            sound.add(p.unit.key)
            yield from held[p.unit.key]


def _look(intent: Intent) -> tuple[int, int] | None:
    """Read from an intent how many looks for lost bytes there were, and how many were lost."""
    kind, _, rest = intent.process.partition("/")
    number, _, lost = rest.partition("/")
    if kind != _LOOK_PROCESS or not (number.isdecimal() and lost.isdecimal()):
        return None
    return int(number), int(lost)


def _applied_unit(p: _Prepared, applied: Applied, *, recheck: bool) -> AppliedUnit:
    return AppliedUnit(
        key=p.unit.key,
        fingerprint=p.unit.fingerprint,
        bindings=applied.runs,
        homes={i: (home.step_key, home.path) for i, home in p.plan.new_homes.items()},
        recheck=recheck,
    )


def _where(run: RunSnapshot) -> dict[str, str]:
    return {
        "stack": run.stack,
        "sink": "mlflow",
        "pipeline": run.pipeline.name,
        "run": run.name,
    }


def _add_pages_note(report: StackReport, stack: str, reason: str) -> None:
    """Say once that pages are missing, whatever the run."""
    told = "The artifact store took no pages"
    if not any(note["note"].startswith(told) for note in report.notes):
        note = (
            f"{told}: {reason} All else is in MLflow. The next cycle tries once more; "
            "`pages: false` in mappings/mlflow.yaml leaves them out."
        )
        _add_note(report, {"stack": stack, "sink": "mlflow", "note": note})


def _add_note(report: StackReport, note: dict[str, str]) -> None:
    report.notes.append(note)
