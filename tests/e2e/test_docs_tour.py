"""The tour of the README, as it stands there: every command, and the lines shown below it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.command import environment, run_command
from support.mlflow_server import MlflowServer

_ROOT = Path(__file__).resolve().parents[2]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")
_TOUR = _README.partition("## Five minutes")[2].partition("## In Python")[0]
_NOT_HERE = ("python3 -m venv", "export ", "mkdir tour", "mlflow server", "pipeline-exporter serve")


class Shown(NamedTuple):
    """A command of the tour and the lines shown below it; `…` stands for anything."""

    command: str
    lines: tuple[str, ...]


def _shown(text: str) -> list[Shown]:
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            found.append(Shown(command, tuple(lines)))
    return found


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, line.split("…"))))


def _python(text: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory, mlflow_server: MlflowServer) -> Path:
    """Walk through the tour, and give the folder where it took place."""
    folder = tmp_path_factory.mktemp("tour") / "tour"
    folder.mkdir()
    shutil.copytree(_ROOT / "exporter" / "_demo_store", folder / "history")
    env = {"MLFLOW_TRACKING_URI": mlflow_server.url}
    steps = [s for s in _shown(_TOUR) if not s.command.startswith(_NOT_HERE)]
    assert [step.command.split()[1] for step in steps] == [
        "init",
        "doctor",
        "plan",
        "run",
        "run",
        "status",
        "verify",
    ]
    for step in steps:
        program, *words = step.command.split()
        assert program == "pipeline-exporter"
        ended = run_command(*words, cwd=folder, env=env)
        assert ended.code == 0, ended
        told = iter((ended.err + ended.out).splitlines())
        for line in step.lines:
            assert any(_pattern(line).match(said) for said in told), (step.command, line, ended)
    return folder


def test_the_tour_shows_what_its_commands_print(toured: Path) -> None:
    assert len((toured / "openlineage-events.jsonl").read_text().splitlines()) == 46


def test_the_python_of_the_readme_runs_in_the_folder_of_the_tour(
    toured: Path, mlflow_server: MlflowServer
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _python(_README)],
        cwd=toured,
        env=environment() | {"MLFLOW_TRACKING_URI": mlflow_server.url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    accuracy = "0.8666666666666667"
    assert ended.stdout.splitlines() == [f"completed {accuracy}", accuracy]


def _ask(url: str, path: str, body: object) -> Any:  # Any: parsed JSON
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_the_searches_in_the_pages_find_runs_of_the_tour(
    toured: Path, mlflow_server: MlflowServer
) -> None:
    page = (_ROOT / "docs" / "mapping.md").read_text(encoding="utf-8")
    searches = set(re.findall(r"^tags\..*$", page + _README, re.MULTILINE))
    assert len(searches) == 3
    named = {"filter": "name LIKE 'tour/local_stack/%'", "max_results": 10}
    experiments = _ask(mlflow_server.url, "experiments/search", named)["experiments"]
    ids = [experiment["experiment_id"] for experiment in experiments]
    assert len(ids) == 4
    for search in searches:
        body = {"experiment_ids": ids, "filter": search}
        assert _ask(mlflow_server.url, "runs/search", body).get("runs"), search


def test_the_commands_that_the_tour_leaves_to_the_reader_are_as_expected() -> None:
    left = [step.command for step in _shown(_TOUR) if step.command.startswith(_NOT_HERE)]
    assert len(left) == 6


def test_the_tour_ends_with_the_two_ways_to_stay_in_sync() -> None:
    assert "`run` from cron" in _TOUR
    assert "**`serve`**" in _TOUR
