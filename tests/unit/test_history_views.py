"""Runs, steps, parameters and ports as a user sees them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support.fake_history import FakeHistory
from support.samples import FRAME, MODEL, START, TRAIN, sample_artifacts, sample_history, train_run

from exporter.errors import AmbiguousName, ConfigError, NotFound
from exporter.hierarchy import Parameter, Port, StepRef
from exporter.history.repository import Pipeline, Repository
from exporter.history.sequences import ParameterMap
from exporter.history.views import Run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pipeline() -> Pipeline:
    return Repository([(sample_history(), sample_artifacts())]).get_pipeline("train_pipeline")


@pytest.fixture
def run(pipeline: Pipeline) -> Run:
    return pipeline.get_run("run_1")


def test_a_run_says_when_it_ran_in_utc(run: Run) -> None:
    start = datetime.fromtimestamp(START / 1000, UTC) + timedelta(minutes=1)
    assert run.start_time == start
    assert run.start_time.utcoffset() == timedelta(0)
    assert run.end_time == start + timedelta(seconds=9)
    assert (run.status, run.stack, run.tool, run.flavour) == (
        "completed",
        "local_stack",
        "zenml",
        "zenml-0.5",
    )
    assert dict(run.facts) == {"git_sha": "abc123"}


def test_steps_come_in_execution_order_and_a_name_gives_the_last_attempt(run: Run) -> None:
    assert [(s.name, s.attempt) for s in run.steps] == [
        ("importer", 1),
        ("trainer", 1),
        ("trainer", 2),
    ]
    assert run.steps.names == ["importer", "trainer"]
    assert run.get_step("trainer").attempt == 2
    assert [s.status for s in run.steps.all("trainer")] == ["failed", "completed"]
    assert run.steps[0].name == "importer"
    assert "trainer" in run.steps
    with pytest.raises(NotFound, match="Did you mean 'trainer'"):
        run.get_step("trainr")


def test_a_step_has_both_its_names_its_times_and_its_parents(run: Run) -> None:
    trainer = run.get_step("trainer")
    assert (trainer.name, trainer.entrypoint, trainer.docstring) == (
        "trainer",
        "sk_trainer",
        "Trains a <model>.",
    )
    assert trainer.end_time is not None
    assert trainer.start_time is not None
    assert trainer.end_time - trainer.start_time == timedelta(seconds=2)
    assert trainer.parents == [run.steps[0]]
    assert not trainer.is_cached
    assert trainer.run == run
    assert len({step.key for step in run.steps}) == len({*run.steps}) == 3


def test_parameters_keep_their_types_and_source_order(run: Run) -> None:
    parameters = run.steps[0].parameters
    assert list(parameters.items()) == [("rows", 120), ("ratio", 1.0), ("tags", ["a", "b"])]
    assert isinstance(parameters["rows"], int)
    assert isinstance(parameters["ratio"], float)
    assert "rows" in parameters
    assert parameters.get("nothing") is None
    with pytest.raises(KeyError, match="Did you mean 'rows'"):
        parameters["row"]


def test_a_name_declared_and_custom_gives_the_declared_value_and_both_on_request() -> None:
    parameters = ParameterMap(
        [Parameter("loss", 1, "01"), Parameter("loss", 2, declared=True), Parameter("x", None)]
    )
    assert dict(parameters) == {"loss": 2, "x": None}
    assert parameters.all("loss") == [1, 2]
    assert parameters.all("y") == []
    assert dict(parameters.custom) == {"loss": 1, "x": None}
    assert dict(parameters.declared) == {"loss": 2}
    assert parameters.custom.text("loss") == "01"
    assert len(parameters.records) == 3


def test_outputs_answer_by_position_and_name_and_say_their_order(run: Run) -> None:
    outputs = run.get_step("trainer").outputs
    assert outputs.names == ["output", "accuracy"]
    assert outputs[0] is outputs["output"]
    assert outputs["accuracy"].data_type == "builtins.float"
    assert "accuracy" in outputs
    assert "acuracy" not in outputs
    assert outputs.order == "artifact_id"
    assert run.steps[0].outputs.order == "declared"
    with pytest.raises(NotFound, match="No output named 'acuracy' in step 'trainer'"):
        outputs["acuracy"]


def test_a_port_with_several_artifacts_is_ambiguous_by_name(pipeline: Pipeline) -> None:
    outputs = pipeline.get_run("run_3").get_step("split").outputs
    assert len(outputs) == 3
    assert outputs.names == ["shards"]
    assert [output.index for output in outputs.all("shards")] == [0, 1, 2]
    with pytest.raises(AmbiguousName, match="3 outputs of step 'split' are named 'shards'"):
        outputs["shards"]
    assert "shards" in outputs


def test_the_only_output_is_given_and_none_or_several_are_errors(run: Run) -> None:
    assert run.steps[0].output.name == "train"
    assert run.get_step("trainer").input.name == "train"
    with pytest.raises(AmbiguousName, match="2 outputs"):
        _ = run.get_step("trainer").output
    with pytest.raises(NotFound, match="no input"):
        _ = run.steps[0].input


def test_an_output_says_where_it_is_and_what_wrote_it(run: Run) -> None:
    model = run.get_step("trainer").outputs["output"]
    assert model.uri == MODEL.uri
    assert model.location == f"memory:{MODEL.uri}"
    assert (model.type, model.id, model.index) == ("ModelArtifact", "2", None)
    assert model.materializer == MODEL.materializer
    assert model.created == datetime.fromtimestamp(START / 1000 + 5, UTC)
    assert dict(model.properties) == {"loss": 0.5, "note": "<b>"}
    assert model.content.state == "copied"
    assert model.files() == [("model", 4)]
    with model.open("model") as stream:
        assert stream.read() == b"\x80\x04N."


def test_an_input_knows_who_delivered_it_and_an_output_who_made_it(pipeline: Pipeline) -> None:
    run = pipeline.get_run("run_2")
    train = run.get_step("trainer").inputs["train"]
    assert train.is_cached
    assert train.parent == run.steps[0]
    producer = run.steps[0].outputs["train"].producer
    assert producer is not None
    assert producer == pipeline.get_run("run_1").steps[0]
    assert producer.run.name == "run_1"
    assert run.get_step("trainer").outputs["accuracy"].producer is None


def test_a_producer_that_is_gone_is_named() -> None:
    gone = replace(FRAME, producer=StepRef("train_pipeline", "run_0", "importer", "77"))
    first = train_run()
    history = FakeHistory([TRAIN], [replace(first, artifacts=(gone, *first.artifacts[1:]))])
    run = Repository([(history, sample_artifacts())]).get_pipeline("train_pipeline").get_runs()[0]
    with pytest.raises(NotFound, match="'importer' of run 'run_0' is no longer"):
        _ = run.steps[0].outputs[0].producer


def test_contents_are_computed_once_for_an_artifact_that_several_runs_show() -> None:
    artifacts = sample_artifacts()
    runs = Repository([(sample_history(), artifacts)]).get_pipeline("train_pipeline").get_runs()
    contents = {run.steps[0].outputs[0].content for run in runs[:2]}
    assert len(contents) == 1
    assert artifacts.asked == [FRAME.id]


def test_equal_things_of_two_openings_are_equal_and_hash_alike() -> None:
    one = Repository([(sample_history(), sample_artifacts())]).get_pipeline("train_pipeline")
    two = Repository([(sample_history(), sample_artifacts())]).get_pipeline("train_pipeline")
    for a, b in zip(one.get_runs(), two.get_runs(), strict=True):
        assert a == b
        assert hash(a) == hash(b)
        assert list(a.steps) == list(b.steps)
        for left, right in zip(a.steps, b.steps, strict=True):
            assert {*left.outputs, *left.inputs} == {*right.outputs, *right.inputs}


def test_an_input_and_an_output_of_one_artifact_are_two_things() -> None:
    step = replace(
        train_run().steps[0], inputs=(Port("train", "1"),), outputs=(Port("train", "1"),)
    )
    run = replace(train_run(), steps=(step,), artifacts=(FRAME,))
    history = FakeHistory([TRAIN], [run])
    pipeline = Repository([(history, sample_artifacts())]).get_pipeline("train_pipeline")
    view = pipeline.get_runs()[0].steps[0]
    assert view.inputs[0] != view.outputs[0]


def test_reprs_are_short_and_read_nothing(pipeline: Pipeline) -> None:
    runs = pipeline.get_runs()
    history = pipeline._stack.history
    assert isinstance(history, FakeHistory)
    history.calls.clear()
    assert repr(runs) == "RunList(3 runs: ['run_1', 'run_2', 'run_3'])"
    assert repr(runs[0]) == "Run('run_1', 2025-11-23T12:14:20.000Z)"
    assert history.calls == []
    run = runs[0]
    assert repr(run.steps[0]) == "Step('importer', completed, outputs=['train'])"
    assert repr(run) == "Run('run_1', completed, 3 steps, 2025-11-23T12:14:20.000Z)"
    assert repr(run.steps[0].outputs) == (
        "PortList([Output('train', DataArtifact, uri='/data/importer/train/1')])"
    )
    assert repr(pipeline) == "Pipeline('train_pipeline', stack='local')"
    assert repr(pipeline.repository) == "Repository('acme', stacks=['local'])"


def test_notebooks_get_tables_with_everything_escaped(pipeline: Pipeline) -> None:
    run = pipeline.get_run("run_1")
    trainer = run.get_step("trainer")
    assert "Trains a &lt;model&gt;." in trainer._repr_html_()
    assert "&lt;b&gt;" in trainer.outputs["output"]._repr_html_()
    for shown in (
        pipeline.repository._repr_html_(),
        pipeline._repr_html_(),
        pipeline.get_runs()._repr_html_(),
        run._repr_html_(),
        run.steps._repr_html_(),
        trainer.inputs._repr_html_(),
        trainer.parameters._repr_html_(),
    ):
        assert shown.startswith("<table>")
        assert shown.count("<tr>") == shown.count("</tr>")
        assert "<model>" not in shown
        assert "<b>" not in shown


def test_a_notebook_shows_the_latest_of_many_runs() -> None:
    run = train_run()
    runs = [replace(run, name=f"r{i}", seq=i, source_id=str(i), start=i) for i in range(250)]
    history = FakeHistory([TRAIN], runs)
    shown = Repository([(history, sample_artifacts())]).get_pipeline("train_pipeline")._repr_html_()
    assert "250 runs, the latest 100" in shown
    assert "<td>r249</td>" in shown
    assert "<td>r149</td>" not in shown


def test_a_run_draws_itself_for_notebooks_and_files(run: Run, tmp_path: Path) -> None:
    drawn = run.visualize()
    assert drawn.svg.startswith("<svg ")
    assert drawn._repr_svg_() == drawn.svg
    assert drawn.svg.strip() in drawn._repr_html_()
    assert repr(drawn) == "RunGraph('run_1', 3 steps)"
    assert drawn.save(tmp_path / "run.svg").read_text("utf-8") == drawn.svg
    assert drawn.save(str(tmp_path / "run.HTML")).read_text("utf-8") == drawn.html
    assert all(step.name in drawn.html for step in run.steps)


@pytest.mark.parametrize("name", ["run.png", "run", "missing/run.svg"])
def test_a_drawing_that_cannot_be_saved_says_why(run: Run, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as told:
        run.visualize().save(tmp_path / name)
    assert told.value.hint
    assert not (tmp_path / name).exists()
