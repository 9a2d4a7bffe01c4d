"""The exporter's own parts: its state database, its schedule and its mappings."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli.checks.check import Check
from exporter.cli.output import counted
from exporter.config.urls import sqlite_file
from exporter.errors import ConfigError, ExporterError, StateError, StateUnavailable
from exporter.ledger import Ledger
from exporter.service.schedule import next_runs, schedule_text
from exporter.sync.policy import Mappings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.config import Settings


def check_state(settings: Settings) -> Iterator[Check]:
    """See whether the state database is there or can be created, who leads, and what it knows."""
    url = settings.state.url.get_secret_value()
    try:
        ledger = Ledger.open_existing(url, settings.repository)
    except (ConfigError, StateError) as error:
        yield Check.problem("state", error)
        return
    if ledger is None:
        yield _not_there(url)
        return
    try:
        with ledger:
            holder = ledger.leases.holder()
            leads = holder is not None and holder.expires_in_s > 0
            leader = f"led by {holder.owner}" if holder is not None and leads else "nobody leads"
            yield Check.ok("state", f"{ledger.url}, revision {ledger.revision}, {leader}")
            yield from _read_only(url)
            yield from _renamed(settings, ledger)
            yield from _letters(ledger)
    except StateError as error:
        yield Check.problem("state", error)


def _not_there(url: str) -> Check:
    if not url.startswith("sqlite"):
        return Check.ok("state", "the database is empty; the first `run` creates its tables")
    path = Path(url.partition(":///")[2].partition("?")[0])
    folder = path.parent
    if not folder.is_dir():
        error = ConfigError(
            f"The folder of the ledger does not exist: {folder}.",
            hint="Create it, or change state.url.",
        )
        return Check.problem("state", error)
    if not os.access(folder, os.W_OK):
        unavailable = StateUnavailable(
            f"The ledger {path} cannot be created.", hint="Check that its folder can be written."
        )
        return Check.problem("state", unavailable)
    return Check.ok("state", f"the first `run` creates {path}")


def _read_only(url: str) -> Iterator[Check]:
    """See whether the user that asks may write the file, and make the journal beside it."""
    file = sqlite_file(url)
    if not file:
        return
    for place in (Path(file), Path(file).parent):
        if not os.access(place, os.W_OK):
            error = StateUnavailable(
                f"The state database cannot be written: {place} is read-only for this user.",
                hint="SQLite needs to write the file and to make others in its folder.",
            )
            yield Check.problem("state", error)
            return


def _renamed(settings: Settings, ledger: Ledger) -> Iterator[Check]:
    """Warn of stacks that only the ledger knows: under a new key a history is exported again."""
    keys = {stack.key for stack in settings.stacks}
    known = set(ledger.units.stacks())
    for lost in sorted(known - keys):
        new = ", ".join(map(repr, sorted(keys - known))) or "none"
        yield Check.warning(
            "state",
            f"the ledger knows a stack {lost!r} that the configuration lacks (new to it: {new})",
            "A key is part of every identity: under another one the history is exported again. "
            f"If it was renamed, give it back its key {lost!r}.",
        )


def _letters(ledger: Ledger) -> Iterator[Check]:
    if count := len(ledger.dead.letters()):
        yield Check.warning(
            "state", f"open: {counted(count, 'dead letter')}", "See `pipeline-exporter dead list`."
        )


def check_schedule(settings: Settings) -> Check:
    """Say when a service that started now would run."""
    moments = next_runs(settings.schedule, datetime.now(UTC), 3)
    text = schedule_text(settings.schedule)
    if not moments:
        return Check.warning(
            "schedule", f"{text} never comes true", "`serve` would wait for ever; change it."
        )
    shown = ", ".join(m.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for m in moments)
    return Check.ok("schedule", f"{text}: {shown}")


def check_mappings(settings: Settings) -> Check:
    """See whether the mappings can be read."""
    try:
        Mappings.load(settings)
    except ExporterError as error:
        return Check.problem("mappings", error)
    own = settings.mappings_folder
    return Check.ok("mappings", "as they ship" if own is None else f"{own} before those that ship")
