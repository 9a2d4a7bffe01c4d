"""What is planned for MLflow: keys, texts, times, metrics, datasets, uploads."""

from __future__ import annotations

import json
import math
import posixpath
import re
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mlflow_samples import NAMING, START, Files, five_steps, plan, with_artifacts
from support.strategies import odd_text, runs

from exporter.errors import ConfigError, SinkTerminal
from exporter.hierarchy import Artifact, Parameter, Port, RunSnapshot, run_key, step_key
from exporter.mapping.mlflow import (
    Home,
    MlflowNaming,
    RunPlan,
    naming_from_yaml,
    plan_experiment,
    plan_unit,
    stored_path,
    wanted_scalars,
)
from exporter.mapping.mlflow.paths import safe_segment
from exporter.mapping.mlflow.text import clean_key, value_text

_KEY = re.compile(r"[\w.\-/: ]{1,250}")


def check_limits(run: RunPlan) -> None:
    """Check what every database behind MLflow takes, and MLflow's own rules for keys."""
    assert 1 <= len(run.name) <= 250
    texts = [run.name]
    for key, value in run.params.items():
        assert _KEY.fullmatch(key)
        assert posixpath.normpath(key) == key
        assert not key.startswith(("/", ".."))
        assert len(value) <= 6_000
        texts += [key, value]
    for point in run.metrics:
        assert _KEY.fullmatch(point.key)
        assert posixpath.normpath(point.key) == point.key
        assert not math.isinf(point.value)
        assert 0 < point.timestamp < 2**53
    for key, value in run.tags.items():
        assert 0 < len(key) <= 250
        assert 0 < len(value) <= 8_000
        texts += [key, value]
    for dataset in run.datasets:
        assert 0 < len(dataset.name) <= 500
        assert len(dataset.digest) <= 36
        assert len(dataset.source_type) <= 36
        assert len(dataset.source) <= 65_535
        assert all(len(value) <= 500 for _, value in dataset.tags)
        texts += [dataset.name, dataset.source, dataset.profile]
        texts += [value for _, value in dataset.tags]
    assert run.start != 0
    assert run.end != 0
    for text in texts:
        assert "\0" not in text
        text.encode("utf-8")


@settings(max_examples=150, deadline=None)
@given(run=runs())
def test_whatever_a_run_holds_its_plan_keeps_every_limit(run: RunSnapshot) -> None:
    unit = plan(run)
    assert 1 <= len(unit.experiment.name) <= 250
    unit.experiment.name.encode()
    for planned in (unit.parent, *unit.children):
        check_limits(planned)
    for upload in unit.uploads:
        for path in upload.paths:
            assert re.fullmatch(r"(outputs|inputs)(/[A-Za-z0-9._=~-]+)+", path)
            assert not {".", ".."} & set(path.split("/"))


@settings(max_examples=60, deadline=None)
@given(run=runs())
def test_planning_is_deterministic_and_keys_are_the_identities(run: RunSnapshot) -> None:
    unit = plan(run)
    assert unit == plan(run)
    assert unit.unit == run_key(run) == unit.parent.key
    assert [child.key for child in unit.children] == [step_key(run, s) for s in run.steps]


@given(names=st.lists(odd_text(), unique=True, max_size=8))
def test_different_names_never_share_a_key_or_a_path(names: list[str]) -> None:
    taken: set[str] = set()
    for name in names:
        key = clean_key(name, taken)
        assert key not in taken
        taken.add(key)
    assert len({safe_segment(name) for name in names}) == len(names)


def test_a_plain_name_keeps_its_spelling() -> None:
    assert clean_key("trainer.learning rate/é", ()) == "trainer.learning rate/é"
    assert safe_segment("df.parquet.gzip") == "df.parquet.gzip"
    assert safe_segment("Split-train") == "Split-train"
    assert stored_path(Home("k", "outputs/a"), "x/y z.csv").endswith(".csv")
    assert stored_path(Home("k", "outputs/a/data.json"), "") == "outputs/a/data.json"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("1", "1"),
        (1, "1"),
        (1.0, "1.0"),
        (True, "true"),
        (None, "null"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        ([1, "é"], '[1, "é"]'),
        ({"a": {"b": 2}}, '{"a": {"b": 2}}'),
        (10**200, str(10**200)),
        (b"\x00", '"AA=="'),
    ],
)
def test_parameters_are_spelled_so_that_people_can_read_them(value: object, text: str) -> None:
    assert value_text(value) == text  # type: ignore[arg-type]  # one case of each kind of value


def test_a_parameter_of_100_kilobytes_is_shortened_there_and_counted() -> None:
    run = five_steps(steps=1)
    long = "x" * 100_000
    run = replace(run, steps=(replace(run.steps[0], parameters=(Parameter("text", long),)),))
    unit = plan(run)
    shown = unit.children[0].params["text"]
    assert len(shown) == 6_000
    assert "100000 characters" in shown
    assert unit.kept_beside == {"params_shortened": 1}


def test_two_parameters_of_one_name_are_both_kept() -> None:
    run = five_steps(steps=1)
    twice = (Parameter("loss", 1, declared=True), Parameter("loss", 2))
    unit = plan(replace(run, steps=(replace(run.steps[0], parameters=twice),)))
    assert sorted(unit.children[0].params.values()) == ["1", "2"]
    assert unit.kept_beside == {"params_renamed": 1}


def test_the_parent_shows_the_parameters_and_metrics_of_its_steps() -> None:
    run = with_artifacts(five_steps(), Files())
    unit = plan(
        run, scalars={"1-score": {"auc": 0.93, "deep": {"x": 1}, "word": "no", "yes": True}}
    )
    assert unit.parent.params["step_0.rate"] == "0.1"
    points = {point.key: point.value for point in unit.parent.metrics}
    assert points == {
        "step_0.train.rows": 120.0,
        "step_0.score.auc": 0.93,
        "step_0.score.deep.x": 1.0,
    }
    step = {point.key: point.timestamp for point in unit.children[0].metrics}
    assert step == dict.fromkeys(("train.rows", "score.auc", "score.deep.x"), run.steps[0].end)


def test_numbers_that_mlflow_cannot_hold_are_counted() -> None:
    run = with_artifacts(five_steps(), Files())
    scalars = {"1-score": {"nan": math.nan, "inf": -math.inf, "big": 10**400, "ok": 1}}
    unit = plan(run, scalars=scalars)  # type: ignore[arg-type]  # a dict of numbers is a value
    points = {point.key: point.value for point in unit.children[0].metrics}
    assert math.isnan(points["score.nan"])
    assert points["score.inf"] == -sys.float_info.max
    assert points["score.big"] == sys.float_info.max
    assert unit.kept_beside == {"metrics_nonfinite": 3}


def test_an_output_of_many_numbers_is_bounded_and_the_rest_counted() -> None:
    run = with_artifacts(five_steps(), Files())
    unit = plan(run, scalars={"1-score": {str(n): n for n in range(6_000)}})
    assert len(unit.children[0].metrics) == 5_000
    assert unit.kept_beside["metrics_left_out"] == 1_001


def test_consumed_datasets_are_on_their_step_and_on_the_parent() -> None:
    unit = plan(with_artifacts(five_steps(), Files()))
    names = [dataset.name for dataset in unit.children[1].datasets]
    assert names == ["train.step_0.train", "train.step_0.score"]
    assert unit.parent.datasets == unit.children[1].datasets
    assert not unit.children[0].datasets


def test_a_model_is_no_dataset() -> None:
    run = with_artifacts(five_steps(), Files())
    model = replace(run.artifacts[0], type="ModelArtifact")
    unit = plan(replace(run, artifacts=(model, *run.artifacts[1:])))
    assert [d.name for d in unit.children[1].datasets] == ["train.step_0.score"]


def test_the_digest_of_a_dataset_covers_content_and_description() -> None:
    files = Files()
    run = with_artifacts(five_steps(), files)
    changed = replace(run.artifacts[0], content=files.content("1-frame", {"a.csv": b"other"}))
    again = replace(run, artifacts=(changed, *run.artifacts[1:]))
    assert plan(run).children[1].datasets[0].digest != plan(again).children[1].datasets[0].digest
    retyped = replace(run.artifacts[0], data_type="pandas.DataFrame")
    again = replace(run, artifacts=(retyped, *run.artifacts[1:]))
    assert plan(run).children[1].datasets[0].digest != plan(again).children[1].datasets[0].digest


def test_an_artifact_is_held_by_the_step_that_wrote_it_not_by_a_cached_one() -> None:
    run = with_artifacts(five_steps(), Files())
    shown = replace(run.steps[0], status="cached")
    wrote = replace(run.steps[2], outputs=(Port("again", "1-frame"),))
    unit = plan(replace(run, steps=(shown, run.steps[1], wrote, *run.steps[3:])))
    assert unit.new_homes["1-frame"] == Home(unit.children[2].key, "outputs/again")
    assert unit.new_homes["1-score"] == Home(unit.children[0].key, "outputs/score/data.json")


def test_an_artifact_with_a_home_elsewhere_is_not_uploaded_again() -> None:
    run = with_artifacts(five_steps(), Files())
    homes = {"1-frame": Home("f" * 64, "outputs/train")}
    unit = plan(run, homes)
    assert [upload.artifact_id for upload in unit.uploads] == ["1-score"]
    assert unit.homes["1-frame"] == homes["1-frame"]
    assert "1-frame" not in unit.new_homes


def test_files_copied_by_an_earlier_apply_are_planned_as_held() -> None:
    run = with_artifacts(five_steps(), Files())
    first = plan(run)
    again = plan(run, first.new_homes)
    assert [upload.held for upload in again.uploads] == [True, True]
    assert again.seal == first.seal
    assert again.new_homes == {}


def test_a_port_with_several_artifacts_has_a_folder_for_each() -> None:
    files = Files()
    run = five_steps(steps=1)
    shards = tuple(
        Artifact(
            f"s{n}", "Examples", f"/data/{n}", content=files.content(f"s{n}", {"f": b"%d" % n})
        )
        for n in range(2)
    )
    ports = (Port("out", "s0", 0), Port("out", "s1", 1))
    unit = plan(
        replace(run, steps=(replace(run.steps[0], outputs=ports),), artifacts=shards), scalars={}
    )
    assert [upload.path for upload in unit.uploads] == ["outputs/out/0", "outputs/out/1"]


def test_an_input_that_no_step_wrote_is_held_by_the_step_that_took_it() -> None:
    files = Files()
    run = five_steps(steps=2)
    given_artifact = Artifact(
        "x", "DataArtifact", "/data/x", content=files.content("x", {"f": b"1"})
    )
    takes = replace(run.steps[1], inputs=(Port("in", "x"),))
    unit = plan(replace(run, steps=(run.steps[0], takes), artifacts=(given_artifact,)))
    assert unit.new_homes == {"x": Home(unit.children[1].key, "inputs/in")}


def test_scalars_are_wanted_of_small_json_files_only() -> None:
    files = Files()
    run = with_artifacts(five_steps(), files)
    assert wanted_scalars(run) == ("1-score",)
    big = files.content("1-score", {"": b"1" * 70_000})
    large = replace(run, artifacts=(run.artifacts[0], replace(run.artifacts[1], content=big)))
    assert wanted_scalars(large) == ()


def test_statuses_and_times_are_the_sources() -> None:
    run = five_steps(status="running")
    unit = plan(run)
    assert (unit.parent.status, unit.parent.end) == ("RUNNING", None)
    assert [child.status for child in unit.children] == ["FINISHED"] * 4 + ["RUNNING"]
    assert unit.children[0].start == START + 600_000
    assert unit.children[0].end == START + 600_900
    cached = replace(run, steps=(replace(run.steps[0], status="cached"), *run.steps[1:]))
    assert plan(cached).children[0].tags["exporter.status"] == "cached"


def test_unknown_and_impossible_times_are_counted() -> None:
    run = five_steps(steps=1)
    step = replace(run.steps[0], start=None, end=None)
    unit = plan(replace(run, start=None, end=2**62, steps=(step,)))
    assert unit.parent.start == unit.children[0].start == 8_640_000_000_000_000
    assert unit.kept_beside == {"times_adjusted": 1, "times_unknown": 2}


def test_two_steps_that_nothing_tells_apart_are_refused() -> None:
    run = five_steps(steps=1)
    with pytest.raises(SinkTerminal, match="one name and attempt"):
        plan(replace(run, steps=(run.steps[0], run.steps[0])))


def test_every_attempt_of_a_step_is_a_run_of_its_own() -> None:
    run = five_steps(steps=1)
    second = replace(run.steps[0], attempt=2, parameters=(Parameter("rate", 0.5),))
    unit = plan(replace(run, steps=(run.steps[0], second)))
    assert [child.name for child in unit.children] == ["step_0", "step_0 (attempt 2)"]
    assert unit.parent.params == {"step_0.rate": "0.5"}


def test_facts_become_the_tags_that_the_naming_names() -> None:
    run = replace(five_steps(), facts=(Parameter("git_sha", "abc"), Parameter("other", "x")))
    tags = plan(run).parent.tags
    assert tags["mlflow.source.git.commit"] == "abc"
    assert "other" not in tags


def test_an_experiment_name_too_long_keeps_its_difference() -> None:
    base = five_steps().pipeline
    one = plan_experiment("r", "s", replace(base, name="p" * 300 + "1"), MlflowNaming())
    two = plan_experiment("r", "s", replace(base, name="p" * 300 + "2"), MlflowNaming())
    assert len(one.name) == len(two.name) == 250
    assert one.name != two.name
    assert json.loads(one.tags["exporter.record"])["name"] == "p" * 300 + "1"


def test_the_note_shows_hostile_names_as_they_are_written() -> None:
    run = replace(five_steps(steps=1), name="a|b <script>`x`\n# y")
    note = plan(run).parent.tags["mlflow.note.content"]
    assert "<script>" not in note
    assert r"a\|b &lt;script&gt;\`x\` \# y" in note


def test_a_note_of_a_thousand_steps_says_how_many_it_leaves_out() -> None:
    note = plan(five_steps(steps=1_000)).parent.tags["mlflow.note.content"]
    assert len(note) <= 7_500
    assert re.search(r"… and \d+ more steps\.", note)


def test_the_naming_refuses_what_it_does_not_know_and_says_what_is_near() -> None:
    with pytest.raises(ConfigError, match="experiment"):
        naming_from_yaml({"experimant": "x"})
    with pytest.raises(ConfigError, match="cannot be filled"):
        naming_from_yaml({"experiment": "{pipline}"})
    with pytest.raises(ConfigError, match="list"):
        naming_from_yaml({"not_datasets": "Model"})
    with pytest.raises(ConfigError):
        naming_from_yaml({"metrics_per_run": -1})
    with pytest.raises(ConfigError):
        naming_from_yaml({"datasets_on_parent": "yes"})
    with pytest.raises(ConfigError, match="pages must be true or false"):
        naming_from_yaml({"pages": ["graph"]})
    with pytest.raises(ConfigError) as near:
        naming_from_yaml({"page": True})
    assert near.value.hint == "Did you mean 'pages'?"


def test_pages_are_no_part_of_the_record_and_left_out_on_request() -> None:
    run = five_steps()
    with_pages, without = plan(run), plan_unit(run, {}, replace(NAMING, pages=False))
    assert sorted(with_pages.pages) == ["exporter/graph.svg", "exporter/summary.html"]
    assert without.pages == {}
    assert (with_pages.seal, with_pages.record) == (without.seal, without.record)
    assert with_pages == plan(run)
    with pytest.raises(ConfigError):
        naming_from_yaml({"fact_tags": ["x"]})
    assert naming_from_yaml({}) == MlflowNaming()
