"""What a cycle did, as the promised JSON of `run --json`.

The shape may grow, not change. Counts under `source` and `units` are totals the ledger knows after
the cycle; the others are what this cycle did, except `pending` and `dead` of `openlineage`, which
say how things stand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

JsonObject = dict[str, Any]  # Any: JSON values


LISTED = 100


class Entries(list[JsonObject]):
    """Errors or notes: the first hundred different ones, and how many more there were."""

    more = 0

    def append(self, entry: JsonObject) -> None:
        """Add an entry, or count it; one that is listed already is passed over."""
        if entry in self:
            return
        if len(self) < LISTED:
            super().append(entry)
        else:
            self.more += 1

    def extend(self, entries: Iterable[JsonObject]) -> None:
        """Add entries, and what they did not list themselves."""
        self.more += entries.more if isinstance(entries, Entries) else 0
        for entry in entries:
            self.append(entry)

    def to_json(self, kind: str) -> list[JsonObject]:
        """Give the entries, with a last one that counts the rest."""
        rest: list[JsonObject] = [{kind: f"… and {self.more} more"}] if self.more else []
        return [*self, *rest]


@dataclass(slots=True)
class SourceCounts:
    """How large the history is."""

    pipelines: int = 0
    runs: int = 0
    steps: int = 0
    artifacts: int = 0


@dataclass(slots=True)
class UnitCounts:
    """Where the units (pipeline runs) stand; each is in exactly one."""

    written: int = 0
    unchanged: int = 0
    waiting: int = 0
    dead: int = 0


@dataclass(slots=True)
class ArtifactCounts:
    """What became of the artifacts this cycle looked at."""

    copied: int = 0
    referenced: int = 0
    too_large: int = 0
    refused: int = 0
    missing: int = 0
    corrupt: int = 0

    def to_notes(self) -> list[str]:
        """Say of what could not be read how much it is, and what to do."""
        told = {
            "outside the folders that may be read (artifacts.roots)": self.refused,
            "not there": self.missing,
            "not readable whole": self.corrupt,
        }
        return [
            f"the files of {count:,} artifacts were not read, for they are {why}; where they were "
            "moved, set artifacts.rewrite (`pipeline-exporter doctor` shows places)"
            for why, count in told.items()
            if count
        ]


@dataclass(slots=True)
class MlflowCounts:
    """What MLflow was asked to do."""

    runs_created: int = 0
    runs_updated: int = 0
    requests: int = 0
    files: int = 0
    bytes: int = 0
    tables: int = 0
    models: int = 0
    models_registered: int = 0


@dataclass(slots=True)
class LineageCounts:
    """Events of one destination."""

    queued: int = 0
    delivered: int = 0
    pending: int = 0
    dead: int = 0


@dataclass(slots=True)
class StackReport:
    """What a cycle did for one stack; None for the kinds of sink that are not configured."""

    source: SourceCounts = field(default_factory=SourceCounts)
    units: UnitCounts = field(default_factory=UnitCounts)
    artifacts: ArtifactCounts = field(default_factory=ArtifactCounts)
    mlflow: MlflowCounts | None = None
    destinations: dict[str, LineageCounts] | None = None
    kept_beside: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failed: int = 0
    dead_now: int = 0
    errors: Entries = field(default_factory=Entries)
    notes: Entries = field(default_factory=Entries)

    @property
    def ok(self) -> bool:
        """Tell whether nothing failed or was dead-lettered in this cycle."""
        return not (self.failed or self.dead_now or self.errors)

    def add(self, other: StackReport) -> None:
        """Add another report's counts to this one."""
        for name in ("source", "units", "artifacts"):
            _add_counts(getattr(self, name), getattr(other, name))
        if other.mlflow is not None:
            self.mlflow = self.mlflow or MlflowCounts()
            _add_counts(self.mlflow, other.mlflow)
        if other.destinations is not None:
            self.destinations = self.destinations if self.destinations is not None else {}
            for name, counts in other.destinations.items():
                _add_counts(self.destinations.setdefault(name, LineageCounts()), counts)
        self.kept_beside.update(other.kept_beside)
        self.failed += other.failed
        self.dead_now += other.dead_now
        self.errors.extend(other.errors)
        self.notes.extend(other.notes)

    def to_json(self) -> JsonObject:
        """Give the promised object, without `stacks`."""
        return {
            "ok": self.ok,
            "source": _counts_to_json(self.source),
            "units": _counts_to_json(self.units),
            "artifacts": _counts_to_json(self.artifacts),
            "mlflow": None if self.mlflow is None else _counts_to_json(self.mlflow),
            "openlineage": self._lineage_to_json(),
            "kept_beside": dict(sorted(self.kept_beside.items())),
            "seconds": round(self.seconds, 3),
            "failed": self.failed,
            "errors": self.errors.to_json("error"),
            "notes": self.notes.to_json("note"),
        }

    def _lineage_to_json(self) -> JsonObject | None:
        if self.destinations is None:
            return None
        total = LineageCounts()
        for counts in self.destinations.values():
            _add_counts(total, counts)
        return {
            **_counts_to_json(total),
            "destinations": {
                name: _counts_to_json(counts) for name, counts in self.destinations.items()
            },
        }


@dataclass(slots=True)
class CycleReport:
    """What a cycle did for all stacks, with the exit code it asks for."""

    stacks: dict[str, StackReport] = field(default_factory=dict)
    total: StackReport = field(default_factory=StackReport)
    exit_code: int = 0
    stopped: bool = False

    def to_json(self) -> JsonObject:
        """Give the promised object of `run --json`."""
        shown = self.total.to_json()
        shown["ok"] = shown["ok"] and self.exit_code == 0
        shown["stopped"] = self.stopped
        shown["stacks"] = {key: report.to_json() for key, report in self.stacks.items()}
        return shown


def _counts_to_json(counts: object) -> JsonObject:
    return {f.name: getattr(counts, f.name) for f in fields(counts)}  # type: ignore[arg-type]  # a dataclass, always


def _add_counts(into: object, other: object) -> None:
    for f in fields(into):  # type: ignore[arg-type]  # a dataclass, always
        setattr(into, f.name, getattr(into, f.name) + getattr(other, f.name))
