"""The JSON of each verb has the keys that docs/cli.md promises, on a real MLflow."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import write_zenml_config
from support.here import Told
from support.mlflow_server import MlflowServer
from support.zenml_stores import recorded_store

Json = dict[str, Any]  # Any: JSON values

_TEXT = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def _documented(verb: str) -> Json:
    section = _TEXT.partition(f"\n## {verb}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    value: Json = json.loads(blocks[0])
    return value


def _keys(value: object, path: str = "") -> Iterator[str]:
    """Give the places of all keys; those of a list's elements by the first one's."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}.{key}"
            yield from _keys(item, f"{path}.{key}")
    elif isinstance(value, list) and value:
        yield from _keys(value[0], f"{path}[]")


def _same(documented: Json, real: Json, *, but: tuple[str, ...] = ()) -> None:
    """Compare the keys, leaving out the places below `but`, whose names differ by case."""
    here = {k for k in _keys(documented) if not k.startswith(but)}
    there = {k for k in _keys(real) if not k.startswith(but)}
    assert here == there


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_status_and_plan_have_the_shapes_of_the_documentation(
    here: Path, told: Told, mlflow_server: MlflowServer
) -> None:
    sinks = (
        f"{{mlflow: {{tracking_uri: '{mlflow_server.url}'}},"
        " openlineage: [{name: events, url: events.jsonl}]}"
    )
    file = write_zenml_config(here, sinks=sinks)
    file.write_text(file.read_text().replace("repository: acme", "repository: shapes"))

    planned = told("plan", "--json", "--limit", "3")
    assert planned.code == 0, planned.err
    _same(_documented("plan"), planned.json, but=(".units", ".unreadable", ".errors"))
    assert planned.json["write"]["runs"] == 7
    assert len(planned.json["units"]) == 3

    ended = told("run", "--json")
    assert ended.code == 0, ended.err
    first = ended.json
    _same(_documented("run"), first, but=(".errors", ".stacks"))
    _same(first, first["stacks"]["local_stack"], but=(".stacks", ".stopped"))
    assert first["units"] == {"written": 7, "unchanged": 0, "waiting": 0, "dead": 0}
    assert first["mlflow"]["runs_created"] == 31
    assert first["mlflow"]["files"] == planned.json["write"]["files"]
    assert first["mlflow"]["bytes"] >= planned.json["write"]["bytes"]

    second = told("run", "--json").json
    assert second["units"] == {"written": 0, "unchanged": 7, "waiting": 0, "dead": 0}
    assert set(second["mlflow"].values()) == {0}
    assert told("plan", "--json").json["write"]["runs"] == 0
    assert told("plan").out == "Nothing to write, 7 runs unchanged.\n"

    verified = told("verify", "--json")
    assert (verified.code, verified.json["differences"]) == (0, [])
    _same(_documented("verify"), verified.json, but=(".differences", ".errors", ".stacks"))

    status = told("status", "--json")
    assert status.code == 0
    _same(_documented("status"), status.json)
    assert status.json["stacks"]["local_stack"]["sinks"]["mlflow"] == {"done": 7, "pending": 0}
    for words in (["run"], ["status"], ["plan"], ["dead", "list"]):
        shown = told(*words)
        assert (shown.code, shown.err) == (0, ""), words


def test_before_the_first_run_status_plan_and_dead_letters_say_so(here: Path, told: Told) -> None:
    write_zenml_config(here, sinks="{mlflow: {tracking_uri: 'http://127.0.0.1:9'}}")
    assert told("status", "--json").json["stacks"] == {"local_stack": None}
    assert told("plan", "--json").json["write"]["runs"] == 7
    assert told("dead", "list", "--json").json == {"ok": True, "dead": []}
    assert "nothing synced yet" in told("status").out
    assert not (here / "exporter-state.db").exists()


def test_without_mlflow_there_is_nothing_to_plan_and_the_plan_says_so(
    here: Path, told: Told
) -> None:
    write_zenml_config(here)
    planned = told("plan", "--json")
    assert planned.code == 0
    _same(_documented("plan"), planned.json, but=(".units", ".unreadable", ".errors"))
    assert set(planned.json["write"].values()) == {0}
    assert "names no MLflow" in planned.json["notes"][0]
    shown = told("plan").out
    assert "names no MLflow" in shown
    assert "Nothing to write, 0 runs unchanged." in shown


def test_where_there_is_nothing_to_do_one_line_says_so(here: Path, told: Told) -> None:
    write_zenml_config(here)
    assert told("run").code == 0
    assert told("dead", "drop", "--all").out == "There is no dead letter.\n"
    assert "0 warnings, 0 problems.\n" in told("doctor").out


def test_state_upgrade_says_from_where_to_where(here: Path, told: Told) -> None:
    write_zenml_config(here)
    made = told("state", "upgrade", "--json").json
    assert made == _documented("state upgrade") | {"after": made["after"]}
    again = told("state", "upgrade", "--json").json
    assert again == {"ok": True, "before": made["after"], "after": made["after"]}


def test_init_and_doctor_have_the_shapes_of_the_documentation(here: Path, told: Told) -> None:
    shutil.copytree(recorded_store("zenml-0.5.7").folder, here / "store")
    (here / "metadata.db").write_text("a diary")
    found = told("init", "--search", here, "--json").json
    different = (".stores[].rewrite", ".stores[].flavours")
    _same(_documented("init"), found, but=different)
    _same(_documented("doctor"), told("doctor", "--json").json)


def test_version_has_the_shape_of_the_documentation(told: Told) -> None:
    _same(_documented("version"), told("version", "--json").json)
