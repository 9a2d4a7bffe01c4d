"""The tables of ML Metadata for each schema and dialect, after the library's own queries.

Source:
https://github.com/google/ml-metadata/blob/master/ml_metadata/util/metadata_source_query_config.cc
"""

from __future__ import annotations

from typing import Literal

Dialect = Literal["sqlite", "postgresql", "mysql"]

# kind of column → its type in each dialect
_TYPES: dict[str, dict[Dialect, str]] = {
    "key": {
        "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "postgresql": "SERIAL PRIMARY KEY",
        "mysql": "INT PRIMARY KEY AUTO_INCREMENT",
    },
    "int": {"sqlite": "INT", "postgresql": "INT", "mysql": "INT"},
    "time": {"sqlite": "INT", "postgresql": "BIGINT", "mysql": "BIGINT"},
    "name": {"sqlite": "VARCHAR(255)", "postgresql": "VARCHAR(255)", "mysql": "VARCHAR(255)"},
    "text": {"sqlite": "TEXT", "postgresql": "TEXT", "mysql": "TEXT"},
    "long": {"sqlite": "TEXT", "postgresql": "TEXT", "mysql": "MEDIUMTEXT"},
    "double": {"sqlite": "DOUBLE", "postgresql": "DOUBLE PRECISION", "mysql": "DOUBLE"},
    "bytes": {"sqlite": "BLOB", "postgresql": "BYTEA", "mysql": "MEDIUMBLOB"},
    "flag": {"sqlite": "TINYINT(1)", "postgresql": "BOOLEAN", "mysql": "TINYINT(1)"},
    "kind": {"sqlite": "TINYINT(1)", "postgresql": "SMALLINT", "mysql": "TINYINT(1)"},
    "bool": {"sqlite": "BOOLEAN", "postgresql": "BOOLEAN", "mysql": "BOOLEAN"},
}
FLAGS = frozenset({"is_custom_property", "is_index_step", "bool_value"})

_EXTERNAL = ("external_id", "name", 9)
_TIMES = (
    ("create_time_since_epoch", "time NOT NULL DEFAULT 0", 5),
    ("last_update_time_since_epoch", "time NOT NULL DEFAULT 0", 5),
)


def _properties(owner: str) -> tuple[tuple[str, str, int], ...]:
    return (
        (owner, "int NOT NULL", 0),
        ("name", "name NOT NULL", 0),
        ("is_custom_property", "flag NOT NULL", 0),
        ("int_value", "int", 0),
        ("double_value", "double", 0),
        ("string_value", "long", 0),
        ("byte_value", "bytes", 7),
        ("proto_value", "bytes", 10),
        ("bool_value", "bool", 10),
    )


# table → (columns: name, kind, first schema that has it), constraints
_TABLES: dict[str, tuple[tuple[tuple[str, str, int], ...], tuple[str, ...]]] = {
    "Type": (
        (
            ("id", "key", 0),
            ("name", "name NOT NULL", 0),
            ("version", "name", 6),
            ("type_kind", "kind NOT NULL", 0),
            ("description", "text", 6),
            ("input_type", "text", 0),
            ("output_type", "text", 0),
            _EXTERNAL,
        ),
        (),
    ),
    "TypeProperty": (
        (("type_id", "int NOT NULL", 0), ("name", "name NOT NULL", 0), ("data_type", "int", 0)),
        ("PRIMARY KEY (type_id, name)",),
    ),
    "ParentType": (
        (("type_id", "int NOT NULL", 0), ("parent_type_id", "int NOT NULL", 0)),
        ("PRIMARY KEY (type_id, parent_type_id)",),
    ),
    "Artifact": (
        (
            ("id", "key", 0),
            ("type_id", "int NOT NULL", 0),
            ("uri", "text", 0),
            ("state", "int", 5),
            ("name", "name", 5),
            _EXTERNAL,
            *_TIMES,
        ),
        ("UNIQUE (type_id, name)",),
    ),
    "ArtifactProperty": (
        _properties("artifact_id"),
        ("PRIMARY KEY (artifact_id, name, is_custom_property)",),
    ),
    "Execution": (
        (
            ("id", "key", 0),
            ("type_id", "int NOT NULL", 0),
            ("last_known_state", "int", 5),
            ("name", "name", 5),
            _EXTERNAL,
            *_TIMES,
        ),
        ("UNIQUE (type_id, name)",),
    ),
    "ExecutionProperty": (
        _properties("execution_id"),
        ("PRIMARY KEY (execution_id, name, is_custom_property)",),
    ),
    "Context": (
        (
            ("id", "key", 0),
            ("type_id", "int NOT NULL", 0),
            ("name", "name NOT NULL", 0),
            _EXTERNAL,
            *_TIMES,
        ),
        ("UNIQUE (type_id, name)",),
    ),
    "ContextProperty": (
        _properties("context_id"),
        ("PRIMARY KEY (context_id, name, is_custom_property)",),
    ),
    "ParentContext": (
        (("context_id", "int NOT NULL", 0), ("parent_context_id", "int NOT NULL", 0)),
        ("PRIMARY KEY (context_id, parent_context_id)",),
    ),
    "Event": (
        (
            ("id", "key", 0),
            ("artifact_id", "int NOT NULL", 0),
            ("execution_id", "int NOT NULL", 0),
            ("type", "int NOT NULL", 0),
            ("milliseconds_since_epoch", "time", 0),
        ),
        (),
    ),
    "EventPath": (
        (
            ("event_id", "int NOT NULL", 0),
            ("is_index_step", "flag NOT NULL", 0),
            ("step_index", "int", 0),
            ("step_key", "text", 0),
        ),
        (),
    ),
    "Association": (
        (("id", "key", 0), ("context_id", "int NOT NULL", 0), ("execution_id", "int NOT NULL", 0)),
        ("UNIQUE (context_id, execution_id)",),
    ),
    "Attribution": (
        (("id", "key", 0), ("context_id", "int NOT NULL", 0), ("artifact_id", "int NOT NULL", 0)),
        ("UNIQUE (context_id, artifact_id)",),
    ),
    "MLMDEnv": ((("schema_version", "int NOT NULL", 0),), ("PRIMARY KEY (schema_version)",)),
}

# index → (table, columns, first schema, last schema)
_INDEXES: tuple[tuple[str, str, str, int, int], ...] = (
    ("idx_event_execution_id", "Event", "execution_id", 0, 99),
    ("idx_event_artifact_id", "Event", "artifact_id", 0, 7),
    ("idx_eventpath_event_id", "EventPath", "event_id", 7, 99),
    ("idx_type_name", "Type", "name", 6, 99),
    ("idx_parentcontext_parent_context_id", "ParentContext", "parent_context_id", 6, 99),
    *(
        (f"idx_{table.lower()}_{column}", table, column, 6, 99)
        for table in ("Artifact", "Execution", "Context")
        for column in ("create_time_since_epoch", "last_update_time_since_epoch")
    ),
)


def table_names() -> list[str]:
    """List the tables as MLMD spells them."""
    return list(_TABLES)


def columns(table: str, schema: int) -> list[str]:
    """List a table's columns in a schema."""
    return [name for name, _, since in _TABLES[table][0] if since <= schema]


def spelled(table: str, dialect: Dialect) -> str:
    """Spell a table as the dialect's stores do: PostgreSQL's are lower case."""
    return table.lower() if dialect == "postgresql" else f"`{table}`"


def statements(schema: int, dialect: Dialect) -> list[str]:
    """Give the DDL of a store."""
    out = []
    for table, (cols, constraints) in _TABLES.items():
        parts = []
        for name, kind, since in cols:
            if since > schema:
                continue
            word, _, rest = kind.partition(" ")
            unique = " UNIQUE" if name == "external_id" else ""
            parts.append(
                f"{_quoted(name, dialect)} {_TYPES[word][dialect]} {rest}{unique}".rstrip()
            )
        parts += list(constraints)
        if table == "Event" and schema >= 8:
            parts.append("UNIQUE (artifact_id, execution_id, type)")
        out.append(f"CREATE TABLE {spelled(table, dialect)} ({', '.join(parts)})")
    for index, table, column, first, last in _INDEXES:
        if first <= schema <= last:
            # MySQL indexes no TEXT and needs no lengths for the others
            out.append(f"CREATE INDEX {index} ON {spelled(table, dialect)} ({column})")
    return out


def _quoted(name: str, dialect: Dialect) -> str:
    return f'"{name}"' if dialect == "postgresql" else f"`{name}`"
