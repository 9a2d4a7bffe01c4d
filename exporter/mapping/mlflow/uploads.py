"""Which nested run holds the files of an artifact.

An artifact that several runs show is copied once, under the first unit that outputs it; all others
point there.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from exporter.mapping.homes import Home
from exporter.mapping.mlflow.paths import port_folder, safe_segment, stored_path
from exporter.mapping.mlflow.plans import Upload
from exporter.mapping.mlflow.tables import derived_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from exporter.hierarchy import Artifact, Port, RunSnapshot
    from exporter.mapping.mlflow.tables import TableFacts


def place_artifacts(
    run: RunSnapshot, keys: Sequence[str], homes: Mapping[str, Home]
) -> dict[str, Home]:
    """Give a home to every copied artifact of a run that has one or can get one here.

    The step that wrote an artifact holds it, else the first that shows it among its outputs; one
    that no step of the store wrote is held by the first step that consumed it.
    """
    offers: dict[str, Home] = {}
    artifacts = {artifact.id: artifact for artifact in run.artifacts}
    for fresh in (True, False):
        for step, key in zip(run.steps, keys, strict=True):
            for folder, port in _folders("outputs", step.outputs):
                if (not (port.cached or step.status == "cached")) == fresh:
                    offers.setdefault(port.artifact, _home(key, folder, artifacts[port.artifact]))
    for step, key in zip(run.steps, keys, strict=True):
        for folder, port in _folders("inputs", step.inputs):
            if artifacts[port.artifact].producer is None:
                offers.setdefault(port.artifact, _home(key, folder, artifacts[port.artifact]))
    placed: dict[str, Home] = {}
    for artifact in run.artifacts:
        if artifact.content is not None and artifact.content.state == "copied":
            home = homes.get(artifact.id) or offers.get(artifact.id)
            if home is not None:
                placed[artifact.id] = home
    return placed


def uploads_of(
    artifacts: Mapping[str, Artifact],
    placed: Mapping[str, Home],
    homes: Mapping[str, Home],
    own_keys: Collection[str],
    tables: Mapping[str, TableFacts | None],
) -> tuple[Upload, ...]:
    """Give the files this unit holds; those that an earlier apply copied are marked as held.

    What is described beside its files has a folder for that.
    """
    uploads = []
    for artifact_id, home in placed.items():
        content = artifacts[artifact_id].content
        if home.step_key in own_keys and content is not None:
            paths = tuple(stored_path(home, file.path) for file in content.files)
            is_file = len(content.files) == 1 and not content.files[0].path
            is_described = tables.get(artifact_id) is not None
            uploads.append(
                Upload(
                    home.step_key,
                    artifact_id,
                    home.path,
                    content.sha256,
                    content.files,
                    paths,
                    held=artifact_id in homes,
                    derived=derived_folder(home.path, is_file=is_file) if is_described else "",
                )
            )
    return tuple(uploads)


def _folders(kind: str, ports: Sequence[Port]) -> Iterator[tuple[str, Port]]:
    """Give the folder of each port; of several artifacts each has a numbered one."""
    positions: dict[str, int] = {}
    several = {name for name, count in Counter(p.name for p in ports).items() if count > 1}
    for port in ports:
        if port.name not in several:
            yield port_folder(kind, port.name, None), port
        else:
            position = positions.get(port.name, 0)
            positions[port.name] = position + 1
            yield port_folder(kind, port.name, position), port


def _home(key: str, folder: str, artifact: Artifact) -> Home:
    """Give the folder, or the path of the file itself where the artifact is one file."""
    files = artifact.content.files if artifact.content is not None else ()
    if len(files) == 1 and not files[0].path:
        name = artifact.uri.rstrip("/").rpartition("/")[2]
        return Home(key, f"{folder}/{safe_segment(name or 'file')}")
    return Home(key, folder)
