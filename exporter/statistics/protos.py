"""Statistics and schemas in the messages of TensorFlow Metadata, which TFX and TFDV read.

Sources: https://github.com/tensorflow/metadata/tree/master/tensorflow_metadata/proto/v0
(`statistics.proto`, `schema.proto`). Bytes and texts are deterministic. Beside the fields of the
standard each feature carries the model itself in a custom statistic, so that nothing is lost.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format, text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from exporter.statistics.codec import column_from, column_json, table_from, table_json
from exporter.statistics.model import TIMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.statistics.model import ColumnStatistics, Histogram, Kind, TableStatistics
    from exporter.statistics.schema import ColumnSchema, TableSchema

OWN_COLUMN = "pipeline_exporter.column"
OWN_TABLE = "pipeline_exporter.table"
_INT64 = 2**63
_DECILES = tuple(round(i * 0.1, 1) for i in range(11))

_Feature = statistics_pb2.FeatureNameStatistics
_TYPES: dict[Kind, int] = {
    "int": _Feature.INT,
    "bool": _Feature.INT,
    "datetime": _Feature.INT,
    "date": _Feature.INT,
    "float": _Feature.FLOAT,
    "decimal": _Feature.FLOAT,
    "time": _Feature.FLOAT,
    "duration": _Feature.FLOAT,
    "string": _Feature.STRING,
    "categorical": _Feature.STRING,
    "bytes": _Feature.BYTES,
    "nested": _Feature.STRUCT,
    "null": _Feature.STRING,
    "other": _Feature.BYTES,
}
_SCHEMA_TYPES: dict[int, int] = {
    _Feature.INT: schema_pb2.INT,
    _Feature.FLOAT: schema_pb2.FLOAT,
    _Feature.STRING: schema_pb2.BYTES,
    _Feature.BYTES: schema_pb2.BYTES,
    _Feature.STRUCT: schema_pb2.STRUCT,
}


def statistics_message(tables: Sequence[TableStatistics]) -> Any:  # Any: a generated class
    """Give a DatasetFeatureStatisticsList with one dataset per table."""
    message = statistics_pb2.DatasetFeatureStatisticsList()
    for table in tables:
        dataset = message.datasets.add(name=table.name, num_examples=table.rows)
        for place, column in enumerate(table.columns):
            feature = dataset.features.add(type=_TYPES[column.kind])
            feature.path.step.append(column.name)
            _fill(feature, column)
            feature.custom_stats.add(name=OWN_COLUMN, str=_text(column_json(column)))
            if place == 0:
                feature.custom_stats.add(name=OWN_TABLE, str=_text(table_json(table)))
    return message


def tables_from(message: Any) -> tuple[TableStatistics, ...] | None:  # Any: a generated class
    """Give back the tables of a message this module made; None for another's message.

    Raises: KeyError, TypeError, ValueError when the message was changed since.
    """
    tables = []
    for dataset in message.datasets:
        about, columns = None, []
        for feature in dataset.features:
            own = {stat.name: stat.str for stat in feature.custom_stats}
            if OWN_COLUMN not in own:
                return None
            columns.append(column_from(json.loads(own[OWN_COLUMN])))
            about = json.loads(own[OWN_TABLE]) if OWN_TABLE in own else about
        known = about or {"rows": dataset.num_examples, "columns_total": 0, "name": dataset.name}
        tables.append(table_from(known, tuple(columns)))
    return tuple(tables)


def schema_message(schema: TableSchema) -> Any:  # Any: a generated class
    """Give a Schema; ranges are those that were seen."""
    message = schema_pb2.Schema()
    for column in schema.columns:
        feature = message.feature.add(name=column.name, type=_SCHEMA_TYPES[_TYPES[column.kind]])
        if column.required:
            feature.presence.min_fraction = 1.0
            if column.kind != "nested":
                feature.shape.dim.add(size=1)
        elif column.kind != "nested":
            feature.value_count.min = feature.value_count.max = 1
        if column.seen:
            feature.presence.min_count = 1
        _domain(feature, column)
    return message


def as_bytes(message: Any) -> bytes:  # Any: a generated class
    """Serialise, the same bytes for the same message."""
    out: bytes = message.SerializeToString(deterministic=True)
    return out


def as_json(message: Any) -> bytes:  # Any: a generated class
    """Give proto3 JSON: 64-bit integers as text, numbers JSON cannot hold as text."""
    text: str = json_format.MessageToJson(message, indent=1)
    return f"{text}\n".encode("ascii")


def as_text(message: Any) -> bytes:  # Any: a generated class
    """Give the text format."""
    text: str = text_format.MessageToString(message, as_utf8=False)
    return text.encode("ascii")


def _fill(feature: Any, column: ColumnStatistics) -> None:
    kind = feature.type
    if kind in (_Feature.INT, _Feature.FLOAT):
        _common(feature.num_stats.common_stats, column)
        _numbers(feature.num_stats, column)
    elif kind == _Feature.STRING:
        stats = feature.string_stats
        _common(stats.common_stats, column)
        stats.unique = column.distinct.count if column.distinct else 0
        stats.avg_length = column.lengths.mean if column.lengths else 0
        for rank, top in enumerate(column.top.values if column.top else ()):
            stats.top_values.add(value=top.text, frequency=top.count)
            stats.rank_histogram.buckets.add(
                low_rank=rank, high_rank=rank, label=top.text, sample_count=top.count
            )
    elif kind == _Feature.BYTES:
        stats = feature.bytes_stats
        _common(stats.common_stats, column)
        stats.unique = column.distinct.count if column.distinct else 0
        if column.lengths:
            stats.avg_num_bytes = column.lengths.mean
            stats.min_num_bytes = column.lengths.minimum
            stats.max_num_bytes = column.lengths.maximum
            stats.max_num_bytes_int = column.lengths.maximum
    else:
        _common(feature.struct_stats.common_stats, column)


def _common(stats: Any, column: ColumnStatistics) -> None:
    stats.num_non_missing = column.present
    stats.num_missing = column.nulls
    if column.present:
        stats.min_num_values = stats.max_num_values = 1
        stats.avg_num_values = 1
        stats.tot_num_values = column.present


def _numbers(stats: Any, column: ColumnStatistics) -> None:
    stats.mean = column.mean or 0.0
    stats.std_dev = column.deviation or 0.0
    if column.kind == "bool":
        trues = column.trues or 0
        falses = column.present - trues
        stats.num_zeros = falses
        stats.min, stats.max = float(falses == 0), float(trues > 0)
        buckets = stats.histograms.add()
        buckets.buckets.add(low_value=0, high_value=0.5, sample_count=falses)
        buckets.buckets.add(low_value=0.5, high_value=1, sample_count=trues)
        return
    stats.num_zeros = column.zeros or 0
    low, high = _ends(column)
    stats.min, stats.max = low, high
    if column.quantiles:
        stats.median = column.quantiles.at(0.5) or 0.0
    if column.histogram:
        _buckets(stats.histograms.add(num_nan=column.nans), column.histogram, low, high)
    if column.quantiles:
        parts = stats.histograms.add(type=statistics_pb2.Histogram.QUANTILES)
        points = [value for ratio, value in column.quantiles.points if ratio in _DECILES]
        share = (column.present - column.nans - column.infinities) / (len(_DECILES) - 1)
        for left, right in itertools.pairwise(points):
            parts.buckets.add(low_value=left, high_value=right, sample_count=share)


def _ends(column: ColumnStatistics) -> tuple[float, float]:
    """Give least and greatest as numbers; of times and decimals the bounds of what was sampled."""
    ends = []
    for value, place in ((column.minimum, 0), (column.maximum, -1)):
        if isinstance(value, int | float) or (column.kind == "decimal" and value is not None):
            ends.append(float(value))
        else:
            ends.append(column.quantiles.points[place][1] if column.quantiles else 0.0)
    return ends[0], ends[1]


def _buckets(target: Any, histogram: Histogram, low: float, high: float) -> None:
    edges = histogram.edges
    for i, count in enumerate(histogram.counts):
        target.buckets.add(
            low_value=max(edges[i], low) if i == 0 else edges[i],
            high_value=min(edges[i + 1], high) if i == len(histogram.counts) - 1 else edges[i + 1],
            sample_count=count,
        )


def _domain(feature: Any, column: ColumnSchema) -> None:
    low, high = column.minimum, column.maximum
    if column.kind == "bool":
        feature.bool_domain.SetInParent()
    elif column.kind in ("datetime", "date"):
        feature.time_domain.integer_format = schema_pb2.TimeDomain.UNIX_MILLISECONDS
    elif column.kind == "int":
        if isinstance(low, int) and isinstance(high, int) and -_INT64 <= low <= high < _INT64:
            feature.int_domain.min, feature.int_domain.max = low, high
    elif column.kind == "float" and isinstance(low, float) and isinstance(high, float):
        feature.float_domain.min, feature.float_domain.max = _outward(low, high)
    elif column.values is not None:
        feature.string_domain.value.extend(column.values)
    if column.kind in TIMES - {"datetime", "date"}:
        feature.annotation.tag.append(f"{column.kind} in milliseconds")


def _outward(low: float, high: float) -> tuple[float, float]:
    """Give the nearest single-precision bounds, which the message has, that hold the range."""
    import numpy as np

    with np.errstate(over="ignore"):
        least, most = np.float32(low), np.float32(high)
        if float(least) > low:  # as float64: NumPy would compare in float32
            least = np.nextafter(least, np.float32(-np.inf))
        if float(most) < high:
            most = np.nextafter(most, np.float32(np.inf))
    return float(least), float(most)


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
