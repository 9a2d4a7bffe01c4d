"""Opening what a user names, and walking the recorded stores."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from support.zenml_stores import recorded_store

import exporter
from exporter import AmbiguousName, ConfigError, NotFound, PandasMaterializer, UnsafeArtifact
from exporter.config import load_settings
from exporter.errors import ExporterError, StoreUnreadable
from exporter.hierarchy import canonical_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from exporter import Repository

ZENML = ("zenml-0.5.7", "zenml-0.12.0")
STORES = (*ZENML, "tfx-1.15")


def opened(name: str, **more: Any) -> Repository:  # Any: settings of every type
    store = recorded_store(name)
    return exporter.open_repository(store.url, roots=[store.folder], rewrite=store.rewrite, **more)


def config(tmp_path: Path, *stacks: str) -> Path:
    lines = ["repository: acme", "stacks:"]
    for name in stacks:
        store = recorded_store(name)
        lines += [
            f"  - key: {name}",
            f"    source: {store.url}",
            "    artifacts:",
            f"      roots: ['{store.folder}']",
            f"      rewrite: {{{store.recorded}: '{store.folder}'}}",
        ]
    lines += [
        "sinks:",
        "  mlflow: {tracking_uri: 'http://nowhere.invalid:5000', token: '${NOT_SET}'}",
    ]
    path = tmp_path / "exporter.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ZENML)
def test_a_walk_gives_what_the_original_software_gave(name: str) -> None:
    store = recorded_store(name)
    expected = json.loads((store.folder / "expected_walk.json").read_text(encoding="utf-8"))
    walked = {}
    with opened(name) as repository:
        for pipeline in repository.get_pipelines():
            for run in pipeline.get_runs():
                for step in run.steps:
                    walked[(pipeline.name, run.name, step.name)] = step
    assert len(walked) == len(expected)
    for told in expected:
        step = walked[(told["pipeline"], told["run"], told["step"])]
        assert (step.entrypoint, step.status) == (told["impl"], told["status"])
        assert step.run.status == told["run_status"]
        assert dict(step.parameters) == told["parameters"]
        if told["step"] == "compare":
            continue  # the original reader pairs these ports wrongly
        assert [int(parent.id) for parent in step.parents] == told["parents"]
        for ports, side in ((step.inputs, told["inputs"]), (step.outputs, told["outputs"])):
            assert sorted(ports.names) == sorted(side)
            for port in ports:
                assert {
                    "id": int(port.id),
                    "type": port.type,
                    "uri": port.uri,
                    "mat": port.materializer,
                    "dt": port.data_type,
                    "producer": int(port.producer_ref.source_id) if port.producer_ref else None,
                    "cached": port.is_cached,
                } == side[port.name]


@pytest.mark.parametrize("name", ZENML)
def test_one_artifact_on_two_inputs_is_on_both(name: str) -> None:
    with opened(name) as repository:
        compare = repository.get_pipeline("dup_input_pipeline").get_run("dup_1").get_step("compare")
        assert compare.inputs.names == ["left", "right"]
        assert compare.inputs["left"].id == compare.inputs["right"].id
        assert compare.output.read() == 0.0


@pytest.mark.parametrize("name", ZENML)
def test_every_output_is_read_or_refused_with_a_reason(name: str) -> None:
    read, refused = 0, 0
    with opened(name) as repository:
        for pipeline in repository.get_pipelines():
            for run in pipeline.get_runs():
                for step in run.steps:
                    for output in step.outputs:
                        if output.type == "ModelArtifact":
                            with pytest.raises(UnsafeArtifact, match="trusted=True"):
                                output.read()
                            refused += 1
                        elif "PandasMaterializer" in (output.materializer or ""):
                            frame = output.read(materializer=PandasMaterializer)
                            pd.testing.assert_frame_equal(output.read(), frame)
                            assert len(frame) in {1, 5, 30, 120}
                            read += 1
                        else:
                            assert isinstance(output.read(), float | dict)
                            read += 1
    assert refused >= 4
    assert read >= 20


def test_tfx_values_are_read() -> None:
    with opened("tfx-1.15") as repository:
        metric = repository.get_pipeline("boom-tfx").get_runs()[-1].get_step("MakeMetric")
        assert metric.outputs["label"].read() == "hello"
        assert metric.outputs["accuracy"].read() == 0.9
        trainer = repository.get_pipeline("iris-tfx").get_runs()[-1].get_step("Trainer")
        with pytest.raises(UnsafeArtifact, match="trusted=True"):
            trainer.outputs["model"].read()


@pytest.mark.parametrize("name", STORES)
def test_a_snapshot_is_the_same_from_a_copy_elsewhere(name: str, tmp_path: Path) -> None:
    store = recorded_store(name)
    shutil.copytree(store.folder, tmp_path / name)
    copy = recorded_store(name, tmp_path)
    with opened(name) as here:
        value = exporter.snapshot(here)
    with exporter.open_repository(
        copy.url, roots=[tmp_path], rewrite={copy.recorded: copy.folder}
    ) as there:
        assert canonical_bytes(exporter.snapshot(there)) == canonical_bytes(value)
    states = {a["content"]["state"] for run in value["runs"] for a in run["artifacts"]}
    assert states == {"copied"}


def test_a_bare_store_takes_the_active_stack_of_the_files_beside_it() -> None:
    with opened("zenml-0.5.7") as repository:
        assert (repository.name, repository.stacks) == ("default", ["local_stack"])
    with opened("tfx-1.15") as repository:
        assert (repository.name, repository.stacks) == ("default", ["default"])
    with opened("zenml-0.5.7", repository="acme", stack_key="mine") as repository:
        assert (repository.name, repository.stacks) == ("acme", ["mine"])


def test_without_roots_only_the_folder_of_the_store_is_read() -> None:
    with exporter.open_repository(recorded_store("zenml-0.5.7").url) as repository:
        output = repository.get_pipeline("train_pipeline").get_runs()[0].steps[0].outputs[0]
        assert output.content.state == "refused"
        with pytest.raises(UnsafeArtifact):
            output.read()


def test_a_configuration_opens_its_stacks_without_its_sinks_or_their_secrets(
    tmp_path: Path,
) -> None:
    path = config(tmp_path, *ZENML)
    for source in (path, str(path), load_settings(path, need_secrets=False)):
        with exporter.open_repository(source) as repository:
            assert (repository.name, repository.stacks) == ("acme", list(ZENML))
            assert len(repository.get_pipelines()) == 7
            with pytest.raises(AmbiguousName, match=r"'zenml-0\.5\.7', 'zenml-0\.12\.0'"):
                repository.get_pipeline("train_pipeline")
            two = [repository.get_pipeline("train_pipeline", stack_key=key) for key in ZENML]
            assert len({pipeline.key for pipeline in two}) == 2
    with exporter.open_repository(path, stack_key="zenml-0.12.0") as repository:
        assert repository.stacks == ["zenml-0.12.0"]


def test_without_a_source_the_configuration_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPORTER_CONFIG", str(config(tmp_path, "tfx-1.15")))
    with exporter.open_repository() as repository:
        assert repository.stacks == ["tfx-1.15"]


@pytest.mark.parametrize(
    ("source", "more", "says"),
    [
        ("zenml://local", {}, "no source that this release reads"),
        ("sqlite:///x.db", {}, "Write mlmd\\+ before"),
        ("metadata.db", {}, "open 'mlmd\\+sqlite:///metadata.db'"),
        ("nothing.yaml", {}, "does not exist"),
        ("mlmd+sqlite:///x.db", {"include_gone": True}, "include_gone= belongs to reading back"),
        ("mlmd+sqlite:///x.db", {"cache_dir": "c"}, "cache_dir= belongs to reading back"),
        ("exporter.yaml", {"roots": ["/"]}, "roots= belongs to a store"),
        ("mlmd+sqlite://", {}, "names no database file"),
    ],
)
def test_a_source_that_cannot_be_meant_is_told(
    source: str | None,
    more: dict[str, Any],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=says):
        exporter.open_repository(source, **more)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_not_there_is_told_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(ExporterError, match=r"nothing\.db"):
        exporter.open_repository(f"mlmd+sqlite:///{tmp_path}/nothing.db")
    (tmp_path / "text.db").write_text("no store", encoding="utf-8")
    with pytest.raises(StoreUnreadable, match=r"text\.db"):
        exporter.open_repository(f"mlmd+sqlite:///{tmp_path}/text.db")
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]


def test_a_configuration_of_another_name_or_without_the_stack_is_told(tmp_path: Path) -> None:
    path = config(tmp_path, "tfx-1.15")
    with pytest.raises(ConfigError, match="'acme', not 'other'"):
        exporter.open_repository(path, repository="other")
    with pytest.raises(NotFound, match=r"Did you mean 'tfx-1\.15'"):
        exporter.open_repository(path, stack_key="tfx-1.16")
    with pytest.raises(ConfigError, match="no flavour 'zenml-9'"):
        exporter.open_repository(recorded_store("tfx-1.15").url, flavour="zenml-9")


@pytest.mark.parametrize(
    "given",
    [
        {"source": 123},
        {"source": b"mlmd+sqlite:///x.db"},
        {"tracking_uri": 5},
        {"repository": ["a"]},
        {"stack_key": 1},
        {"flavour": {}},
        {"roots": 5},
        {"roots": [None]},
        {"rewrite": "/data"},
        {"rewrite": {"/data": None}},
        {"cache_dir": 1},
    ],
    ids=str,
)
def test_an_argument_of_the_wrong_type_is_told(given: dict[str, Any]) -> None:
    ((name, _),) = given.items()
    with pytest.raises(ConfigError, match=f"^{name}= is .*, of the type ") as error:
        exporter.open_repository(**{"source": recorded_store("tfx-1.15").url, **given})
    assert error.value.hint


def test_what_cannot_read_is_no_materializer() -> None:
    with opened("zenml-0.5.7") as repository:
        output = repository.get_pipelines()[0].get_runs()[0].steps[0].outputs[0]
        for odd in (5, "pandas", dict):
            with pytest.raises(ConfigError, match="is no materializer"):
                output.read(materializer=odd)  # type: ignore[arg-type]  # the very mistake
