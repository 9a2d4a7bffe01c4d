"""Which artifacts are tables by their names, told alike by the dry run and by the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.stores import TFX
from support.sync_site import Site

from exporter.config import Settings
from exporter.hierarchy.table_names import find_table
from exporter.sync.dry_run import PlannedStack, planned_units
from exporter.sync.policy import Mappings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("kind", "files", "found"),
    [
        ("Examples", ["Split-train/data.gz"], ("examples", ("Split-train/data.gz",))),
        ("Examples", ["data.tfrecord"], ("examples", ("data.tfrecord",))),
        ("ExampleStatistics", ["Split-train/FeatureStats.pb"], None),
        ("ExampleAnomalies", ["Split-eval/SchemaDiff.pb"], None),
        ("Examples", ["notes.txt"], None),
        ("DataArtifact", ["data.parquet", "shape.json"], ("flat_array",)),
        ("DataArtifact", ["data.parquet"], ("parquet", ("data.parquet",))),
        ("DataArtifact", ["other.csv", "df.csv"], ("csv", ("df.csv",))),
        ("DataArtifact", ["a.csv", "b.csv"], None),
        ("DataArtifact", ["inner/df.csv"], None),
        ("DataArtifact", [""], ("npy", ("",))),
        ("DataArtifact", [], None),
    ],
)
def test_tables_are_told_by_type_and_names(
    kind: str, files: list[str], found: tuple[object, ...] | None
) -> None:
    table = find_table(kind, "/data/7/array.npy", files)
    assert (None if table is None else tuple(table)[: len(found or ())]) == found


def test_a_plan_counts_the_tables_that_a_run_makes_of_a_tfx_store(tmp_path: Path) -> None:
    store = TFX.copy_folder(tmp_path)
    site = Site(tmp_path, "acme", "http://127.0.0.1:9")
    site.add_stack(
        store.database, roots=[store.folder], rewrite={f"/data/{store.name}": store.folder}
    )
    settings = Settings.model_validate(site.values())
    stack = settings.stacks[0]
    units = planned_units(settings, Mappings.load(settings), stack, PlannedStack(stack.key))
    assert sum(unit.tables for unit in units) == 1
