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
    ledger: Ledger, destination: str, rows: Sequence[OutboxRow], *, late_only: bool
) -> list[OutboxRow]:
    """Put the ends of makers around the ends of their readers; they have numbers below zero.

    Order: `rows` in the order in which they leave. Of a late run nothing else of its lane is there:
        the newest version is one that the destination holds, and not one of the rows.
    Limits: only around readers that are late, if `late_only`.
    """
    made: dict[tuple[str, str], OutboxRow] = {}
    newest: dict[str, OutboxRow] = {}
    shown: list[OutboxRow] = []
    for row in rows:
        before: list[OutboxRow] = []
        after: list[OutboxRow] = []
        if row.event_type in _TERMINAL and (row.is_late or not late_only):
            event = orjson.loads(row.body)
            for dataset, artifacts in () if row.corrects else _read(event):
                own = [made[dataset, one] for one in artifacts if (dataset, one) in made]
                old, new = own[0] if own else None, newest.get(dataset)
                if old is None:
                    held = ledger.outbox.ends_of(destination, dataset, artifacts)
                    old, new = held.read, new or held.newest
                if old is not None and new is not None and old.run_id != new.run_id:
                    before.append(old._replace(corrects=True, unit=""))
                    after.append(new._replace(corrects=True, unit=""))
            for dataset, artifact in _made(event):
                made[dataset, artifact] = newest[dataset] = row
        for extra in (*before, row, *after):
            number = row.seq if extra is row else -len(shown) - 1
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
