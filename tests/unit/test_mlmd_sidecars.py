"""What lies beside a store: stacks, docstrings, versions; broken files are one warning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs
from support.stores import TFX, ZENML_05, ZENML_12

from exporter.hierarchy import Parameter
from exporter.sources.sidecars import Sidecars, default_stack_key

if TYPE_CHECKING:
    from pathlib import Path


def test_the_active_stack_is_found_from_the_store_alone() -> None:
    assert default_stack_key(ZENML_05.database) == "local_stack"
    assert default_stack_key(ZENML_12.database) == "default"
    assert default_stack_key(TFX.database) is None
    assert default_stack_key(None) is None


def test_a_configured_folder_serves_where_the_store_has_none() -> None:
    folder = ZENML_12.folder / "home" / ".config" / "zenml"
    sidecars = Sidecars(None, [folder])
    assert sidecars.active_stack == "default"
    run = sidecars.run("train_pipeline", "run_1")
    assert run is not None
    assert run.step_docstrings["sk_trainer"] == "Trains a logistic regression."
    assert run.stack == "default"
    assert run.facts == (Parameter("zenml_version", "0.12.0"),)
    assert sidecars.run("train_pipeline", "none") is None


def test_a_repository_of_another_store_is_not_taken(tmp_path: Path) -> None:
    store = tmp_path / "local_stores" / "1234" / "metadata.db"
    zen = tmp_path / "repo" / ".zen"
    (zen / "metadata_stores").mkdir(parents=True)
    (zen / "zenservice.json").write_text(json.dumps({"active_stack_key": "theirs"}))
    named = zen / "metadata_stores" / "1.json"
    named.write_text(json.dumps({"uri": "/x/local_stores/other/metadata.db", "uuid": "1"}))
    assert default_stack_key(store) is None
    named.write_text(json.dumps({"uri": "/x/local_stores/1234/metadata.db", "uuid": "1"}))
    assert default_stack_key(store) == "theirs"


def profile(folder: Path, runs: str) -> Path:
    made = folder / "profiles" / "default"
    made.mkdir(parents=True)
    (made / "pipeline_runs.yaml").write_text(runs)
    return made


RUNS = """
pipeline_runs:
  p:
  - name: r
    zenml_version: 0.9.0
    git_sha: abc
    pipeline: {docstring: Of the pipeline., steps: [{name: f, docstring: Of f.}, {name: g}]}
    stack: {name: s, components: [{type: metadata_store, uuid: one}]}
  - {name: odd, pipeline: 3, stack: [x]}
  - 7
  q: none
"""


def test_runs_of_other_metadata_stores_are_left_out(tmp_path: Path) -> None:
    made = profile(tmp_path, RUNS)
    (made / "metadata_stores").mkdir()
    uri = "/x/stores/metadata.db"
    (made / "metadata_stores" / "a.yaml").write_text(f"uri: {uri}\nuuid: other\n")
    store = tmp_path / "stores" / "metadata.db"
    assert Sidecars(store, [tmp_path]).run("p", "r") is None
    (made / "metadata_stores" / "a.yaml").write_text(f"uri: {uri}\nuuid: one\n")
    run = Sidecars(store, [tmp_path]).run("p", "r")
    assert run is not None
    assert run.facts == (Parameter("zenml_version", "0.9.0"), Parameter("git_sha", "abc"))
    assert run.step_docstrings == {"f": "Of f."}


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    made = profile(tmp_path, RUNS)
    sidecars = Sidecars(None, [tmp_path])
    assert sidecars.run("p", "new") is None
    assert sidecars.pipeline_docstring("p") == "Of the pipeline."
    (made / "pipeline_runs.yaml").write_text("pipeline_runs: {p: [{name: new}]}")
    sidecars.refresh()
    assert sidecars.run("p", "new") is not None
    assert sidecars.run("p", "r") is None


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00", "pipeline_runs: !!python/object:os.x {}"])
def test_a_broken_file_is_one_warning(tmp_path: Path, text: str) -> None:
    profile(tmp_path, text)
    with capture_logs() as logs:
        sidecars = Sidecars(None, [tmp_path])
        sidecars.refresh()
        assert sidecars.run("p", "r") is None
    assert [log["event"] for log in logs] == ["sidecar_unreadable"]
    assert "\n" not in logs[0]["reason"]
