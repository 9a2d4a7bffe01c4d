"""What a configuration means, and how each mistake in it is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exporter.config import Settings, find_config, load_settings, settings_from
from exporter.errors import ConfigError

_MINIMAL: dict[str, Any] = {
    "repository": "acme",
    "stacks": [{"key": "local", "source": "mlmd+sqlite:////srv/metadata.db"}],
}


def _with(**more: Any) -> dict[str, Any]:
    return {**_MINIMAL, **more}


def _stack(**more: Any) -> dict[str, Any]:
    return _with(stacks=[{**_MINIMAL["stacks"][0], **more}])


def _written(folder: Path, text: str) -> Path:
    file = folder / "exporter.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def _mistake(values: Mapping[str, Any], **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_from(values, environ=environ)
    return str(caught.value)


def test_the_promised_example_means_what_it_says(tmp_path: Path) -> None:
    file = _written(
        tmp_path,
        """
repository: acme
stacks:
  - key: local_stack
    source: mlmd+sqlite:////srv/zenml/metadata.db
    flavour: auto
    artifacts:
      mode: copy
      max_size: 2 GiB
      roots: [/srv/zenml]
      rewrite: {/data/zenml-0.5.7: /srv/zenml}
sinks:
  mlflow: {tracking_uri: http://127.0.0.1:5000}
  openlineage:
    - {name: events, url: file:///srv/out/events.jsonl}
    - {name: marquez, url: http://marquez:5000, catalog: marquez}
state: {url: sqlite:////srv/out/state.db}
schedule: {every: 60s}
""",
    )
    settings = load_settings(file, environ={})
    stack = settings.stacks[0]
    assert stack.source.get_secret_value() == "mlmd+sqlite:////srv/zenml/metadata.db"
    assert stack.artifacts.max_size == 2 * 2**30
    assert stack.artifacts.roots == ("/srv/zenml",)
    assert dict(stack.artifacts.rewrite) == {"/data/zenml-0.5.7": "/srv/zenml"}
    assert settings.sinks.mlflow is not None
    assert settings.sinks.mlflow.tracking_uri.get_secret_value() == "http://127.0.0.1:5000"
    assert [sink.name for sink in settings.sinks.openlineage] == ["events", "marquez"]
    assert settings.schedule.every == timedelta(seconds=60)
    assert settings.file == file


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    settings = settings_from(_MINIMAL, folder=tmp_path)
    assert settings.sinks.mlflow is None
    assert settings.sinks.openlineage == ()
    assert settings.state.url.get_secret_value() == f"sqlite:///{tmp_path}/exporter-state.db"
    assert settings.schedule.every == timedelta(minutes=1)
    assert settings.rescan.runs == 200
    assert settings.settle == timedelta(seconds=30)
    assert settings.stale_after == timedelta(days=7)
    assert settings.stacks[0].artifacts.roots is None
    assert settings.stacks[0].artifacts.max_size == 2 * 2**30


def test_settings_never_change() -> None:
    settings = settings_from(_MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        settings.repository = "other"
    with pytest.raises(TypeError):
        settings.stacks[0].artifacts.rewrite["a"] = "b"  # type: ignore[index]  # that is what is tested


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    values = {
        "repository": "acme",
        "stacks": [
            {
                "key": "local",
                "source": "mlmd+sqlite:///store/metadata.db?mode=ro",
                "sidecars": "store/.zen",
                "artifacts": {"roots": ["store", "s3://bucket/a"], "rewrite": {"/data": "store"}},
            }
        ],
        "sinks": {
            "mlflow": {"tracking_uri": "sqlite:///mlflow.db"},
            "openlineage": [{"name": "events", "url": "out/events.jsonl"}],
        },
        "state": {"url": "sqlite:///state.db"},
    }
    settings = settings_from(values, folder=tmp_path)
    stack = settings.stacks[0]
    source = stack.source.get_secret_value()
    assert source == f"mlmd+sqlite:///{tmp_path}/store/metadata.db?mode=ro"
    assert stack.sidecars == f"{tmp_path}/store/.zen"
    assert stack.artifacts.roots == (f"{tmp_path}/store", "s3://bucket/a")
    assert stack.artifacts.rewrite["/data"] == f"{tmp_path}/store"
    assert settings.sinks.mlflow is not None
    assert (
        settings.sinks.mlflow.tracking_uri.get_secret_value() == f"sqlite:///{tmp_path}/mlflow.db"
    )
    events = settings.sinks.openlineage[0].url
    assert events is not None
    assert events.get_secret_value() == f"file://{tmp_path}/out/events.jsonl"
    assert settings.state.url.get_secret_value() == f"sqlite:///{tmp_path}/state.db"


def test_the_file_is_named_or_in_the_environment_or_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"exporter\.yaml does not exist.*pipeline-exporter init"):
        find_config(environ={})
    here = _written(tmp_path, "repository: here")
    other = tmp_path / "other.yaml"
    other.write_text("repository: other", encoding="utf-8")
    assert find_config(environ={}).resolve() == here
    assert find_config(environ={"EXPORTER_CONFIG": str(other)}) == other
    assert find_config(here, environ={"EXPORTER_CONFIG": str(other)}) == here
    with pytest.raises(ConfigError, match="is a folder"):
        find_config(tmp_path, environ={})


def test_an_unknown_name_is_told_with_the_nearest_one_and_its_line(tmp_path: Path) -> None:
    file = _written(
        tmp_path,
        "repository: acme\n"
        "stacks:\n"
        "  - key: a\n"
        "    source: mlmd+sqlite:////a.db\n"
        "    artefacts: {mode: copy}\n"
        "shedule: {every: 1m}\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_settings(file, environ={})
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{file} has 2 mistakes:"
    assert f"{file}:5: stacks[0].artefacts: there is no such setting" in lines[1]
    assert "did you mean 'artifacts'?" in lines[1]
    assert lines[2].strip() == (
        f"{file}:6: shedule: there is no such setting; did you mean 'schedule'?"
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "repository: is missing"),
        (_with(repository=""), "at least one visible character"),
        (_with(repository="a\nb"), "no control characters"),
        (_with(repository=2024), "put the value in quotes"),
        (_with(repository="a" * 251), "at most 250 characters"),
        (_with(stacks=[]), "needs at least 1"),
        (_with(stacks="x"), "is a list"),
        (_stack(source="metadata.db"), "write mlmd+<SQLAlchemy URL>"),
        (_stack(source="zenml://host"), "write mlmd+<SQLAlchemy URL>"),
        (_stack(source="sqlite:////srv/a.db"), "write mlmd+<SQLAlchemy URL>"),
        (_stack(artifacts={"mode": "link"}), "write 'copy' or 'reference'"),
        (_stack(artifacts={"max_size": "2 GiBB"}), "write a size such as 2 GiB"),
        (_stack(artifacts={"rewrite": {"": "/srv"}}), "an empty prefix would rewrite everything"),
        (_stack(artifacts=[1]), "is a section"),
        (_with(sinks={"mlflow": {"tracking_uri": "mlflow:5000"}}), "write http://host:5000"),
        (_with(sinks={"mlflow": {"tracking_uri": "http://"}}), "names no host"),
        (_with(sinks={"mlflow": {"tracking_uri": "http://h", "threads": 0}}), "is at least 1"),
        (_with(sinks={"mlflow": {"tracking_uri": "http://h", "threads": "x"}}), "a whole number"),
        (
            _with(sinks={"mlflow": {"tracking_uri": "http://h", "username": "u"}}),
            "username and password belong together",
        ),
        (
            _with(sinks={"mlflow": {"tracking_uri": "http://h", "username": "u", "token": "t"}}),
            "not both",
        ),
        (_with(sinks={"openlineage": [{"name": "a", "url": "kafka://h"}]}), "write http://host"),
        (_with(sinks={"openlineage": [{"name": "a", "url": "file://srv/a"}]}), "three slashes"),
        (_with(state={"url": "postgres://h/d"}), "write sqlite:////srv/out/state.db"),
        (_with(schedule={"every": "1m", "cron": "* * * * *"}), "give either every or cron"),
        (_with(schedule={"every": "0s"}), "every is at least 1s"),
        (_with(schedule={"every": "1m", "timezone": "UTC"}), "timezone belongs to cron"),
        (_with(schedule={"cron": "* * * *"}), "has 5 fields, this has 4"),
        (_with(schedule={"cron": "61 * * * *"}), "'61' is no minute: it goes from 0 to 59"),
        (_with(schedule={"cron": "* * * * *", "timezone": "Mars/Olympus"}), "Europe/Berlin"),
        (_with(settle="soon"), "write a duration such as 30s"),
        (_with(mappings="/no/such/folder"), "there is no such folder"),
        (_with(log={"level": "loud"}), "write 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_value_says_what_to_write(values: Mapping[str, Any], told: str) -> None:
    assert told in _mistake(values)


def test_one_source_is_one_stack(tmp_path: Path) -> None:
    (tmp_path / "real.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    pairs = [
        ("mlmd+sqlite:///real.db", f"mlmd+sqlite:///{tmp_path}/real.db"),
        ("mlmd+sqlite:///real.db", "mlmd+sqlite:///link.db"),
        ("mlmd+mysql://a:x@H/db", "mlmd+mariadb+pymysql://b:y@h:3306/db"),
        ("mlmd+postgresql://h/db", "mlmd+postgresql+psycopg://u@h:5432/db?sslmode=require"),
    ]
    for one, two in pairs:
        stacks = [{"key": "one", "source": one}, {"key": "two", "source": two}]
        with pytest.raises(ConfigError, match="'one' and 'two' read the same source"):
            settings_from({"repository": "acme", "stacks": stacks}, folder=tmp_path)
    stacks[1]["source"] = "mlmd+postgresql://h/other"
    settings = settings_from({"repository": "acme", "stacks": stacks}, folder=tmp_path)
    assert len(settings.stacks) == 2


def test_keys_and_destinations_have_names_of_their_own() -> None:
    stacks = [
        {"key": "one", "source": "mlmd+sqlite:////a.db"},
        {"key": "one", "source": "mlmd+sqlite:////b.db"},
    ]
    assert "more than one stack with the key 'one'" in _mistake(_with(stacks=stacks))
    same_name = [{"name": "a", "url": "http://x"}, {"name": "a", "url": "http://y"}]
    told = _mistake(_with(sinks={"openlineage": same_name}))
    assert "more than one destination named 'a'" in told
    same_url = [{"name": "a", "url": "http://x/"}, {"name": "b", "url": "http://x"}]
    told = _mistake(_with(sinks={"openlineage": same_url}))
    assert "more than one destination with the URL 'http://x'" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("repository: [a\nstacks: x: y", ":2:7 is not YAML"),
        ("repository: acme\nrepository: other\nstacks: []", ":2: repository: is written twice"),
        ("", "holds no settings"),
        ("- a", "must be a mapping"),
        ("acme", "must be a mapping"),
        (
            (
                "repository: acme\nstacks:\n  - key: a\n    source: mlmd+sqlite:////a.db\n"
                "  - source: mlmd+sqlite:////b.db\n    key: a\n"
            ),
            ":6: stacks[1].key: there is more than one stack with the key 'a'",
        ),
        ("a: &x [*x]", "nested too deeply or contains itself"),
        ("a: !!python/object:os.system x", "is not YAML"),
    ],
)
def test_a_file_that_is_no_settings_says_where(tmp_path: Path, text: str, told: str) -> None:
    file = _written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file, environ={})
    assert str(file) in str(caught.value)
    assert told in str(caught.value)


def test_what_can_be_read_is_a_configuration_file_too(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"repository: acme\nstacks: [{key: a, source: 'mlmd+sqlite:///a.db'}]\n")
    os.close(writer)
    try:
        settings = load_settings(f"/dev/fd/{reader}", environ={})
    finally:
        os.close(reader)
    assert settings.stacks[0].source.get_secret_value() == f"mlmd+sqlite:///{Path.cwd()}/a.db"
    with pytest.raises(ConfigError, match="/dev/null holds no settings"):
        load_settings("/dev/null", environ={})


def test_a_file_that_the_environment_names_is_told_with_the_variable(tmp_path: Path) -> None:
    named = {"EXPORTER_CONFIG": str(tmp_path / "gone.yaml")}
    with pytest.raises(ConfigError, match=r"gone\.yaml \(of EXPORTER_CONFIG\) does not exist"):
        load_settings(environ=named)
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "other.yaml", environ=named)
    assert "(of EXPORTER_CONFIG)" not in caught.value.message


def test_a_file_that_is_not_text_says_so(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_bytes(b"repository: \xff\xfe")
    with pytest.raises(ConfigError, match="it is not UTF-8 text"):
        load_settings(file, environ={})


def test_a_setting_without_a_value_is_not_set(tmp_path: Path) -> None:
    file = _written(
        tmp_path,
        "repository: acme\n"
        "stacks:\n  - key: a\n    source: mlmd+sqlite:////a.db\n    artifacts:\n"
        "sinks:\n  mlflow:\nlog:\n",
    )
    settings = load_settings(file, environ={})
    assert settings.sinks.mlflow is None
    assert settings.log.level == "info"


def test_settings_can_be_shown_without_their_secrets() -> None:
    values = _with(
        stacks=[{"key": "a", "source": "mlmd+mysql://u:hunter2secret@h/db"}],
        sinks={"mlflow": {"tracking_uri": "http://h", "username": "u", "password": "p4ssw0rd"}},
        state={"url": "postgresql://u:other%40secret@h/db"},
    )
    settings = settings_from(values)
    for secret in ("hunter2secret", "p4ssw0rd", "other%40secret"):
        assert secret not in repr(settings)
        assert secret not in str(settings.model_dump_json())
        assert secret not in settings.masker()(f"it was {secret}")
    assert str(settings.stacks[0].source) == "mlmd+mysql://u:***@h/db"
    assert "other@secret" in settings.secrets()


def test_mistakes_never_repeat_a_value() -> None:
    values = _with(
        state={"url": "oracle://u:hunter2secret@h/db"},
        sinks={"mlflow": {"tracking_uri": "http://u:hunter2secret@h"}},
    )
    told = _mistake(values)
    assert "hunter2secret" not in told
    assert "take the credentials out of the address" in told


def test_the_model_itself_checks_as_well() -> None:
    assert Settings.model_validate(_MINIMAL).repository == "acme"


@pytest.mark.parametrize(
    "credentials",
    [{"token": "s3cret\n"}, {"token": "s3cret☃"}, {"username": "u", "password": "s3cret\r\nX: 1"}],
)
def test_credentials_that_cannot_be_sent_are_refused_and_not_shown(
    credentials: Mapping[str, str],
) -> None:
    told = _mistake(_with(sinks={"mlflow": {"tracking_uri": "http://h", **credentials}}))
    assert "it holds a" in told
    assert "s3cret" not in told
    assert "☃" not in told
