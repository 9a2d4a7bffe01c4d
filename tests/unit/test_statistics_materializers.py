"""Statistics and schemas of the artifacts that real ZenML and TFX wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from support.stores import TFX, ZENML_05, RecordedStore
from support.tables import files_of, parquet

from exporter import PandasMaterializer, SchemaMaterializer, StatisticsMaterializer, open_repository
from exporter.errors import CorruptArtifact
from exporter.statistics.describing import describe, render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter import Output


def outputs(store: RecordedStore, type_: str) -> Iterator[Output]:
    with open_repository(
        f"mlmd+{store.url}", roots=[str(store.folder)], rewrite=store.rewrite
    ) as repository:
        for pipeline in repository.get_pipelines():
            for run in pipeline.get_runs():
                for step in run.steps:
                    yield from (o for o in step.outputs if o.type == type_ and not o.is_cached)


def named(message: Any) -> dict[str, Any]:
    return {dataset.name: dataset for dataset in message.datasets}


def test_statistics_that_tfx_computed_are_read_split_by_split() -> None:
    found = named(next(outputs(TFX, "ExampleStatistics")).read())
    assert {name: dataset.num_examples for name, dataset in found.items()} == {
        "eval": 43,
        "train": 107,
    }


def test_what_is_computed_of_examples_is_what_tfx_computed() -> None:
    theirs = named(next(outputs(TFX, "ExampleStatistics")).read())
    ours = named(next(outputs(TFX, "Examples")).read(StatisticsMaterializer))
    assert list(ours) == ["eval", "train"]
    for split, dataset in theirs.items():
        assert ours[split].num_examples == dataset.num_examples
        mine = {feature.path.step[0]: feature for feature in ours[split].features}
        for feature in dataset.features:
            other = mine[feature.path.step[0]]
            assert other.type == feature.type
            for field in ("mean", "std_dev", "num_zeros", "min", "max"):
                got, expected = getattr(other.num_stats, field), getattr(feature.num_stats, field)
                # their deviation divides by n, ours by n - 1, as pandas does
                assert got == pytest.approx(expected, rel=0.02 if field == "std_dev" else 1e-9)
            assert other.num_stats.common_stats.num_non_missing == dataset.num_examples


def test_a_schema_that_tfx_inferred_is_read_and_ours_agrees() -> None:
    theirs = next(outputs(TFX, "Schema")).read()
    ours = next(outputs(TFX, "Examples")).read(SchemaMaterializer)
    assert [(f.name, f.type, f.presence) for f in theirs.feature] == [
        (f.name, f.type, f.presence) for f in ours.feature
    ]
    assert [f.shape for f in theirs.feature] == [f.shape for f in ours.feature]


def test_frames_of_statistics_that_zenml_wrote_become_messages() -> None:
    output = next(outputs(ZENML_05, "StatisticsArtifact"))
    frame = output.read(PandasMaterializer)
    (dataset,) = output.read(StatisticsMaterializer).datasets
    assert dataset.num_examples == 120
    assert [feature.path.step[0] for feature in dataset.features] == list(frame.index)
    for feature, (_, row) in zip(dataset.features, frame.iterrows(), strict=True):
        assert feature.num_stats.mean == row["mean"]
        assert feature.num_stats.median == row["50%"]
        assert [b.high_value for b in feature.num_stats.histograms[0].buckets] == [
            row[name] for name in ("10%", "50%", "90%", "max")
        ]


def test_frames_of_types_that_zenml_wrote_become_schemas() -> None:
    schema = next(outputs(ZENML_05, "SchemaArtifact")).read(SchemaMaterializer)
    kinds = [(feature.name, feature.type) for feature in schema.feature]
    assert kinds[0] == ("sepal_length", 3)
    assert kinds[-1] == ("target", 2)


def test_statistics_of_a_described_frame_of_texts_are_read() -> None:
    frame = pd.DataFrame({"s": ["a", "a", "b", None]}).describe().T
    message = StatisticsMaterializer().read(parquet(frame.astype(str)))
    (feature,) = message.datasets[0].features
    assert feature.string_stats.unique == 2
    assert feature.string_stats.common_stats.num_non_missing == 3


def test_every_frame_of_the_stores_has_statistics_and_a_schema() -> None:
    frames = [o for o in outputs(ZENML_05, "DataArtifact") if "DataFrame" in str(o.data_type)]
    assert frames
    for output in frames:
        (dataset,) = output.read(StatisticsMaterializer).datasets
        value = output.read()
        schema = output.read(SchemaMaterializer)
        if "count" not in value and len(value) > 1:
            assert dataset.num_examples == len(value)
            assert [feature.name for feature in schema.feature] == list(value.columns)


def test_what_this_package_wrote_is_read_back() -> None:
    files = parquet(pd.DataFrame({"x": [1, 2], "s": ["a", "b"]}))
    description = describe(files)
    assert description is not None
    rendered = render(description)
    again = files_of(rendered)
    assert StatisticsMaterializer().read(again) == StatisticsMaterializer().read(files)
    assert SchemaMaterializer().read(again) == SchemaMaterializer().read(files)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"data.json": b"{}"}, "is no table"),
        ({"FeatureStats.pb": b"\xff\xff"}, "no readable statistics message"),
        ({"Split-train/stats_tfrecord": b"\xff" * 20}, "no readable statistics message"),
    ],
)
def test_what_holds_no_statistics_is_corrupt(stored: dict[str, bytes], message: str) -> None:
    with pytest.raises(CorruptArtifact, match=message):
        StatisticsMaterializer().read(files_of(stored))


@pytest.mark.parametrize(
    ("stored", "message"),
    [({"data.json": b"{}"}, "is no table"), ({"schema.pbtxt": b"feature {"}, "no readable schema")],
)
def test_what_holds_no_schema_is_corrupt(stored: dict[str, bytes], message: str) -> None:
    with pytest.raises(CorruptArtifact, match=message):
        SchemaMaterializer().read(files_of(stored))
