"""`demo`: a real ZenML 0.5.7 history → a local MLflow and a file of events, twice."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli.context import read_settings
from exporter.cli.local_mlflow import free_port, local_mlflow, server_command
from exporter.cli.output import print_json, print_line, say
from exporter.cli.run import run_cycle, show_errors, show_report
from exporter.cli.signals import stop_on_signals
from exporter.errors import ConfigError
from exporter.sync.clock import Stop

if TYPE_CHECKING:
    from exporter.sync.report import CycleReport

_STORE = Path(__file__).parent.parent / "_demo_store"
_UI_PORT = 5000
_MARKER = ".made-by-pipeline-exporter-demo"
_CONFIG = """\
# Written by `pipeline-exporter demo`; try `pipeline-exporter status -c {file}`.
repository: demo
stacks:
  - key: local_stack
    source: {source}
    sidecars: {repo}
    artifacts:
      roots: [{store}]
      rewrite: {{/data/zenml-0.5.7: {store}}}
sinks:
  mlflow: {{tracking_uri: {tracking_uri}}}
  openlineage:
    - {{name: events, url: {events}}}
state: {{url: {state}}}
"""


def run_demo(folder: Path, *, as_json: bool) -> int:
    """Sync the bundled history into `folder` from nothing, sync again, and say what to open.

    A signal breaks it off, server and all: nothing here is worth waiting for.
    """
    folder = _fresh(folder)
    database = shutil.copytree(_STORE, folder / "store") / _database()
    stop = Stop()
    signals = stop_on_signals(stop, "demo")
    say("Starting a local MLflow server …")
    with local_mlflow(folder, stop) as tracking_uri:
        if code := signals.exit_code():
            return code
        config = folder / "exporter.yaml"
        config.write_text(
            _CONFIG.format(
                file=config,
                source=json.dumps(f"mlmd+sqlite:///{database}"),
                repo=json.dumps(str(folder / "store" / "repo")),
                store=json.dumps(str(folder / "store")),
                tracking_uri=json.dumps(tracking_uri),
                events=json.dumps(str(folder / "events.jsonl")),
                state=json.dumps(f"sqlite:///{folder / 'state.db'}"),
            ),
            encoding="utf-8",
        )
        settings = read_settings(config)
        first = run_cycle(settings, stop)
        second = None
        if first.exit_code == 0 and not stop.requested:
            second = run_cycle(settings, stop)
    if code := signals.exit_code():
        return code
    _show(folder, first, second, as_json=as_json)
    return max(first.exit_code, second.exit_code if second is not None else 0)


def _fresh(folder: Path) -> Path:
    """Give an empty folder; one that an earlier demo filled is emptied, any other is left alone."""
    folder = folder.absolute()
    if folder.exists():
        if not folder.is_dir():
            raise ConfigError(f"{folder} is a file.", hint="Name a folder with --folder.")
        if any(folder.iterdir()) and not (folder / _MARKER).is_file():
            raise ConfigError(
                f"{folder} is not empty and no earlier demo made it.",
                hint="Name another folder with --folder.",
            )
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
        (folder / _MARKER).touch()
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be made: {error.strerror or error}.",
            hint="Name another folder with --folder.",
        ) from error
    return folder


def _database() -> Path:
    return next(_STORE.rglob("metadata.db")).relative_to(_STORE)


def _show(folder: Path, first: CycleReport, second: CycleReport | None, *, as_json: bool) -> None:
    program = str(Path(sys.executable).with_name("mlflow"))
    port = free_port(_UI_PORT)
    command = shlex.join([program, *server_command(folder, port)])
    if as_json:
        print_json(
            {
                "ok": first.exit_code == 0 and second is not None and second.exit_code == 0,
                "first": first.to_json(),
                "second": None if second is None else second.to_json(),
                "open": command,
                "events": str(folder / "events.jsonl"),
            }
        )
        return
    print_line("The first run brings the history over:")
    show_report(first)
    show_errors(first)
    if second is not None:
        print_line("The second run finds nothing to do:")
        show_report(second)
        show_errors(second)
    print_line(f"OpenLineage events: {folder / 'events.jsonl'}")
    print_line(f"To open the UI at http://127.0.0.1:{port}, run:")
    print_line(f"  {command}")
