"""A run as canonical JSON values and back: what is compared, fingerprinted and kept in MLflow.

`run_from_value(run_to_value(run)) == run` for every run, up to `changed`, which is the store's
bookkeeping and no part of the history. Key order is fixed; two runs are equal when
`canonical_bytes` of their values are.
"""

from __future__ import annotations

import json
from typing import Any, cast

import orjson

from exporter.hierarchy.records import (
    Artifact,
    Content,
    FileRecord,
    Parameter,
    PipelineRecord,
    Port,
    RunSnapshot,
    Step,
    StepRef,
)
from exporter.hierarchy.times import iso_from_ms, ms_from_iso
from exporter.hierarchy.values import decode_value, encode_value

JsonObject = dict[str, Any]  # Any: JSON values, read by key below


def canonical_bytes(value: object) -> bytes:
    """Serialise canonical values: compact UTF-8 JSON, equal for equal values.

    A lone surrogate, which UTF-8 cannot hold, makes the whole text ASCII with escapes.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def run_to_value(run: RunSnapshot) -> JsonObject:
    """Spell a run as canonical JSON values."""
    return {
        "repository": run.repository,
        "stack": run.stack,
        "tool": run.tool,
        "flavour": run.flavour,
        "pipeline": {
            "name": run.pipeline.name,
            "seq": run.pipeline.seq,
            "source_id": run.pipeline.source_id,
            "docstring": run.pipeline.docstring,
        },
        "run": {
            "name": run.name,
            "seq": run.seq,
            "source_id": run.source_id,
            "status": run.status,
            "start": iso_from_ms(run.start),
            "end": iso_from_ms(run.end),
            "stack": run.run_stack,
            "facts": [_parameter_to_value(p) for p in run.facts],
        },
        "steps": [_step_to_value(step) for step in run.steps],
        "artifacts": [_artifact_to_value(artifact) for artifact in run.artifacts],
    }


def run_from_value(value: JsonObject) -> RunSnapshot:
    """Give back the run that `run_to_value` spelled."""
    pipeline, run = value["pipeline"], value["run"]
    return RunSnapshot(
        repository=value["repository"],
        stack=value["stack"],
        tool=value["tool"],
        flavour=value["flavour"],
        pipeline=PipelineRecord(
            name=pipeline["name"],
            seq=pipeline["seq"],
            source_id=pipeline["source_id"],
            docstring=pipeline["docstring"],
        ),
        name=run["name"],
        seq=run["seq"],
        source_id=run["source_id"],
        status=run["status"],
        start=ms_from_iso(run["start"]),
        end=ms_from_iso(run["end"]),
        run_stack=run["stack"],
        facts=tuple(_parameter_from_value(p) for p in run["facts"]),
        steps=tuple(_step_from_value(s) for s in value["steps"]),
        artifacts=tuple(_artifact_from_value(a) for a in value["artifacts"]),
    )


def _parameter_to_value(parameter: Parameter) -> JsonObject:
    return {
        "name": parameter.name,
        "value": encode_value(parameter.value),
        "text": parameter.text,
        "declared": parameter.declared,
    }


def _parameter_from_value(value: JsonObject) -> Parameter:
    return Parameter(value["name"], decode_value(value["value"]), value["text"], value["declared"])


def _port_to_value(port: Port) -> JsonObject:
    return {
        "name": port.name,
        "artifact": port.artifact,
        "index": port.index,
        "cached": port.cached,
        "parent": port.parent,
    }


def _port_from_value(value: JsonObject) -> Port:
    return Port(value["name"], value["artifact"], value["index"], value["cached"], value["parent"])


def _step_to_value(step: Step) -> JsonObject:
    return {
        "name": step.name,
        "attempt": step.attempt,
        "source_id": step.source_id,
        "entrypoint": step.entrypoint,
        "type": step.type,
        "status": step.status,
        "start": iso_from_ms(step.start),
        "end": iso_from_ms(step.end),
        "docstring": step.docstring,
        "parameters": [_parameter_to_value(p) for p in step.parameters],
        "facts": [_parameter_to_value(p) for p in step.facts],
        "inputs": [_port_to_value(p) for p in step.inputs],
        "inputs_order": step.inputs_order,
        "outputs": [_port_to_value(p) for p in step.outputs],
        "outputs_order": step.outputs_order,
        "parents": list(step.parents),
        "declared_outputs": list(step.declared_outputs),
    }


def _step_from_value(value: JsonObject) -> Step:
    return Step(
        name=value["name"],
        attempt=value["attempt"],
        source_id=value["source_id"],
        entrypoint=value["entrypoint"],
        type=value["type"],
        status=value["status"],
        start=ms_from_iso(value["start"]),
        end=ms_from_iso(value["end"]),
        docstring=value["docstring"],
        parameters=tuple(_parameter_from_value(p) for p in value["parameters"]),
        facts=tuple(_parameter_from_value(p) for p in value["facts"]),
        inputs=tuple(_port_from_value(p) for p in value["inputs"]),
        inputs_order=value["inputs_order"],
        outputs=tuple(_port_from_value(p) for p in value["outputs"]),
        outputs_order=value["outputs_order"],
        parents=tuple(value["parents"]),
        declared_outputs=tuple(value["declared_outputs"]),
    )


def _artifact_to_value(artifact: Artifact) -> JsonObject:
    return {
        "id": artifact.id,
        "type": artifact.type,
        "uri": artifact.uri,
        "name": artifact.name,
        "state": artifact.state,
        "data_type": artifact.data_type,
        "materializer": artifact.materializer,
        "properties": [_parameter_to_value(p) for p in artifact.properties],
        "producer": list(artifact.producer) if artifact.producer is not None else None,
        "created": iso_from_ms(artifact.created),
        "content": _content_to_value(artifact.content),
    }


def _artifact_from_value(value: JsonObject) -> Artifact:
    producer = cast("list[str] | None", value["producer"])
    return Artifact(
        id=value["id"],
        type=value["type"],
        uri=value["uri"],
        name=value["name"],
        state=value["state"],
        data_type=value["data_type"],
        materializer=value["materializer"],
        properties=tuple(_parameter_from_value(p) for p in value["properties"]),
        producer=None if producer is None else StepRef(*producer),
        created=ms_from_iso(value["created"]),
        content=_content_from_value(value["content"]),
    )


def _content_to_value(content: Content | None) -> JsonObject | None:
    if content is None:
        return None
    return {
        "state": content.state,
        "sha256": content.sha256,
        "size": content.size,
        "files": [list(file) for file in content.files],
    }


def _content_from_value(value: JsonObject | None) -> Content | None:
    if value is None:
        return None
    files = tuple(FileRecord(*file) for file in value["files"])
    return Content(value["state"], value["sha256"], value["size"], files)
