"""Statistics and schemas in the messages of TensorFlow Metadata, read or computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.errors import CorruptArtifact
from exporter.materializers.analyses import (
    frame_of_schema,
    frame_of_statistics,
    schema_of_frame,
    statistics_of_frame,
)
from exporter.materializers.protocol import parsing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tensorflow_metadata.proto.v0.schema_pb2 import Schema
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

    from exporter.materializers.files import ArtifactFiles

STATISTICS_FILES = ("FeatureStats.pb", "statistics.pb", "stats_tfrecord")
SCHEMA_FILE = "schema.pbtxt"
_SPLIT = "Split-"


class StatisticsMaterializer:
    """Gives statistics as a `DatasetFeatureStatisticsList`, one dataset per split.

    Reads `FeatureStats.pb` of TFX, `statistics.pb` of this package and the frames that ZenML's
    analysers wrote; computes them for any other Parquet or CSV file, array or TFX Examples.
    """

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> DatasetFeatureStatisticsList:  # noqa: ARG002
        """Give the statistics. Nothing is executed; the files are read once, in little memory.

        Raises: CorruptArtifact when there is nothing to read or compute them from.
        """
        paths = [
            path
            for path, name in zip(files.sizes, files.names, strict=True)
            if name in STATISTICS_FILES
        ]
        if paths:
            return _merged(files, paths)
        frame = frame_of_statistics(files)
        if frame is not None:
            with parsing(files, "frame of statistics"):
                made: DatasetFeatureStatisticsList = statistics_of_frame(frame)
                return made
        description = _described(files)
        from exporter.statistics.protos import statistics_message

        computed: DatasetFeatureStatisticsList = statistics_message(description.tables)
        return computed


class SchemaMaterializer:
    """Gives a schema as a `Schema` message of TensorFlow Metadata.

    Reads `schema.pbtxt` and the frames that ZenML's analysers wrote; infers the schema of any other
    Parquet or CSV file, array or TFX Examples.
    """

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Schema:  # noqa: ARG002
        """Give the schema. Raises: CorruptArtifact when there is nothing to read or infer from."""
        path = files.find(SCHEMA_FILE)
        if path is not None:
            return _text_schema(files, path)
        frame = frame_of_schema(files)
        if frame is not None:
            with parsing(files, "frame of types"):
                made: Schema = schema_of_frame(frame)
                return made
        description = _described(files)
        from exporter.statistics.protos import schema_message

        inferred: Schema = schema_message(description.schema)
        return inferred


def _described(files: ArtifactFiles) -> Any:  # Any: TableDescription, whose module is heavy
    from exporter.statistics.describing import describe

    description = describe(files)
    if description is None:
        raise CorruptArtifact(
            f"{files.described} is no table: statistics and schemas are of Parquet and CSV files, "
            "arrays and TFX Examples.",
            hint="output.read() gives the value itself.",
            artifact=files.artifact.id,
        )
    return description


def _merged(files: ArtifactFiles, paths: list[str]) -> DatasetFeatureStatisticsList:
    """Read a message per split; the split's name becomes that of its dataset where it has none."""
    read = [(path, files.read(path)) for path in paths]
    with parsing(files, "statistics message"):
        from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

        merged = DatasetFeatureStatisticsList()
        for path, raw in read:
            split = path.rpartition("/")[0].rpartition("/")[2].removeprefix(_SPLIT)
            for record in _records(path, raw):
                part = _parsed(DatasetFeatureStatisticsList(), record)
                for dataset in part.datasets:
                    dataset.name = dataset.name or split
                merged.MergeFrom(part)
        return merged


def _records(path: str, raw: bytes) -> Iterator[bytes]:
    """Give the message of a file; before 1.0 TFX wrote it as the one record of a TFRecord file."""
    if not path.endswith("stats_tfrecord"):
        yield raw
        return
    import io

    from exporter.statistics.tfrecord import record_pages

    for page in record_pages(io.BytesIO(raw)):
        yield from page


def _parsed(message: Any, raw: bytes) -> Any:  # Any: a generated class
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return message


def _text_schema(files: ArtifactFiles, path: str) -> Schema:
    raw = files.read(path)
    with parsing(files, "schema"):
        from google.protobuf import text_format
        from tensorflow_metadata.proto.v0.schema_pb2 import Schema

        try:
            parsed: Schema = text_format.Parse(raw.decode("utf-8"), Schema())
        except text_format.ParseError as error:
            raise ValueError(str(error)) from error
        return parsed
