"""The configurations a user starts from: each loads, and together they show every setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.config import load_settings
from exporter.config.references import place_text
from exporter.config.shape import all_places
from exporter.mapping.openlineage import CatalogProfile

_FOLDER = Path(__file__).resolve().parents[2] / "config"
_ENVIRONMENT = {
    "STORE_PASSWORD": "one",
    "STATE_PASSWORD": "two",
    "MLFLOW_TRACKING_PASSWORD": "three",
}
_TEMPLATES = sorted(_FOLDER.glob("*.yaml"))


def test_there_is_a_template_for_each_way_to_run() -> None:
    assert [path.stem for path in _TEMPLATES] == ["cronjob", "deployment", "local"]


@pytest.mark.parametrize("path", _TEMPLATES, ids=lambda path: path.stem)
def test_a_template_loads(path: Path) -> None:
    settings = load_settings(path, environ=_ENVIRONMENT)
    assert settings.repository == "acme"
    assert settings.file == path


@pytest.mark.parametrize("path", _TEMPLATES, ids=lambda path: path.stem)
def test_a_template_is_readable_without_its_secrets_once_they_are_only_for_sinks(
    path: Path,
) -> None:
    environ = {"STORE_PASSWORD": "one"}
    assert load_settings(path, environ=environ, need_secrets=False).stacks


def test_the_local_template_shows_every_setting() -> None:
    text = (_FOLDER / "local.yaml").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\s*#?(?:- )?(\w+):", text, flags=re.MULTILINE))
    missing = [place_text(place) for place in all_places() if place[-1] not in shown]
    assert missing == []


def test_every_line_that_is_off_becomes_a_setting_when_its_mark_is_removed(tmp_path: Path) -> None:
    text = (_FOLDER / "local.yaml").read_text(encoding="utf-8")
    either_or = {"cron", "timezone", "username", "password"}
    (tmp_path / "maps").mkdir()
    lines = [
        re.sub(r"^(\s*)#(?=[-\w])", r"\1", line)
        for line in text.splitlines()
        if not (match := re.match(r"\s*#(\w+):", line)) or match[1] not in either_or
    ]
    whole = "\n".join(lines).replace("/etc/pipeline-exporter/mappings", "maps")
    whole = whole.replace("/run/secrets/mlflow-token", "token")
    (tmp_path / "token").write_text("t0ken\n", encoding="utf-8")
    file = tmp_path / "exporter.yaml"
    file.write_text(whole, encoding="utf-8")
    settings = load_settings(file, environ={"MARQUEZ_TOKEN": "other"})
    plain = load_settings(_FOLDER / "local.yaml")
    assert settings.log == plain.log
    assert settings.rescan == plain.rescan
    assert (settings.settle, settings.stale_after) == (plain.settle, plain.stale_after)
    assert settings.stacks[0].artifacts.max_size == plain.stacks[0].artifacts.max_size
    assert settings.sinks.openlineage[1].timeout == plain.sinks.openlineage[0].timeout
    assert settings.sinks.openlineage[1].endpoint == CatalogProfile("generic").endpoint
