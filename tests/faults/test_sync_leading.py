"""One leader at a time: a second stays out, a paused one writes nothing, a stopped one drains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.command import environment, run_command, wait_until
from support.generator import GeneratedStore

from exporter.errors import LeaseLost
from exporter.sync.clock import Stop
from exporter.sync.leading import Leadership

if TYPE_CHECKING:
    from support.sync_site import Site


@pytest.fixture
def store(tmp_path: Path, site: Site) -> Path:
    """Give a store of ten runs, configured as the site's stack."""
    path = tmp_path / "store.db"
    with GeneratedStore(path) as made:
        made.fill(10, pipelines=2)
    site.add_stack(path)
    return path


class _StopAfter(Stop):
    """A wish to stop that comes up at the n-th look."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    @property
    def requested(self) -> bool:
        """Count the looks."""
        self._looks -= 1
        return self._looks <= 0


def test_a_second_process_leaves_with_3(site: Site, store: Path) -> None:
    del store
    with site.ledger() as ledger, Leadership(ledger, "the first"):
        ended = run_command("run", "--config", site.config_file())
    assert ended.code == 3
    assert len(ended.err.strip().splitlines()) == 1


def test_a_paused_leader_notices_before_it_writes(site: Site, store: Path) -> None:
    del store
    with site.ledger() as ledger:
        paused = Leadership(ledger, "paused", ttl_s=0.3)
        paused.__enter__()
        paused._done.set()  # the heart stops, as it does in a stopped process
        time.sleep(0.5)
        with site.ledger() as other, Leadership(other, "next"), pytest.raises(LeaseLost):
            _ = paused.lease


def test_a_leader_paused_beyond_its_lease_leaves_nothing_stale(site: Site, store: Path) -> None:
    del store
    config = site.config_file()
    process = subprocess.Popen(
        [sys.executable, "-m", "support.one_cycle", str(config), "100"],
        env=environment({"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: _has_begun(site), what="an intent in the ledger")
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(1.2)  # the lease of one_cycle lasts a second
    report = site.cycle()
    os.kill(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert b"LeaseLost" in errors
    assert report.exit_code == 0
    site.cycle(repair=True)
    assert len(site.parents()) == 10
    keys = [run.key for run in site.runs()]
    assert len(keys) == len(set(keys)) == 60


def _has_begun(site: Site) -> bool:
    if not (site.folder / "state.db").exists():
        return False
    return bool(site.begun())


def test_a_first_signal_drains_and_the_next_run_completes(site: Site, store: Path) -> None:
    del store
    site.stop = _StopAfter(5)
    stopped = site.cycle()
    shown = stopped.to_json()
    assert (stopped.exit_code, shown["stopped"]) == (0, True)
    assert shown["units"]["waiting"] > 0
    assert sum(shown["units"].values()) == shown["source"]["runs"] == 10
    site.stop = Stop()
    whole = site.cycle().to_json()
    assert whole["units"]["waiting"] == 0
    assert len(site.parents()) == 10
