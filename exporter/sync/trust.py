"""Whether a source still is the one that was read: it holds at least one run that is known.

A store that was emptied, or replaced by another, looks as if everything had been deleted. That is
asked about, not believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from exporter.errors import SourceDoubted
from exporter.hierarchy import UnreadableRun, run_key
from exporter.sync.outcomes import Failure, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.hierarchy import RunSnapshot
    from exporter.ledger import Ledger, UnitState
    from exporter.sync.stacks import OpenStack

_SUSPICIOUS_LOSS = 2
_SAMPLE, _PAGE = 5, 500


@dataclass(slots=True)
class SourceTrust:
    """Judges the source of one stack, once in a cycle; nothing is asked where it is `given`."""

    stack: OpenStack
    ledger: Ledger
    mask: Callable[[str], str]
    given: bool = False

    def check(
        self,
        found: Sequence[RunSnapshot | UnreadableRun],
        read: Callable[[Sequence[str]], Sequence[RunSnapshot | UnreadableRun]],
    ) -> None:
        """See that a known run is there: `found`, or one of the newest by `read`, or any by name.

        Raises: SourceDoubted when two or more are known and none of them is there.
        """
        if self.given:
            return
        units = self.ledger.units
        number = units.totals(self.stack.key).runs
        newest = (unit.source_id for unit in units.present(self.stack.key, _SAMPLE))
        self.given = (
            number < _SUSPICIOUS_LOSS
            or self._holds_known(found)
            or self._holds_known(read(list(newest)))
            or self._lists_known()
            or self._holds_known(read(units.unread(self.stack.key)))
        )
        if not self.given:
            raise SourceDoubted(
                f"All of {number} known runs are missing from the source at once; none was marked "
                "as gone, and nothing was taken from it.",
                hint="Is it the right store? If they were deleted on purpose, say so with "
                "`run --full`.",
            )

    def _lists_known(self) -> bool:
        """Tell whether the source lists a known name, whatever its id: it may have been rebuilt."""
        known = set(self.ledger.units.pipeline_names(self.stack.key))
        for pipeline in self.stack.history.pipelines():
            if pipeline.name not in known:
                continue
            names = {head.name for head in self.stack.history.heads(pipeline)}
            before = None
            while names and (page := self._known_of(pipeline.name, before)):
                if any(unit.run in names for unit in page):
                    return True
                before = page[-1].position
        return False

    def _known_of(self, pipeline: str, before: int | None) -> list[UnitState]:
        return self.ledger.units.present(self.stack.key, _PAGE, pipeline=pipeline, before=before)

    def _holds_known(self, found: Sequence[RunSnapshot | UnreadableRun]) -> bool:
        """Tell whether one of these was there before, by its key, or its names if unreadable."""
        keys: list[str] = []
        unreadable: dict[str, tuple[str, str]] = {}
        for run in found:
            if isinstance(run, UnreadableRun):
                unreadable[run.source_id] = (run.pipeline, run.name)
                continue
            key = attempt(partial(run_key, run), self.mask)
            if isinstance(key, Failure):
                unreadable[run.source_id] = (str(run.pipeline.name), str(run.name))
            else:
                keys.append(key)
        if any(not unit.gone for unit in self.ledger.units.of(keys).values()):
            return True
        names = self.ledger.units.names(self.stack.key, unreadable)
        return any(names.get(source_id) == named for source_id, named in unreadable.items())
