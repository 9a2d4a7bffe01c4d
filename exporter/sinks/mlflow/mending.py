"""Puts back the files of a unit that are no longer in MLflow as they were written."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

from exporter.errors import SinkError, SinkRateLimited, SinkUnavailable
from exporter.mapping.mlflow import PAGES_TAG, is_held_page, planned_files
from exporter.sinks.mlflow.stored import read_stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.mapping.mlflow import PlannedFile
    from exporter.sinks.mlflow.bindings import FoundRun
    from exporter.sinks.mlflow.stored import StoredFile
    from exporter.sinks.mlflow.writer import UnitWriter


class Root(NamedTuple):
    """A run of MLflow and where its files are."""

    run_id: str
    artifact_uri: str


def mend_files(writer: UnitWriter, roots: Mapping[str, Root], parent: FoundRun | None) -> None:
    """Read every file below the roots, given by run key, and store those again that differ.

    `parent` is the run whose tag says which pages it holds. Descriptions need only be there.
    Repeat: reads all files, and stores none.
    Raises: SinkTransient, SinkUnavailable; ArtifactError where the source's own file is not as
    planned.
    """
    told = "" if parent is None else parent.tags.get(PAGES_TAG, "")
    described: set[tuple[str, str]] = set()
    for file in planned_files(writer.plan):
        root = roots.get(file.key)
        if root is None:
            continue
        stored = read_stored(writer.api, root.artifact_uri, file.path, most_bytes(file))
        if is_intact(file, stored, told):
            continue
        if file.upload is not None and file.file is None:
            place = (file.key, file.upload.derived)
            if place not in described:
                described.add(place)
                writer.describe(file.upload, root.artifact_uri)
        else:
            _store(writer, root.artifact_uri, file)
        writer.tally.updated.add(root.run_id)


def most_bytes(file: PlannedFile) -> int | None:
    """Give how much of a stored file is worth reading, None for all of it.

    A page of another release may be longer; what the plan does not know need only be there.
    """
    if file.content is not None:
        return None
    return file.size or 0


def is_intact(file: PlannedFile, stored: StoredFile | None, pages: str = "") -> bool:
    """Tell whether a stored file is the planned one, or a page that the run's tag still names.

    What the plan knows nothing of need only be there.
    """
    if stored is None:
        return False
    if file.sha256 is None or stored.sha256 == file.sha256:
        return True
    return stored.sha256 is not None and is_held_page(file.path, stored.sha256, pages)


def _store(writer: UnitWriter, root: str, file: PlannedFile) -> None:
    if file.upload is not None and file.file is not None:
        writer.send_file(file.upload.artifact_id, file.file, root, file.path)
        return
    if file.content is None:
        return
    try:
        writer.api.put_file(root, file.path, io.BytesIO(file.content), len(file.content))
    except (SinkUnavailable, SinkRateLimited):
        raise
    except SinkError as error:
        writer.pages_failed = error.message
        return
    writer.tally.files += 1
    writer.tally.bytes += len(file.content)
