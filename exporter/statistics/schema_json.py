"""Schemas as JSON: Frictionless Table Schema, and the column list that MLflow shows.

Sources: https://specs.frictionlessdata.io/table-schema/ and MLflow's `mlflow.types.schema`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.statistics.model import Kind
    from exporter.statistics.schema import ColumnSchema, TableSchema

_TABLE_TYPES: dict[Kind, str] = {
    "int": "integer",
    "float": "number",
    "decimal": "number",
    "bool": "boolean",
    "string": "string",
    "categorical": "string",
    "bytes": "string",
    "datetime": "datetime",
    "date": "date",
    "time": "time",
    "duration": "duration",
    "nested": "any",
    "null": "any",
    "other": "any",
}
_MLFLOW_TYPES: dict[Kind, str] = {
    "int": "long",
    "float": "double",
    "decimal": "double",
    "bool": "boolean",
    "string": "string",
    "categorical": "string",
    "bytes": "binary",
    "datetime": "datetime",
    "date": "datetime",
    "time": "string",
    "duration": "string",
    "nested": "any",
    "null": "any",
    "other": "any",
}
_NARROW = {"int8": "integer", "int16": "integer", "int32": "integer", "float": "float"}
_RANGED = frozenset({"int", "float", "decimal", "date", "datetime"})


def table_schema(schema: TableSchema) -> bytes:
    """Give a Table Schema as JSON text. A name that comes again gets a number; `title` keeps it."""
    used: set[str] = set()
    listed = [_field(column, used) for column in schema.columns]
    return (json.dumps({"fields": listed}, indent=1, allow_nan=False) + "\n").encode("ascii")


def colspec(schema: TableSchema) -> str:
    """Give the schema as MLflow's Datasets panel shows it, as JSON text."""
    listed = [
        {"type": _mlflow_type(column), "name": column.name, "required": column.required}
        for column in schema.columns
    ]
    return json.dumps({"mlflow_colspec": listed})


def _field(column: ColumnSchema, used: set[str]) -> dict[str, Any]:  # Any: JSON values
    name, number = column.name, 2
    while name in used:
        name, number = f"{column.name}#{number}", number + 1
    used.add(name)
    field: dict[str, Any] = {"name": name, "type": _TABLE_TYPES[column.kind]}
    if name != column.name:
        field["title"] = column.name
    if column.kind == "bytes":
        field["format"] = "binary"
    limits: dict[str, Any] = {"required": True} if column.required else {}
    if column.kind in _RANGED and column.minimum is not None and column.maximum is not None:
        limits |= {
            "minimum": _bound(column, column.minimum),
            "maximum": _bound(column, column.maximum),
        }
    if column.values is not None:
        limits["enum"] = list(column.values)
    if limits:
        field["constraints"] = limits
    field["arrowType"] = column.type
    return field


def _bound(column: ColumnSchema, value: object) -> object:
    """Write a bound; a moment in whole seconds, with the zone the format asks for."""
    if column.kind == "datetime" and isinstance(value, str):
        whole = value.removesuffix("Z").partition(".")[0]
        return f"{whole}Z"
    return value


def _mlflow_type(column: ColumnSchema) -> str:
    return _NARROW.get(column.type, _MLFLOW_TYPES[column.kind])
