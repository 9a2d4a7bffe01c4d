"""Several events in one request, where a catalog takes them so, and what its answer says of each.

Source: OpenMetadata wants `{"events": [...]}`
(https://docs.open-metadata.org/latest/connectors/pipeline/openlineage), the specification a bare
array (https://github.com/OpenLineage/OpenLineage/blob/main/spec/OpenLineage.yml).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from exporter.sinks.openlineage.outcomes import (
    Outcome,
    failures_in,
    json_of,
    outcome_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from exporter.mapping.openlineage.profile import Batch, CatalogProfile
    from exporter.sinks.openlineage.destination import DueEvent
    from exporter.sinks.openlineage.outcomes import Action, Answer


def wrapped(bodies: Sequence[bytes], batch: Batch) -> bytes:
    """Give the body of a request with these events."""
    if batch == "single":
        (body,) = bodies
        return body
    array = b"[" + b",".join(bodies) + b"]"
    return array if batch == "array" else b'{"events":' + array + b"}"


def batches_of(
    events: Sequence[DueEvent], max_events: int, max_bytes: int
) -> Iterator[Sequence[DueEvent]]:
    """Cut events, in order, into requests of at most so many events and bytes."""
    batch: list[DueEvent] = []
    size = 0
    for event in events:
        length = len(event.body) + 1
        if batch and (len(batch) == max_events or (max_bytes and size + length > max_bytes)):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += length
    if batch:
        yield batch


def outcomes_of_batch(
    events: Sequence[DueEvent],
    answer: Answer,
    destination: str,
    now: datetime,
    profile: CatalogProfile,
) -> Mapping[int, Outcome]:
    """Say what an answer to several events means for each; those in doubt are left out.

    An answer that refuses the whole, counts failures without naming them, or reaches a number of
    `success` less often than for each event, leaves all in doubt: a single event tells. Trouble is
    the first event's, and so holds all.
    Raises: SinkUnavailable for an answer that every event would get.
    """
    wanted = {name: least * len(events) for name, least in profile.success.items()}
    rules = replace(profile, success=wanted)
    of_first = outcome_of(events[0].seq, answer, destination, now, rules)
    if not 200 <= answer.status < 300:
        return {of_first.seq: of_first} if of_first.action == "retry" else {}
    if of_first.action == "ack":
        return {event.seq: of_first._replace(seq=event.seq) for event in events}
    failures = failures_in(json_of(answer.body)) or []
    if not failures or any(f.place is None or not f.place < len(events) for f in failures):
        return {}
    known = {event.seq: Outcome(event.seq, "ack", answer.status) for event in events}
    for failure in failures:
        seq = events[failure.place or 0].seq
        action: Action = "retry" if failure.may_retry else "dead"
        said = failure.reason or answer.body
        known[seq] = Outcome(seq, action, answer.status, said, tries=profile.tries)
    return known
