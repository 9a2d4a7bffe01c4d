"""TFX Examples as tables: a table per split, a column per feature, from tf.Example records.

A feature with at most one value per example is a column of such values; one with more is a list.
Source: https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core/example
(`example.proto`, `feature.proto`), described here again, since TensorFlow is not needed to read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from exporter.statistics.tables import Table
from exporter.statistics.tfrecord import record_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.statistics.files import TableFiles
    from exporter.statistics.model import StatLimits

_LISTS = {"bytes_list": pa.binary(), "float_list": pa.float32(), "int64_list": pa.int64()}
_SPLIT = "Split-"


@dataclass(slots=True)
class _Feature:
    """What the first pass finds of a feature."""

    list_name: str = ""
    most: int = 0
    is_text: bool = True

    @property
    def type(self) -> pa.DataType:
        inside = _LISTS.get(self.list_name, pa.null())
        if self.list_name == "bytes_list" and self.is_text:
            inside = pa.string()
        return inside if self.most <= 1 else pa.list_(inside)


def open_splits(files: TableFiles, paths: Sequence[str], limits: StatLimits) -> Iterator[Table]:
    """Open the splits in order of their names. The records are read twice: first for the features.

    Raises: ValueError and EOFError for files that are no TFRecords of examples.
    """
    splits: dict[str, list[str]] = {}
    for path in sorted(paths):
        splits.setdefault(path.rpartition("/")[0], []).append(path)
    for folder, shards in splits.items():
        features = _features(files, shards, limits.rows)
        kept = dict(sorted(features.items())[: limits.columns])
        schema = pa.schema([pa.field(name, found.type) for name, found in kept.items()])
        yield Table(
            schema,
            _batches(files, shards, kept, schema),
            len(features),
            "TFRecord file of examples",
            sum(files.sizes[path] for path in shards),
            name=folder.rpartition("/")[2].removeprefix(_SPLIT),
        )


def _pages(files: TableFiles, shards: Sequence[str]) -> Iterator[list[Any]]:  # Any: Example
    make = _example_class()
    for path in shards:
        with files.open(path) as stream:
            for page in record_pages(stream):
                try:
                    yield [make.FromString(record) for record in page]
                except DecodeError as error:
                    raise ValueError(f"a record is no tf.Example: {error}") from error


def _features(files: TableFiles, shards: Sequence[str], rows: int) -> dict[str, _Feature]:
    found: dict[str, _Feature] = {}
    seen = 0
    for page in _pages(files, shards):
        for example in page:
            for name, feature in example.features.feature.items():
                _notice(found.setdefault(name, _Feature()), name, feature)
        seen += len(page)
        if seen >= rows:
            break
    return found


def _notice(known: _Feature, name: str, feature: Any) -> None:  # Any: Feature
    list_name = feature.WhichOneof("kind")
    values = getattr(feature, list_name).value if list_name else ()
    if not values:
        return
    if known.list_name and known.list_name != list_name:
        raise ValueError(f"feature {name!r} is {known.list_name} here and {list_name} there")
    known.list_name = list_name
    known.most = max(known.most, len(values))
    if list_name == "bytes_list" and known.is_text:
        known.is_text = all(_is_text(value) for value in values)


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _batches(
    files: TableFiles, shards: Sequence[str], features: dict[str, _Feature], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for page in _pages(files, shards):
        arrays = [
            pa.array([_value(example, name, found) for example in page], type=field.type)
            for (name, found), field in zip(features.items(), schema, strict=True)
        ]
        if arrays:
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _value(example: Any, name: str, known: _Feature) -> Any:  # Any: Example → a value, a list
    features = example.features.feature
    if name not in features or not known.list_name:
        return None
    values = list(getattr(features[name], known.list_name).value)
    if known.is_text and known.list_name == "bytes_list":
        values = [value.decode("utf-8") for value in values]
    if known.most > 1:
        return values or None
    return values[0] if values else None


@cache
def _example_class() -> Any:  # Any: a generated class
    """Describe tf.Example in a pool of its own, which TensorFlow's cannot collide with."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="exporter/example.proto", package="exporter_tf", syntax="proto3"
    )

    def message(name: str, *fields: tuple[str, int, int, bool, str]) -> Any:
        made = file.message_type.add(name=name)
        for field_name, number, type_, repeats, type_name in fields:
            made.field.add(
                name=field_name,
                number=number,
                type=type_,
                type_name=f".exporter_tf.{type_name}" if type_name else None,
                label=field.LABEL_REPEATED if repeats else field.LABEL_OPTIONAL,
            )
        return made

    message("BytesList", ("value", 1, field.TYPE_BYTES, True, ""))
    message("FloatList", ("value", 1, field.TYPE_FLOAT, True, ""))
    message("Int64List", ("value", 1, field.TYPE_INT64, True, ""))
    feature = message(
        "Feature",
        ("bytes_list", 1, field.TYPE_MESSAGE, False, "BytesList"),
        ("float_list", 2, field.TYPE_MESSAGE, False, "FloatList"),
        ("int64_list", 3, field.TYPE_MESSAGE, False, "Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for one in feature.field:
        one.oneof_index = 0
    features = message(
        "Features", ("feature", 1, field.TYPE_MESSAGE, True, "Features.FeatureEntry")
    )
    entry = features.nested_type.add(name="FeatureEntry")
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(
        name="value",
        number=2,
        type=field.TYPE_MESSAGE,
        type_name=".exporter_tf.Feature",
        label=field.LABEL_OPTIONAL,
    )
    entry.options.map_entry = True
    message("Example", ("features", 1, field.TYPE_MESSAGE, False, "Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("exporter_tf.Example"))
