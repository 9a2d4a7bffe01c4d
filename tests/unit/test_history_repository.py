"""Walking a repository: pipelines of all stacks, runs by pages, names that answer helpfully."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from support.fake_history import FakeArtifacts, FakeHistory
from support.samples import (
    DRIFT,
    EMPTY,
    START,
    TRAIN,
    UNREADABLE,
    sample_artifacts,
    sample_history,
    train_run,
)
from support.strategies import histories

from exporter.errors import AmbiguousName, ConfigError, NotFound, SourceUnavailable, UnknownFlavour
from exporter.hierarchy import PipelineRecord, RunSnapshot, run_key
from exporter.history.repository import Repository
from exporter.history.stack import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable


def _repository(*histories_: FakeHistory) -> Repository:
    return Repository([(history, sample_artifacts()) for history in histories_])


def _many(count: int) -> FakeHistory:
    run = train_run()
    runs = [
        replace(run, name=f"run_{i}", seq=i, source_id=f"id-{i}", start=START + i)
        for i in range(count)
    ]
    return FakeHistory([TRAIN], runs)


def test_pipelines_of_all_stacks_come_by_first_start_and_those_without_runs_last() -> None:
    late = FakeHistory(
        [DRIFT], [replace(train_run(9, stack="b"), pipeline=DRIFT, stack="b")], stack="b"
    )
    repository = _repository(late, sample_history(stack="a"))
    found = [(p.stack_key, p.name) for p in repository.get_pipelines()]
    assert found == [("a", TRAIN.name), ("b", DRIFT.name), ("a", EMPTY.name)]
    assert repository.stacks == ["b", "a"]


def test_one_name_under_two_stack_keys_is_two_pipelines() -> None:
    repository = _repository(sample_history(stack="a"), sample_history(stack="b"))
    with pytest.raises(AmbiguousName, match="'a', 'b'") as caught:
        repository.get_pipeline("train_pipeline")
    assert "stack_key" in caught.value.hint
    one = repository.get_pipeline(pipeline_name="train_pipeline", stack_key="a")
    two = repository.get_pipeline(pipeline_name="train_pipeline", stack_key="b")
    assert (one.stack_key, two.stack_key) == ("a", "b")
    assert one != two
    assert one.key != two.key
    assert one == repository.get_pipeline("train_pipeline", "a")


def test_a_missing_pipeline_names_the_near_misses() -> None:
    repository = _repository(sample_history())
    with pytest.raises(KeyError, match="Did you mean 'train_pipeline'"):
        repository.get_pipeline("train_pipelin")
    with pytest.raises(NotFound, match="There are: 'train_pipeline', 'empty_pipeline'"):
        repository.get_pipeline("zzz", stack_key="local")
    with pytest.raises(NotFound, match="Did you mean 'local'"):
        repository.get_pipeline("train_pipeline", stack_key="locl")


def test_stacks_of_one_repository_need_keys_of_their_own_and_one_name() -> None:
    with pytest.raises(ConfigError, match="same key"):
        _repository(sample_history(), sample_history())
    other = FakeHistory([TRAIN], repository="other", stack="b")
    with pytest.raises(ConfigError, match="One repository"):
        _repository(sample_history(), other)


def test_runs_are_chronological_and_answer_by_position_slice_and_name() -> None:
    runs = _repository(sample_history()).get_pipeline("train_pipeline").get_runs()
    assert len(runs) == 3
    assert runs.names == [run.name for run in runs] == ["run_1", "run_2", "run_3"]
    assert runs[-1].name == "run_3"
    assert [run.name for run in runs[1:]] == ["run_2", "run_3"]
    assert [run.name for run in reversed(runs)] == ["run_3", "run_2", "run_1"]
    assert runs["run_2"] == runs[1]
    assert "run_2" in runs
    assert runs[1] in runs
    assert "run_9" not in runs
    with pytest.raises(NotFound, match="Did you mean"):
        runs["run_22"]
    with pytest.raises(IndexError):
        runs[3]


def test_the_latest_run_costs_one_read_and_a_walk_one_per_page() -> None:
    history = _many(2 * PAGE + 1)
    runs = _repository(history).get_pipeline("train_pipeline").get_runs()
    history.calls.clear()
    assert runs[-1].name == f"run_{2 * PAGE}"
    assert len(runs) == 2 * PAGE + 1
    assert history.calls == []
    assert runs[-1].status == "completed"
    assert history.calls == ["runs"]
    history.calls.clear()
    assert sum(1 for run in runs if run.status == "completed") == 2 * PAGE + 1
    assert history.calls == ["runs"] * 3
    history.calls.clear()
    assert next(iter(runs)).name == "run_0"
    assert history.calls == ["runs"]


def test_asking_again_sees_later_runs() -> None:
    history = sample_history()
    pipeline = _repository(history).get_pipeline("train_pipeline")
    assert len(pipeline.get_runs()) == 3
    history.put(train_run(7))
    assert pipeline.get_runs()[-1].name == "run_7"
    assert pipeline.get_run("run_7").status == "completed"
    assert len(pipeline.runs) == 4


def test_a_run_that_is_gone_meanwhile_is_left_out_or_named() -> None:
    history = sample_history()
    runs = _repository(history).get_pipeline("train_pipeline").get_runs()
    history.drop("run-2")
    assert [run.name for run in runs] == ["run_1", "run_3"]
    with pytest.raises(NotFound, match="'run_2' is no longer"):
        _ = runs[1].status


def test_a_run_of_an_unknown_flavour_is_listed_and_says_why_when_read() -> None:
    repository = _repository(sample_history(unreadable=True))
    pipeline = repository.get_pipeline("drift_pipeline")
    (run,) = pipeline.get_runs()
    assert run.name == "odd"
    with pytest.raises(UnknownFlavour, match="zenml-9") as caught:
        _ = run.steps
    assert caught.value.context["source_id"] == UNREADABLE.source_id


@pytest.mark.parametrize("odd", [None, 1.5, b"run_1", ("run_1",), []], ids=repr)
def test_what_is_no_text_names_nothing_and_says_so(odd: Any) -> None:  # Any: of the wrong type
    repository = _repository(sample_history())
    pipeline = repository.get_pipeline("train_pipeline")
    run = pipeline.get_runs()[0]
    step = run.steps[0]
    asked: list[Callable[[], object]] = [
        lambda: repository.get_pipeline(odd),
        lambda: pipeline.get_run(odd),
        lambda: pipeline.get_runs()[odd],
        lambda: run.steps[odd],
        lambda: run.get_step(odd),
        lambda: step.outputs[odd],
        lambda: step.inputs[odd],
        lambda: step.parameters[odd],
    ]
    for ask in asked:
        with pytest.raises(NotFound, match="a name is text, not"):
            ask()
    if odd is not None:
        with pytest.raises(NotFound, match="a name is text, not"):
            repository.get_pipeline("train_pipeline", stack_key=odd)
    with pytest.raises(NotFound, match="a name is text, not int"):
        pipeline.get_run(cast("Any", 0))  # Any: of the wrong type


def test_a_position_that_is_not_there_says_how_many_there_are() -> None:
    runs = _repository(sample_history()).get_pipeline("train_pipeline").get_runs()
    with pytest.raises(IndexError, match=f"position 99 of pipeline .*: there are {len(runs)}"):
        runs[99]
    with pytest.raises(IndexError, match="no step at position -99 of run 'run_1'"):
        runs[0].steps[-99]
    with pytest.raises(IndexError, match="no output at position 99"):
        runs[0].steps[0].outputs[99]


def test_runs_of_one_name_are_ambiguous_by_name_only() -> None:
    twin = replace(train_run(1), source_id="twin", seq=8, tool="tfx")
    history = FakeHistory([TRAIN], [train_run(1), twin])
    pipeline = _repository(history).get_pipeline("train_pipeline")
    with pytest.raises(AmbiguousName, match="2 runs"):
        pipeline.get_run("run_1")
    assert [run.id for run in pipeline.get_runs().all("run_1")] == ["run-1", "twin"]
    assert len(set(pipeline.get_runs())) == 2


def test_runs_without_a_start_come_first() -> None:
    history = sample_history()
    history.put(replace(train_run(5), start=None))
    runs = _repository(history).get_pipeline("train_pipeline").get_runs()
    assert runs.names == ["run_5", "run_1", "run_2", "run_3"]
    assert runs[0].start_time is None


def test_closing_closes_every_stack() -> None:
    one, two = sample_history(stack="a"), sample_history(stack="b")
    with _repository(one, two) as repository:
        repository.get_pipelines()
    assert (one.closed, two.closed) == (1, 1)


def test_a_source_that_goes_away_is_told_and_comes_back() -> None:
    history = sample_history()
    repository = _repository(history)
    history.break_after(1)
    with pytest.raises(SourceUnavailable):
        repository.get_pipelines()
    history.mend()
    assert len(repository.get_pipelines()) == 2


@given(histories())
def test_every_run_of_every_history_is_reached_once_and_under_its_name(
    drawn: tuple[list[PipelineRecord], list[RunSnapshot]],
) -> None:
    pipelines, runs = drawn
    repository = Repository([(FakeHistory(pipelines, runs), FakeArtifacts())])
    walked = {}
    for pipeline in repository.get_pipelines():
        assert pipeline == repository.get_pipeline(pipeline.name)
        assert "<table>" in pipeline._repr_html_()
        for run in pipeline.get_runs():
            walked[run.key] = run
            assert run == pipeline.get_run(run.name)
            assert repr(run)
            assert "<script>" not in run._repr_html_()
            for step in run.steps:
                assert step in run.steps
                assert all(parent in run.steps for parent in step.parents)
                for port in (*step.inputs, *step.outputs):
                    assert repr(port)
                    port._repr_html_().encode("utf-8")
    assert set(walked) == {run_key(run) for run in runs}
