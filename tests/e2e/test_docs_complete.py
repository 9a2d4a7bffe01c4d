"""The pages tell of every setting, tag, exit code, verb and facet, and link to what is there."""

from __future__ import annotations

import json
import re
import types
import typing
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel
from support.command import Ended, run_command, write_zenml_config

from exporter.cli.app import app
from exporter.cli.exits import EXIT_CODES
from exporter.config import Settings
from exporter.hierarchy import ContentState

_ROOT = Path(__file__).resolve().parents[2]
_DOCS = _ROOT / "docs"
_PAGES = [_ROOT / "README.md", _ROOT / "CHANGELOG.md", *sorted(_DOCS.glob("*.md"))]


def _page(name: str) -> str:
    return (_DOCS / name).read_text(encoding="utf-8")


def _slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def _sections(hint: Any) -> tuple[type[BaseModel] | None, bool]:  # Any: a type hint
    """Give the section a setting holds, and whether it holds several."""
    for part in (hint, *typing.get_args(hint)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part, typing.get_origin(hint) is tuple
    for part in typing.get_args(hint):
        if isinstance(part, types.GenericAlias):
            return _sections(part)
    return None, False


def _settings(section: type[BaseModel], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, field in section.model_fields.items():
        inner, several = _sections(field.annotation)
        if inner is None:
            names.append(prefix + name)
        else:
            names += _settings(inner, f"{prefix}{name}{'[]' if several else ''}.")
    return names


def _code(pattern: str, *folders: str) -> set[str]:
    found: set[str] = set()
    for folder in folders:
        for path in (_ROOT / "exporter" / folder).rglob("*.py"):
            found |= set(re.findall(pattern, path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("setting", _settings(Settings))
def test_every_setting_is_in_the_table(setting: str) -> None:
    assert re.search(rf"^\|.*`{re.escape(setting)}`.*\|", _page("operations.md"), re.MULTILINE)


def test_no_setting_in_the_table_is_unknown() -> None:
    table = _page("operations.md").partition("## Settings")[2].partition("## Secrets")[0]
    rows = re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert told == set(_settings(Settings))


def test_every_exit_code_is_in_the_operations_page_and_the_readme() -> None:
    codes = {code for _, code in EXIT_CODES} | {0}
    for text in (_page("operations.md"), (_ROOT / "README.md").read_text(encoding="utf-8")):
        assert {int(code) for code in re.findall(r"^\| (\d) \|", text, re.MULTILINE)} >= codes


def test_every_tag_that_the_code_writes_is_told() -> None:
    written = _code(r"\"(exporter\.[a-z_]+)\"", "mapping", "sinks")
    written |= set(
        re.findall(r"exporter\.[a-z_]+", (_ROOT / "mappings" / "mlflow.yaml").read_text())
    )
    assert {tag for tag in written if f"`{tag}`" not in _page("mapping.md")} == set()
    assert len(written) > 15


def test_every_kind_of_what_is_kept_beside_is_told() -> None:
    kinds = _code(r"beside\[\"([a-z_]+)\"\]", "mapping")
    kinds |= _code(r"\"([a-z]+_shortened)\"", "mapping")
    assert len(kinds) > 7
    assert {kind for kind in kinds if f"`{kind}`" not in _page("mapping.md")} == set()


@pytest.mark.parametrize("state", typing.get_args(ContentState))
def test_every_state_of_an_artifact_is_told(state: str) -> None:
    assert f"\n| `{state}` |" in _page("mapping.md")


@pytest.mark.parametrize("key", yaml.safe_load((_ROOT / "mappings" / "mlflow.yaml").read_text()))
def test_every_key_of_the_mlflow_mapping_has_an_effect_the_code_knows(key: str) -> None:
    assert _code(rf"\b({key})\b", "mapping/mlflow")


def test_every_verb_is_linked() -> None:
    verbs: set[str] = set()
    for name, command in getattr(typer.main.get_command(app), "commands", {}).items():
        inner = getattr(command, "commands", {})
        verbs |= {f"{name} {word}" for word in inner} or {name}
    linked = set(re.findall(r"\[([a-z ]+)\]\(cli\.md#", _page("README.md")))
    assert linked == verbs


def test_every_source_mapping_is_told() -> None:
    for path in (_ROOT / "mappings" / "sources").glob("*.yaml"):
        assert f"\n| `{path.stem}` |" in _page("sources.md")


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_slug(title) for title in titles}, target


def test_the_smallest_configuration_of_the_readme_is_one(tmp_path: Path) -> None:
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    settings = Settings.model_validate(yaml.safe_load(block), context={"folder": tmp_path})
    assert settings.repository == "acme"


def test_the_artifact_policy_of_the_sources_page_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", _page("sources.md"), re.DOTALL)
    stack = {"key": "k", "source": "mlmd+sqlite:///store.db", **yaml.safe_load(block)}
    whole = {"repository": "r", "stacks": [stack]}
    settings = Settings.model_validate(whole, context={"folder": tmp_path})
    assert settings.stacks[0].artifacts.max_size == 2 * 2**30


def test_the_settings_table_gives_the_defaults_of_the_template() -> None:
    template = (_ROOT / "config" / "local.yaml").read_text(encoding="utf-8")
    commented = dict(re.findall(r"^ *#?([a-z_]+): ([^\s\[{$][^\n]*)$", template, re.MULTILINE))
    rows = re.findall(
        r"^\| `[^`]*?([a-z_]+)` \| `([^`]+)` \|", _page("operations.md"), re.MULTILINE
    )
    assert len(rows) > 7
    for name, default in rows:
        if name != "url":
            assert commented[name] == default, name


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """Export the recorded ZenML store to a file of events, and give it and how that ended."""
    folder = tmp_path_factory.mktemp("docs")
    ended = run_command("run", "--json", "-c", write_zenml_config(folder), cwd=folder)
    return folder / "events.jsonl", ended


def test_every_facet_of_real_events_is_told(exported: tuple[Path, Ended]) -> None:
    events, ended = exported
    assert ended.code == 0, ended
    facets: set[str] = set()
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        facets |= set(event["run"]["facets"]) | set(event["job"].get("facets", {}))
        for dataset in event["inputs"] + event["outputs"]:
            facets |= set(dataset.get("facets", {})) | set(dataset.get("inputFacets", {}))
    assert len(facets) > 6
    assert {facet for facet in facets if f"`{facet}`" not in _page("mapping.md")} == set()
