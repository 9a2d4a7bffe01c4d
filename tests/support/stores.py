"""The recorded stores of tests/stores: where they are, and copies in other databases."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import psycopg
import pytest

from exporter.sources.mlmd import FlavourProfile, load_profiles
from support import mlmd_ddl
from support.mariadb import connect
from support.postgres import plain_url

STORES = Path(__file__).resolve().parent.parent / "stores"
MAPPINGS = STORES.parent.parent / "mappings" / "sources"
Json = dict[str, Any]  # Any: JSON of expected walks


@dataclass(frozen=True)
class RecordedStore:
    """A store that real software wrote."""

    name: str
    database: Path
    tool: str
    schema: int
    pipelines: int
    runs: int
    steps: int
    artifacts: int

    @property
    def folder(self) -> Path:
        """Give the store's folder."""
        return STORES / self.name

    @property
    def url(self) -> str:
        """Give the SQLAlchemy URL, to be read only."""
        return f"sqlite:///{self.database}"

    @property
    def rewrite(self) -> Mapping[str, str]:
        """Map the recorded prefix, which exists nowhere, to the folder."""
        return {f"/data/{self.name}": str(self.folder)}

    def expected(self) -> list[Json]:
        """Give the walk that the software's own API answered, its documented defects corrected."""
        walk = cast("list[Json]", json.loads((self.folder / "expected_walk.json").read_text()))
        return [_corrected(self.name, step, walk) for step in walk]

    def copy_file(self, folder: Path) -> Path:
        """Copy the database file alone."""
        target = folder / self.database.name
        shutil.copyfile(self.database, target)
        return target

    def copy_folder(self, folder: Path) -> RecordedStore:
        """Copy the whole store; the copy's database is where the original's was."""
        target = folder / self.name
        shutil.copytree(self.folder, target)
        database = target / self.database.relative_to(self.folder)
        return RecordedStore(
            self.name,
            database,
            self.tool,
            self.schema,
            self.pipelines,
            self.runs,
            self.steps,
            self.artifacts,
        )


def _store(name: str, database: str, tool: str, schema: int, *counts: int) -> RecordedStore:
    return RecordedStore(name, STORES / name / database, tool, schema, *counts)


_LOCAL = "home/.config/zenml/local_stores"
ZENML_05 = _store(
    "zenml-0.5.7",
    f"{_LOCAL}/2efb7076-47fc-4b65-96a5-1dd2ee91a41b/metadata.db",
    "zenml",
    7,
    *(4, 7, 24, 25),
)
ZENML_12 = _store(
    "zenml-0.12.0",
    f"{_LOCAL}/a4fe8953-7e8a-44f9-88a8-5a368b1d112f/metadata.db",
    "zenml",
    8,
    *(3, 6, 22, 21),
)
TFX = _store("tfx-1.15", "metadata.sqlite", "tfx", 10, *(2, 5, 25, 13))
RECORDED = (ZENML_05, ZENML_12, TFX)


def _corrected(store: str, step: Json, walk: list[Json]) -> Json:
    """Put right what the legacy API answered wrongly: shared artifacts, docstrings by function."""
    out = dict(step)
    if out["run"] == "dup_1" and out["step"] == "compare":
        importer = next(s for s in walk if s["run"] == "dup_1" and s["step"] == "importer")
        train = importer["outputs"]["train"]
        out["inputs"] = {"left": train, "right": train}
        if store == "zenml-0.5.7":
            evaluator = next(s for s in walk if s["run"] == "run_1" and s["step"] == "evaluator")
            uri = str(train["uri"]).replace("importer/train/17", "compare/output/18")
            out["outputs"] = {
                "output": evaluator["outputs"]["accuracy"]
                | {"id": 16, "uri": uri, "producer": 18, "cached": False}
            }
    if store == "zenml-0.12.0" and out["step"] == "trainer":
        out["docstring"] = "Trains a logistic regression."
    return out


@pytest.fixture(scope="session")
def mlmd_profiles() -> Mapping[str, FlavourProfile]:
    """Give the flavours as the mappings of the checkout describe them."""
    return load_profiles(MAPPINGS)


def copy_into(source: Path, url: str, kind: Literal["postgresql", "mysql"]) -> None:
    """Copy a SQLite store into an empty database, with MLMD's own tables for that dialect."""
    store = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    try:
        schema = store.execute("SELECT schema_version FROM MLMDEnv").fetchone()[0]
        target: Any = (
            psycopg.connect(plain_url(url)) if kind == "postgresql" else connect(url)
        )  # Any: two drivers
        try:
            _copy(store, target, schema, kind)
            target.commit()
        finally:
            target.close()
    finally:
        store.close()


def _copy(
    store: sqlite3.Connection,
    target: Any,  # Any: a psycopg or a pymysql connection
    schema: int,
    dialect: Literal["postgresql", "mysql"],
) -> None:
    cursor = target.cursor()
    for statement in mlmd_ddl.statements(schema, dialect):
        cursor.execute(statement)
    for table in mlmd_ddl.table_names():
        names = mlmd_ddl.columns(table, schema)
        order = " ORDER BY rowid" if table == "EventPath" else ""
        rows = store.execute(f"SELECT {', '.join(names)} FROM {table}{order}").fetchall()
        flags = [i for i, name in enumerate(names) if name in mlmd_ddl.FLAGS]
        if dialect == "postgresql" and flags:
            rows = [_with_booleans(row, flags) for row in rows]
        quoted = ", ".join(f'"{n}"' if dialect == "postgresql" else f"`{n}`" for n in names)
        marks = ", ".join(["%s"] * len(names))
        if rows:
            cursor.executemany(
                f"INSERT INTO {mlmd_ddl.spelled(table, dialect)} ({quoted}) VALUES ({marks})", rows
            )


def _with_booleans(row: tuple[Any, ...], flags: list[int]) -> tuple[Any, ...]:  # Any: any column
    out = list(row)
    for i in flags:
        out[i] = None if out[i] is None else bool(out[i])
    return tuple(out)
