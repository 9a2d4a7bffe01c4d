"""`init`: what it finds, what it writes, and that the result works at once."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from support.here import Told
from support.zenml_stores import recorded_store

from exporter.config import load_settings

_HOME = "home/.config/zenml/local_stores/2efb7076-47fc-4b65-96a5-1dd2ee91a41b"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that holds two recorded stores, without anything from outside."""
    folder = tmp_path / "acme project"
    folder.mkdir()
    for name in ("zenml-0.5.7", "tfx-1.15"):
        shutil.copytree(recorded_store(name).folder, folder / name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_ENDPOINT", "OPENLINEAGE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_what_is_found_becomes_a_configuration_that_doctor_is_happy_with(
    here: Path, told: Told
) -> None:
    before = {p: p.stat().st_mtime_ns for p in here.rglob("*")}
    ended = told("init")
    assert ended.code == 0, ended.err
    settings = load_settings(here / "exporter.yaml")
    assert settings.repository == "acme-project"
    by_key = {stack.key: stack for stack in settings.stacks}
    assert set(by_key) == {"tfx-1.15", "local_stack"}
    store = here / "zenml-0.5.7" / _HOME
    assert by_key["local_stack"].artifacts.rewrite == {f"/data/zenml-0.5.7/{_HOME}": str(store)}
    assert by_key["local_stack"].artifacts.roots == (str(store),)
    assert by_key["tfx-1.15"].artifacts.rewrite == {"/data/tfx-1.15": str(here / "tfx-1.15")}
    assert {p: p.stat().st_mtime_ns for p in before if p.is_file()} == {
        p: at for p, at in before.items() if p.is_file()
    }
    checked = told("doctor", "--json")
    assert checked.code == 0, checked.out
    assert {check["status"] for check in checked.json["checks"]} == {"ok"}


def test_json_says_what_was_found(here: Path, told: Told) -> None:
    (here / "metadata.db").write_text("a diary")
    shown = told("init", "here.yaml", "--json").json
    assert shown["path"] == str(here / "here.yaml")
    assert shown["searched"] == [str(here)]
    assert [(s["stack_key"], s["pipelines"], s["runs"]) for s in shown["stores"]] == [
        ("tfx-1.15", 2, 5),
        ("local_stack", 4, 7),
    ]
    assert [s["artifacts"] for s in shown["stores"]] == [
        {"sampled": 13, "found": 13},
        {"sampled": 25, "found": 25},
    ]
    assert shown["skipped"] == [
        {"path": str(here / "metadata.db"), "reason": "it is not a SQLite database"}
    ]
    assert (shown["mlflow"], shown["openlineage"]) == (None, None)


def test_a_file_that_is_there_is_kept_unless_forced(here: Path, told: Told) -> None:
    file = here / "exporter.yaml"
    file.write_text("mine")
    refused = told("init", "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (2, "ConfigError")
    assert file.read_text() == "mine"
    assert told("init", "--force").code == 0
    assert file.read_text() != "mine"
    assert not [p for p in here.iterdir() if p.name.startswith(".exporter")]


def test_sinks_come_from_the_environment_and_secrets_stay_there(
    here: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:sesame-street@mlflow.example:8443")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "sesame-street")
    monkeypatch.setenv("OPENLINEAGE_URL", "http://marquez.example:5000")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "key-to-the-catalog")
    ended = told("init")
    text = (here / "exporter.yaml").read_text()
    for secret in ("sesame-street", "key-to-the-catalog"):
        assert secret not in text + ended.out + ended.err
    settings = load_settings(here / "exporter.yaml")
    assert settings.sinks.mlflow is not None
    assert settings.sinks.mlflow.tracking_uri.get_secret_value() == "https://mlflow.example:8443"
    assert settings.sinks.mlflow.password is not None
    assert settings.sinks.mlflow.password.get_secret_value() == "sesame-street"
    catalog = settings.sinks.openlineage[1]
    assert catalog.url is not None
    assert catalog.url.get_secret_value() == "http://marquez.example:5000"
    assert catalog.token is not None
    assert catalog.token.get_secret_value() == "key-to-the-catalog"


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("databricks", "it names 'databricks'"),
        ("./mlruns", "it names a folder of files"),
        ("file:///srv/mlruns", "it names a folder of files"),
    ],
)
def test_an_address_that_is_no_mlflow_to_write_to_is_left_out_and_why_is_told(
    uri: str, names: str, here: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    ended = told("init", "--json")
    assert ended.json["mlflow"] is None
    (note,) = ended.json["notes"]
    assert note.startswith("MLFLOW_TRACKING_URI was not used")
    assert names in note
    assert load_settings(here / "exporter.yaml").sinks.mlflow is None
    assert note in told("init", "--force").err


def test_credentials_that_are_left_out_are_told_with_the_variables_that_take_them(
    here: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:sesame-street@mlflow.example")
    monkeypatch.setenv("OPENLINEAGE_URL", "https://token@catalog.example")
    mlflow, lineage = told("init", "--json").json["notes"]
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in mlflow
    assert "set OPENLINEAGE_API_KEY" in lineage


def test_the_address_of_a_database_with_credentials_is_only_referred_to(
    here: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "postgresql+psycopg://ann:sesame-street@db.example/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    ended = told("init", "--json")
    assert ended.json["mlflow"] == "postgresql+psycopg://db.example/mlflow"
    assert "keep it set" in ended.json["notes"][0]
    text = (here / "exporter.yaml").read_text()
    assert "sesame-street" not in text + ended.out + ended.err
    mlflow = load_settings(here / "exporter.yaml").sinks.mlflow
    assert mlflow is not None
    assert mlflow.tracking_uri.get_secret_value() == uri


def test_a_stack_with_a_name_keeps_it_and_a_store_without_one_takes_no_others(
    tmp_path: Path, told: Told
) -> None:
    folder = tmp_path / "stores"
    shutil.copytree(recorded_store("tfx-1.15").folder, folder / "default")
    shutil.copytree(recorded_store("zenml-0.12.0").folder, folder / "zenml-0.12.0")
    shown = told("init", tmp_path / "exporter.yaml", "--search", folder, "--json").json
    keys = {
        Path(store["root"]).relative_to(folder).parts[0]: store["stack_key"]
        for store in shown["stores"]
    }
    assert keys == {"default": "default-2", "zenml-0.12.0": "default"}


def test_a_store_of_a_newer_zenml_is_named_as_one_that_is_not_read(
    tmp_path: Path, told: Told
) -> None:
    with sqlite3.connect(tmp_path / "zenml.db") as store:
        for table in ("alembic_version", "pipeline_run", "step_run", "stack"):
            store.execute(f"CREATE TABLE {table} (id)")
    store.close()
    config = tmp_path / "exporter.yaml"
    shown = told("init", config, "--search", tmp_path, "--json").json
    says = "is a ZenML store from 0.20 on, which this release does not read"
    assert says in shown["skipped"][0]["reason"]
    config.write_text(config.read_text().replace("metadata.db", "zenml.db"))
    checked = told("doctor", "-c", config)
    assert checked.code == 2
    assert says in checked.out


def test_paths_are_told_without_detours_and_ready_for_a_shell(
    here: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    ended = told("init", "../its.yaml", "--search", "../tfx-1.15")
    assert f"Next: pipeline-exporter doctor -c '{here}/its.yaml'" in ended.out
    assert ".." not in (here / "its.yaml").read_text().replace("…", "")
    assert f"stack 'tfx-1.15': {here}/tfx-1.15/metadata.sqlite" in ended.out


@pytest.mark.parametrize(
    ("folder", "name"), [("ünï", "uni"), ("Straße 7", "Strasse-7"), ("日本", "default")]
)
def test_a_repository_is_named_after_its_folder_in_plain_letters(
    folder: str, name: str, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert told("init").code == 0
    assert load_settings(tmp_path / folder / "exporter.yaml").repository == name


def test_where_there_is_no_store_the_file_loads_and_doctor_names_the_gap(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    ended = told("init")
    assert ended.code == 0
    assert "No store was found" in ended.out
    assert [stack.key for stack in load_settings(tmp_path / "exporter.yaml").stacks] == ["default"]
    checked = told("doctor")
    assert checked.code == 4
    assert f"There is no file {tmp_path}/metadata.db" in checked.out


def test_every_setting_of_the_example_stands_in_the_file(here: Path, told: Told) -> None:
    told("init")
    text = (here / "exporter.yaml").read_text()
    uncommented = text.replace("    #flavour", "    flavour").replace("#max_size", "max_size")
    file = here / "other.yaml"
    file.write_text(uncommented.replace("#settle", "settle").replace("#stale_after", "stale_after"))
    assert load_settings(file).stacks[0].artifacts.max_size == 2 * 2**30
    for name in ("sidecars", "flavour", "rescan", "mappings", "cron", "timezone", "token"):
        assert f"#{name}:" in text


@pytest.mark.parametrize("name", ["it's $5 ${HOME}", 'a "b" #c: d', "zoë 🎉", "- x"])
def test_odd_folder_names_survive(name: str, tmp_path: Path, told: Told) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shutil.copytree(recorded_store("tfx-1.15").folder, folder / "store")
    config = tmp_path / "exporter.yaml"
    assert told("init", config, "--search", folder).code == 0
    source = load_settings(config).stacks[0].source.get_secret_value()
    assert source == f"mlmd+sqlite:///{folder}/store/metadata.sqlite"
    shown = told("doctor", "-c", config, "--json")
    assert shown.code == 0, shown.out


def test_links_and_foreign_databases_are_passed_over(tmp_path: Path, told: Told) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(recorded_store("tfx-1.15").folder, outside)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    with sqlite3.connect(inside / "metadata.db") as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    shown = told("init", tmp_path / "exporter.yaml", "--search", inside, "--json").json
    assert shown["stores"] == []
    assert "holds no ML Metadata tables" in shown["skipped"][0]["reason"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["init", "no-such-folder/exporter.yaml"], "There is no folder"),
        (["init", "--search", "no-such-folder"], "There is no folder"),
        (["init", "--search", "a-file"], "a-file is a file. Name its folder: --search"),
        (["init", "."], "is a folder"),
    ],
)
def test_a_place_that_cannot_be_is_told(
    words: list[str], says: str, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    ended = told(*words)
    assert ended.code == 2
    assert says in ended.err
