"""What every back end promises through the `History` port, asked of each of them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from support.readback_site import Exported
from support.samples import sample_artifacts, sample_history
from support.zenml_stores import recorded_store

from exporter.config import resource_folder
from exporter.hierarchy import RunSnapshot, canonical_bytes, run_from_value, run_key, run_to_value
from exporter.history.order import chronological
from exporter.readback import ReadbackHistory
from exporter.sources.mlmd import load_profiles, open_mlmd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.history.ports import ChangeFeed, RunHead
    from exporter.sinks.mlflow.database import DatabaseApi


def _recorded(name: str) -> ChangeFeed:
    return open_mlmd(
        recorded_store(name).url.removeprefix("mlmd+"),
        repository="acme",
        stack="local",
        profiles=load_profiles(resource_folder("mappings") / "sources"),
    )


BACK_ENDS: dict[str, Callable[[], ChangeFeed]] = {
    "fake": sample_history,
    **{name: partial(_recorded, name) for name in ("zenml-0.5.7", "zenml-0.12.0", "tfx-1.15")},
}


@pytest.fixture(scope="module")
def written(tracking_database: tuple[str, DatabaseApi]) -> Exported:
    """Give the sample history in MLflow."""
    exported = Exported(*tracking_database)
    history = sample_history()
    history.repository = exported.repository
    for run in _all_runs(history):
        history.put(replace(run, repository=exported.repository))
    exported.export(history, sample_artifacts())
    return exported


@pytest.fixture(params=[*BACK_ENDS, "mlflow"])
def history(request: pytest.FixtureRequest) -> Iterator[ChangeFeed]:
    if request.param == "mlflow":
        written: Exported = request.getfixturevalue("written")
        opened: ChangeFeed = ReadbackHistory(written.api, written.repository, "local")
        yield opened
        return  # the connection is the session's
    opened = BACK_ENDS[request.param]()
    yield opened
    opened.close()


def _all_heads(history: ChangeFeed) -> list[RunHead]:
    return [head for record in history.pipelines() for head in history.heads(record)]


def _all_runs(history: ChangeFeed) -> list[RunSnapshot]:
    found = history.runs([head.source_id for head in _all_heads(history)])
    return [run for run in found if isinstance(run, RunSnapshot)]


def test_pipelines_come_by_position_each_name_once(history: ChangeFeed) -> None:
    pipelines = history.pipelines()
    assert [p.seq for p in pipelines] == sorted(p.seq for p in pipelines)
    assert (
        len({p.name for p in pipelines}) == len({p.source_id for p in pipelines}) == len(pipelines)
    )


def test_heads_come_in_chronological_order_each_id_once(history: ChangeFeed) -> None:
    for pipeline in history.pipelines():
        heads = history.heads(pipeline)
        assert list(heads) == chronological(heads)
    ids = [head.source_id for head in _all_heads(history)]
    assert len(ids) == len(set(ids))


def test_a_head_says_what_its_run_says(history: ChangeFeed) -> None:
    for pipeline in history.pipelines():
        heads = history.heads(pipeline)
        for head, run in zip(heads, history.runs([h.source_id for h in heads]), strict=True):
            assert (head.source_id, head.name) == (run.source_id, run.name)
            if isinstance(run, RunSnapshot):
                assert (head.seq, head.start) == (run.seq, run.start)
                assert run.pipeline == pipeline


def test_runs_come_in_the_order_asked_for_and_unknown_ids_are_left_out(history: ChangeFeed) -> None:
    ids = [head.source_id for head in _all_heads(history)][::-1]
    found = history.runs(["no such run", *ids])
    assert [run.source_id for run in found] == ids
    assert list(history.runs([])) == []


def test_a_page_of_runs_gives_what_single_reads_give(history: ChangeFeed) -> None:
    for run in _all_runs(history):
        (alone,) = history.runs([run.source_id])
        assert isinstance(alone, RunSnapshot)
        assert canonical_bytes(run_to_value(alone)) == canonical_bytes(run_to_value(run))


def test_every_run_carries_the_history_s_own_identity(history: ChangeFeed) -> None:
    runs = _all_runs(history)
    assert {(run.repository, run.stack) for run in runs} <= {(history.repository, history.stack)}
    assert len({run_key(run) for run in runs}) == len(runs)


def test_artifacts_are_distinct_in_order_of_first_mention_and_contents_only_as_recorded(
    history: ChangeFeed,
) -> None:
    for run in _all_runs(history):
        mentioned = [port.artifact for step in run.steps for port in (*step.inputs, *step.outputs)]
        assert [artifact.id for artifact in run.artifacts] == list(dict.fromkeys(mentioned))
        recorded = isinstance(history, ReadbackHistory)
        assert all((artifact.content is not None) == recorded for artifact in run.artifacts)


def test_parents_are_other_steps_of_the_run(history: ChangeFeed) -> None:
    for run in _all_runs(history):
        for position, step in enumerate(run.steps):
            assert position not in step.parents
            assert all(0 <= parent < len(run.steps) for parent in step.parents)
            assert {p.parent for p in step.inputs if p.parent is not None} <= set(step.parents)
            assert all(port.parent is None for port in step.outputs)


def test_a_port_with_several_artifacts_has_rising_indexes(history: ChangeFeed) -> None:
    for run in _all_runs(history):
        for step in run.steps:
            for ports in (step.inputs, step.outputs):
                for name in {port.name for port in ports}:
                    indexes = [port.index for port in ports if port.name == name]
                    assert len(indexes) == 1 or all(
                        a is not None and b is not None and a < b for a, b in pairwise(indexes)
                    )


def test_every_run_survives_its_canonical_spelling(history: ChangeFeed) -> None:
    for run in _all_runs(history):
        value = run_to_value(run)
        again = run_from_value(json.loads(canonical_bytes(value)))
        assert canonical_bytes(run_to_value(again)) == canonical_bytes(value)


def test_pipelines_without_runs_are_told_apart(history: ChangeFeed) -> None:
    empty = [record for record in history.pipelines() if not history.heads(record)]
    assert list(history.empty_pipelines()) == empty


def test_a_first_walk_covers_everything(history: ChangeFeed) -> None:
    walk = history.changes(None)
    assert walk.full
    walked = {source_id for page in walk.source_ids for source_id in page}
    assert walked == {head.source_id for head in _all_heads(history)}


def test_a_cursor_survives_json_and_sees_an_untouched_store(history: ChangeFeed) -> None:
    walk = history.changes(None)
    for _ in walk.source_ids:
        pass
    again = history.changes(json.loads(json.dumps(walk.cursor)))
    assert not again.full
    assert [page for page in again.source_ids if page] == [] or not again.untouched


def test_closing_twice_is_allowed(history: ChangeFeed) -> None:
    history.close()
    history.close()
