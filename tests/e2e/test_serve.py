"""`serve` and `run` as processes: the schedule, signals, a second leader, a newer ledger."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import (
    command,
    environment,
    run_command,
    running_command,
    wait_until,
    write_zenml_config,
)
from support.here import Told
from support.openlineage_server import LineageServer, Reply
from support.zenml_stores import recorded_store

from exporter.ledger import Ledger

Line = dict[str, Any]  # Any: JSON values


class Serving:
    """A running `serve` and the log lines it has written so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def lines(self, event: str | None = None) -> list[Line]:
        """Give the log lines, all of which are JSON, or those of one event."""
        whole = self._log.read_bytes().rpartition(b"\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    def wait_for(self, event: str, count: int = 1) -> None:
        """Wait for log lines of an event."""

        def is_there() -> bool:
            assert self.process.poll() is None, self._log.read_text()
            return len(self.lines(event)) >= count

        wait_until(is_there, what=f"log line {event!r}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and give the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:  # Any: the function below
    """Give a function that starts `serve` on the folder's configuration."""
    running: list[subprocess.Popen[bytes]] = []

    def started(*words: object) -> Serving:
        log = tmp_path / f"log-{len(running)}.jsonl"
        with log.open("wb") as err:
            process = subprocess.Popen(
                command("serve", *words),
                cwd=tmp_path,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=err,
            )
        running.append(process)
        return Serving(process, log)

    yield started
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=30)


def test_cycles_come_at_the_interval_and_sigterm_ends_them_cleanly(
    tmp_path: Path, start: Any
) -> None:
    write_zenml_config(tmp_path, more="schedule: {every: 1s}")
    serving = start()
    serving.wait_for("cycle", 2)
    assert serving.end() == 0
    cycles = serving.lines("cycle")
    assert cycles[0]["units"] == {"written": 7, "unchanged": 0, "waiting": 0, "dead": 0}
    assert cycles[1]["units"] == {"written": 0, "unchanged": 7, "waiting": 0, "dead": 0}
    assert [line["event"] for line in serving.lines()][-2:] == ["stopping", "stopped"]
    assert all(line["timestamp"].endswith("Z") for line in serving.lines())
    assert len((tmp_path / "events.jsonl").read_bytes().splitlines()) == 46
    with Ledger.open(f"sqlite:///{tmp_path}/exporter-state.db") as ledger:
        assert ledger.leases.holder() is None


def test_a_cron_expression_waits_for_its_moment(tmp_path: Path, start: Any) -> None:
    write_zenml_config(tmp_path, more='schedule: {cron: "0 0 29 2 *"}')
    serving = start()
    serving.wait_for("serving")
    assert "cron 0 0 29 2 * (UTC)" in serving.lines("serving")[0]["schedule"]
    assert serving.end(signal.SIGINT) == 0
    assert serving.lines("cycle") == []


def test_another_leader_makes_it_stand_by_until_that_one_ends(
    tmp_path: Path, start: Any, told: Told
) -> None:
    file = write_zenml_config(tmp_path, more="schedule: {every: 1s}")
    with Ledger.open(f"sqlite:///{tmp_path}/exporter-state.db") as ledger:
        lease = ledger.leases.acquire("another process", 600)
        held = told("run", "--json", "-c", file)
        assert (held.code, held.json["error"]["kind"]) == (3, "LeaseHeld")
        serving = start()
        serving.wait_for("standing_by")
        assert "another process" in serving.lines("standing_by")[0]["detail"]
        ledger.leases.release(lease)
    serving.wait_for("cycle")
    assert len(serving.lines("standing_by")) == 1
    assert serving.end() == 0


def test_what_goes_wrong_in_a_cycle_is_logged_and_the_next_one_makes_it_good(
    tmp_path: Path, start: Any
) -> None:
    store = recorded_store("zenml-0.5.7")
    away = tmp_path / "metadata.db"
    source = f"mlmd+sqlite:///{away}"
    write_zenml_config(tmp_path, source=source, more="schedule: {every: 1s}")
    serving = start()
    serving.wait_for("not_written")
    assert "There is no file" in serving.lines("not_written")[0]["error"]
    shutil.copyfile(store.database, tmp_path / "copied")
    (tmp_path / "copied").rename(away)
    wait_until(
        lambda: any(line["ok"] for line in serving.lines("cycle")), what="cycle that went well"
    )
    assert serving.end() == 0


def _set_revision(folder: Path, revision: str) -> None:
    with sqlite3.connect(folder / "exporter-state.db") as state:
        names = [row[0] for row in state.execute("SELECT name FROM sqlite_master")]
        version = next(name for name in names if "version" in name)
        state.execute(f"UPDATE {version} SET version_num = ?", (revision,))
    state.close()


def test_a_newer_ledger_is_refused_at_once(tmp_path: Path) -> None:
    write_zenml_config(tmp_path)
    Ledger.upgrade(f"sqlite:///{tmp_path}/exporter-state.db")
    _set_revision(tmp_path, "9999")
    for words in (["serve"], ["serve", "--migrate"]):
        ended = run_command(*words, cwd=tmp_path)
        assert ended.code == 2
        assert "A newer release wrote the ledger" in ended.err.splitlines()[-1]


def test_a_mistake_in_the_configuration_ends_it_with_exit_2(tmp_path: Path) -> None:
    write_zenml_config(tmp_path, more="schedule: {every: 1s, cron: '* * * * *'}")
    ended = run_command("serve", cwd=tmp_path)
    assert ended.code == 2
    assert "give either every or cron" in ended.err


def test_a_first_signal_lets_a_run_finish_what_is_under_way(
    tmp_path: Path, lineage_server: LineageServer, told: Told
) -> None:
    lineage_server.answer = lambda _event: Reply(delay_s=0.3)
    url = f"{{openlineage: [{{name: catalog, url: '{lineage_server.url}'}}]}}"
    file = write_zenml_config(tmp_path, sinks=url)
    with running_command("run", "--json", cwd=tmp_path) as process:
        wait_until(lambda: len(lineage_server.seen) >= 3, what="delivered events")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (0, 1)
    shown = json.loads(out)
    counts = shown["openlineage"]
    assert (shown["ok"], shown["stopped"]) == (True, True)
    assert 3 <= counts["delivered"] == len(lineage_server.seen) < 46
    assert counts["pending"] == 46 - counts["delivered"]
    lineage_server.answer = lambda _event: Reply()
    assert told("run", "--json", "-c", file).json["openlineage"]["pending"] == 0
    assert len(lineage_server.seen) == 46


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_second_signal_ends_a_run_at_once(
    number: signal.Signals, code: int, tmp_path: Path, lineage_server: LineageServer, told: Told
) -> None:
    lineage_server.answer = lambda _event: Reply(delay_s=5)
    url = f"{{openlineage: [{{name: catalog, url: '{lineage_server.url}'}}]}}"
    file = write_zenml_config(tmp_path, sinks=url)
    with running_command("run", cwd=tmp_path) as process:
        state = tmp_path / "exporter-state.db"
        wait_until(lambda: len(lineage_server.seen) >= 1, what="an event under way")
        process.send_signal(number)
        assert process.stderr is not None
        assert "a second or more after the first" in process.stderr.readline()
        process.send_signal(number)  # the same wish, told to the process and to its group
        time.sleep(1.5)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(timeout=30) == code
    lineage_server.answer = lambda _event: Reply()
    assert not _is_led(state) or _forget_leader(state)
    again = told("run", "--json", "-c", file)
    assert again.code == 0
    assert again.json["openlineage"]["pending"] == 0
    events = {json.dumps(seen.event, sort_keys=True) for seen in lineage_server.seen}
    assert len(events) == 46


def _runs(state: Path) -> int:
    if not state.exists() or not state.stat().st_size:
        return 0
    with Ledger.open(f"sqlite:///{state}", migrate=True) as ledger:
        return ledger.units.totals("local_stack").runs


def _is_led(state: Path) -> bool:
    with Ledger.open(f"sqlite:///{state}") as ledger:
        return ledger.leases.holder() is not None


def _forget_leader(state: Path) -> bool:
    """Let the lease of the process that was killed run out now instead of in a minute."""
    with sqlite3.connect(state) as database:
        database.execute("UPDATE leases SET expires_ms = 0")
    database.close()
    return True
