"""Takes runs in: reads them, and notes what was seen, what vanished, what cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from exporter.hierarchy import RunSnapshot, UnreadableRun, run_key
from exporter.hierarchy.status import is_unfinished
from exporter.ledger import SeenUnit
from exporter.sync.fingerprint import has_settled, unit_fingerprint
from exporter.sync.outcomes import Failure, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.ledger import Ledger, UnitState
    from exporter.sync.clock import Clock
    from exporter.sync.leading import Leadership
    from exporter.sync.report import StackReport
    from exporter.sync.stacks import OpenStack
    from exporter.sync.trust import SourceTrust


@dataclass(frozen=True, slots=True)
class CycleRules:
    """The settings a cycle follows; times in milliseconds."""

    settle_ms: int = 30_000
    stale_after_ms: int = 7 * 86_400_000
    rescan_runs: int = 200
    full: bool = False
    repair: bool = False


class Taken(NamedTuple):
    """A run and what the ledger was told of it."""

    run: RunSnapshot
    seen: SeenUnit


@dataclass(slots=True)
class Intake:
    """Reads one stack, a page of runs at a time, into the ledger."""

    stack: OpenStack
    ledger: Ledger
    leadership: Leadership
    clock: Clock
    rules: CycleRules
    report: StackReport
    mask: Callable[[str], str]
    trust: SourceTrust

    def take(self, source_ids: Sequence[str]) -> list[Taken]:
        """Read a page and record it; give the runs that could be read.

        A run that cannot be read is a dead letter, and the others go on. Runs that are known, or
        could not be read, and are no longer there are marked as gone. Before any such news is
        taken, the source itself is judged.
        Raises: SourceError, SourceDoubted, with nothing of the page recorded; StateError.
        """
        found = self._read(source_ids)
        known = self.ledger.units.known(self.stack.key, source_ids)
        there = {run.source_id for run in found}
        lost = self._lost([i for i in source_ids if i not in there], known)
        if lost or any(_is_news(run, known) for run in found):
            self.trust.check(found, self._read)
        runs: list[RunSnapshot] = []
        for run in found:
            if isinstance(run, UnreadableRun):
                self._note_unreadable(run)
            else:
                runs.append(run)
        if lost:
            self.ledger.units.mark_gone(
                self.leadership.lease, self.stack.key, lost, self.clock.now_ms()
            )
        now = self.clock.now_ms()
        taken = [unit for run in runs if (unit := self._take_one(run, known, now)) is not None]
        self.ledger.units.record(
            self.leadership.lease, self.stack.key, [unit.seen for unit in taken], now
        )
        return taken

    def _take_one(self, run: RunSnapshot, known: Mapping[str, UnitState], now: int) -> Taken | None:
        """Describe one run for the ledger; one that cannot be described is a dead letter."""
        seen = attempt(partial(self._seen, run, known.get(run.source_id), now), self.mask)
        if not isinstance(seen, Failure):
            return Taken(run, seen)
        self._note_unreadable(
            UnreadableRun(
                str(run.pipeline.name), str(run.name), run.source_id, _unread(seen.message)
            )
        )
        return None

    def check_source(self) -> None:
        """Judge the source before anything is taken from it. Raises: SourceDoubted; as `take`."""
        self.trust.check((), self._read)

    def _read(self, source_ids: Sequence[str]) -> list[RunSnapshot | UnreadableRun]:
        """Read runs; where the reader stumbles, halve the page until the stone lies alone."""
        result = attempt(partial(self.stack.history.runs, source_ids), self.mask)
        if not isinstance(result, Failure):
            return list(result)
        if len(source_ids) > 1:
            half = len(source_ids) // 2
            return [*self._read(source_ids[:half]), *self._read(source_ids[half:])]
        known = self.ledger.units.known(self.stack.key, source_ids)
        return [
            UnreadableRun(
                pipeline=known[i].pipeline if i in known else "",
                name=known[i].run if i in known else i,
                source_id=i,
                reason=_unread(result.message),
            )
            for i in source_ids
        ]

    def _note_unreadable(self, run: UnreadableRun) -> None:
        reason = self.mask(run.reason)
        new = self.ledger.units.fail_run(
            self.leadership.lease,
            self.stack.key,
            run.source_id,
            pipeline=run.pipeline,
            run=run.name,
            error=reason,
            kind="unreadable_run",
            now=self.clock.now_ms(),
        )
        if new:
            self.report.dead_now += 1
            self.report.errors.append(
                {
                    "stack": self.stack.key,
                    "pipeline": run.pipeline,
                    "run": run.name,
                    "error": reason,
                    "dead": True,
                }
            )

    def _lost(self, missing: Sequence[str], known: Mapping[str, UnitState]) -> list[str]:
        """Give those of the missing runs that were there, though perhaps never readable."""
        if not missing:
            return []
        unread = set(self.ledger.units.unread(self.stack.key, missing))
        return [i for i in missing if i in unread or (i in known and not known[i].gone)]

    def _seen(self, run: RunSnapshot, known: UnitState | None, now: int) -> SeenUnit:
        fingerprint = unit_fingerprint(run, self.stack.policy)
        same = known is not None and known.fingerprint == fingerprint
        return SeenUnit(
            key=run_key(run),
            source_id=run.source_id,
            pipeline=run.pipeline.name,
            run=run.name,
            status=run.status,
            unfinished=is_unfinished(run.status)
            or any(is_unfinished(step.status) for step in run.steps),
            settled=has_settled(
                run,
                now_ms=now,
                settle_ms=self.rules.settle_ms,
                unchanged_since_ms=known.first_seen_ms if known is not None and same else None,
            ),
            fingerprint=fingerprint,
            steps=len(run.steps),
            artifact_ids=[artifact.id for artifact in run.artifacts],
            changed_ms=run.changed,
            start_ms=run.start,
            end_ms=run.end,
        )


def _is_news(run: RunSnapshot | UnreadableRun, known: Mapping[str, UnitState]) -> bool:
    """Tell whether a run was not there before under this id and these names."""
    unit = known.get(run.source_id)
    if unit is None or unit.gone:
        return True
    pipeline = run.pipeline if isinstance(run, UnreadableRun) else run.pipeline.name
    return (unit.pipeline, unit.run) != (pipeline, run.name)


def _unread(message: str) -> str:
    return f"The run could not be read: {message}"
