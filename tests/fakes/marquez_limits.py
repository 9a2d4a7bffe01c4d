"""Which events the stand-in catalog refuses, with which answer, and what a refusal leaves behind.

As Marquez 0.51.1 was seen to do. A refusal is not harmless: what precedes the fault was applied,
and names that are not allowed break reads for everybody, whatever the event was answered.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fakes.marquez_rows import Name, moment
from fakes.marquez_state import is_clean_namespace, stored_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.marquez_state import CatalogState

Json = dict[str, Any]  # Any: a parsed event
Shape = dict[str, type]

TEXT, NAME_BYTES, JOB_NAME = 255, 2_704, 1_024
"""The longest column, URL or facet key; what an index row of PostgreSQL holds; a job's name, whose
true limit lies between 256 and 2,000."""

_URI = re.compile(r"[^\s\\\[\]{}]*")
_RUN: dict[str, Shape] = {
    "parent": {"run": dict, "job": dict},
    "nominalTime": {"nominalStartTime": str},
}
_JOB: dict[str, Shape] = {
    "documentation": {"description": str},
    "jobType": {"processingType": str, "integration": str, "jobType": str},
    "sourceCodeLocation": {"type": str, "url": str},
    "sql": {"query": str},
}
_DATASET: dict[str, Shape] = {
    "columnLineage": {"fields": dict},
    "dataSource": {"name": str, "uri": str},
    "documentation": {"description": str},
    "lifecycleStateChange": {"lifecycleStateChange": str},
    "schema": {"fields": list},
    "symlinks": {"identifiers": list},
}


class Refusal(NamedTuple):
    """An answer that is no 201, and how much of the event was applied before it."""

    status: int
    body: bytes
    content_type: str = "application/json"
    leaves: Literal["nothing", "run"] = "nothing"


def unreadable(message: str) -> Refusal:
    """Refuse a body that cannot be read: HTTP 500 with the code 400 in it."""
    return Refusal(500, json.dumps({"code": 400, "message": message}).encode())


def page(status: int, *, leaves: Literal["nothing", "run"] = "nothing") -> Refusal:
    """Refuse with the page of the web server."""
    words = {400: "Bad Request", 415: "Unsupported Media Type", 500: "Internal Server Error"}
    text = f"<html><head><title>Error {status}</title></head><body>HTTP ERROR {status} "
    body = f"{text}{words[status]}</body></html>"
    return Refusal(status, body.encode(), "text/html;charset=iso-8859-1", leaves)


def refusal_of_body(raw: bytes) -> tuple[Json | None, Refusal | None]:
    """Read a body; give the event, or how the server refuses it."""
    try:
        event = json.loads(raw, parse_constant=_no_constant)
    except ValueError as error:
        return None, unreadable(f"Unable to read JSON: {error}")
    if not isinstance(event, dict):
        return None, unreadable("Cannot deserialize value of type LineageEvent")
    return event, _of_shapes(event) or _of_validation(event)


def refusal_of_event(event: Json) -> Refusal | None:
    """Give how the server refuses an event that it could read, or None."""
    if "run" in event and event.get("eventType") is None and event["run"].get("facets"):
        return page(500)
    job = event.get("job")
    if job is not None and not (job["name"] and 0 < len(job["namespace"]) <= 1024):
        return page(400)
    if job is not None and len(job["name"]) > JOB_NAME:
        return page(500)
    if "\\u0000" in json.dumps(event) or _is_too_long(event):
        return page(500, leaves="run")
    for one in event.get("inputs") or ():
        if not one["name"] or not is_clean_namespace(one["namespace"]):
            return page(400, leaves="run")
    for one in event.get("outputs") or ():
        if not one["name"] or not 0 < len(one["namespace"]) <= 1024:
            return page(400, leaves="run")
        is_end = str(event.get("eventType")).upper() in {"COMPLETE", "FAIL", "ABORT"}
        if is_end and not is_clean_namespace(one["namespace"]):
            return page(500, leaves="run")
    return None


def damage(event: Json, state: CatalogState) -> None:
    """Break the reads that an event's names break; nothing that comes later heals them."""
    time = moment(event["eventTime"])
    told = event.get("job")
    if told is None:
        return
    namespace = stored_namespace(told["namespace"])
    bad_outputs = [
        one["namespace"]
        for one in event.get("outputs") or ()
        if not is_clean_namespace(one["namespace"])
    ]
    links = [
        link
        for one in (*(event.get("inputs") or ()), *(event.get("outputs") or ()))
        for link in ((one.get("facets") or {}).get("symlinks") or {}).get("identifiers") or ()
    ]
    bad_links = [one["namespace"] for one in links if not is_clean_namespace(one["namespace"])]
    no_names = any(not one["name"] for one in links)
    is_job_bad = not told["name"] or not 0 < len(told["namespace"]) <= 1024
    for bad in (*bad_outputs, *bad_links):
        state.namespaces.setdefault(bad, time)
    if is_job_bad or bad_outputs or bad_links or no_names:
        run = state.runs.get(event["run"]["runId"]) if "run" in event else None
        name = Name(namespace, told["name"]) if run is None else run.job
        job = state.place_job(name, time)
        job.breaks_lists |= is_job_bad or bool(bad_outputs)
        job.broken = True


def _of_shapes(event: Json) -> Refusal | None:
    holders: Shape = {"run": dict, "job": dict, "dataset": dict, "inputs": list, "outputs": list}
    for key, kind in holders.items():
        if event.get(key) is not None and not isinstance(event[key], kind):
            return unreadable(f"Cannot deserialize value of {key}")
    try:
        moment(event.get("eventTime") or "2000-01-01T00:00:00Z")
    except (TypeError, ValueError):
        return unreadable("Cannot deserialize value of type ZonedDateTime")
    for holder, known in _holders(event):
        for key, facet in (holder.get("facets") or {}).items():
            shape = known.get(key)
            if shape is None:
                continue
            if not isinstance(facet, dict):
                return unreadable(f"Cannot construct instance of {key}")
            for name, kind in shape.items():
                value = facet.get(name)
                is_text = kind is str and not isinstance(value, dict | list)
                if value is not None and not is_text and not isinstance(value, kind):
                    return unreadable(f"Cannot deserialize value of {key}.{name}")
    return None


def _of_validation(event: Json) -> Refusal | None:
    errors = [f"{path} must not be null" for path, value in _required(event) if value is None]
    if not errors:
        return None
    return Refusal(422, json.dumps({"errors": errors}).encode())


def _required(event: Json) -> Iterator[tuple[str, object]]:
    yield "eventTime", event.get("eventTime")
    schema = str(event.get("schemaURL", ""))
    if schema.endswith("DatasetEvent"):
        yield "dataset", event.get("dataset")
    else:
        yield "job", event.get("job")
        yield "job.namespace", (event.get("job") or {}).get("namespace")
        yield "job.name", (event.get("job") or {}).get("name")
        if not schema.endswith("JobEvent"):
            yield "run", event.get("run")
            yield "run.runId", (event.get("run") or {}).get("runId")
    for one in (*(event.get("inputs") or ()), *(event.get("outputs") or ())):
        yield "dataset.namespace", one.get("namespace")
        yield "dataset.name", one.get("name")
    for holder, known in _holders(event):
        for key, facet in (holder.get("facets") or {}).items():
            if key in known:
                yield f"facets.{key}._producer", facet.get("_producer")
                yield f"facets.{key}._schemaURL", facet.get("_schemaURL")
            if known is _JOB and key == "jobType":
                for name in _JOB["jobType"]:
                    yield f"job.facets.jobType.{name}", facet.get(name)


def _holders(event: Json) -> Iterator[tuple[Json, dict[str, Shape]]]:
    """Give what carries facets, and which of these the server knows there."""
    yield event.get("run") or {}, _RUN
    yield event.get("job") or {}, _JOB
    datasets = [*(event.get("inputs") or ()), *(event.get("outputs") or ())]
    if event.get("dataset") is not None:
        datasets.append(event["dataset"])
    yield from ((one, _DATASET) for one in datasets)


def _is_too_long(event: Json) -> bool:
    for holder, known in _holders(event):
        facets = holder.get("facets") or {}
        others = [holder.get(kind) or {} for kind in ("inputFacets", "outputFacets")]
        if any(len(key) > TEXT for told in (facets, *others) for key in told):
            return True
        if known is _JOB and len((facets.get("sourceCodeLocation") or {}).get("url") or "") > TEXT:
            return True
        if known is _DATASET and _is_dataset_too_long(holder, facets):
            return True
    return False


def _is_dataset_too_long(dataset: Json, facets: Json) -> bool:
    source = facets.get("dataSource") or {}
    columns = (facets.get("schema") or {}).get("fields") or ()
    names = (dataset["name"], source.get("name") or "")
    return (
        any(len(str(column.get("name", ""))) > TEXT for column in columns)
        or any(len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES for name in names)
        or not _URI.fullmatch(source.get("uri") or "")
    )


def _no_constant(token: str) -> float:
    raise ValueError(f"Non-standard token '{token}'")
