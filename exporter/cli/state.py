"""`state upgrade`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.cli.context import read_settings
from exporter.cli.output import print_json, print_line
from exporter.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


def upgrade_state(config: Path | None, *, as_json: bool) -> int:
    """Create or upgrade the ledger, and say from which revision to which."""
    settings = read_settings(config)
    before, after = Ledger.upgrade(settings.state.url.get_secret_value())
    if as_json:
        print_json({"ok": True, "before": before, "after": after})
    elif before == after:
        print_line(f"The state database is at revision {after} already.")
    else:
        print_line(f"The state database went from {before or 'nothing'} to revision {after}.")
    return 0
