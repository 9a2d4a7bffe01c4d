"""What a step read and wrote, as OpenLineage datasets.

A dataset is the stable logical name `<pipeline>.<step>.<output>` of whatever a step writes on that
output, run after run; the artifact of one run is its version. An artifact that no step produced has
the name of its place: https://openlineage.io/docs/spec/naming.

An input carries namespace and name only, and what was read under a key of its own: Marquez merges a
reader's dataset facets into the newest version, whichever was read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from exporter.mapping.openlineage import facets
from exporter.mapping.openlineage.naming import clean_name, clean_namespace_part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.hierarchy import Artifact, Port, RunSnapshot, Step
    from exporter.mapping.openlineage.facets import Json
    from exporter.mapping.openlineage.ids import OlRunId
    from exporter.mapping.openlineage.naming import LineageNaming, RunNames

_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*")


class DatasetName(NamedTuple):
    """A dataset's full name."""

    namespace: str
    name: str


class RunDatasets:
    """The datasets of one run's artifacts, each worked out once."""

    def __init__(
        self,
        run: RunSnapshot,
        naming: LineageNaming,
        names: RunNames,
        ran: Mapping[int, OlRunId],
    ) -> None:
        """Look at the run's outputs; `ran` gives the run ids of the steps that ran, by position."""
        self._naming = naming
        self._names = names
        self._pipeline = run.pipeline.name
        self._artifacts = {artifact.id: artifact for artifact in run.artifacts}
        self._known: dict[str, DatasetName] = {}
        self._producers: dict[str, int] = {}
        self._ran = ran
        for position, step in enumerate(run.steps):
            for port in step.outputs:
                if self._is_made_by(step, port):
                    self._known.setdefault(port.artifact, self._logical(step.name, port.name))
                    if position in ran and not port.cached:
                        self._producers.setdefault(port.artifact, position)

    def producers(self, step: Step) -> set[int]:
        """Give the positions of the steps of this run that wrote what the step reads."""
        found = {self._producers.get(port.artifact) for port in step.inputs}
        return {position for position in found if position is not None}

    def inputs(self, step: Step) -> list[Json]:
        """Give the step's inputs, each dataset once, in the order of its first port."""
        reads: dict[DatasetName, list[Json]] = {}
        for port in step.inputs:
            artifact = self._artifacts[port.artifact]
            producer = self._producers.get(artifact.id)
            producer_id = None if producer is None else self._ran[producer]
            reads.setdefault(self._name_of(artifact, port), []).append(
                facets.read_artifact(port, artifact, producer_id)
            )
        return [
            {
                "namespace": dataset.namespace,
                "name": dataset.name,
                "inputFacets": {"pipelineExporter_read": facets.own_read(read)},
            }
            for dataset, read in reads.items()
        ]

    def outputs(self, step: Step, *, declared: bool) -> list[Json]:
        """Give what the step itself wrote, each output once; a list port is one dataset.

        With `declared` the outputs it should have written follow by bare name: a failed run without
        them would take the edges of the last good one out of the graph.
        """
        written: dict[str, list[tuple[Port, Artifact]]] = {}
        for port in step.outputs:
            if not port.cached and self._is_made_by(step, port):
                written.setdefault(port.name, []).append((port, self._artifacts[port.artifact]))
        made = [self._output(step, name, ports) for name, ports in written.items()]
        if declared:
            missing = dict.fromkeys(name for name in step.declared_outputs if name not in written)
            for name in missing:
                dataset = self._logical(step.name, name)
                made.append({"namespace": dataset.namespace, "name": dataset.name, "facets": {}})
        return made

    def _output(self, step: Step, name: str, ports: list[tuple[Port, Artifact]]) -> Json:
        dataset = self._logical(step.name, name)
        first = ports[0][1]
        kind = self._naming.dataset_types.get(first.type, self._naming.default_dataset_type)
        return {
            "namespace": dataset.namespace,
            "name": dataset.name,
            "facets": {
                "version": facets.dataset_version([artifact for _, artifact in ports]),
                "datasetType": facets.dataset_type(kind, first),
                "pipelineExporter_artifact": facets.own_artifact(
                    self._pipeline, step.name, name, ports
                ),
            },
        }

    def _is_made_by(self, step: Step, port: Port) -> bool:
        """Tell whether the step itself made the artifact, now or in an earlier run."""
        producer = self._artifacts[port.artifact].producer
        if producer is None:
            return True
        return producer.step == step.name and producer.pipeline == self._pipeline

    def _name_of(self, artifact: Artifact, read_on: Port) -> DatasetName:
        known = self._known.get(artifact.id)
        if known is None:
            known = self._known[artifact.id] = self._from_elsewhere(artifact, read_on)
        return known

    def _from_elsewhere(self, artifact: Artifact, read_on: Port) -> DatasetName:
        producer = artifact.producer
        if producer is not None:
            output = _output_in_uri(artifact.uri, producer.source_id) or read_on.name
            name = self._names.dataset(producer.pipeline, producer.step, output)
            return DatasetName(self._names.dataset_namespace, name)
        return _place(artifact.uri) or DatasetName(
            self._names.dataset_namespace, clean_name(artifact.name or artifact.uri or artifact.id)
        )

    def _logical(self, step: str, output: str) -> DatasetName:
        name = self._names.dataset(self._pipeline, step, output)
        return DatasetName(self._names.dataset_namespace, name)


def _output_in_uri(uri: str, step_id: str) -> str | None:
    """Find the output's name in `…/<output>/<step's id>[/…]`, as ZenML and TFX lay out URIs."""
    segments = uri.split("/")
    for position in range(len(segments) - 1, 1, -1):
        if segments[position] == step_id and segments[position - 1]:
            return segments[position - 1]
    return None


def _place(uri: str) -> DatasetName | None:
    """Name a file or object by its place; None for a URI that names none."""
    if uri.startswith("/") and not uri.startswith("//"):
        return DatasetName("file", clean_name(uri))
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return None
    if not _SCHEME.fullmatch(parts.scheme):
        return None
    if parts.scheme == "file" and not host:
        return DatasetName("file", clean_name(parts.path)) if parts.path else None
    path = parts.path.lstrip("/")
    if not host or not path:
        return None
    scheme = clean_namespace_part(parts.scheme)
    return DatasetName(f"{scheme}://{clean_namespace_part(host)}{port}", clean_name(path))
