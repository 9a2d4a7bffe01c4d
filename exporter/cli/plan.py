"""`plan`: the dry run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, is_dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from exporter.cli.context import mask, read_settings
from exporter.cli.exits import OK, PARTIAL, exit_code
from exporter.cli.output import counted, one_line, print_json, print_line, say
from exporter.cli.tables import print_table
from exporter.errors import SourceError
from exporter.hierarchy import iso_from_ms
from exporter.sync.contents import COMPUTED_ON_RUN
from exporter.sync.dry_run import PlannedStack, planned_units
from exporter.sync.policy import Mappings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from exporter.sync.dry_run import PlannedUnit

JsonValue = Any  # Any: JSON values

_NO_MLFLOW = (
    "The configuration names no MLflow, so there is nothing to plan; what lineage catalogs are "
    "sent is not shown."
)


@dataclass(slots=True)
class _Shown:
    """What the dry run found: totals over everything, the first units in full."""

    runs: int = 0
    nested: int = 0
    files: int = 0
    bytes: int = 0
    tables: int = 0
    models: int = 0
    unchanged: int = 0
    held_back: int = 0
    kept_beside: Counter[str] = field(default_factory=Counter)
    units: list[PlannedUnit] = field(default_factory=list)
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)
    broken: list[tuple[str, SourceError]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, unit: PlannedUnit, limit: int) -> None:
        plan = unit.plan
        self.runs += 1
        self.nested += len(plan.children)
        new = [upload for upload in plan.uploads if not upload.held]
        files = [file for upload in new for file in upload.files]
        copied = {upload.artifact_id for upload in new}
        files += [f for m in plan.models if m.artifact_id in copied for f, _ in m.files]
        self.files += len(files)
        self.bytes += sum(file.size for file in files)
        self.tables += unit.tables
        self.models += len(plan.models)
        self.kept_beside.update(plan.kept_beside)
        if len(self.units) < limit:
            self.units.append(unit)


def show_plan(config: Path | None, *, as_json: bool, limit: int) -> int:
    """Show what `run` would write; 1 when runs cannot be read, more when a whole stack cannot."""
    settings = read_settings(config)
    mappings = Mappings.load(settings)
    shown = _Shown()
    if settings.sinks.mlflow is None:
        shown.notes.append(_NO_MLFLOW)
    for stack in settings.stacks:
        into = PlannedStack(stack.key)
        try:
            for unit in planned_units(settings, mappings, stack, into):
                shown.add(unit, limit)
        except SourceError as error:
            shown.broken.append((stack.key, error))
        shown.unchanged += into.unchanged
        shown.held_back += into.held_back
        shown.unreadable += into.unreadable
    if as_json:
        print_json(_to_json(shown))
    else:
        _draw(shown)
    for key, broken in shown.broken:
        say(one_line(mask(f"error: stack {key!r}: {broken}")))
    codes = [exit_code(broken) for _, broken in shown.broken]
    return max([PARTIAL if shown.unreadable else OK, *codes])


def _to_json(shown: _Shown) -> dict[str, JsonValue]:
    return {
        "ok": not shown.unreadable and not shown.broken,
        "write": {
            "runs": shown.runs,
            "nested_runs": shown.nested,
            "files": shown.files,
            "bytes": shown.bytes,
            "tables": shown.tables,
            "models": shown.models,
        },
        "unchanged": shown.unchanged,
        "held_back": shown.held_back,
        "kept_beside": dict(sorted(shown.kept_beside.items())),
        "unreadable": [
            {"pipeline": pipeline, "run": run, "reason": reason}
            for pipeline, run, reason in shown.unreadable
        ],
        "errors": [{"stack": key, "error": str(error)} for key, error in shown.broken],
        "notes": shown.notes,
        "units": [_unit_to_json(unit) for unit in shown.units],
    }


def _unit_to_json(unit: PlannedUnit) -> JsonValue:
    plan = unit.plan
    value = plain(plan)
    if unit.tables:
        value["statistics"] = COMPUTED_ON_RUN
    if any(file.sha256 == COMPUTED_ON_RUN for upload in plan.uploads for file in upload.files):
        value["seal"] = COMPUTED_ON_RUN
        value["record"] = COMPUTED_ON_RUN
        for model in value["models"]:
            model["digest"] = COMPUTED_ON_RUN
    value["record_file"] = None if plan.record_file is None else plan.record_file[0]
    return value


def plain(value: object) -> JsonValue:
    """Spell a plan as JSON values: dataclasses and named tuples by field, bytes by their length."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float):
        return value if isfinite(value) else repr(value)
    return value


def _draw(shown: _Shown) -> None:
    for note in shown.notes:
        print_line(note)
    if shown.units:
        _draw_units(shown.units)
    if shown.runs > len(shown.units):
        print_line(f"… and {shown.runs - len(shown.units):,} more runs (--limit shows more).")
    print_line(
        f"{counted(shown.runs, 'run')} with {counted(shown.nested, 'nested run')} and "
        f"{counted(shown.files, 'file')} ({counted(shown.bytes, 'byte')}) to write, "
        f"{counted(shown.unchanged, 'run')} unchanged."
        if shown.runs
        else f"Nothing to write, {counted(shown.unchanged, 'run')} unchanged."
    )
    if shown.held_back:
        verb = "is" if shown.held_back == 1 else "are"
        print_line(
            f"{counted(shown.held_back, 'run')} {verb} held back: "
            "dead letters, given up, or tried again later."
        )
    if shown.models:
        print_line(f"{shown.models:,} outputs are models, and become MLflow models too.")
    _draw_counts("Kept beside, since MLflow cannot hold it", shown.kept_beside)
    for pipeline, run, reason in shown.unreadable:
        print_line(f"cannot be read: pipeline {pipeline!r} run {run!r}: {reason}")


def _draw_units(units: Sequence[PlannedUnit]) -> None:
    print_table(
        "What `run` would write",
        ("experiment", "run", "status", "start", "nested", "params", "metrics", "files"),
        [
            (
                plan.experiment.name,
                plan.parent.name,
                plan.parent.status,
                iso_from_ms(plan.parent.start),
                len(plan.children),
                sum(len(run.params) for run in (plan.parent, *plan.children)),
                sum(len(run.metrics) for run in (plan.parent, *plan.children)),
                sum(len(upload.files) for upload in plan.uploads if not upload.held),
            )
            for plan in (unit.plan for unit in units)
        ],
    )


def _draw_counts(title: str, counts: Mapping[str, int]) -> None:
    if counts:
        print_line(f"{title}: " + ", ".join(f"{k} {v:,}" for k, v in sorted(counts.items())))
