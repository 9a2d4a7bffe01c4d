"""The page about catalogs: every configuration in it is one, every profile and key is told."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import OpenLineageSettings, Settings, settings_from
from exporter.config.resources import load_mapping, mapping_names
from exporter.errors import ConfigError
from exporter.mapping.openlineage.profile import CatalogProfile, profile_from_yaml
from exporter.sinks.openlineage.client_transport import open_transport

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = (_ROOT / "docs" / "catalogs.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"```yaml\n(.*?)```", _PAGE, re.DOTALL)
_VARIABLES = dict.fromkeys(re.findall(r"\$\{(\w+)\}", _PAGE), "a-secret")

Tree = dict[str, Any]  # Any: parsed YAML


def _settings(block: str, folder: Path) -> Settings:
    tree: Tree = yaml.safe_load(block.replace("/run/secrets", str(folder)))
    (folder / "kafka-password").write_text("a-secret\n", encoding="utf-8")
    stacks = [{"key": "k", "source": "mlmd+sqlite:///store.db"}]
    return settings_from(
        {"repository": "r", "stacks": stacks, **tree}, folder=folder, environ=_VARIABLES
    )


_SINKS = [block for block in _BLOCKS if block.startswith("sinks:")]


def _name(block: str) -> str:
    found = re.search(r"name: ([\w-]+)", block)
    return found[1] if found else "profile"


@pytest.mark.parametrize("block", _SINKS, ids=_name)
def test_every_destination_of_the_page_is_one(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    (destination,) = _settings(block, tmp_path).sinks.openlineage
    if destination.url is None:
        _open(destination)
    elif destination.catalog is not None:
        assert _profile(destination.catalog).transport == "http"


def _open(destination: OpenLineageSettings) -> None:
    """Make its transport; where a package is missing the message names the extra of the page."""
    if destination.catalog is not None:
        assert _profile(destination.catalog).transport == "openlineage"
    missing = ""
    try:
        open_transport(destination).close()
    except ConfigError as error:
        missing = f"{error.message} {error.hint}"
    assert not missing or ("not installed" in missing and missing.rpartition(" ")[2] in _PAGE)


def _profile(name: str) -> CatalogProfile:
    return profile_from_yaml(name, load_mapping(f"catalogs/{name}"))


def test_the_profile_of_the_page_is_one() -> None:
    (block,) = [block for block in _BLOCKS if block not in _SINKS]
    assert profile_from_yaml("ours", yaml.safe_load(block)).job_namespace == "ml"


@pytest.mark.parametrize("name", mapping_names("catalogs"))
def test_every_profile_is_told_with_what_to_write(name: str) -> None:
    assert re.search(rf"^\|[^|]+\| `{name}`[,| ]", _PAGE, re.MULTILINE)
    if name not in {"file", "generic"}:
        assert f"catalog: {name}" in _PAGE


@pytest.mark.parametrize("key", [one.name for one in fields(CatalogProfile) if one.name != "name"])
def test_every_key_of_a_profile_is_told(key: str) -> None:
    table = _PAGE.partition("\n## Profiles")[2]
    assert re.search(rf"^\|[^|]*`{key}`", table, re.MULTILINE)


def test_every_extra_that_the_page_names_is_one() -> None:
    project = (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(re.findall(r"pipeline-exporter\[(\w+)\]", _PAGE))
    assert extras == {"kafka", "gcp", "datazone"}
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras)
