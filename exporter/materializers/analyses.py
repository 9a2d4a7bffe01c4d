"""The frames in which ZenML's analysers kept statistics and schemas, as messages.

Statistics are `frame.describe().T`, a row per column; a schema is one row of type names. Only the
artifact's type or the look of the frame tells them from data.
Source: https://github.com/zenml-io/zenml/blob/0.5.7/src/zenml/steps/step_interfaces/base_analyzer_step.py
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from exporter.materializers.frames import PandasMaterializer

if TYPE_CHECKING:
    import pandas as pd

    from exporter.materializers.files import ArtifactFiles

_SCHEMA = "SchemaArtifact"
_DESCRIBED = {"count", "unique", "top", "freq", "first", "last", "mean", "std", "min", "max"}
_LARGEST = 4 << 20  # bytes; an analysis is small, and a larger file is not looked into
_TYPES = {"int": "INT", "uint": "INT", "bool": "INT", "datetime": "INT", "float": "FLOAT"}


def frame_of_statistics(files: ArtifactFiles) -> pd.DataFrame | None:
    """Give the frame of an artifact that holds statistics, None for any other."""
    frame = _small_frame(files)
    if frame is None:
        return None
    names = [str(name) for name in frame.columns]
    looks = "count" in names and all(n in _DESCRIBED or _ratio(n) is not None for n in names)
    has_names = all(isinstance(label, str) for label in frame.index)
    return frame if looks and has_names else None


def frame_of_schema(files: ArtifactFiles) -> pd.DataFrame | None:
    """Give the frame of an artifact that holds type names, None for any other."""
    frame = _small_frame(files)
    if frame is None or len(frame) != 1:
        return None
    looks = all(isinstance(value, str) and _is_type(value) for value in frame.iloc[0])
    return frame if files.artifact.type == _SCHEMA or looks else None


def statistics_of_frame(frame: pd.DataFrame) -> Any:  # Any: DatasetFeatureStatisticsList
    """Give the statistics that a described frame holds; what it does not hold stays unset."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    message = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = message.datasets.add()
    rows = [(str(name), _known(row)) for name, row in zip(frame.index, _rows(frame), strict=True)]
    dataset.num_examples = max((int(row.get("count", 0)) for _, row in rows), default=0)
    for name, row in rows:
        feature = dataset.features.add()
        feature.path.step.append(name)
        count = int(row.get("count", 0))
        if "unique" in row:
            feature.type = statistics_pb2.FeatureNameStatistics.STRING
            stats = feature.string_stats
            stats.unique = int(row["unique"])
            if "top" in row:
                stats.top_values.add(value=str(row["top"]), frequency=float(row.get("freq", 0)))
        else:
            feature.type = statistics_pb2.FeatureNameStatistics.FLOAT
            stats = feature.num_stats
            _numbers(stats, row, count)
        stats.common_stats.num_non_missing = count
        stats.common_stats.num_missing = max(dataset.num_examples - count, 0)
    return message


def schema_of_frame(frame: pd.DataFrame) -> Any:  # Any: Schema
    """Give a schema with the types that a frame of type names holds."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    message = schema_pb2.Schema()
    for name, value in zip(frame.columns, frame.iloc[0], strict=True):
        kind = _TYPES.get(_stem(str(value)), "BYTES")
        message.feature.add(name=str(name), type=schema_pb2.FeatureType.Value(kind))
    return message


def _small_frame(files: ArtifactFiles) -> pd.DataFrame | None:
    path = files.find("df.parquet.gzip", "df.parquet", "df.csv")
    if path is None or files.sizes[path] > _LARGEST:
        return None
    frame: Any = PandasMaterializer().read(files)  # Any: a series is no analysis
    return frame if frame.ndim == 2 and len(frame.columns) else None


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:  # Any: cells
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if value is not None and not (isinstance(value, float) and math.isnan(value))
    }


def _numbers(stats: Any, row: dict[str, Any], count: int) -> None:
    for name, field in (("mean", "mean"), ("std", "std_dev"), ("min", "min"), ("max", "max")):
        if name in row:
            setattr(stats, field, float(row[name]))
    if "50%" in row:
        stats.median = float(row["50%"])
    points = [(ratio, float(row[name])) for name in row if (ratio := _ratio(name)) is not None]
    if "min" in row and "max" in row and points:
        points = sorted([(0.0, float(row["min"])), *points, (1.0, float(row["max"]))])
        histogram = stats.histograms.add(type=1)  # QUANTILES
        for (low, left), (high, right) in itertools.pairwise(points):
            histogram.buckets.add(
                low_value=left, high_value=right, sample_count=count * (high - low)
            )


def _ratio(name: str) -> float | None:
    """Give the ratio that a column such as `25%` names."""
    try:
        return float(name[:-1]) / 100 if name.endswith("%") else None
    except ValueError:
        return None


def _stem(name: str) -> str:
    return name.partition("[")[0].rstrip("0123456789").lower()


def _is_type(name: str) -> bool:
    return _stem(name) in {*_TYPES, "object", "string", "str", "category", "timedelta", "complex"}
