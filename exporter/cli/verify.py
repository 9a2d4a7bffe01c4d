"""`verify`: what the sources say beside what MLflow holds."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from exporter.cli.context import mask, read_settings
from exporter.cli.difference_text import difference_text
from exporter.cli.exits import PARTIAL, exit_code
from exporter.cli.output import JsonWithList, counted, one_line, print_line, say
from exporter.cli.progress import shown_progress
from exporter.cli.signals import stop_on_signals
from exporter.errors import ExporterError
from exporter.sync.clock import Stop
from exporter.sync.verify_report import total
from exporter.sync.verifying import Verification

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from exporter.sync.verify_report import Difference, VerifyReport

_SHOWN_OF_A_RUN = 20
_SHOWN_ERRORS = 20


def verify(
    config: Path | None,
    *,
    as_json: bool,
    pipelines: Sequence[str],
    stacks: Sequence[str],
    sizes_only: bool,
) -> int:
    """Compare, show the differences as they are found, and give the exit code."""
    settings = read_settings(config)
    stop = Stop()
    stop_on_signals(stop, "verify")
    work = Verification(settings, pipelines, stacks, sizes_only=sizes_only, stop=stop)
    with shown_progress() as progress:
        work.progress = progress
        code = _as_json(work) if as_json else _as_text(work)
    _show_errors(total(work.stacks.values()))
    return code


def _code(work: Verification) -> int:
    is_equal = total(work.stacks.values()).equal and not work.stop.requested
    return max(work.exit_code, 0 if is_equal else PARTIAL)


def _as_json(work: Verification) -> int:
    shown = JsonWithList("differences")
    try:
        for difference in work.differences():
            shown.add(difference.to_json())
    except ExporterError as error:
        if not shown.has_begun:
            raise
        text = mask(error.message)
        failed = {"kind": type(error).__name__, "message": text, "hint": error.hint}
        shown.end({"ok": False, "equal": False, "error": failed})
        say(mask(f"error: {error}"))
        return exit_code(error)
    shown.end(_json(work))
    return _code(work)


def _json(work: Verification) -> dict[str, Any]:  # Any: JSON values
    whole = total(work.stacks.values())
    return {
        "ok": _code(work) == 0,
        **whole.to_json(),
        "stopped": work.stop.requested,
        "errors": whole.errors,
        "stacks": {key: report.to_json() for key, report in work.stacks.items()},
    }


def _as_text(work: Verification) -> int:
    several = len(work.settings.stacks) > 1
    for _, run in groupby(work.differences(), key=lambda d: (d.stack, d.pipeline, d.run)):
        _show_run(run, several=several)
    whole = total(work.stacks.values())
    for line in _summary(whole):
        print_line(line)
    if work.stop.requested:
        print_line("Stopped early: not everything was compared.")
    return _code(work)


def _show_run(differences: Iterator[Difference], *, several: bool) -> None:
    more = 0
    where = ""
    for number, difference in enumerate(differences):
        if number < _SHOWN_OF_A_RUN:
            print_line(one_line(mask(difference_text(difference, with_stack=several))))
        else:
            more += 1
            where = f"{difference.pipeline} / {difference.run}"
    if more:
        print_line(one_line(f"{where}: … and {more:,} more; `--json` lists them all."))


def _summary(whole: VerifyReport) -> Iterator[str]:
    runs = whole.standing
    compared = (
        f"{counted(whole.runs, 'run')} compared: {runs.equal:,} equal, {runs.different:,} different"
    )
    others = f"{runs.missing:,} missing in MLflow, {runs.waiting:,} not exported yet"
    more = f", {runs.gone:,} gone at the source" if runs.gone else ""
    unread = f", {runs.unreadable:,} that cannot be compared" if runs.unreadable else ""
    extra = f", {runs.extra:,} that the source does not know" if runs.extra else ""
    yield f"{compared}; {others}{more}{extra}{unread}."
    yield (
        f"{counted(whole.steps, 'step')}, {counted(whole.artifacts, 'artifact')}, "
        f"{counted(whole.bytes, 'byte')} of files compared in "
        f"{counted(whole.pipelines, 'pipeline')}."
    )
    if whole.differences:
        found = counted(whole.differences, "difference")
        yield f"{found}. `pipeline-exporter run --repair` mends MLflow."


def _show_errors(whole: VerifyReport) -> None:
    for error in whole.errors[:_SHOWN_ERRORS]:
        where = " ".join(f"{k} {error[k]!r}" for k in ("stack", "pipeline", "run") if k in error)
        say(one_line(mask(f"error: {where}: {error['error']}")))
    if len(whole.errors) > _SHOWN_ERRORS:
        say(f"error: … and {len(whole.errors) - _SHOWN_ERRORS} more; `--json` lists them all.")
