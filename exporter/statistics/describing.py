"""What others call: describe an artifact's tables, and render what was found as files."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.statistics.files import HeldFiles, reading
from exporter.statistics.model import StatLimits, TableStatistics
from exporter.statistics.schema import TableSchema, infer

if TYPE_CHECKING:
    from exporter.statistics.files import TableFiles
    from exporter.statistics.tables import Table

STATISTICS, STATISTICS_JSON = "statistics.pb", "statistics.json"
SCHEMA, TABLE_SCHEMA = "schema.pbtxt", "table-schema.json"
REPORT = "report.html"
_DEFAULT = StatLimits()


@dataclass(frozen=True, slots=True)
class TableDescription:
    """The tables of one artifact, more than one only for splits, and the schema of them all."""

    tables: tuple[TableStatistics, ...]
    schema: TableSchema

    @property
    def measures(self) -> dict[str, float]:
        """The few numbers worth a metric: rows, columns, missing ratio."""
        cells = sum(table.rows * len(table.columns) for table in self.tables)
        missing = sum(column.missing for table in self.tables for column in table.columns)
        return {
            "rows": float(sum(table.rows for table in self.tables)),
            "columns": float(max((table.columns_total for table in self.tables), default=0)),
            "missing_ratio": missing / cells if cells else 0.0,
        }

    @property
    def colspec(self) -> str:
        """The schema as MLflow's Datasets panel shows it."""
        from exporter.statistics.schema_json import colspec

        return colspec(self.schema)


def describe(files: TableFiles, *, limits: StatLimits = _DEFAULT) -> TableDescription | None:
    """Read an artifact's tables once and describe them; None when the artifact is no table.

    Nothing in the files is executed. The same bytes and limits give the same value everywhere.
    Memory: flat in the size of the files.
    Raises: CorruptArtifact when a table cannot be read; as the files' own `open` does.
    """
    from exporter.statistics.tables import open_tables

    tables = []
    with closing(HeldFiles(files)) as held:
        for table in open_tables(held, limits):
            with reading(files, table.what):
                tables.append(_computed(table, limits))
    return TableDescription(tuple(tables), infer(tables)) if tables else None


def render(
    description: TableDescription,
    previous: TableDescription | None = None,
    *,
    title: str = "",
    previous_title: str = "",
) -> dict[str, bytes]:
    """Give the files to keep beside the artifact, by name: statistics, schemas, report.

    `previous` describes the same output of the run before; the report then shows what changed.
    The titles name the two in the report.
    """
    from exporter.statistics.protos import (
        as_bytes,
        as_json,
        as_text,
        schema_message,
        statistics_message,
    )
    from exporter.statistics.report import report
    from exporter.statistics.schema_json import table_schema

    message = statistics_message(description.tables)
    return {
        STATISTICS: as_bytes(message),
        STATISTICS_JSON: as_json(message),
        SCHEMA: as_text(schema_message(description.schema)),
        TABLE_SCHEMA: table_schema(description.schema),
        REPORT: report(
            description.tables,
            () if previous is None else previous.tables,
            title=title,
            previous_title=previous_title,
        ),
    }


def statistics_bytes(description: TableDescription) -> bytes:
    """Give what `render` writes into `statistics.pb`, which `load` gives back."""
    from exporter.statistics.protos import as_bytes, statistics_message

    return as_bytes(statistics_message(description.tables))


def load(statistics: bytes) -> TableDescription | None:
    """Give back what `render` wrote into `statistics.pb`; None for bytes of any other origin."""
    from google.protobuf.message import DecodeError
    from tensorflow_metadata.proto.v0 import statistics_pb2

    from exporter.statistics.protos import tables_from

    message = statistics_pb2.DatasetFeatureStatisticsList()
    try:
        message.ParseFromString(statistics)
        tables = tables_from(message)
    except (DecodeError, KeyError, TypeError, ValueError):
        return None
    return None if tables is None else TableDescription(tables, infer(tables))


def _computed(table: Table, limits: StatLimits) -> TableStatistics:
    import pyarrow as pa

    from exporter.statistics.compute import compute

    try:
        return compute(table, limits)
    except pa.ArrowInvalid:
        if table.again is None:
            raise
    return compute(table.again(), limits)
