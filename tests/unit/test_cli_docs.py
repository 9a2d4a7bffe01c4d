"""docs/cli.md tells of every verb, by a title, an example and the keys of its JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from exporter.cli.app import app
from exporter.cli.exits import EXIT_CODES

_TEXT = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
_SECTIONS = {part.partition("\n")[0]: part.partition("\n")[2] for part in _TEXT.split("\n## ")[1:]}


def _verbs() -> dict[str, Any]:  # Any: click's commands
    found: dict[str, Any] = {}
    for name, command in getattr(typer.main.get_command(app), "commands", {}).items():
        inner = getattr(command, "commands", {})
        found |= {f"{name} {word}": verb for word, verb in inner.items()} or {name: command}
    return found


def test_every_verb_has_a_section_and_every_section_a_verb() -> None:
    assert set(_SECTIONS) == set(_verbs())


@pytest.mark.parametrize("verb", sorted(_verbs()))
def test_every_section_has_an_example_with_known_options(verb: str) -> None:
    examples = re.findall(rf"^\$ pipeline-exporter {verb}(.*)$", _SECTIONS[verb], re.MULTILINE)
    assert examples
    known = {option for param in _verbs()[verb].params for option in param.opts}
    for example in examples:
        assert set(re.findall(r"--[a-z-]+", example)) <= known


@pytest.mark.parametrize("verb", sorted(_verbs()))
def test_every_option_is_mentioned(verb: str) -> None:
    common = {"--config", "--json", "--help"}
    for param in _verbs()[verb].params:
        for option in param.opts:
            if option.startswith("--") and option not in common:
                assert f"`{option}`" in _SECTIONS[verb]


@pytest.mark.parametrize("verb", sorted(set(_verbs()) - {"serve"}))
def test_every_json_example_is_json(verb: str) -> None:
    blocks = re.findall(r"```json\n(.*?)```", _SECTIONS[verb], re.DOTALL)
    assert blocks
    for block in blocks:
        assert isinstance(json.loads(block), dict)


def test_every_exit_code_is_explained() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d)", _TEXT, re.MULTILINE)}
    assert told >= {code for _, code in EXIT_CODES} | {0}
