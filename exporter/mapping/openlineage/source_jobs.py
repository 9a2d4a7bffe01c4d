"""Jobs that announce what came from elsewhere, for catalogs that know only datasets somebody made.

Marquez gives a dataset that is only read a version without a run, and cannot answer then where its
readers' inputs came from. A job that outputs it once, before the first reader, cures that.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from exporter.mapping.openlineage.events import LineageEvent
from exporter.mapping.openlineage.ids import lineage_run_id
from exporter.mapping.openlineage.naming import clean_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Json = dict[str, Any]  # Any: a parsed event


def announced(events: Sequence[LineageEvent]) -> tuple[LineageEvent, ...]:
    """Give START and COMPLETE of a job for each dataset that a run's events read from elsewhere.

    Order: they belong before the run's own events.
    Repeat: the same dataset has the same run id and content hash, whichever run reads it.
    """
    outside = dict.fromkeys(dataset for event in events for dataset in event.from_elsewhere)
    if not outside:
        return ()
    first = orjson.loads(events[0].body)
    return tuple(
        event
        for namespace, name in outside
        for event in _announced(first, namespace, name, events[0].lane)
    )


def _announced(first: Json, namespace: str, name: str, lane: str) -> Iterator[LineageEvent]:
    """Give the two events; their time is that of the run that reads the dataset."""
    key = f"source {namespace} {name}"
    run_id = lineage_run_id(key, None)
    digest = hashlib.sha256(key.encode("utf-8")).hexdigest()
    job = first["job"]
    engine = first["run"]["facets"]["processing_engine"]
    kind = job["facets"]["jobType"]
    output = {"namespace": namespace, "name": name, "facets": {}}
    for event_type in ("START", "COMPLETE"):
        body = {
            "eventType": event_type,
            "eventTime": first["eventTime"],
            "run": {"runId": run_id, "facets": {"processing_engine": engine}},
            "job": {
                "namespace": job["namespace"],
                "name": clean_name(f"source:{namespace}/{name}"),
                "facets": {"jobType": {**kind, "jobType": "SOURCE"}},
            },
            "inputs": [],
            "outputs": [output] if event_type == "COMPLETE" else [],
            "producer": first["producer"],
            "schemaURL": first["schemaURL"],
        }
        yield LineageEvent(lane, run_id, event_type, first["eventTime"], digest, orjson.dumps(body))
