"""The standard facets of datasets, and what an artifact's place and files tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from exporter.mapping.openlineage.facets import facet, standard_schema
from exporter.mapping.openlineage.places import any_place
from exporter.mapping.openlineage.secret_text import without_password
from exporter.mapping.openlineage.text import (
    bounded_text,
    safe_uri,
    storable_int,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.hierarchy import Artifact
    from exporter.mapping.openlineage.facets import Json
    from exporter.mapping.openlineage.tables import LineageTable

VERSION = standard_schema("1-0-1", "DatasetVersionDatasetFacet")
DATASET_TYPE = standard_schema("1-0-1", "DatasetTypeDatasetFacet")
DATA_SOURCE = standard_schema("1-0-1", "DatasourceDatasetFacet")
SYMLINKS = standard_schema("1-0-1", "SymlinksDatasetFacet")
STORAGE = standard_schema("1-0-1", "StorageDatasetFacet")
SCHEMA = standard_schema("1-2-0", "SchemaDatasetFacet")
LIFECYCLE = standard_schema("1-0-1", "LifecycleStateChangeDatasetFacet")
DATA_QUALITY = standard_schema("1-0-0", "DataQualityMetricsDatasetFacet")
OUTPUT_STATISTICS = standard_schema("1-0-2", "OutputStatisticsOutputDatasetFacet")

_FORMATS = {
    ".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json",
    ".npy": "npy", ".npz": "npz", ".avro": "avro", ".orc": "orc", ".txt": "text",
    ".tfrecord": "tfrecord", ".tfrecords": "tfrecord", ".pb": "protobuf", ".pbtxt": "protobuf",
    ".pkl": "pickle", ".pickle": "pickle", ".joblib": "joblib", ".keras": "keras", ".h5": "hdf5",
    ".pt": "pytorch", ".pth": "pytorch", ".safetensors": "safetensors", ".onnx": "onnx",
    ".html": "html", ".yaml": "yaml",
}  # fmt: skip
_COMPRESSED = (".gz", ".gzip", ".bz2", ".zst")


class Layout(NamedTuple):
    """Where an artifact lies: `root` is the store, `stable` what all versions of it share."""

    root: str
    stable: str | None


def layout(uri: str, step_id: str, pipeline: str) -> Layout | None:
    """Take `<root>/<step>/<output>/<id of the step's run>[/…]` apart; None for another layout.

    ZenML and TFX lay out URIs so. The part that all versions share is told only where the pipeline
    is in it: two pipelines of one store may have steps of one name.
    """
    segments = uri.split("/")
    for position in range(len(segments) - 1, 2, -1):
        if segments[position] == step_id and segments[position - 1]:
            root = segments[: position - 2]
            if not any(root):
                return None
            stable = "/".join(segments[:position]) if pipeline in root else None
            return Layout("/".join(root), stable)
    return None


def dataset_version(artifacts: Sequence[Artifact]) -> Json:
    """Name the version: the artifact's id in its store, for a list the ids in order."""
    ids = "+".join(artifact.id for artifact in artifacts)
    return facet(VERSION, datasetVersion=bounded_text(ids, 255))


def dataset_type(name: str, framework: str | None = None) -> Json:
    """Say what the dataset is; of a model also the framework."""
    return facet(DATASET_TYPE, datasetType=name, subType=framework)


def framework_of(artifact: Artifact) -> str | None:
    """Name the package of a model's class, as far as its Python type tells."""
    return bounded_text((artifact.data_type or "").split(".", 1)[0], 255) or None


def data_source(uri: str, found: Layout | None) -> Json | None:
    """Name the artifact store by its root, as far as the URI shows one."""
    root = found.root if found is not None else None
    if root is None:
        place = any_place(uri)
        if place is None:
            return None
        root = "/" if place.namespace == "file" else place.namespace
    return facet(DATA_SOURCE, name=bounded_text(without_password(root), 255), uri=safe_uri(root))


def place_source(namespace: str) -> Json:
    """Name the data source of something outside: its namespace is its address."""
    uri = namespace if ":" in namespace else f"{namespace}:/"
    return facet(DATA_SOURCE, name=namespace[:255], uri=safe_uri(uri))


def symlinks(namespace: str, name: str) -> Json:
    """Say where the dataset always lies, so that others who name the place mean this one."""
    identifier = {"namespace": namespace, "name": name, "type": "LOCATION"}
    return facet(SYMLINKS, identifiers=[identifier])


def storage(artifact: Artifact) -> Json | None:
    """Say on what and in which format the artifact is kept, as far as names tell."""
    place = any_place(artifact.uri)
    if place is None:
        return None
    layer = place.namespace.partition(":")[0]
    return facet(STORAGE, storageLayer=bounded_text(layer, 255), fileFormat=_format(artifact))


def schema(table: LineageTable) -> Json:
    """List the columns of a table."""
    return facet(SCHEMA, fields=orjson.Fragment(table.fields))


def data_quality(table: LineageTable, artifacts: Sequence[Artifact]) -> Json:
    """Give the figures of a table as a whole and by column."""
    return facet(
        DATA_QUALITY,
        rowCount=table.rows,
        bytes=_size(artifacts),
        fileCount=_file_count(artifacts),
        columnMetrics=orjson.Fragment(table.column_metrics),
    )


def output_statistics(rows: int | None, artifacts: Sequence[Artifact]) -> Json | None:
    """Say how much was written, where that is known."""
    size, count = _size(artifacts), _file_count(artifacts)
    if rows is None and size is None and count is None:
        return None
    return facet(OUTPUT_STATISTICS, rowCount=rows, size=size, fileCount=count)


def overwritten() -> Json:
    """Say that what the output holds now is what this run wrote, be it the first or not.

    Source: https://openlineage.io/docs/spec/facets/dataset-facets/lifecycle_state_change
    """
    return facet(LIFECYCLE, lifecycleStateChange="OVERWRITE")


def _size(artifacts: Sequence[Artifact]) -> int | None:
    sizes = [None if a.content is None else a.content.size for a in artifacts]
    known = [size for size in sizes if size is not None]
    return storable_int(sum(known)) if len(known) == len(sizes) else None


def _file_count(artifacts: Sequence[Artifact]) -> int | None:
    if any(a.content is None or a.content.state != "copied" for a in artifacts):
        return None
    return sum(len(a.content.files) for a in artifacts if a.content is not None)


def _format(artifact: Artifact) -> str | None:
    """Name the format by the artifact's files, where they agree, else by its URI."""
    files = () if artifact.content is None else artifact.content.files
    found = {_format_of(file.path or artifact.uri) for file in files[:100]} - {None}
    if len(found) == 1:
        return found.pop()
    return None if found else _format_of(artifact.uri)


def _format_of(path: str) -> str | None:
    name = path.rpartition("/")[2].lower()
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    if name == "saved_model.pb":
        return "savedmodel"
    if "tfrecord" in name or name.startswith("data_tfrecord"):
        return "tfrecord"
    return _FORMATS.get(f".{name.rpartition('.')[2]}") if "." in name else None
