"""The facets of our events as plain values, ready for orjson.

`BASE` and `ADAPTER` stand where the producer's address and the exporter's version will be: NUL
cannot occur in any cleaned text, so they are found again in the finished bytes, and the content
hash never sees what they stand for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.mapping.openlineage.text import bounded_text, clean_text, storable_int, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.hierarchy import Artifact, Parameter, Port, RunSnapshot, Step
    from exporter.mapping.openlineage.ids import OlRunId

Json = dict[str, Any]  # Any: JSON values on their way into an event

BASE = "\x00"
ADAPTER = "\x00\x00"
EVENT_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
OWN_VERSION = "1-0-0"
MAX_PARAMETERS = 500
MAX_ARTIFACTS = 100

_ENGINES = {"zenml": "ZenML", "tfx": "TFX", "kfp": "Kubeflow Pipelines"}


def _standard(version: str, name: str) -> str:
    return f"https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"


def _own(name: str) -> str:
    return f"{BASE}/schemas/{OWN_VERSION}/{name}.json#/$defs/{name}"


PARENT = _standard("1-2-0", "ParentRunFacet")
PROCESSING_ENGINE = _standard("1-1-1", "ProcessingEngineRunFacet")
EXECUTION_PARAMETERS = _standard("1-0-0", "ExecutionParametersRunFacet")
ERROR_MESSAGE = _standard("1-0-1", "ErrorMessageRunFacet")
JOB_TYPE = _standard("2-0-4", "JobTypeJobFacet")
DOCUMENTATION = _standard("1-1-0", "DocumentationJobFacet")
VERSION = _standard("1-0-1", "DatasetVersionDatasetFacet")
DATASET_TYPE = _standard("1-0-1", "DatasetTypeDatasetFacet")
OWN_RUN = _own("PipelineExporterRunRunFacet")
OWN_ARTIFACT = _own("PipelineExporterArtifactDatasetFacet")
OWN_READ = _own("PipelineExporterReadInputDatasetFacet")


def facet(schema: str, **values: Any) -> Json:  # Any: JSON values
    """Make a facet; absent values are left out."""
    made: Json = {"_producer": BASE, "_schemaURL": schema}
    made.update((key, value) for key, value in values.items() if value is not None)
    return made


def parent(run_id: OlRunId, namespace: str, name: str) -> Json:
    """Say that the pipeline's run is the parent, which here is the root too."""
    run, job = {"runId": run_id}, {"namespace": namespace, "name": name}
    return facet(PARENT, run=run, job=job, root={"run": run, "job": job})


def processing_engine(run: RunSnapshot) -> Json:
    """Name the orchestrator and its version; `unknown` where the store does not say."""
    return facet(
        PROCESSING_ENGINE,
        version=_engine_version(run),
        name=clean_text(_ENGINES.get(run.tool, run.tool)),
        openlineageAdapterVersion=ADAPTER,
    )


def execution_parameters(parameters: Sequence[Parameter]) -> Json | None:
    """List parameters as text, None where there are none. A key that comes twice gets a number."""
    if not parameters:
        return None
    listed: list[Json] = []
    used: set[str] = set()
    for parameter in parameters[:MAX_PARAMETERS]:
        value = parameter.text if parameter.text is not None else value_text(parameter.value)
        key = _unused(bounded_text(parameter.name, 255), used)
        listed.append({"key": key, "value": bounded_text(value)})
    return facet(EXECUTION_PARAMETERS, parameters=listed)


def error_message(message: str) -> Json:
    """Say why a run failed, as far as the source knows."""
    return facet(ERROR_MESSAGE, message=bounded_text(message), programmingLanguage="PYTHON")


def job_type(tool: str, kind: str) -> Json:
    """Say what kind of job it is; Marquez demands all three fields."""
    integration = clean_text(tool).upper() or "UNKNOWN"
    return facet(JOB_TYPE, processingType="BATCH", integration=integration, jobType=kind)


def documentation(text: str | None) -> Json | None:
    """Give the docstring, if there is one."""
    return facet(DOCUMENTATION, description=bounded_text(text)) if text else None


def dataset_version(artifacts: Sequence[Artifact]) -> Json:
    """Name the version: the artifact's id in its store, for a list the ids in order."""
    ids = "+".join(artifact.id for artifact in artifacts)
    return facet(VERSION, datasetVersion=bounded_text(ids, 255))


def dataset_type(name: str, artifact: Artifact) -> Json:
    """Say what the dataset is; of a model also the framework, as far as its Python type tells."""
    framework = None
    if name == "MODEL" and artifact.data_type:
        framework = bounded_text(artifact.data_type.split(".", 1)[0], 255) or None
    return facet(DATASET_TYPE, datasetType=name, subType=framework)


def own_run(run: RunSnapshot, step: Step | None, cached_steps: Sequence[str] | None) -> Json:
    """Keep the source's own spelling of everything that the event had to rename."""
    made = facet(
        OWN_RUN,
        repository=clean_text(run.repository),
        stack=clean_text(run.stack),
        runStack=_text(run.run_stack),
        tool=clean_text(run.tool),
        flavour=clean_text(run.flavour),
        pipeline=clean_text(run.pipeline.name),
        run=clean_text(run.name),
        status=clean_text(run.status if step is None else step.status),
        sourceId=clean_text(run.source_id if step is None else step.source_id),
    )
    if step is not None:
        made["step"] = clean_text(step.name)
        made["attempt"] = storable_int(step.attempt) or 1
        made["entrypoint"] = clean_text(step.entrypoint)
    if cached_steps:
        made["cachedSteps"] = [clean_text(name) for name in cached_steps]
    return made


def own_artifact(
    pipeline: str, step: str, output: str, ports: Sequence[tuple[Port, Artifact]]
) -> Json:
    """Say which artifacts one output holds, in order; beyond the first hundred only how many."""
    return facet(
        OWN_ARTIFACT,
        pipeline=clean_text(pipeline),
        step=clean_text(step),
        output=clean_text(output),
        count=len(ports),
        artifacts=[_artifact(port, artifact) for port, artifact in ports[:MAX_ARTIFACTS]],
    )


def own_read(reads: Sequence[Json]) -> Json:
    """Say what exactly a step read of one dataset; catalogs link to versions as they like."""
    return facet(OWN_READ, count=len(reads), artifacts=list(reads[:MAX_ARTIFACTS]))


def read_artifact(port: Port, artifact: Artifact, producer_run_id: OlRunId | None) -> Json:
    """Describe one artifact on one input."""
    made = _artifact(port, artifact)
    made["input"] = clean_text(port.name)
    if producer_run_id is not None:
        made["producerRunId"] = producer_run_id
    if artifact.producer is not None:
        made["producer"] = {
            "pipeline": clean_text(artifact.producer.pipeline),
            "run": clean_text(artifact.producer.run),
            "step": clean_text(artifact.producer.step),
        }
    return made


def _artifact(port: Port, artifact: Artifact) -> Json:
    content = artifact.content
    values: Json = {
        "id": clean_text(artifact.id),
        "type": clean_text(artifact.type),
        "uri": bounded_text(artifact.uri),
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


def _properties(properties: Iterable[Parameter]) -> list[Json]:
    listed = []
    for parameter in list(properties)[:MAX_ARTIFACTS]:
        value = parameter.text if parameter.text is not None else value_text(parameter.value)
        listed.append(
            {"key": bounded_text(parameter.name, 255), "value": bounded_text(value, 1000)}
        )
    return listed


def _text(text: str | None) -> str | None:
    return None if text is None else bounded_text(text)


def _unused(key: str, used: set[str]) -> str:
    unique, number = key or "_", 2
    while unique in used:
        unique, number = f"{key}#{number}", number + 1
    used.add(unique)
    return unique


def _engine_version(run: RunSnapshot) -> str:
    wanted = f"{run.tool}_version"
    for facts in (run.facts, *(step.facts for step in run.steps)):
        for fact in facts:
            if fact.name == wanted and isinstance(fact.value, str) and fact.value:
                return bounded_text(fact.value, 255)
    return "unknown"
