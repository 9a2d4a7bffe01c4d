"""How the command behaves as a program among programs: help, usage, streams, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from support.command import command, environment, run_command, running_command, write_zenml_config
from support.here import Told

from exporter.cli.app import app

_VERBS = (
    "run",
    "serve",
    "plan",
    "status",
    "init",
    "doctor",
    "demo",
    "verify",
    "version",
    "dead list",
    "dead retry",
    "dead drop",
    "state upgrade",
)
_HEAVY = ("mlflow", "pandas", "sqlalchemy", "alembic", "pydantic", "pyarrow", "yaml", "rich")


@pytest.mark.parametrize("words", ["--help", "dead list --help", "plan -h", "--version"])
def test_help_imports_nothing_heavy(words: str) -> None:
    code = (
        "import sys, atexit\n"
        f"heavy = {_HEAVY!r}\n"
        "told = lambda: print('loaded', [n for n in heavy if n in sys.modules], file=sys.stderr)\n"
        "atexit.register(told)\n"
        f"sys.argv = ['pipeline-exporter', *{words.split()!r}]\n"
        "from exporter.cli import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0
    assert "loaded []" in ended.stderr


@pytest.mark.parametrize("verb", _VERBS)
def test_every_verb_has_help_with_an_example(verb: str, told: Told) -> None:
    ended = told(*verb.split(), "--help")
    assert ended.code == 0
    assert f"Example: pipeline-exporter {verb}" in ended.out
    assert ended.err == ""


def test_all_verbs_are_tried() -> None:
    top = typer.main.get_command(app)
    found = set()
    for name, command_ in getattr(top, "commands", {}).items():
        inner = getattr(command_, "commands", {})
        found |= {f"{name} {word}" for word in inner} or {name}
    assert found == set(_VERBS)


def test_no_verb_shows_the_help_and_is_wrong_usage(told: Told) -> None:
    ended = told()
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: pipeline-exporter" in ended.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "--frobnicate"], "No such option"),
        (["plan", "--limit", "zero"], "Invalid value for '--limit'"),
        (["dead", "retry", "one"], "Invalid value"),
        (["dead", "list", "-c"], "See `pipeline-exporter dead list --help`"),
        (["run", "--dry-run"], "`pipeline-exporter plan` shows what `run` would write"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(words: list[str], says: str, told: Told) -> None:
    ended = told(*words)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert ended.err.count("\n") == 1


def test_wrong_usage_with_json_is_one_object(told: Told) -> None:
    ended = told("status", "--frobnicate", "--json")
    assert ended.code == 2
    assert ended.json["ok"] is False
    assert ended.json["error"]["kind"] == "UsageError"
    assert "--frobnicate" in ended.json["error"]["message"]


def test_help_names_what_goes_where_and_cuts_nothing(told: Told) -> None:
    whole = told("-h")
    assert whole.out == told("--help").out
    assert "..." not in whole.out.replace("[ARGS]...", "")
    assert "--limit N " in told("plan", "-h").out
    init = told("init", "-h").out
    assert "--search PATH " in init
    assert "may be repeated" in init
    assert "[OPTIONS] [PATH]" in init
    for verb in _VERBS:
        assert "<" not in told(*verb.split(), "-h").out


def test_version_tells_the_version(told: Told) -> None:
    assert told("--version").out == told("version").out
    assert told("--version", "--json").json == told("version", "--json").json
    assert told("version").out.startswith("pipeline-exporter ")
    assert set(told("version", "--json").json) == {"version"}


def test_a_reader_that_goes_away_ends_the_output_not_the_work(tmp_path: Path) -> None:
    write_zenml_config(tmp_path)
    script = f"set -o pipefail; '{sys.executable}' -m exporter plan --json | head -c 10"
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, len(ended.stdout), ended.stderr) == (0, 10, "")


def test_closed_streams_harm_nothing(tmp_path: Path) -> None:
    write_zenml_config(tmp_path)
    script = f"'{sys.executable}' -m exporter run <&- >&- 2>&-"
    ended = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(), check=False, timeout=60
    )
    assert ended.returncode == 0
    assert run_command("status", "--json", cwd=tmp_path).json["stacks"]["local_stack"]["runs"] == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    write_zenml_config(tmp_path)
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            command("status", "--json"),
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: The output cannot be written: No space left on device.")
    assert "Traceback" not in ended.stderr
    assert "work" not in ended.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_odd_names_print_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    file = write_zenml_config(tmp_path)
    text = file.read_text().replace("repository: acme", 'repository: "dépôt 🎉 日本"')
    file.write_text(text, encoding="utf-8")
    env = {"PYTHONIOENCODING": encoding}
    for words in (["status"], ["status", "--json"], ["doctor"]):
        ended = subprocess.run(
            command(*words),
            cwd=tmp_path,
            env=environment(env),
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == 0, ended
        shown = ended.stdout.decode(encoding)
        if words[-1] == "--json":
            assert json.loads(shown)["repository"] == "dépôt 🎉 日本"


def test_without_a_home_everything_still_works(tmp_path: Path) -> None:
    write_zenml_config(tmp_path)
    env = {k: v for k, v in environment().items() if k != "HOME"}
    for words in (["init", "new.yaml"], ["doctor"], ["status"]):
        ended = subprocess.run(
            command(*words),
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr


def test_an_interrupt_of_a_verb_that_only_looks_is_exit_130(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    os.mkfifo(secret)
    config = tmp_path / "blocks.yaml"
    config.write_text(
        "repository: {file: secret}\nstacks: [{key: a, source: 'mlmd+sqlite:///a.db'}]\n"
    )
    with running_command("status", "-c", config) as process:
        # Opening the pipe for writing waits until the command reads from it.
        writer = os.open(secret, os.O_WRONLY)
        try:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            os.close(writer)
        assert (process.returncode, out, err) == (130, "", "Interrupted.\n")
