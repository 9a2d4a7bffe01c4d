"""Which run made the version of a dataset that another run read, for exact links in a catalog.

A catalog that links a reader to whichever version is newest is shown the old one first and the
newest again after: https://github.com/MarquezProject/marquez/issues/2733. The ends of runs that
made versions are kept for that: all of them where any reader is to be linked exactly, else those
that a reader still to be told may need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from exporter.ledger.outbox_rows import RUN_END
from exporter.ledger.progress import chunks, upsert
from exporter.ledger.recording import name_hash
from exporter.ledger.records import OutboxRow
from exporter.ledger.schema import makers, outbox, units
from exporter.ledger.versions import COMPLETE, events_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.engine import Connection

    from exporter.ledger.records import OutboxMark


class Ends(NamedTuple):
    """The end of the run that made what was read, and that of the run that made the newest.

    None where there is none that the destination holds, or its body is not kept. `is_shown` says
    that what was read is the newest that the destination was ever told of, and so the one it shows.
    """

    read: OutboxRow | None
    newest: OutboxRow | None
    is_shown: bool


def remember(connection: Connection, destination: str, marks: Sequence[OutboxMark]) -> None:
    """Note which versions runs make, and of which the ends are kept for good."""
    rows = {
        (name_hash(made.dataset), name_hash(made.artifact)): (made.run_id, mark.exact)
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
                    "exact": exact,
                }
                for (dataset, artifact), (run_id, exact) in part
            ],
        )


def ends_of(
    connection: Connection, destination: str, dataset: str, artifacts: Iterable[str]
) -> Ends:
    """Give the ends of the makers of what was read, and of the newest version of that dataset."""
    hashes = [name_hash(artifact) for artifact in artifacts]
    is_held = outbox.c.state == "delivered"
    told = (
        select(outbox)
        .select_from(
            makers.join(
                outbox,
                (outbox.c.destination == makers.c.destination)
                & (outbox.c.run_id == makers.c.run_id)
                & (outbox.c.event_type == COMPLETE),
            ).join(units, units.c.key == outbox.c.unit_key)
        )
        .where(
            makers.c.destination == destination,
            makers.c.dataset_hash == name_hash(dataset),
            # One that is sent again, for the sake of a late run, is not held at the moment.
            is_held | outbox.c.left_ms.is_not(None),
        )
        .order_by(RUN_END.desc(), units.c.id.desc(), outbox.c.position.desc())
        .limit(1)
    )
    made = told.where(makers.c.artifact_hash.in_(hashes), is_held)
    read, newest = (connection.execute(one).one_or_none() for one in (made, told))
    is_shown = read is not None and newest is not None and read.run_id == newest.run_id
    return Ends(_shown_again(read), _shown_again(newest), is_shown)


def ends_after(connection: Connection, destination: str, unit_key: str) -> list[OutboxRow]:
    """Give the ends that tell again of newer versions of what a run makes, in order."""
    order = events_after(connection, destination, unit_key)
    told: dict[int, OutboxRow] = {}
    for part in chunks(order):
        for row in connection.execute(select(outbox).where(outbox.c.seq.in_(part))):
            if (shown := _shown_again(row)) is not None:
                told[row.seq] = shown
    return [told[seq] for seq in order if seq in told]


def _shown_again(row: Row[Any] | None) -> OutboxRow | None:  # Any: columns are read by name
    if row is None or row.body is None or row.state != "delivered":
        return None
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
