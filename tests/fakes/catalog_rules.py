"""Which events Marquez 0.51 refuses, how, and which break its reads for everybody.

A refusal is not harmless: what came before the fault in the event was applied.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]  # Any: a parsed event

_NAMESPACE = re.compile(r"[a-zA-Z:;=/0-9_\-.@+]{1,1024}")
_URI = re.compile(r"[^\s\\\[\]{}]*")
_KNOWN_FACETS = frozenset(
    {"parent", "nominalTime", "documentation", "jobType", "sql", "sourceCodeLocation", "schema"}
    | {"dataSource", "version", "symlinks", "lifecycleStateChange", "columnLineage"}
)
_COLUMN, _URL, _NAME, _NAMESPACE_LENGTH = 255, 255, 2_500, 1024


class Refusal(NamedTuple):
    """An answer that is no 201, what of the event was applied, and which reads it breaks."""

    status: int
    body: bytes
    content_type: str = "application/json"
    applies_run: bool = False


class Poison(NamedTuple):
    """Which reads fail for good."""

    namespaces: bool = False
    jobs: bool = False
    nodes: bool = False


_HTML = b"<html><body>HTTP ERROR 500 Internal Server Error</body></html>"


def refusal_of(event: object) -> Refusal | None:
    """Give how the server refuses an event; None for one that it takes."""
    if not isinstance(event, dict):
        return as_json(500, "Cannot deserialize value")
    looks = (_of_values, _of_facets, _of_job, _of_limits, _of_datasets)
    return next((found for look in looks if (found := look(event)) is not None), None)


def _of_values(event: Json) -> Refusal | None:
    if any(_non_finite(event)):
        return as_json(500, "Non-standard token 'NaN'")
    if not event.get("eventType") and (event.get("run") or {}).get("facets"):
        return Refusal(500, _HTML, "text/html")
    return None


def _of_facets(event: Json) -> Refusal | None:
    for key, facet in _facets(event):
        wrong = ""
        if key == "jobType" and not facet.get("jobType"):
            wrong = "job.facets.jobType.jobType must not be null"
        elif key in _KNOWN_FACETS and not (facet.get("_producer") and facet.get("_schemaURL")):
            wrong = f"{key}._producer must not be null"
        if wrong:
            return Refusal(422, json.dumps({"errors": [wrong]}).encode())
    return None


def _of_job(event: Json) -> Refusal | None:
    job = event["job"]
    if job.get("name") and job.get("namespace") and len(job["namespace"]) <= _NAMESPACE_LENGTH:
        return None
    return as_json(400, "must not be blank", status=400)


def _of_limits(event: Json) -> Refusal | None:
    too_long = any(len(key) > _COLUMN for key, _ in _facets(event)) or _is_too_long(event)
    if "\\u0000" in json.dumps(event) or too_long:
        return Refusal(500, _HTML, "text/html", applies_run=True)
    return None


def _of_datasets(event: Json) -> Refusal | None:
    blank = as_json(400, "name must not be blank", status=400)._replace(applies_run=True)
    for dataset in event.get("inputs") or ():
        if not _NAMESPACE.fullmatch(dataset["namespace"]) or not dataset["name"]:
            return blank
    for dataset in event.get("outputs") or ():
        is_end = event["eventType"] in {"COMPLETE", "FAIL", "ABORT"}
        if is_end and not _NAMESPACE.fullmatch(dataset["namespace"]):
            return Refusal(500, _HTML, "text/html", applies_run=True)
        if not dataset["name"] or not dataset["namespace"]:
            return blank
    return None


def poison_of(event: Json) -> Poison:
    """Say which reads an event breaks, whatever it was answered."""
    namespaces = jobs = nodes = False
    for dataset in event.get("outputs") or ():
        if not _NAMESPACE.fullmatch(dataset["namespace"]):
            namespaces = jobs = nodes = True
    for dataset in (*(event.get("inputs") or ()), *(event.get("outputs") or ())):
        symlinks = (dataset.get("facets") or {}).get("symlinks") or {}
        for one in symlinks.get("identifiers") or ():
            namespaces |= not _NAMESPACE.fullmatch(one["namespace"])
            nodes |= not one["name"] or not _NAMESPACE.fullmatch(one["namespace"])
    job = event.get("job") or {}
    if not job.get("namespace") or len(job["namespace"]) > _NAMESPACE_LENGTH:
        namespaces = jobs = True
    if job.get("name") == "":
        jobs = True
    return Poison(namespaces, jobs, nodes)


def clean_job_namespace(namespace: str) -> str:
    """Rewrite a job's namespace as the server does."""
    return re.sub(r"[^a-zA-Z:/0-9_\-.@+]", "_", namespace)


def node_fails(namespace: str, name: str) -> bool:
    """Tell whether GET /lineage fails for a node of this name.

    Source: https://github.com/MarquezProject/marquez/issues/2921
    """
    return ("://" in namespace and name[:1].isdigit()) or name.startswith("//")


def as_json(code: int, message: str, *, status: int | None = None) -> Refusal:
    """Make a refusal in JSON; the server wraps bad input in HTTP 500 with `"code": 400`."""
    body = json.dumps({"code": 400 if status is None else code, "message": message})
    return Refusal(code if status is None else status, body.encode())


def _facets(event: Json) -> Iterator[tuple[str, Json]]:
    run, job = event.get("run") or {}, event.get("job") or {}
    for holder in (run, job, *(event.get("inputs") or ()), *(event.get("outputs") or ())):
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from (holder.get(kind) or {}).items()


def _is_too_long(event: Json) -> bool:
    for key, facet in _facets(event):
        if key == "schema" and any(len(f["name"]) > _COLUMN for f in facet.get("fields") or ()):
            return True
        if key == "sourceCodeLocation" and len(facet.get("url") or "") > _URL:
            return True
        if key == "dataSource" and not _URI.fullmatch(facet.get("uri") or ""):
            return True
    datasets = (*(event.get("inputs") or ()), *(event.get("outputs") or ()))
    return len(event["job"]["name"]) > _NAME or any(len(d["name"]) > _NAME for d in datasets)


def _non_finite(value: object) -> Iterator[bool]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _non_finite(one)
    elif isinstance(value, list):
        for one in value:
            yield from _non_finite(one)
    elif isinstance(value, float):
        yield not math.isfinite(value)
