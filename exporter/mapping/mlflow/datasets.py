"""The artifacts a step consumed, as MLflow datasets.

MLflow keeps the first schema and profile it sees of a (name, digest): the digest covers everything
we say of a dataset.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING

from exporter.mapping.mlflow.plans import DatasetPlan
from exporter.mapping.mlflow.text import short_name, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.hierarchy import Artifact, Port, RunSnapshot, Step
    from exporter.mapping.mlflow.naming import MlflowNaming
    from exporter.mapping.mlflow.tables import TableFacts

_NAME_LENGTH = 250
_SOURCE_LENGTH = 60_000
_DIGEST_LENGTH = 36
_SCHEMA_LENGTH = 1_000_000  # MLflow's database takes 1,048,575 characters
_PROFILE_VERSION = 2
_TAG_LENGTH = 400


def consumed_datasets(
    run: RunSnapshot,
    step: Step,
    artifacts: dict[str, Artifact],
    naming: MlflowNaming,
    tables: Mapping[str, TableFacts | None],
) -> tuple[DatasetPlan, ...]:
    """Give the datasets a step consumed, each once, in the order of its inputs.

    Those that were described have a schema, and their size in rows and columns.
    """
    plans: dict[tuple[str, str], DatasetPlan] = {}
    for port in step.inputs:
        artifact = artifacts[port.artifact]
        if artifact.type not in naming.not_datasets:
            plan = _dataset(run, port, artifact, tables.get(artifact.id))
            plans.setdefault((plan.name, plan.digest), plan)
    return tuple(plans.values())


def _dataset(
    run: RunSnapshot, port: Port, artifact: Artifact, facts: TableFacts | None
) -> DatasetPlan:
    beside: Counter[str] = Counter()  # the record holds names and URIs whole; nothing is lost here
    name = short_name(_logical_name(run, port, artifact), _NAME_LENGTH, beside)
    remote = artifact.uri.startswith(("http://", "https://"))
    source = json.dumps({"url": shorten(artifact.uri, _SOURCE_LENGTH // 2, "", beside)})
    if len(source) > _SOURCE_LENGTH:
        source = "{}"
    profile = json.dumps(dict(_profile(artifact, facts)))
    schema = "" if facts is None or len(facts.colspec) > _SCHEMA_LENGTH else facts.colspec
    content = artifact.content
    identity = [
        _PROFILE_VERSION,
        name,
        source,
        profile,
        schema,
        artifact.id if content is None or content.sha256 is None else content.sha256,
    ]
    digest = hashlib.sha256(json.dumps(identity).encode("ascii")).hexdigest()[:_DIGEST_LENGTH]
    tags = (
        ("mlflow.data.context", "input"),
        ("exporter.port", shorten(port.name, _TAG_LENGTH, "", beside)),
    )
    return DatasetPlan(
        name, digest, "http" if remote else "external", source, schema, profile, tags
    )


def _logical_name(run: RunSnapshot, port: Port, artifact: Artifact) -> str:
    """Name a dataset so that every run of the pipeline gives the same name to the same output."""
    if port.parent is not None:
        parent = run.steps[port.parent]
        for output in parent.outputs:
            if output.artifact == artifact.id:
                return f"{run.pipeline.name}.{parent.name}.{output.name}"
    if artifact.producer is not None:
        return f"{artifact.producer.pipeline}.{artifact.producer.step}.{port.name}"
    if artifact.name:
        return artifact.name
    return f"{run.pipeline.name}.{port.name}"


def _profile(
    artifact: Artifact, facts: TableFacts | None
) -> Iterator[tuple[str, str | int | float]]:
    """Give what is known of the dataset as `key: value` lines."""
    beside: Counter[str] = Counter()
    yield "type", shorten(artifact.type, _TAG_LENGTH, "", beside)
    if artifact.data_type:
        yield "data_type", shorten(artifact.data_type, _TAG_LENGTH, "", beside)
    if facts is not None:
        yield "rows", facts.rows
        yield "columns", facts.columns
        yield "missing_ratio", facts.missing_ratio
    if artifact.content is not None:
        yield "content", artifact.content.state
        if artifact.content.size is not None:
            yield "bytes", artifact.content.size
        if artifact.content.files:
            yield "files", len(artifact.content.files)
        if artifact.content.sha256:
            yield "sha256", artifact.content.sha256
