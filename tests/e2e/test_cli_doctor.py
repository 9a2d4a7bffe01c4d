"""`doctor`: each part in good and in bad health, and the exit codes that follow."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.command import write_zenml_config
from support.here import Told
from support.mlflow_server import MlflowServer
from support.openlineage_server import LineageServer
from support.postgres import with_database
from support.zenml_stores import recorded_store

from exporter.cli.checks import sinks
from exporter.ledger.migrate import HEAD

Check = dict[str, Any]  # Any: JSON values


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _part(told: Told, name: str, *, code: int) -> Check:
    """Run `doctor` and give the first check of a part that is not ok, else its first."""
    ended = told("doctor", "--json")
    assert ended.code == code, ended.out
    assert ended.json["ok"] is (code == 0)
    found: list[Check] = [c for c in ended.json["checks"] if c["part"] == name]
    bad = [check for check in found if check["status"] != "ok"]
    return (bad or found)[0]


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_healthy_configuration_has_a_line_for_every_part(here: Path, told: Told) -> None:
    write_zenml_config(here, more='schedule: {cron: "0 3 * * *", timezone: Europe/Berlin}')
    ended = told("doctor")
    assert ended.code == 0, ended.out
    for part in (
        "config: ",
        "mappings: as they ship",
        "stack local_stack: ML Metadata schema 7",
        "stack local_stack artifacts: of the 25 newest: 25 found",
        "openlineage events: file",
        "state: the first `run` creates",
        "schedule: cron 0 3 * * * (Europe/Berlin): 2",
    ):
        assert f"ok       {part}" in ended.out
    assert "zenml-0.5 7" in ended.out
    assert not (here / "exporter-state.db").exists()
    assert not (here / "events.jsonl").exists()


def test_after_a_run_the_state_tells_its_revision(here: Path, told: Told) -> None:
    write_zenml_config(here)
    assert told("run").code == 0
    assert f"revision {HEAD}, nobody leads" in _part(told, "state", code=0)["message"]


def test_an_mlflow_server_is_asked_for_its_version_and_its_artifact_root(
    here: Path, told: Told, mlflow_server: MlflowServer
) -> None:
    write_zenml_config(here, sinks=f"{{mlflow: {{tracking_uri: '{mlflow_server.url}'}}}}")
    assert _part(told, "mlflow", code=0)["message"].startswith("version 3.")
    artifacts = _part(told, "mlflow artifacts", code=0)
    assert artifacts["message"] == "files go through the server"


def test_an_empty_tracking_database_stays_empty_and_the_first_run_creates_it(
    here: Path, told: Told
) -> None:
    database = here / "mlflow.db"
    write_zenml_config(here, sinks=f"{{mlflow: {{tracking_uri: 'sqlite:///{database}'}}}}")
    for _ in ("absent", "empty"):
        found = _part(told, "mlflow", code=0)
        assert (found["status"], "first `run` creates it" in found["hint"]) == ("warning", True)
        assert not database.exists() or database.stat().st_size == 0
        database.touch()
    assert not (here / "mlruns").exists()


def test_an_mlflow_out_of_reach_is_exit_4(here: Path, told: Told) -> None:
    url = f"http://127.0.0.1:{_closed_port()}"
    write_zenml_config(here, sinks=f"{{mlflow: {{tracking_uri: '{url}'}}}}")
    found = _part(told, "mlflow", code=4)
    assert (found["status"], url in found["message"]) == ("problem", True)
    assert found["hint"]


def test_an_mlflow_that_never_answers_is_exit_4_in_time(
    here: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "_SERVER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        write_zenml_config(here, sinks=f"{{mlflow: {{tracking_uri: '{url}'}}}}")
        found = _part(told, "mlflow", code=4)
    assert found["message"].startswith(f"MLflow at {url} gave no answer in")


def test_an_mlflow_database_that_is_not_there_says_why(
    here: Path, told: Told, postgres_server: str
) -> None:
    uri = with_database(postgres_server, "no_such_database")
    write_zenml_config(here, sinks=f"{{mlflow: {{tracking_uri: '{uri}'}}}}")
    assert 'database "no_such_database" does not exist' in _part(told, "mlflow", code=4)["message"]
    assert told("doctor").err == ""


def test_a_catalog_that_answers_is_fine_and_gets_no_event(
    here: Path, told: Told, lineage_server: LineageServer
) -> None:
    sinks = f"{{openlineage: [{{name: catalog, url: '{lineage_server.url}'}}]}}"
    write_zenml_config(here, sinks=sinks)
    found = _part(told, "openlineage catalog", code=0)
    assert lineage_server.url in found["message"]
    assert lineage_server.seen == []


def test_a_catalog_out_of_reach_is_exit_4_and_its_token_stays_secret(
    here: Path, told: Told
) -> None:
    url = f"http://127.0.0.1:{_closed_port()}"
    sinks = f"{{openlineage: [{{name: catalog, url: '{url}', token: open-sesame}}]}}"
    write_zenml_config(here, sinks=sinks)
    found = _part(told, "openlineage catalog", code=4)
    assert found["status"] == "problem"
    assert "open-sesame" not in str(found)


def test_an_events_file_in_the_wrong_place_is_told(here: Path, told: Told) -> None:
    (here / "events.jsonl").mkdir()
    write_zenml_config(here)
    assert "is a folder" in _part(told, "openlineage events", code=2)["message"]
    (here / "wall").write_text("")
    write_zenml_config(here, sinks="{openlineage: [{name: events, url: wall/events.jsonl}]}")
    assert "cannot be written" in _part(told, "openlineage events", code=4)["message"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_an_events_file_where_no_folder_can_be_made_is_told(here: Path, told: Told) -> None:
    sinks = "{openlineage: [{name: events, url: 'file:///proc/nope/events.jsonl'}]}"
    write_zenml_config(here, sinks=sinks)
    assert "cannot be written" in _part(told, "openlineage events", code=4)["message"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:{port}", "nobody listens there"),
        ("http://no-such-host.invalid", "there is no such host"),
        ("https://127.0.0.1:{open}", "it does not speak TLS; try http://"),
    ],
)
def test_why_a_catalog_is_out_of_reach_is_told_in_plain_words(
    url: str, says: str, here: Path, told: Told, lineage_server: LineageServer
) -> None:
    here_open = lineage_server.url.rpartition(":")[2]
    place = url.format(port=_closed_port(), open=here_open)
    write_zenml_config(here, sinks=f"{{openlineage: [{{name: catalog, url: '{place}'}}]}}")
    assert says in _part(told, "openlineage catalog", code=4)["message"]


def test_moved_artifacts_are_told_with_the_rewriting_that_finds_them(
    here: Path, told: Told
) -> None:
    store = recorded_store("tfx-1.15")
    folder = here / "moved"
    shutil.copytree(store.folder, folder)
    (here / "exporter.yaml").write_text(
        f"repository: acme\n"
        f"stacks: [{{key: tfx, source: 'mlmd+sqlite:///{folder}/metadata.sqlite'}}]\n"
        "sinks: {openlineage: [{name: events, url: events.jsonl}]}\n"
    )
    found = _part(told, "stack tfx artifacts", code=0)
    assert found["status"] == "warning"
    assert "of the 13 newest: 0 found, 13 refused" in found["message"]
    assert f"`artifacts.rewrite: {{/data/tfx-1.15: {folder}}}` would find 13" in found["hint"]


def test_artifacts_that_lie_outside_the_roots_are_told(here: Path, told: Told) -> None:
    store = recorded_store("zenml-0.5.7")
    (here / "exporter.yaml").write_text(
        "repository: acme\n"
        f"stacks: [{{key: a, source: '{store.url}', artifacts: {{roots: [{here}/nowhere],"
        f" rewrite: {{{store.recorded}: {store.folder}}}}}}}]\n"
        "sinks: {openlineage: [{name: events, url: events.jsonl}]}\n"
    )
    ended = told("doctor")
    assert ended.code == 0
    assert f"there is no folder {here}/nowhere" in ended.out
    assert "0 found, 25 refused" in ended.out


def test_a_missing_store_is_exit_4_and_is_not_created(here: Path, told: Told) -> None:
    write_zenml_config(here, source=f"mlmd+sqlite:///{here}/gone.db")
    found = _part(told, "stack local_stack", code=4)
    assert f"There is no file {here}/gone.db" in found["message"]
    assert not (here / "gone.db").exists()


def test_a_mistake_in_the_configuration_is_exit_2_and_names_the_nearest_setting(
    here: Path, told: Told
) -> None:
    write_zenml_config(here, more="schedul: {every: 5s}")
    found = _part(told, "config", code=2)
    assert "did you mean 'schedule'" in found["message"]


def test_one_source_under_two_keys_is_exit_2(here: Path, told: Told) -> None:
    file = write_zenml_config(here)
    store = recorded_store("zenml-0.5.7").url
    text = file.read_text().replace("sinks:", f"  - {{key: other, source: '{store}'}}\nsinks:")
    file.write_text(text)
    assert "read the same source" in _part(told, "config", code=2)["message"]


def test_a_renamed_stack_key_is_a_warning(here: Path, told: Told) -> None:
    file = write_zenml_config(here)
    assert told("run").code == 0
    file.write_text(file.read_text().replace("key: local_stack", "key: renamed"))
    found = _part(told, "state", code=0)
    assert found["status"] == "warning"
    assert "knows a stack 'local_stack'" in found["message"]
    assert "give it back its key" in found["hint"]


def test_a_ledger_of_a_newer_release_is_exit_2(here: Path, told: Told) -> None:
    write_zenml_config(here)
    assert told("run").code == 0
    with sqlite3.connect(here / "exporter-state.db") as state:
        tables = [row[0] for row in state.execute("SELECT name FROM sqlite_master")]
        version = next(name for name in tables if "version" in name)
        state.execute(f"UPDATE {version} SET version_num = '9999'")
    state.close()
    assert "newer release" in _part(told, "state", code=2)["message"]
    for verb in ("run", "status", "plan"):
        ended = told(verb, "--json")
        assert (ended.code, ended.json["error"]["kind"]) == (2, "SchemaTooNew")


def test_another_programs_database_is_not_touched(here: Path, told: Told) -> None:
    other = here / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    before = other.read_bytes()
    write_zenml_config(here, more="state: {url: 'sqlite:///other.db'}")
    assert "another program's" in _part(told, "state", code=2)["message"]
    assert told("run", "--json").json["ok"] is False
    assert other.read_bytes() == before


def test_a_state_folder_that_is_not_there_is_exit_2(here: Path, told: Told) -> None:
    write_zenml_config(here, more="state: {url: 'sqlite:///no/such/state.db'}")
    assert "does not exist" in _part(told, "state", code=2)["message"]


def test_a_state_that_cannot_be_written_is_a_problem(
    here: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_zenml_config(here, sinks="{openlineage: [{name: events, url: events.jsonl}]}")
    file.write_text(file.read_text() + "state: {url: 'sqlite:///state.db'}\n")
    assert told("run").code == 0
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: path != here / "state.db" and may(path, mode)
    )
    ended = told("doctor")
    assert ended.code == 4
    assert "The state database cannot be written" in " ".join((ended.out + ended.err).split())


def test_a_configuration_without_sinks_is_a_mistake_as_it_is_for_run(
    here: Path, told: Told
) -> None:
    write_zenml_config(here, sinks="{}")
    for verb in ("doctor", "run"):
        ended = told(verb)
        assert ended.code == 2
        assert "names no sink" in ended.out + ended.err
