"""Signals at any moment of a process: while it starts, while it works, when it is done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command import Ended, environment, running_command, wait_until, write_zenml_config
from support.mlflow_server import MlflowServer

from exporter.cli.signals import StopSignals
from exporter.sync.clock import Stop

_NOTICE = (
    "Stopping after the runs under way; "
    "a second signal, a second or more after the first, stops at once.\n"
)
_IN_START_UP = """
import os, sys
class SignalAtImport:
    done = False
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic" and not self.done:
            self.done = True
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, SignalAtImport())
"""
_AT_THE_END = """
import os, sys
class SignalWhenTakenDown:
    def __del__(self, kill=os.kill, process=os.getpid()):
        kill(process, {number})
sys.late = SignalWhenTakenDown()
"""


def _command_with(code: str, number: signal.Signals, *words: str, cwd: Path) -> Ended:
    """Run the command in a process that signals itself."""
    start = f"sys.argv = ['pipeline-exporter', *{words!r}]\nfrom exporter.cli import main\nmain()\n"
    ended = subprocess.run(
        [sys.executable, "-c", code.format(number=int(number)) + start],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in ended.stderr, ended
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_first_signal_while_run_starts_is_a_clean_stop(
    number: signal.Signals, tmp_path: Path
) -> None:
    write_zenml_config(tmp_path)
    ended = _command_with(_IN_START_UP, number, "run", "--json", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, _NOTICE)
    assert (ended.json["ok"], ended.json["stopped"]) == (True, True)
    assert not (tmp_path / "events.jsonl").exists()


def test_a_first_signal_while_serve_starts_is_a_clean_stop(tmp_path: Path) -> None:
    write_zenml_config(tmp_path)
    ended = _command_with(_IN_START_UP, signal.SIGTERM, "serve", cwd=tmp_path)
    assert ended.code == 0
    assert [json.loads(line)["event"] for line in ended.err.splitlines()] == ["stopping", "stopped"]
    assert not (tmp_path / "exporter-state.db").exists()


def test_a_first_signal_ends_verify_with_1_since_not_everything_was_compared(
    tmp_path: Path, mlflow_server: MlflowServer
) -> None:
    write_zenml_config(tmp_path, sinks=f"{{mlflow: {{tracking_uri: '{mlflow_server.url}'}}}}")
    ended = _command_with(_IN_START_UP, signal.SIGINT, "verify", "--json", cwd=tmp_path)
    assert (ended.code, ended.err) == (1, _NOTICE)
    assert (ended.json["ok"], ended.json["stopped"]) == (False, True)


def test_an_interrupt_while_a_verb_that_only_looks_starts_is_exit_130(tmp_path: Path) -> None:
    write_zenml_config(tmp_path)
    ended = _command_with(_IN_START_UP, signal.SIGINT, "status", cwd=tmp_path)
    assert ended == (130, "", "Interrupted.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("verb", ["status", "run"])
def test_a_signal_after_the_work_changes_no_exit_code(
    verb: str, number: signal.Signals, tmp_path: Path
) -> None:
    write_zenml_config(tmp_path)
    ended = _command_with(_AT_THE_END, number, verb, "--json", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.json["ok"] is True


def test_a_signal_within_a_second_is_the_same_wish_and_a_later_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    stop, signals = Stop(), StopSignals("")
    signals(signal.SIGTERM, None)
    signals.tell(stop)
    assert stop.requested
    now_s += 0.9
    signals(signal.SIGTERM, None)
    assert (ended, signals.number) == ([], signal.SIGTERM)
    now_s += 0.2
    signals(signal.SIGINT, None)
    assert ended == [130]


@pytest.mark.parametrize("moment", ["mlflow.log", "events.jsonl"], ids=["server", "cycle"])
def test_an_interrupted_demo_stops_soon_and_shows_no_success(moment: str, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with running_command("demo", "--folder", folder) as process:
        wait_until((folder / moment).exists, what=moment, timeout_s=300)
        process.send_signal(signal.SIGINT)
        began_s = time.monotonic()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "Stopping the demo; what it made so far stays."
    assert time.monotonic() - began_s < 30
