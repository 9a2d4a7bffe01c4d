"""What reading back out of MLflow shows, and what it leaves alone."""

from __future__ import annotations

import warnings
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from support.fake_history import FakeHistory
from support.mlflow_samples import five_steps
from support.readback_site import Exported
from support.samples import sample_artifacts, sample_history

import exporter
from exporter.errors import ConfigError, MissingArtifact, NotFound
from exporter.hierarchy import Parameter, PipelineRecord, UnreadableRun, canonical_bytes
from exporter.readback import ReadbackHistory
from exporter.readback.paging import runs_by_start
from exporter.sinks.mlflow.rest import RestApi
from exporter.sinks.mlflow.writer import UnitWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.mlflow_server import MlflowServer

    from exporter.hierarchy import RunSnapshot
    from exporter.sinks.mlflow.bindings import FoundRun
    from exporter.sinks.mlflow.database import DatabaseApi


def sample_runs(repository: str) -> tuple[Sequence[PipelineRecord], list[RunSnapshot]]:
    """Give the sample history under another name."""
    history = sample_history()
    ids = [h.source_id for p in history.pipelines() for h in history.heads(p)]
    found = [run for run in history.runs(ids) if not isinstance(run, UnreadableRun)]
    return history.pipelines(), [replace(run, repository=repository) for run in found]


@pytest.fixture
def written(exported: Exported) -> Exported:
    """Give the sample history in MLflow: a pipeline of three runs, and one without runs."""
    pipelines, runs = sample_runs(exported.repository)
    history = FakeHistory(pipelines, runs, repository=exported.repository)
    exported.export(history, sample_artifacts())
    return exported


def found_runs(written: Exported) -> list[FoundRun]:
    """Give all active runs of the repository's experiments."""
    return [
        run for b in written.bindings.values() for run in written.api.search(b.experiment_id, "")
    ]


def parents(written: Exported) -> dict[str, FoundRun]:
    """Give the parent runs by the names of their pipeline runs."""
    return {
        r.tags["exporter.run"]: r for r in found_runs(written) if r.key == r.tags["exporter.unit"]
    }


def names(written: Exported, **more: bool) -> list[str]:
    """Give the names of the runs that a fresh reader lists."""
    with written.open(**more) as repository:
        return repository.get_pipeline("train_pipeline").get_runs().names


def spelled(written: Exported) -> bytes:
    """Give the snapshot that a fresh reader takes."""
    with written.open() as repository:
        return canonical_bytes(exporter.snapshot(repository))


def test_pipelines_without_runs_are_there_with_their_docstrings(exported: Exported) -> None:
    records = [PipelineRecord(f"empty {n}", n, f"id-{n}", "d" * n) for n in (1, 5_000, 100_000)]
    exported.export(FakeHistory(records, repository=exported.repository), sample_artifacts())
    with exported.open() as repository:
        found = [pipeline.record for pipeline in repository.get_pipelines()]
        assert sorted(found, key=lambda record: record.seq) == records
        assert [len(pipeline.get_runs()) for pipeline in repository.get_pipelines()] == [0, 0, 0]


def test_values_are_read_by_the_materializer_that_wrote_them(written: Exported) -> None:
    with written.open() as repository:
        run = repository.get_pipeline("train_pipeline", stack_key="local").get_runs()[1]
        assert run.name == "run_2"
        step = run.get_step("trainer")
        assert step.parents == [run.get_step("importer")]
        assert step.outputs["accuracy"].read() == 0.9
        frame = step.inputs["train"]
        assert frame.is_cached
        assert frame.parent == run.get_step("importer")
        assert len(frame.read()) == 2
        assert frame.producer is not None
        assert frame.producer.run.name == "run_1"
        assert frame.uri == "/data/importer/train/1"
        assert frame.location.endswith("/artifacts/outputs/train")


def test_a_half_written_run_is_shown_only_when_asked_for(written: Exported) -> None:
    run = replace(five_steps("train_pipeline", "begun", seq=9, steps=2), status="running")
    run = replace(run, repository=written.repository, pipeline=sample_runs("x")[1][0].pipeline)
    plan = written.plan(run, sample_artifacts())
    experiment = written.bindings[plan.experiment.key].experiment_id
    writer = UnitWriter(written.api, experiment, plan, lambda *_: pytest.fail("no files"))
    parent = writer.create(plan.parent, None)
    writer.create(plan.children[0], parent.run_id)
    assert names(written) == ["run_1", "run_2", "run_3"]
    with written.open(include_incomplete=True) as repository:
        pipeline = repository.get_pipeline("train_pipeline")
        assert "begun" in pipeline.get_runs().names
        begun = pipeline.get_run("begun")
        assert begun.status == "running"
        assert [(step.name, step.status) for step in begun.steps] == [("step_0", "completed")]
        assert begun.facts["exporter.incomplete"] is True
        assert pipeline.get_run("run_1").facts == {"git_sha": "abc123"}
    written.api.delete_run(parent.run_id)
    assert "begun" not in names(written, include_incomplete=True)


def test_a_run_still_going_is_followed_to_its_end(exported: Exported) -> None:
    run = replace(five_steps(status="running"), repository=exported.repository)
    exported.apply(run, sample_artifacts())
    with exported.open() as repository:
        pipeline = repository.get_pipeline("train")
        assert pipeline.get_runs()[-1].status == "running"
        assert pipeline.get_runs()[-1].end_time is None
        ended = replace(five_steps(), repository=exported.repository)
        exported.apply(ended, sample_artifacts(), fresh=False)
        assert pipeline.get_runs()[-1].status == "completed"
        assert [r.record for r in pipeline.get_runs()] == [ended]
        again = pipeline.get_runs()
        assert [r.status for r in again] == [r.status for r in again] == ["completed"]


def test_a_run_being_rewritten_is_its_last_whole_version(written: Exported) -> None:
    before = spelled(written)
    parent = parents(written)["run_1"]
    step = next(r for r in found_runs(written) if r.tags.get("exporter.step") == "importer")
    written.api.log_batch(parent.run_id, tags=[("exporter.writing", "f" * 64)])
    written.api.log_batch(step.run_id, tags=[("exporter.status", "failed")])
    assert spelled(written) == before
    assert len(names(written, include_incomplete=True)) == 3


def test_what_is_gone_at_the_source_is_shown_only_when_asked_for(written: Exported) -> None:
    gone = parents(written)["run_2"].run_id
    written.sink.mark_gone([gone])
    assert names(written) == ["run_1", "run_3"]
    assert names(written, include_gone=True) == ["run_1", "run_2", "run_3"]
    written.sink.mark_back([gone])
    assert names(written) == ["run_1", "run_2", "run_3"]


def test_copies_that_other_tools_made_are_never_taken_for_exported_runs(written: Exported) -> None:
    before = spelled(written)
    experiment = next(iter(written.bindings.values())).experiment_id
    own = written.api.experiment(experiment)
    name = f"copy of {written.repository}"
    other = written.api.create_experiment(name, own.tags)
    plain = written.api.create_experiment(f"{name}, plain", {})
    assert other is not None
    assert plain is not None
    for run in found_runs(written):
        for target in (experiment, other, plain):
            written.api.create_run(target, run.name, run.start, run.tags)
    written.api.create_run(experiment, "by hand", 5, {"exporter.record": "1jnothing"})
    written.api.create_run(experiment, "trained by hand", 5, {"team": "ours"})
    assert spelled(written) == before


def test_a_run_of_another_pipeline_s_record_is_not_shown(written: Exported) -> None:
    run = parents(written)["run_1"]
    other = written.api.create_experiment(
        f"{written.repository} other",
        dict(
            written.plan(
                replace(
                    sample_runs(written.repository)[1][0], pipeline=PipelineRecord("other", 5, "5")
                ),
                sample_artifacts(),
            ).experiment.tags
        ),
    )
    assert other is not None
    tags = {k: v for k, v in run.tags.items() if k != "exporter.mlflow_run"}
    written.api.create_run(other, run.name, run.start, tags)
    with written.open() as repository:
        assert len(repository.get_pipeline("other").get_runs()) == 0


def test_of_two_sealed_runs_with_one_key_one_is_shown(written: Exported) -> None:
    before = spelled(written)
    written.apply(sample_runs(written.repository)[1][0], sample_artifacts(), fresh=True)
    assert len(parents(written)) == 3
    assert spelled(written) == before


def test_what_was_deleted_in_mlflow_is_not_there(written: Exported) -> None:
    with written.open() as repository:
        pipeline = repository.get_pipeline("train_pipeline")
        runs = pipeline.get_runs()
        assert [run.name for run in runs] == ["run_1", "run_2", "run_3"]
        written.api.delete_run(parents(written)["run_3"].run_id)
        assert [run.name for run in runs] == ["run_1", "run_2"]
        with pytest.raises(NotFound, match="run_3"):
            _ = runs["run_3"].status
        assert pipeline.get_runs().names == ["run_1", "run_2"]
    step = next(
        r
        for r in found_runs(written)
        if r.tags.get("exporter.step") == "importer" and r.tags["exporter.run"] == "run_1"
    )
    written.api.delete_run(step.run_id)
    with written.open() as repository:
        run = repository.get_pipeline("train_pipeline").get_run("run_1")
        frame = run.get_step("importer").outputs["train"]
        assert frame.files() == [("df.csv", 17)]
        with pytest.raises(MissingArtifact, match="run --repair"):
            frame.read()


def test_a_run_that_was_replaced_is_found_again(exported: Exported) -> None:
    run = replace(five_steps(), repository=exported.repository)
    exported.apply(run, sample_artifacts())
    with exported.open() as repository:
        runs = repository.get_pipeline("train").get_runs()
        assert runs[0].status == "completed"
        changed = replace(five_steps(rate=0.5), repository=exported.repository)
        exported.apply(changed, sample_artifacts(), fresh=False)
        assert [r.record for r in runs] == [changed]


def test_an_altered_record_is_told_and_the_other_runs_are_read(written: Exported) -> None:
    parent = parents(written)["run_1"]
    text = parent.tags["exporter.record"]
    written.api.log_batch(parent.run_id, tags=[("exporter.record", text[:-4] + "AAAA")])
    told: list[UnreadableRun] = []
    with written.open() as repository:
        values = list(exporter.iter_snapshots(repository, on_unreadable=told.append))
        assert [value["run"]["name"] for value in values] == ["run_2", "run_3"]
        assert [(run.name, run.source_id) for run in told] == [("run_1", "run-1")]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(exporter.SourceError, match="run_1"):
                _ = repository.get_pipeline("train_pipeline").get_runs()["run_1"].status


def test_a_record_too_long_for_tags_is_listed_without_reading_its_file(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = tuple(Parameter(f"p{n}", sha256(b"%d" % n).hexdigest()) for n in range(1_000))
    run = five_steps(steps=1)
    run = replace(run, steps=(replace(run.steps[0], parameters=noise),))
    run = replace(run, repository=exported.repository, name="long \ud800")
    plan = exported.apply(run, sample_artifacts())
    assert plan.record_file is not None
    asked: list[str] = []
    get_file = exported.api.get_file

    def counted(uri: str, path: str) -> bytes:
        asked.append(path)
        return get_file(uri, path)

    monkeypatch.setattr(exported.api, "get_file", counted)
    history = ReadbackHistory(exported.api, exported.repository, "local")
    (head,) = history.heads(run.pipeline)
    assert (head.name, head.seq, head.start) == (run.name, run.seq, run.start)
    assert asked == []
    assert list(history.runs([head.source_id])) == [run]
    assert len(asked) == 1


def test_a_listing_that_is_written_to_meanwhile_misses_nothing(
    exported: Exported, tracking_database: tuple[str, DatabaseApi]
) -> None:
    experiment = exported.api.create_experiment(exported.repository, {})
    assert experiment is not None
    starts = [1, 5, 5, 5, 5, 5, 5, 5, 9, 9, 12, -3, 20]
    made = [
        exported.api.create_run(experiment, f"{n}", s, {"t": "x"}) for n, s in enumerate(starts)
    ]
    seen = []
    for count, run in enumerate(runs_by_start(exported.api, experiment, "tags.t = 'x'", page=3)):
        seen.append(run.run_id)
        if count == 4:
            exported.api.create_run(experiment, "older", 0, {"t": "x"})
            exported.api.delete_run(seen[0])
            made.append(exported.api.create_run(experiment, "newer", 15, {"t": "x"}))
    assert len(seen) == len(set(seen))
    assert {run.run_id for run in made} <= set(seen)


def test_listing_and_reading_take_a_request_for_a_page_and_none_for_a_run(
    mlflow_server: MlflowServer,
) -> None:
    api = RestApi(mlflow_server.url, timeout_s=60)
    exported = Exported(mlflow_server.url, api)
    for seq in range(1, 13):
        run = replace(
            five_steps(run=f"run_{seq}", seq=seq, steps=2), repository=exported.repository
        )
        exported.apply(run, sample_artifacts())
    history = ReadbackHistory(api, exported.repository, "local")
    (record,) = history.pipelines()
    before = api.requests
    heads = history.heads(record)
    assert [head.name for head in heads] == [f"run_{seq}" for seq in range(1, 13)]
    assert len(history.runs([head.source_id for head in heads])) == 12
    assert api.requests == before + 1
    assert len(history.runs([head.source_id for head in heads])) == 12
    assert api.requests == before + 2
    api.close()


def test_several_repositories_are_listed_and_one_is_chosen(written: Exported) -> None:
    other = Exported(written.tracking_uri, written.api)
    other.apply(replace(five_steps(), repository=other.repository), sample_artifacts())
    uri = written.tracking_uri
    with pytest.raises(ConfigError, match=f"'{other.repository}'.*Say which with repository="):
        exporter.open_repository(tracking_uri=uri)
    with pytest.raises(NotFound, match="Did you mean"):
        exporter.open_repository(tracking_uri=uri, repository=f"{other.repository}x")
    with pytest.raises(NotFound, match="No stack named 'prod'"):
        exporter.open_repository(tracking_uri=uri, repository=other.repository, stack_key="prod")
    with exporter.open_repository(f"mlflow+{uri}", repository=other.repository) as repository:
        assert repository.name == other.repository
        assert [pipeline.name for pipeline in repository.get_pipelines()] == ["train"]


def test_changes_are_all_or_nothing(written: Exported) -> None:
    history = ReadbackHistory(written.api, written.repository, "local")
    first = history.changes(None)
    assert [i for page in first.source_ids for i in page] == ["run-1", "run-2", "run-3"]
    assert history.changes(first.cursor).untouched
    changed = replace(sample_runs(written.repository)[1][0], status="failed")
    written.apply(changed, sample_artifacts(), fresh=False)
    assert not history.changes(first.cursor).untouched
