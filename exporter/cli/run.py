"""`run`: one cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.cli.context import mask, read_settings
from exporter.cli.output import one_line, print_json, say
from exporter.cli.progress import shown_progress
from exporter.cli.signals import stop_on_signals
from exporter.cli.tables import print_table
from exporter.sync.clock import Stop
from exporter.sync.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config import Settings
    from exporter.sync.report import CycleReport

_SHOWN_ERRORS = 20


def run_once(config: Path | None, *, as_json: bool, full: bool, repair: bool) -> int:
    """Run one cycle, show its summary and give the exit code."""
    settings = read_settings(config)
    stop = Stop()
    stop_on_signals(stop, "run")
    report = run_cycle(settings, stop, full=full, repair=repair)
    if as_json:
        print_json(report.to_json())
    else:
        show_report(report)
    show_errors(report)
    return report.exit_code


def run_cycle(
    settings: Settings, stop: Stop, *, full: bool = False, repair: bool = False
) -> CycleReport:
    """Run one cycle with the progress shown on stderr."""
    engine = Engine(settings, stop=stop, migrate=True)
    with shown_progress() as progress:
        return engine.cycle(full=full, repair=repair, progress=progress)


def show_report(report: CycleReport) -> None:
    """Draw the summary of a cycle."""
    total = report.total
    rows: list[tuple[object, ...]] = [
        ("source", _counts(total.to_json()["source"])),
        ("units", _counts(total.to_json()["units"])),
        ("artifacts", _counts(total.to_json()["artifacts"])),
    ]
    if total.mlflow is not None:
        rows.append(("mlflow", _counts(total.to_json()["mlflow"])))
    for name, counts in (total.to_json()["openlineage"] or {}).get("destinations", {}).items():
        rows.append((f"openlineage {name}", _counts(counts)))
    if total.kept_beside:
        rows.append(("kept beside", _counts(total.kept_beside)))
    state = "stopped early" if report.stopped else "done" if total.ok else "partial"
    print_table(f"{state} in {total.seconds:.1f} s", ("what", "counts"), rows)


def show_errors(report: CycleReport) -> None:
    """Tell what went wrong or is worth knowing, a line each, on stderr."""
    for note in report.total.notes[:_SHOWN_ERRORS]:
        say(one_line(mask("note: " + " ".join(f"{k} {v!r}" for k, v in note.items()))))
    errors = report.total.errors
    for error in errors[:_SHOWN_ERRORS]:
        where = " ".join(
            f"{key} {error[key]!r}" for key in ("stack", "sink", "pipeline", "run") if key in error
        )
        verdict = " (dead letter: see `pipeline-exporter dead list`)" if error.get("dead") else ""
        say(one_line(mask(f"error: {where}: {error['error']}{verdict}")))
    if more := len(errors[_SHOWN_ERRORS:]) + errors.more:
        say(f"error: … and {more:,} more.")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in counts.items())
