"""What a catalog is told again: an older version before its reader, the newest after it.

Source: Marquez links an input to the version that is current when the event arrives,
https://github.com/MarquezProject/marquez/issues/2733.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from exporter.sinks.openlineage.corrections import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from exporter.ledger import Ledger, OutboxRow

_TERMINAL = frozenset({"COMPLETE", "FAIL", "ABORT"})


class Telling(NamedTuple):
    """What leaves, in order; events that are only told again have numbers below zero.

    `with_row` says of those which event of the outbox they go with: the one that they prepare for,
    or that is not done before they are taken.
    """

    rows: list[OutboxRow]
    with_row: Mapping[int, int]


def telling(
    ledger: Ledger, destination: str, rows: Sequence[OutboxRow], *, exact_links: bool
) -> Telling:
    """Put around events what has to be told again for them.

    The end of the run that made what a reader read comes before the reader's end, and the end of
    the newest version's after it: for readers that are late, with `exact_links` for all. Where a
    run comes late, the ends of newer versions of what it makes come after its last event.

    Order: `rows` in the order in which they leave. Of a late run nothing else of its lane is there:
        the newest version is one that the destination holds, and not one of the rows.
    """
    made: dict[tuple[str, str], OutboxRow] = {}
    newest: dict[str, OutboxRow] = {}
    shown: list[OutboxRow] = []
    with_row: dict[int, int] = {}
    for row in rows:
        before: list[OutboxRow] = []
        after: list[OutboxRow] = []
        if row.event_type in _TERMINAL and (row.is_late or exact_links) and not row.corrects:
            event = orjson.loads(row.body)
            for dataset, artifacts in _read(event):
                own = [made[dataset, one] for one in artifacts if (dataset, one) in made]
                old, new = own[0] if own else None, newest.get(dataset)
                is_shown = old is new
                if old is None:
                    held = ledger.outbox.ends_of(destination, dataset, artifacts)
                    is_shown = held.is_shown and new is None
                    old, new = held.read, new or held.newest
                if old is not None and not is_shown:
                    before.append(old)
                    after += [new] if new is not None else []
            for dataset, artifact in _made(event):
                made[dataset, artifact] = newest[dataset] = row
        if row.is_late and row.ends_unit and not row.corrects:
            after += ledger.outbox.ends_after(destination, row.unit)
        for one in (*before, row, *after):
            if one is row:
                shown.append(row._replace(body=body_of(row)))
                continue
            again = one._replace(corrects=True, unit="", ends_unit=False)
            number = -len(shown) - 1
            with_row[number] = row.seq
            shown.append(again._replace(seq=number, lane=row.lane, body=body_of(again)))
    return Telling(shown, with_row)


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
