"""Which run made the version of a dataset that another run read, for exact links in a catalog.

A catalog that links a reader to whichever version is newest is shown the old one first and the
newest again after: https://github.com/MarquezProject/marquez/issues/2733. The ends of runs that
made versions are kept for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from exporter.ledger.progress import chunks, upsert
from exporter.ledger.recording import name_hash
from exporter.ledger.records import OutboxRow
from exporter.ledger.schema import makers, outbox, units

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.engine import Connection

    from exporter.ledger.records import OutboxMark

_COMPLETE = "COMPLETE"


class Ends(NamedTuple):
    """The end of the run that made what was read, and that of the run that made the newest."""

    read: OutboxRow
    newest: OutboxRow


def remember(connection: Connection, destination: str, marks: Sequence[OutboxMark]) -> None:
    """Note which versions runs make."""
    rows = {
        (name_hash(made.dataset), name_hash(made.artifact)): made.run_id
        for mark in marks
        for made in mark.makes
    }
    for part in chunks(sorted(rows.items())):
        upsert(
            connection,
            makers,
            [
                {
                    "destination": destination,
                    "dataset_hash": dataset,
                    "artifact_hash": artifact,
                    "run_id": run_id,
                }
                for (dataset, artifact), run_id in part
            ],
        )


def is_wanted(destination: str) -> ColumnElement[bool]:
    """Say of an event of the outbox whether it may have to be shown again to link a reader."""
    made = select(makers.c.run_id).where(makers.c.destination == destination)
    return (outbox.c.event_type == _COMPLETE) & outbox.c.run_id.in_(made)


def ends_of(
    connection: Connection, destination: str, dataset: str, artifacts: Iterable[str]
) -> Ends | None:
    """Give the ends of the makers of what was read and of the newest version, if they differ.

    None as well where one is not known here: the catalog then links as it does.
    """
    hashes = [name_hash(artifact) for artifact in artifacts]
    known = (
        select(outbox, makers.c.artifact_hash)
        .select_from(
            makers.join(
                outbox,
                (outbox.c.destination == makers.c.destination)
                & (outbox.c.run_id == makers.c.run_id)
                & (outbox.c.event_type == _COMPLETE),
            ).join(units, units.c.key == outbox.c.unit_key)
        )
        .where(
            makers.c.destination == destination,
            makers.c.dataset_hash == name_hash(dataset),
            outbox.c.state == "delivered",
            outbox.c.body.is_not(None),
        )
        .order_by(units.c.end_ms.desc(), outbox.c.position.desc())
        .limit(1)
    )
    newest = connection.execute(known).one_or_none()
    read = connection.execute(known.where(makers.c.artifact_hash.in_(hashes))).one_or_none()
    if newest is None or read is None or read.run_id == newest.run_id:
        return None
    return Ends(_shown_again(read), _shown_again(newest))


def _shown_again(row: Row[Any]) -> OutboxRow:  # Any: columns are read by name
    return OutboxRow(
        row.seq,
        row.lane,
        row.run_id,
        row.event_type,
        row.event_time,
        row.content_hash,
        row.body,
        attempts=0,
        revision=row.revision,
        corrects=True,
    )
