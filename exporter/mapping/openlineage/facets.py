"""The standard facets of runs and jobs as plain values, ready for orjson.

`BASE` and `ADAPTER` stand where the producer's address and the exporter's version will be: NUL
cannot occur in any cleaned text, so they are found again in the finished bytes, and the content
hash never sees what they stand for.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from exporter.hierarchy import Parameter
from exporter.hierarchy.times import datetime_from_ms
from exporter.mapping.openlineage.secret_text import MASK, without_secrets
from exporter.mapping.openlineage.text import (
    bounded_text,
    clean_text,
    safe_uri,
    unused,
    value_text,
)
from exporter.mapping.secret_names import names_a_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exporter.hierarchy import RunSnapshot, Value
    from exporter.mapping.openlineage.ids import OlRunId
    from exporter.mapping.openlineage.naming import LineageNaming

Json = dict[str, Any]  # Any: JSON values on their way into an event

BASE = "\x00"
ADAPTER = "\x00\x00"
EVENT_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
OWN_VERSION = "1-0-0"
MAX_PARAMETERS = 500
MAX_TAGS = 100
CODE_BYTES = 60_000

_WEB_USER = re.compile(r"^(https?://)[^/?#\s]*@", re.IGNORECASE)
_ENGINES = {"zenml": "ZenML", "tfx": "TFX", "kfp": "Kubeflow Pipelines"}


def standard_schema(version: str, name: str) -> str:
    """Give the address of one of the specification's schemas."""
    return f"https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"


def own_schema(name: str) -> str:
    """Give the address of one of our own schemas."""
    return f"{BASE}/schemas/{OWN_VERSION}/{name}.json#/$defs/{name}"


PARENT = standard_schema("1-2-0", "ParentRunFacet")
PROCESSING_ENGINE = standard_schema("1-1-1", "ProcessingEngineRunFacet")
EXECUTION_PARAMETERS = standard_schema("1-0-0", "ExecutionParametersRunFacet")
ERROR_MESSAGE = standard_schema("1-0-1", "ErrorMessageRunFacet")
JOB_TYPE = standard_schema("2-0-4", "JobTypeJobFacet")
DOCUMENTATION = standard_schema("1-1-0", "DocumentationJobFacet")
NOMINAL_TIME = standard_schema("1-0-1", "NominalTimeRunFacet")
TAGS = standard_schema("1-0-0", "TagsRunFacet")
JOB_DEPENDENCIES = standard_schema("1-0-1", "JobDependenciesRunFacet")
SOURCE_CODE_LOCATION = standard_schema("1-1-0", "SourceCodeLocationJobFacet")
SOURCE_CODE = standard_schema("1-0-1", "SourceCodeJobFacet")
OWNERSHIP = standard_schema("1-0-1", "OwnershipJobFacet")


def facet(schema: str, **values: Any) -> Json:  # Any: JSON values
    """Make a facet; absent values are left out."""
    made: Json = {"_producer": BASE, "_schemaURL": schema}
    for key, value in values.items():
        if value is not None:
            made[key] = value
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


def execution_parameters(parameters: Iterable[tuple[str, Parameter]]) -> Json | None:
    """List parameters as text, each with what stands before its name; None where there are none.

    A key that comes twice gets a number; secrets are masked.
    """
    listed: list[Json] = []
    used: set[str] = set()
    for prefix, parameter in parameters:
        if len(listed) == MAX_PARAMETERS:
            break
        key = unused(bounded_text(prefix + parameter.name, 255), used)
        listed.append({"key": key, "value": parameter_text(parameter)})
    return facet(EXECUTION_PARAMETERS, parameters=listed) if listed else None


def parameter_text(parameter: Parameter, limit: int = 10_000) -> str:
    """Spell a parameter's value, bounded; what is named as a secret, also inside it, is masked."""
    if names_a_secret(parameter.name):
        return MASK
    text = parameter.text if parameter.text is not None else value_text(parameter.value)
    return bounded_text(without_secrets(text), limit)


def error_message(message: str) -> Json:
    """Say why a run failed, as far as the source knows."""
    return facet(ERROR_MESSAGE, message=bounded_text(message), programmingLanguage="PYTHON")


def job_type(tool: str, kind: str, renamed: Mapping[str, str]) -> Json:
    """Say what kind of job it is; Marquez demands all three fields."""
    integration = bounded_text(tool, 255).upper() or "UNKNOWN"
    word = renamed.get(kind, kind)
    return facet(JOB_TYPE, processingType="BATCH", integration=integration, jobType=word)


def documentation(text: str | None) -> Json | None:
    """Give the docstring, if there is one."""
    return facet(DOCUMENTATION, description=bounded_text(text)) if text else None


def source_code_location(
    facts: Sequence[Sequence[Parameter]], naming: LineageNaming
) -> Json | None:
    """Say where the code is, if its address is recorded or the mapping gives one."""
    names = naming.facts
    commit, repository = first_fact(facts, names.commit), first_fact(facts, names.repository)
    address = naming.source_code.replace("{commit}", commit) if commit else ""
    url = repository or address
    if not url:
        return None
    shown = safe_uri(_web_address(url))
    return facet(
        SOURCE_CODE_LOCATION,
        type="git",
        url=shown,
        repoUrl=shown if repository else None,
        version=bounded_text(commit, 255) or None,
        branch=bounded_text(first_fact(facts, names.branch), 255) or None,
    )


def source_code(facts: Sequence[Sequence[Parameter]], names: Sequence[str]) -> Json | None:
    """Give the step's source where the store keeps it, cut where it is long."""
    code = first_fact(facts, names)
    if not code:
        return None
    return facet(SOURCE_CODE, language="python", sourceCode=bounded_text(code, CODE_BYTES // 4))


def ownership(facts: Sequence[Sequence[Parameter]], names: Sequence[str]) -> Json | None:
    """Name the owners, where the store does."""
    owners = [bounded_text(name, 255) for name in fact_list(facts, names)]
    owners = [name for name in dict.fromkeys(owners) if name][:MAX_TAGS]
    return facet(OWNERSHIP, owners=[{"name": name} for name in owners]) if owners else None


def nominal_time(facts: Sequence[Sequence[Parameter]], names: Sequence[str]) -> Json | None:
    """Say when a schedule wanted the run to start, where the store does."""
    at = _moment(_fact(facts, names))
    return None if at is None else facet(NOMINAL_TIME, nominalStartTime=at)


def run_tags(run: RunSnapshot, naming: LineageNaming) -> Json | None:
    """Tag a run with its stack, its commit and the tags that the store keeps."""
    names = naming.facts
    known = [("stack", run.stack), ("run_stack", run.run_stack or "")]
    known.append(("commit", first_fact([run.facts], names.commit)))
    known += [("tag", tag) for tag in fact_list([run.facts], names.tags)]
    tags = [
        {"key": key, "value": bounded_text(value, 255), "source": "PIPELINE_EXPORTER"}
        for key, value in known[:MAX_TAGS]
        if value
    ]
    return facet(TAGS, tags=tags) if tags else None


def job_dependencies(upstream: Sequence[Json]) -> Json | None:
    """Name the steps that a step waited for; None where there are none."""
    return facet(JOB_DEPENDENCIES, upstream=list(upstream)) if upstream else None


def first_fact(facts: Sequence[Sequence[Parameter]], names: Sequence[str]) -> str:
    """Give the first of the named facts that is a text, '' where none is."""
    value = _fact(facts, names)
    return value if isinstance(value, str) else ""


def fact_list(facts: Sequence[Sequence[Parameter]], names: Sequence[str]) -> list[str]:
    """Give the first of the named facts as a list of texts: one text, a list, or `key: value`."""
    match _fact(facts, names):
        case str() as text if text:
            return [without_secrets(text)]
        case list() as items:
            return [without_secrets(value_text(item)) for item in items]
        case dict() as pairs:
            return [f"{key}: {parameter_text(Parameter(key, one))}" for key, one in pairs.items()]
    return []


def _fact(facts: Sequence[Sequence[Parameter]], names: Sequence[str]) -> Value:
    for name in names:
        for group in facts:
            for fact in group:
                if fact.name == name and fact.value is not None:
                    return fact.value
    return None


def _moment(value: Value) -> str | None:
    moment: datetime | None = None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
    elif isinstance(value, int) and not isinstance(value, bool):
        moment = datetime_from_ms(value)
    if moment is None:
        return None
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _web_address(url: str) -> str:
    """Turn `git@host:path` into the address that catalogs can link to, without user and token."""
    if url.startswith("git@") and ":" in url and "://" not in url:
        host, _, path = url.removeprefix("git@").partition(":")
        return f"https://{host}/{path.removesuffix('.git')}"
    return _WEB_USER.sub(r"\1", url)


def _engine_version(run: RunSnapshot) -> str:
    wanted = f"{run.tool}_version"
    for facts in (run.facts, *(step.facts for step in run.steps)):
        for fact in facts:
            if fact.name == wanted and isinstance(fact.value, str) and fact.value:
                return bounded_text(fact.value, 255)
    return "unknown"
