"""Showing a catalog an older version again before its reader, and the newest after it.

Source: Marquez links an input to the version that is current when the event arrives,
https://github.com/MarquezProject/marquez/issues/2733.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from exporter.sinks.openlineage.corrections import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.ledger import Ledger, OutboxRow

_TERMINAL = frozenset({"COMPLETE", "FAIL", "ABORT"})


def with_exact_links(
    ledger: Ledger, destination: str, rows: Sequence[OutboxRow]
) -> list[OutboxRow]:
    """Put the ends of makers around the ends of their readers; they have numbers below zero.

    `rows` are those of one run of each lane, for what is newest changes with every run.
    """
    made: dict[tuple[str, str], OutboxRow] = {}
    shown: list[OutboxRow] = []
    for row in rows:
        before: list[OutboxRow] = []
        after: list[OutboxRow] = []
        if row.event_type in _TERMINAL:
            event = orjson.loads(row.body)
            for dataset, artifacts in _read(event):
                if any((dataset, artifact) in made for artifact in artifacts):
                    continue  # made a moment ago by this very run
                ends = ledger.outbox.ends_of(destination, dataset, artifacts)
                if ends is not None:
                    before.append(ends.read)
                    after.append(ends.newest)
            made |= dict.fromkeys(_made(event), row)
        for extra in (*before, row, *after):
            is_extra = extra is not row
            number = -len(shown) - 1 if is_extra else row.seq
            shown.append(extra._replace(seq=number, lane=row.lane, body=body_of(extra)))
    return shown


def _read(
    event: dict[str, list[dict[str, dict[str, dict[str, object]]]]],
) -> Iterator[tuple[str, list[str]]]:
    for dataset in event["inputs"]:
        facet = (dataset.get("inputFacets") or {}).get("pipelineExporter_read") or {}
        listed = facet.get("artifacts")
        artifacts = [str(one["id"]) for one in listed] if isinstance(listed, list) else []
        if artifacts:
            yield f"{dataset['namespace']} {dataset['name']}", artifacts


def _made(
    event: dict[str, list[dict[str, dict[str, dict[str, object]]]]],
) -> Iterator[tuple[str, str]]:
    for dataset in event["outputs"]:
        facet = (dataset.get("facets") or {}).get("pipelineExporter_artifact") or {}
        listed = facet.get("artifacts")
        for one in listed if isinstance(listed, list) else ():
            yield f"{dataset['namespace']} {dataset['name']}", str(one["id"])
