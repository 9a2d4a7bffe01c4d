"""What a verification found: differences, and counts of what was compared."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = Any  # Any: JSON values
Kind = Literal[
    "experiment",
    "run",
    "parent",
    "name",
    "status",
    "start",
    "end",
    "param",
    "metric",
    "tag",
    "dataset",
    "file",
    "record",
]


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where MLflow does not hold what the source says; None stands for nothing there.

    `source` and `sink` are JSON values; `name` is that of the parameter, metric, tag, dataset, the
    path of the file, or the place in the record.
    """

    stack: str
    pipeline: str
    run: str
    step: str
    kind: Kind
    name: str
    source: Json
    sink: Json

    @property
    def path(self) -> str:
        """Name the place, from the stack down."""
        where = [self.stack, self.pipeline, self.run, self.step]
        what = f"{self.kind} {self.name}" if self.name else self.kind
        return " / ".join([*(part for part in where if part), what])

    def to_json(self) -> dict[str, Json]:
        """Spell it as documented."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"path": self.path, **values}


@dataclass(slots=True)
class RunCounts:
    """Runs of the source, each in one place; `gone` and `extra` are runs that it no longer has.

    Those that are `gone` are tagged so in MLflow, `extra` ones are not and are differences.
    """

    equal: int = 0
    different: int = 0
    missing: int = 0
    waiting: int = 0
    unreadable: int = 0
    gone: int = 0
    extra: int = 0


@dataclass(slots=True)
class VerifyReport:
    """Counts of one stack, or of all; `errors` say what could not be compared."""

    pipelines: int = 0
    runs: int = 0
    steps: int = 0
    artifacts: int = 0
    bytes: int = 0
    differences: int = 0
    standing: RunCounts = field(default_factory=RunCounts)
    errors: list[dict[str, Json]] = field(default_factory=list)
    notes: list[dict[str, Json]] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Tell whether all that was to be compared was compared, and is equal."""
        return not self.differences and not self.errors

    def add(self, other: VerifyReport) -> None:
        """Add another report to this one."""
        for name in ("pipelines", "runs", "steps", "artifacts", "bytes", "differences"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for count in fields(RunCounts):
            now = getattr(self.standing, count.name) + getattr(other.standing, count.name)
            setattr(self.standing, count.name, now)
        self.errors += other.errors
        self.notes += other.notes

    def to_json(self) -> dict[str, Json]:
        """Spell the counts as documented."""
        names = ("pipelines", "runs", "steps", "artifacts", "bytes")
        return {
            "equal": self.equal,
            "compared": {name: getattr(self, name) for name in names},
            "runs": {f.name: getattr(self.standing, f.name) for f in fields(RunCounts)},
        }


def total(reports: Iterable[VerifyReport]) -> VerifyReport:
    """Add reports up."""
    whole = VerifyReport()
    for report in reports:
        whole.add(report)
    return whole
