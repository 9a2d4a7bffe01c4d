"""What a step read and wrote, as OpenLineage datasets.

A dataset is the stable logical name `<pipeline>.<step>.<output>` of whatever a step writes on that
output, run after run; the artifact of one run is its version. What no step produced has the name of
its place: https://openlineage.io/docs/spec/naming.

An input carries namespace and name only, and what was read under a key of its own: Marquez merges a
reader's dataset facets into the newest version, whichever was read. Where a profile says that a
catalog keeps them apart, version and schema are there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from exporter.mapping.mlflow import plan_model
from exporter.mapping.openlineage import dataset_facets, own
from exporter.mapping.openlineage.outside import named_outside
from exporter.mapping.openlineage.places import Places, any_place
from exporter.mapping.openlineage.secret_text import without_password
from exporter.mapping.openlineage.tables import LineageTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.hierarchy import Artifact, Port, RunSnapshot, Step
    from exporter.mapping.mlflow import TableFacts
    from exporter.mapping.openlineage.facets import Json
    from exporter.mapping.openlineage.ids import OlRunId
    from exporter.mapping.openlineage.naming import LineageNaming, RunNames
    from exporter.mapping.openlineage.outside import Outside


class DatasetName(NamedTuple):
    """A dataset's full name."""

    namespace: str
    name: str


class Inputs(NamedTuple):
    """What a step reads, and which datasets of that no pipeline of ours made."""

    datasets: list[Json]
    from_elsewhere: tuple[DatasetName, ...]


class _Reads(NamedTuple):
    artifacts: list[Artifact]
    entries: list[Json]
    parameters: list[Json]


class RunDatasets:
    """The datasets of one run's artifacts, each worked out once."""

    def __init__(
        self,
        run: RunSnapshot,
        naming: LineageNaming,
        names: RunNames,
        ran: Mapping[int, OlRunId],
        tables: Mapping[str, TableFacts | None],
    ) -> None:
        """Look at the run's outputs; `ran` gives the run ids of the steps that ran, by position."""
        self._naming = naming
        self._names = names
        self._own = names.profile.own_facets
        self._apart = names.profile.input_facets == "apart"
        self._pipeline = run.pipeline.name
        self._artifacts = {artifact.id: artifact for artifact in run.artifacts}
        self._facts = tables
        self._tables: dict[str, LineageTable | None] = {}
        self._places = Places(naming.places)
        self._known: dict[str, DatasetName] = {}
        self._producers: dict[str, int] = {}
        self._ran = ran
        for position, step in enumerate(run.steps):
            for port in step.outputs:
                if self._is_made_by(step, port):
                    self._known.setdefault(port.artifact, self._logical(step.name, port.name))
                    if position in ran and not port.cached:
                        self._producers.setdefault(port.artifact, position)
        self._made_here = frozenset(self._known)

    def producers(self, step: Step) -> set[int]:
        """Give the positions of the steps of this run that wrote what the step reads."""
        found = {self._producers.get(port.artifact) for port in step.inputs}
        return {position for position in found if position is not None}

    def outside(self, step: Step) -> list[Outside]:
        """Give what the step's parameters name outside."""
        return named_outside(step.parameters, self._places, self._naming.parameters)

    def inputs(self, step: Step, outside: list[Outside]) -> Inputs:
        """Give the step's inputs, each dataset once, in the order of its first port."""
        reads: dict[DatasetName, _Reads] = {}
        for port in step.inputs:
            artifact = self._artifacts[port.artifact]
            producer = self._producers.get(artifact.id)
            producer_id = None if producer is None else self._ran[producer]
            into = reads.setdefault(self._name_of(artifact, port), _Reads([], [], []))
            into.artifacts.append(artifact)
            if self._own:
                into.entries.append(own.read_artifact(port, artifact, producer_id))
        for one in outside:
            if not one.is_output:
                name = DatasetName(*self._names.place(one.place))
                into = reads.setdefault(name, _Reads([], [], []))
                into.parameters.append(own.read_parameter(one.parameter, one.uri))
        return Inputs(
            [self._input(dataset, read) for dataset, read in reads.items()],
            tuple(
                dataset
                for dataset, read in reads.items()
                if not any(map(self._is_ours, read.artifacts))
            ),
        )

    def _input(self, dataset: DatasetName, read: _Reads) -> Json:
        made: Json = {"namespace": dataset.namespace, "name": dataset.name}
        if self._apart:
            made["facets"] = facets = {}
            if read.artifacts:
                facets["version"] = dataset_facets.dataset_version(read.artifacts)
                table = self._table(read.artifacts[0])
                if table is not None:
                    facets["schema"] = dataset_facets.schema(table)
        if self._own:
            facet = own.own_read(read.entries, read.parameters)
            made["inputFacets"] = {"pipelineExporter_read": facet}
        return made

    def outputs(self, step: Step, outside: list[Outside], *, ended_well: bool) -> list[Json]:
        """Give what the step itself wrote, each output once; a list port is one dataset.

        Of a step that did not end well the outputs it should have written follow by bare name,
        unless the profile wants none: a failed run without them would take the edges of the last
        good one out of the graph.
        """
        written: dict[str, list[tuple[Port, Artifact]]] = {}
        for port in step.outputs:
            if not port.cached and self._is_made_by(step, port):
                written.setdefault(port.name, []).append((port, self._artifacts[port.artifact]))
        made = [self._output(step, name, ports) for name, ports in written.items()]
        named = {DatasetName(one["namespace"], one["name"]) for one in made}
        declared = ended_well or self._names.profile.failed_outputs == "declared"
        if not ended_well and declared:
            for name in dict.fromkeys(n for n in step.declared_outputs if n not in written):
                dataset = self._logical(step.name, name)
                made.append(_bare(dataset))
                named.add(dataset)
        for one in outside if declared else ():
            dataset = DatasetName(*self._names.place(one.place))
            if one.is_output and dataset not in named:
                named.add(dataset)
                made.append(_outside_output(dataset, one) if ended_well else _bare(dataset))
        return made

    def _output(self, step: Step, name: str, ports: list[tuple[Port, Artifact]]) -> Json:
        dataset = self._logical(step.name, name)
        artifacts = [artifact for _, artifact in ports]
        first = artifacts[0]
        kind = self._naming.dataset_types.get(first.type, self._naming.default_dataset_type)
        framework = dataset_facets.framework_of(first) if kind == "MODEL" else None
        found = None
        if first.producer is not None:
            found = dataset_facets.layout(first.uri, first.producer.source_id, self._pipeline)
        made: Json = {
            "version": dataset_facets.dataset_version(artifacts),
            "datasetType": dataset_facets.dataset_type(kind, framework),
            "dataSource": dataset_facets.data_source(first.uri, found),
            "storage": dataset_facets.storage(first),
            "lifecycleStateChange": dataset_facets.overwritten(),
        }
        if self._own:
            facet = own.own_artifact(self._pipeline, step.name, name, ports)
            made["pipelineExporter_artifact"] = facet
        if found is not None and found.stable is not None:
            place = self._places.named(found.stable) or any_place(found.stable)
            if place is not None:
                made["symlinks"] = dataset_facets.symlinks(*self._names.place(place))
        if kind == "MODEL" and self._own:
            plan = plan_model(first, name="model")
            flavour = "" if plan is None else plan.model_type
            made["pipelineExporter_model"] = own.own_model(first, framework, flavour)
        table = self._table(first)
        rows = None
        if table is not None:
            made["schema"] = dataset_facets.schema(table)
            if len(artifacts) == 1:
                rows = table.rows
                made["dataQualityMetrics"] = dataset_facets.data_quality(table, artifacts)
                made["pipelineExporter_statistics"] = own.own_statistics(rows, table.statistics)
        written = dataset_facets.output_statistics(rows, artifacts)
        output: Json = {
            "namespace": dataset.namespace,
            "name": dataset.name,
            "facets": {key: one for key, one in made.items() if one is not None},
        }
        if written is not None:
            output["outputFacets"] = {"outputStatistics": written}
        return output

    def _table(self, artifact: Artifact) -> LineageTable | None:
        if artifact.id not in self._tables:
            facts = self._facts.get(artifact.id)
            self._tables[artifact.id] = (
                None
                if facts is None or not facts.lineage
                else LineageTable.from_text(facts.lineage)
            )
        return self._tables[artifact.id]

    def _is_ours(self, artifact: Artifact) -> bool:
        """Tell whether a pipeline of ours made the artifact, in this run or another."""
        return artifact.id in self._made_here or artifact.producer is not None

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
            output = (
                _output_in_uri(artifact.uri, producer.source_id)
                or _output_in_name(artifact, producer.step)
                or read_on.name
            )
            name = self._names.dataset(producer.pipeline, producer.step, output)
            return DatasetName(self._names.dataset_namespace, name)
        place = self._places.named(artifact.uri) or any_place(artifact.uri)
        if place is not None:
            return DatasetName(*self._names.place(place))
        shown = artifact.name or without_password(artifact.uri) or artifact.id
        return DatasetName(*self._names.own(shown))

    def _logical(self, step: str, output: str) -> DatasetName:
        name = self._names.dataset(self._pipeline, step, output)
        return DatasetName(self._names.dataset_namespace, name)


def _bare(dataset: DatasetName) -> Json:
    return {"namespace": dataset.namespace, "name": dataset.name, "facets": {}}


def _outside_output(dataset: DatasetName, outside: Outside) -> Json:
    made = _bare(dataset)
    made["facets"] = {
        "datasetType": dataset_facets.dataset_type(outside.place.type),
        "dataSource": dataset_facets.place_source(dataset.namespace),
    }
    return made


def _output_in_uri(uri: str, step_id: str) -> str | None:
    """Find the output's name in `…/<output>/<step's id>[/…]`, as ZenML and TFX lay out URIs."""
    segments = uri.split("/")
    for position in range(len(segments) - 1, 1, -1):
        if segments[position] == step_id and segments[position - 1]:
            return segments[position - 1]
    return None


def _output_in_name(artifact: Artifact, step: str) -> str | None:
    """Find the output's name in `<pipeline>:<run>:<step>:<output>:<index>`.

    ZenML and TFX write that name, some of them only among the properties.
    """
    known = [one.value for one in artifact.properties if one.name == "name"]
    for name in (artifact.name, *known):
        segments = name.split(":") if isinstance(name, str) else []
        if len(segments) >= 5 and segments[-3] == step and segments[-1].isdecimal():
            return segments[-2] or None
    return None
