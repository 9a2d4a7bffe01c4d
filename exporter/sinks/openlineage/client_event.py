"""Finished events as objects of openlineage-python, for the transports that take nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent

Json = dict[str, Any]  # Any: a parsed event


def client_event(body: bytes) -> RunEvent:
    """Give the client's event that it serialises to the same JSON as the body.

    Order: of keys is the client's own; facets stay plain values, ours among them.
    """
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

    event: Json = orjson.loads(body)
    run, job = event["run"], event["job"]
    made = RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=RunState(event["eventType"]),
        run=Run(runId=run["runId"], facets=run.get("facets")),
        job=Job(namespace=job["namespace"], name=job["name"], facets=job.get("facets")),
        inputs=_inputs(event),
        outputs=_outputs(event),
    )
    made.schemaURL = event["schemaURL"]
    return made


def _inputs(event: Json) -> list[InputDataset] | None:
    from openlineage.client.event_v2 import InputDataset

    if "inputs" not in event:
        return None
    return [
        InputDataset(
            namespace=one["namespace"],
            name=one["name"],
            facets=one.get("facets"),
            inputFacets=one.get("inputFacets"),
        )
        for one in event["inputs"]
    ]


def _outputs(event: Json) -> list[OutputDataset] | None:
    from openlineage.client.event_v2 import OutputDataset

    if "outputs" not in event:
        return None
    return [
        OutputDataset(
            namespace=one["namespace"],
            name=one["name"],
            facets=one.get("facets"),
            outputFacets=one.get("outputFacets"),
        )
        for one in event["outputs"]
    ]
