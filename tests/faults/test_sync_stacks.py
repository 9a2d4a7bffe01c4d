"""A stack that cannot be opened, whatever the reason, stops neither the others nor the delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.generator import GeneratedStore
from support.sync_site import Site

from exporter.errors import ConfigError, SourceUnavailable, StoreUnreadable
from exporter.sources.open import open_stack

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.config import Settings, StackSettings


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyError("no such section"), 1),
        (ValueError("driver: mysql://root:hunter2@db/x"), 1),
        (ConfigError("The driver is not installed."), 2),
        (StoreUnreadable("It is no store."), 2),
        (SourceUnavailable("It is away."), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_stack_that_fails_to_open_stops_no_other_and_no_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    path = tmp_path / "store.db"
    with GeneratedStore(path) as store:
        store.fill(2, pipelines=1)
    site = Site(tmp_path, "stacks", None)
    site.add_stack(tmp_path / "other.db", "broken")
    site.add_stack(path, "sound")

    def opening(settings: Settings, stack: StackSettings) -> object:
        if stack.key == "broken":
            raise error
        return open_stack(settings, stack)

    monkeypatch.setattr("exporter.sync.engine.open_stack", opening)
    report = site.cycle()
    shown = report.to_json()
    assert report.exit_code == code
    assert [entry["stack"] for entry in shown["errors"]] == ["broken"]
    assert "hunter2" not in str(shown)
    assert shown["stacks"]["sound"]["units"]["written"] == 2
    assert shown["openlineage"]["delivered"] == len(site.told()) > 0
