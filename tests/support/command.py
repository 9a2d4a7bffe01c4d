"""The command as its users run it: a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from support.zenml_stores import recorded_store

_TIMEOUT_S = 120.0


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # Any: parsed JSON
        """Give the one JSON object on stdout."""
        return json.loads(self.out)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the environment without the developer's own settings, and with others."""
    names = ("EXPORTER_", "MLFLOW_", "OPENLINEAGE_", "COLUMNS", "NO_COLOR")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    return plain | {"PYTHONWARNINGS": "default"} | dict(extra or {})


def command(*words: object, module: str = "exporter") -> list[str]:
    """Give the words that start the command."""
    return [sys.executable, "-m", module, *map(str, words)]


def run_command(
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Ended:
    """Run the command to its end; a traceback fails the test."""
    ended = subprocess.run(
        command(*words),
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )
    err = ended.stderr.decode("utf-8", "replace")
    return without_traceback(Ended(ended.returncode, ended.stdout.decode(), err))


def without_traceback(ended: Ended) -> Ended:
    """See that a command told what happened in words, and give it."""
    assert "Traceback" not in ended.err + ended.out, ended
    assert "InternalError" not in ended.err + ended.out, ended
    return ended


@contextmanager
def running_command(
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    module: str = "exporter",
) -> Iterator[subprocess.Popen[str]]:
    """Run the command beside the test; it is killed if it is still there at the end.

    `module` is one of `support` that is the command in all but one respect.
    """
    process = subprocess.Popen(
        command(*words, module=module),
        cwd=cwd,
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)


def wait_until(true: Callable[[], bool], *, what: str, timeout_s: float = 60.0) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"in {timeout_s:.0f} s there was no {what}")
        time.sleep(0.05)


def write_zenml_config(
    folder: Path,
    *,
    sinks: str = "{openlineage: [{name: events, url: events.jsonl}]}",
    more: str = "",
    source: str | None = None,
) -> Path:
    """Write a configuration of the recorded ZenML 0.5.7 store; YAML for the sinks and for more."""
    store = recorded_store("zenml-0.5.7")
    file = folder / "exporter.yaml"
    file.write_text(
        f"""\
repository: acme
stacks:
  - key: local_stack
    source: {json.dumps(source or store.url)}
    artifacts:
      roots: [{json.dumps(str(store.folder))}]
      rewrite: {{{store.recorded}: {json.dumps(str(store.folder))}}}
sinks: {sinks}
{more}
""",
        encoding="utf-8",
    )
    return file
