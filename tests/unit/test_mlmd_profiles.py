"""Flavours as YAML: merged deeply, checked key by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.stores import MAPPINGS

from exporter.errors import ConfigError
from exporter.sources.mlmd import load_profiles, profiles_from_documents

if TYPE_CHECKING:
    from pathlib import Path


def test_the_bundled_flavours_are_complete() -> None:
    profiles = load_profiles(MAPPINGS)
    assert set(profiles) == {"zenml-0.5", "zenml-0.6", "tfx"}
    old, new = profiles["zenml-0.5"], profiles["zenml-0.6"]
    assert (old.tool, new.tool, profiles["tfx"].tool) == ("zenml", "zenml", "tfx")
    assert old.statuses == new.statuses == {2: "running", 3: "completed", 5: "cached"}
    assert old.run_stack is None
    assert new.run_stack is not None


def test_a_user_overrides_one_key(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: zenml-0.5\nstep:\n  statuses: {6: cancelled}\n  hidden: [zenml-, ours-]\n"
    )
    mine = load_profiles(MAPPINGS, tmp_path)["mine"]
    assert mine.statuses == {2: "running", 3: "completed", 5: "cached", 6: "cancelled"}
    assert mine.hidden == ("zenml-", "ours-")
    assert mine.name_property == "zenml-pipeline_parameter_name"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: none\n", "mine -> none"),
        ("extends: mine\n", "mine -> mine"),
        ("extends: tfx\nsteps: {}\n", r"\['steps'\]"),
        ("extends: tfx\nstep: {parameter: json}\n", r"step\.parameter"),
        ("extends: tfx\nstep: {parameters: yaml}\n", "'yaml'"),
        ("tool: x\n", "contexts"),
        ("extends: tfx\nevents: {inputs: [a]}\n", "wrong shape"),
        ("- a\n", "not a mapping"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        load_profiles(MAPPINGS, tmp_path)
    assert error.value.hint


def test_documents_need_no_files() -> None:
    assert profiles_from_documents({}) == {}
