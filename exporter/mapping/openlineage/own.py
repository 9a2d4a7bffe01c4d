"""Our own facets, which keep what the specification has no word for; schemas in `mappings/schemas`.

They hold the source's own spelling of everything that an event had to rename. Each is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from exporter.mapping.openlineage.facets import facet, own_schema, parameter_text
from exporter.mapping.openlineage.secret_text import without_password
from exporter.mapping.openlineage.text import (
    bounded_text,
    finite,
    storable_int,
    unused,
    value_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.hierarchy import Artifact, Parameter, Port, RunSnapshot, Step
    from exporter.mapping.openlineage.facets import Json
    from exporter.mapping.openlineage.ids import OlRunId

MAX_ARTIFACTS = 100
MAX_PROPERTIES = 100
MAX_METRICS = 500
MAX_NAMED = 500
FACET_BYTES = 60_000
_WHOLE_BYTES = 64_000  # with all else in a facet
_SHORT = 150
TEXT_LENGTH, URI_LENGTH = 1_000, 2_000

RUN = own_schema("PipelineExporterRunRunFacet")
METRICS = own_schema("PipelineExporterMetricsRunFacet")
ARTIFACT = own_schema("PipelineExporterArtifactDatasetFacet")
MODEL = own_schema("PipelineExporterModelDatasetFacet")
STATISTICS = own_schema("PipelineExporterStatisticsDatasetFacet")
READ = own_schema("PipelineExporterReadInputDatasetFacet")

Entry = TypeVar("Entry", dict[str, Any], str)  # Any: JSON


def own_run(run: RunSnapshot, step: Step | None, cached_steps: Sequence[str] | None) -> Json:
    """Keep the source's own spelling of everything that the event had to rename."""
    made = facet(
        RUN,
        repository=_said(run.repository),
        stack=_said(run.stack),
        runStack=_text(run.run_stack),
        tool=_said(run.tool),
        flavour=_said(run.flavour),
        pipeline=_said(run.pipeline.name),
        run=_said(run.name),
        status=_said(run.status if step is None else step.status),
        sourceId=_said(run.source_id if step is None else step.source_id),
    )
    if step is not None:
        made["step"] = _said(step.name)
        made["attempt"] = storable_int(step.attempt) or 1
        made["entrypoint"] = _said(step.entrypoint)
    if cached_steps:
        made["cachedSteps"] = _within([_said(name) for name in cached_steps[:MAX_NAMED]], made)
    return made


def own_metrics(numbers: Iterable[tuple[str, float | int]]) -> Json | None:
    """List the numbers that a run's outputs hold, None where there are none.

    What JSON has no number for is given as text: `NaN`, or an integer beyond 64 bits.
    """
    listed: list[Json] = []
    used: set[str] = set()
    for name, number in numbers:
        if len(listed) == MAX_METRICS:
            break
        value = finite(number)
        said = (
            {"value": value}
            if value is not None
            else {"text": bounded_text(value_text(number), 255)}
        )
        listed.append({"key": unused(bounded_text(name, 255), used), **said})
    return facet(METRICS, metrics=_within(listed, {})) if listed else None


def own_artifact(
    pipeline: str, step: str, output: str, ports: Sequence[tuple[Port, Artifact]]
) -> Json:
    """Say which artifacts one output holds, in order; beyond the first hundred only how many."""
    made = facet(
        ARTIFACT,
        pipeline=_said(pipeline),
        step=_said(step),
        output=_said(output),
        count=len(ports),
    )
    listed = [_artifact(port, artifact) for port, artifact in ports[:MAX_ARTIFACTS]]
    return {**made, "artifacts": _within(listed, made)}


def own_model(artifact: Artifact, framework: str | None, flavour: str) -> Json:
    """Say what kind of model it is; `flavour` is MLflow's word for what loads it."""
    content = artifact.content
    files = [] if content is None else content.files
    made = facet(
        MODEL,
        framework=framework,
        flavour=flavour or None,
        modelClass=_text(artifact.data_type),
        materializer=_text(artifact.materializer),
    )
    if files:
        named = [_said(without_password(f.path or artifact.uri)) for f in files[:MAX_NAMED]]
        made["files"] = _within(named, made)
    return made


def own_statistics(rows: int | None, columns: bytes) -> Json:
    """Describe a table column by column, more than the specification has fields for."""
    return facet(STATISTICS, rows=rows, columns=orjson.Fragment(columns))


def own_read(artifacts: Sequence[Json], parameters: Sequence[Json]) -> Json:
    """Say what exactly a step read of one dataset; catalogs link to versions as they like."""
    made = facet(READ, count=len(artifacts))
    if parameters:
        share = FACET_BYTES // 4 if artifacts else FACET_BYTES
        made["parameters"] = _within(list(parameters[:MAX_NAMED]), made, share)
    made["artifacts"] = _within(list(artifacts[:MAX_ARTIFACTS]), made)
    return made


def read_parameter(name: str, uri: str) -> Json:
    """Describe a place that a parameter names."""
    return {"key": _said(name), "value": bounded_text(without_password(uri), 1_000)}


def read_artifact(port: Port, artifact: Artifact, producer_run_id: OlRunId | None) -> Json:
    """Describe one artifact on one input."""
    made = _artifact(port, artifact)
    made["input"] = _said(port.name)
    if producer_run_id is not None:
        made["producerRunId"] = producer_run_id
    if artifact.producer is not None:
        made["producer"] = {
            "pipeline": _said(artifact.producer.pipeline),
            "run": _said(artifact.producer.run),
            "step": _said(artifact.producer.step),
        }
    return made


def _artifact(port: Port, artifact: Artifact) -> Json:
    content = artifact.content
    values: Json = {
        "id": _said(artifact.id),
        "type": _said(artifact.type),
        "uri": bounded_text(without_password(artifact.uri), URI_LENGTH),
        "index": storable_int(port.index),
        "name": _text(artifact.name),
        "state": _text(artifact.state),
        "dataType": _text(artifact.data_type),
        "materializer": _text(artifact.materializer),
        "sha256": None if content is None else _text(content.sha256),
        "sizeBytes": None if content is None else storable_int(content.size),
        "properties": _properties(artifact.properties) or None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _properties(properties: Sequence[Parameter]) -> list[Json]:
    shown = properties[:MAX_PROPERTIES]
    listed = [
        {"key": bounded_text(one.name, 255), "value": parameter_text(one, 1_000)} for one in shown
    ]
    return _fitting(listed, FACET_BYTES // 4)


def _within(
    entries: list[Entry], beside: Json, limit: int = FACET_BYTES
) -> list[Entry] | orjson.Fragment:
    """Keep the first entries of a list that fit into a facet; spells a long list at once."""
    room = min(limit, _WHOLE_BYTES - len(orjson.dumps(beside)))
    kept = _fitting(entries, room)
    if len(kept) <= 8:
        return kept
    return orjson.Fragment(b"[%b]" % b",".join(map(orjson.dumps, kept)))


def _fitting(entries: list[Entry], limit: int) -> list[Entry]:
    """Keep the first entries that fit; of the first, where it is too long itself, the begin."""
    size = 0
    for place, entry in enumerate(entries):
        size += len(orjson.dumps(entry)) + 1
        if size > limit:
            return entries[:place] or [_shortened(entry)]
    return entries


def _shortened(entry: Entry) -> Entry:
    if isinstance(entry, str):
        return bounded_text(entry, _SHORT)
    return {key: _short(value) for key, value in entry.items() if key != "properties"}


def _short(value: Any) -> Any:  # Any: JSON values
    if isinstance(value, dict):
        return _shortened(value)
    return bounded_text(value, _SHORT) if isinstance(value, str) else value


def _said(text: str) -> str:
    return bounded_text(text, TEXT_LENGTH)


def _text(text: str | None) -> str | None:
    return None if text is None else bounded_text(text, TEXT_LENGTH)
