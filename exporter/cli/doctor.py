"""`doctor`: every part of a configuration checked, and what to do about it. Nothing is written."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.cli.checks import Check
from exporter.cli.context import mask, read_settings
from exporter.cli.output import counted, print_json, print_line
from exporter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def examine(config: Path | None, *, as_json: bool) -> int:
    """Check everything and tell it; give the highest exit code of the problems, 0 for none."""
    found: list[Check] = []
    for check in _checks(config):
        found.append(check)
        if not as_json:
            _tell(check)
    code = max((check.exit_code for check in found), default=0)
    if as_json:
        print_json(
            {
                "ok": code == 0,
                "checks": [
                    {"part": c.part, "status": c.status, "message": c.message, "hint": c.hint}
                    for c in found
                ],
            }
        )
        return code
    counts = Counter(check.status for check in found)
    warnings, problems = (
        counted(counts["warning"], "warning"),
        counted(counts["problem"], "problem"),
    )
    print_line(f"{counts['ok']} ok, {warnings}, {problems}.")
    return code


def _checks(config: Path | None) -> Iterator[Check]:
    try:
        settings = read_settings(config)
    except ConfigError as error:
        yield Check.problem("config", error)
        return
    from exporter.cli.checks.sinks import check_sinks
    from exporter.cli.checks.stacks import check_stack
    from exporter.cli.checks.state import check_mappings, check_schedule, check_state

    yield Check.ok(
        "config",
        f"{settings.file}: repository {settings.repository!r}, "
        f"{counted(len(settings.stacks), 'stack')}",
    )
    yield check_mappings(settings)
    for stack in settings.stacks:
        yield from check_stack(settings, stack)
    yield from check_sinks(settings)
    yield from check_state(settings)
    yield check_schedule(settings)


def _tell(check: Check) -> None:
    print_line(mask(f"{check.status:<8} {check.part}: {check.message}"))
    if check.hint:
        print_line(mask(f"         -> {check.hint}"))
