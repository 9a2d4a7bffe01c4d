"""What a configuration takes from the environment and from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Settings, load_settings, settings_from
from exporter.errors import ConfigError

_STACKS = [{"key": "local", "source": "mlmd+sqlite:////srv/metadata.db"}]


def _settings(environ: dict[str, str], *, folder: Path | None = None, **more: Any) -> Settings:
    values = {"repository": "acme", "stacks": [dict(stack) for stack in _STACKS], **more}
    return settings_from(values, folder=folder, environ=environ)


def test_a_variable_stands_anywhere_in_a_text() -> None:
    settings = _settings(
        {"PW": "s3cret", "HOST": "db"}, state={"url": "postgresql://u:${PW}@${HOST}/x"}
    )
    assert settings.state.url.get_secret_value() == "postgresql://u:s3cret@db/x"


def test_a_doubled_dollar_is_a_plain_one() -> None:
    sinks = {"mlflow": {"tracking_uri": "http://h", "token": "a$${PW}$b"}}
    settings = _settings({}, sinks=sinks)
    assert settings.sinks.mlflow is not None
    assert settings.sinks.mlflow.token is not None
    assert settings.sinks.mlflow.token.get_secret_value() == "a${PW}$b"


def test_a_file_gives_its_content_without_the_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"a t0ken\r\n")
    sinks = {"mlflow": {"tracking_uri": "http://h", "token": {"file": "${DIR}/token"}}}
    settings = _settings({"DIR": "."}, folder=tmp_path, sinks=sinks)
    assert settings.sinks.mlflow is not None
    assert settings.sinks.mlflow.token is not None
    assert settings.sinks.mlflow.token.get_secret_value() == "a t0ken"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:${NOPE}@h/x", "the environment has no NOPE"),
        ("postgresql://u:${NO-PE}@h/x", "${NO-PE} names no variable"),
        ({"file": "nope"}, "cannot be read: No such file or directory"),
        ({"file": "empty"}, "is empty"),
        ({"file": "binary"}, "it is not UTF-8 text"),
        ({"file": "empty", "else": "x"}, "is text"),
    ],
)
def test_a_reference_to_nothing_is_told_once(tmp_path: Path, url: Any, told: str) -> None:
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError) as caught:
        _settings({}, folder=tmp_path, state={"url": url})
    assert "state.url" in str(caught.value)
    assert told in str(caught.value)
    assert "mistakes" not in str(caught.value)


def test_for_reading_only_the_secrets_of_sinks_and_state_need_not_resolve(tmp_path: Path) -> None:
    values = {
        "repository": "acme",
        "stacks": _STACKS,
        "sinks": {
            "mlflow": {"tracking_uri": "${URI}", "username": "u", "password": "${PW}"},
            "openlineage": [{"name": "a", "url": "${URL}", "token": {"file": "/nope"}}],
        },
        "state": {"url": {"file": "/nope"}},
    }
    assert settings_from(values, need_secrets=False).stacks[0].key == "local"
    with pytest.raises(ConfigError, match="has 5 mistakes"):
        settings_from(values)
    stacks = [{"key": "a", "source": "mlmd+mysql://u:${PW}@h/x"}]
    with pytest.raises(ConfigError, match="the environment has no PW"):
        settings_from({"repository": "acme", "stacks": stacks}, need_secrets=False)


def test_variables_win_over_the_file_and_need_nothing_that_they_replace() -> None:
    settings = _settings(
        {
            "EXPORTER_STATE__URL": "postgresql://h/x",
            "EXPORTER_STACKS__0__FLAVOUR": "tfx",
            "EXPORTER_STACKS__0__ARTIFACTS__ROOTS": "[/srv/a, /srv/b]",
            "EXPORTER_SINKS__OPENLINEAGE__0__NAME": "events",
            "EXPORTER_SINKS__OPENLINEAGE__0__URL": "file:///srv/out.jsonl",
            "EXPORTER_RESCAN__RUNS": "17",
            "EXPORTER_SETTLE": "90",
            "EXPORTER_LOG__LEVEL": "",
        },
        state={"url": "${NOPE}"},
    )
    assert settings.state.url.get_secret_value() == "postgresql://h/x"
    assert settings.stacks[0].flavour == "tfx"
    assert settings.stacks[0].artifacts.roots == ("/srv/a", "/srv/b")
    assert settings.sinks.openlineage[0].name == "events"
    assert settings.rescan.runs == 17
    assert settings.settle.total_seconds() == 90
    assert settings.log.level == "info"


def test_a_value_from_the_environment_is_taken_as_it_stands() -> None:
    name = "EXPORTER_SINKS__MLFLOW__PASSWORD"
    sinks = {"mlflow": {"tracking_uri": "http://h", "username": "u"}}
    for odd in ("${NOPE}", "[not a list", "{a: b}", "12", "true", "null"):
        settings = _settings({name: odd}, sinks=sinks)
        assert settings.sinks.mlflow is not None
        assert settings.sinks.mlflow.password is not None
        assert settings.sinks.mlflow.password.get_secret_value() == odd


def test_a_variable_with_file_behind_it_names_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://u:p@h/x\n", encoding="utf-8")
    settings = _settings({"EXPORTER_STATE__URL_FILE": str(file)})
    assert settings.state.url.get_secret_value() == "postgresql://u:p@h/x"
    both = {"EXPORTER_STATE__URL_FILE": str(file), "EXPORTER_STATE__URL": "sqlite:////a.db"}
    with pytest.raises(
        ConfigError, match="EXPORTER_STATE__URL and EXPORTER_STATE__URL_FILE are both set"
    ):
        _settings(both)
    with pytest.raises(ConfigError, match="EXPORTER_STATE__URL_FILE: the file /nope cannot"):
        _settings({"EXPORTER_STATE__URL_FILE": "/nope"})


def test_a_mistake_in_a_variable_names_the_variable() -> None:
    with pytest.raises(
        ConfigError, match=r"EXPORTER_STATE__ULR \(state\.ulr\).*did you mean 'url'"
    ):
        _settings({"EXPORTER_STATE__ULR": "x"})
    with pytest.raises(ConfigError, match=r"EXPORTER_RESCAN__RUNS \(rescan\.runs\).*whole number"):
        _settings({"EXPORTER_RESCAN__RUNS": "many"})
    with pytest.raises(ConfigError, match="EXPORTER_STACKS__7__KEY points into a list"):
        _settings({"EXPORTER_STACKS__7__KEY": "x"})


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("EXPORTER_STAET__URL", "EXPORTER_STATE__URL"),
        ("EXPORTER_REPOSITRY", "EXPORTER_REPOSITORY"),
        ("EXPORTER_STAET__URL_FILE", "EXPORTER_STATE__URL"),
        ("EXPORTER_SINKS_MLFLOW__TRACKING_URI", "EXPORTER_SINKS__MLFLOW__TRACKING_URI"),
        ("EXPORTER_STATE_URL", "EXPORTER_STATE__URL"),
        ("EXPORTER_STATE_URL_FILE", "EXPORTER_STATE__URL"),
        ("EXPORTER_SINKS_MLFLOW_TRACKING_URI", "EXPORTER_SINKS__MLFLOW__TRACKING_URI"),
        ("EXPORTER_STACKS_2_SOURCE", "EXPORTER_STACKS__2__SOURCE"),
    ],
)
def test_a_variable_that_misspells_a_setting_is_told(variable: str, meant: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"{variable} .*no such setting, did you mean {meant}\?"
    ) as told:
        _settings({variable: "secret"})
    assert "secret" not in str(told.value)


def test_variables_that_name_no_setting_belong_to_others() -> None:
    others = {
        "EXPORTER_PORT": "tcp://10.0.0.1:80",
        "EXPORTER_SERVICE_HOST": "10.0.0.1",
        "EXPORTER_CONFIG": "/etc/x.yaml",
        "EXPORTER_TEST_MARIADB_URL": "mysql://x",
        "EXPORTER_STATE_SERVICE_HOST": "10.0.0.2",
    }
    assert _settings(others) == _settings({})


def test_the_file_is_not_changed_by_what_the_environment_says(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    text = "repository: acme\nstacks:\n- {key: a, source: 'mlmd+sqlite:////a.db'}\n"
    file.write_text(text, encoding="utf-8")
    load_settings(file, environ={"EXPORTER_REPOSITORY": "other"})
    assert load_settings(file, environ={}).repository == "acme"


@given(st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=40))
def test_any_printable_text_survives_the_way_through_a_variable(text: str) -> None:
    sinks = {"mlflow": {"tracking_uri": "http://h", "username": "u", "password": "${T}"}}
    settings = _settings({"T": text}, sinks=sinks)
    assert settings.sinks.mlflow is not None
    assert settings.sinks.mlflow.password is not None
    assert settings.sinks.mlflow.password.get_secret_value() == text
