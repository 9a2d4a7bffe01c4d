"""Which artifacts are tables, and what MLflow shows of those that were described."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from exporter.hierarchy.table_names import find_table
from exporter.mapping.mlflow.measures import named_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.hierarchy import Artifact, RunSnapshot, Step

SERIES_TAG = "exporter.series"
DESCRIPTIONS = (
    "statistics.pb",
    "statistics.json",
    "schema.pbtxt",
    "table-schema.json",
    "report.html",
)
"""The files that describe a table."""


class TableFacts(NamedTuple):
    """The few things known of a described table; `colspec` is its schema as MLflow spells it.

    `lineage` is the table as OpenLineage shows it, spelled by `LineageTable.to_text`.
    """

    rows: int
    columns: int
    missing_ratio: float
    colspec: str
    lineage: str = ""


def wanted_tables(run: RunSnapshot) -> tuple[str, ...]:
    """Name the copied artifacts that are tables by their type and the names of their files."""
    return tuple(a.id for a in run.artifacts if _may_be_table(a))


def _may_be_table(artifact: Artifact) -> bool:
    content = artifact.content
    if content is None or content.state != "copied":
        return False
    paths = (file.path for file in content.files)
    return find_table(artifact.type, artifact.uri, paths) is not None


def table_numbers(
    step: Step, tables: Mapping[str, TableFacts | None]
) -> Iterator[tuple[str, float | int]]:
    """Give `<output>.rows`, `.columns` and `.missing_ratio` of a step's described outputs."""
    for name, port in named_ports(step.outputs):
        facts = tables.get(port.artifact)
        if facts is not None:
            yield f"{name}.rows", facts.rows
            yield f"{name}.columns", facts.columns
            yield f"{name}.missing_ratio", facts.missing_ratio


def series_of(step: Step) -> str:
    """Give what the runs of one step of a pipeline have in common, fit for a filter."""
    return hashlib.sha256(step.name.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def derived_folder(home_path: str, *, is_file: bool) -> str:
    """Give where the description of an artifact goes, from where its files are.

    `outputs/train/df.csv` and `outputs/train` become `exporter/train`.
    """
    place = home_path.rpartition("/")[0] if is_file else home_path
    return f"exporter/{place.partition('/')[2]}"
