"""`dead list`, `dead retry`, `dead drop`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from exporter.cli.context import mask, read_settings
from exporter.cli.output import counted, print_json, print_line
from exporter.cli.tables import print_table
from exporter.errors import ConfigError
from exporter.hierarchy import iso_from_ms
from exporter.ledger import Ledger
from exporter.sync.leading import Leadership, process_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from exporter.config import Settings
    from exporter.ledger import DeadLetter


def list_letters(config: Path | None, *, as_json: bool) -> int:
    """Show all dead letters; 1 while there are any."""
    settings = read_settings(config)
    letters = _letters(settings)
    if as_json:
        print_json({"ok": not letters, "dead": [_letter_to_json(letter) for letter in letters]})
    elif not letters:
        print_line("No dead letters.")
    else:
        print_table(
            "Dead letters",
            ("id", "stack", "sink", "pipeline", "run", "since", "tries", "error"),
            [
                (
                    letter.id,
                    letter.stack,
                    letter.sink or "source",
                    letter.pipeline,
                    letter.run or letter.event,
                    iso_from_ms(letter.since_ms),
                    letter.attempts,
                    mask(letter.error),
                )
                for letter in letters
            ],
        )
    return 1 if letters else 0


def _letters(settings: Settings) -> Sequence[DeadLetter]:
    """Give all dead letters; none where nothing was synced yet."""
    ledger = Ledger.open_existing(settings.state.url.get_secret_value(), settings.repository)
    if ledger is None:
        return []
    with ledger:
        return ledger.dead.letters()


def retry_letters(
    config: Path | None, ids: Sequence[int], *, everything: bool, as_json: bool
) -> int:
    """Send letters back to be tried by the next cycle."""
    with _leading(config, ids, everything=everything) as (ledger, leadership):
        count = ledger.dead.retry(leadership.lease, None if everything else list(ids))
    return _told("sent back; the next `run` tries again", count, as_json=as_json)


def drop_letters(
    config: Path | None, ids: Sequence[int], *, everything: bool, as_json: bool
) -> int:
    """Give letters up."""
    with _leading(config, ids, everything=everything) as (ledger, leadership):
        count = ledger.dead.drop(leadership.lease, None if everything else list(ids))
    return _told("dropped", count, as_json=as_json)


@contextmanager
def _leading(
    config: Path | None, ids: Sequence[int], *, everything: bool
) -> Iterator[tuple[Ledger, Leadership]]:
    if bool(ids) == everything:
        raise ConfigError(
            "Say which dead letters." if not ids else "Ids and --all do not go together.",
            hint="Give ids from `dead list`, or --all.",
        )
    settings = read_settings(config)
    with (
        Ledger.open(settings.state.url.get_secret_value(), migrate=False) as ledger,
        Leadership(ledger, process_name()) as leadership,
    ):
        ledger.check_repository(settings.repository)
        if not everything:
            _check_known(ledger, ids)
        yield ledger, leadership


def _check_known(ledger: Ledger, ids: Sequence[int]) -> None:
    known = {letter.id for letter in ledger.dead.letters()}
    unknown = sorted(set(ids) - known)
    if unknown:
        raise ConfigError(
            f"No dead letter has the id {', '.join(map(str, unknown))}.",
            hint="See `pipeline-exporter dead list`.",
        )


def _told(what: str, count: int, *, as_json: bool) -> int:
    if as_json:
        print_json({"ok": True, "count": count})
    else:
        done = f"{counted(count, 'dead letter')} {what}." if count else "There is no dead letter."
        print_line(done)
    return 0


def _letter_to_json(letter: DeadLetter) -> dict[str, Any]:  # Any: JSON values
    shown = asdict(letter)
    shown["since"] = iso_from_ms(shown.pop("since_ms"))
    return shown
