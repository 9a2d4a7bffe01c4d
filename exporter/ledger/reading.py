"""What runs that are still to be told read of others, and what follows from it for their order.

A catalog that links a reader to whichever version is newest would link it to an older one, for
good, where the maker of what it read was refused; so the reader waits with it. And a reader that
was refused itself comes later, so the makers' ends are kept to be shown again before it:
https://github.com/MarquezProject/marquez/issues/2733.

All of it works inside a caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, false, func, insert, select, text, update

from exporter.ledger.outbox_rows import OPEN, PARKED
from exporter.ledger.progress import chunks
from exporter.ledger.recording import name_hash
from exporter.ledger.schema import heads, makers, outbox, reads
from exporter.ledger.versions import COMPLETE, is_newest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Connection

    from exporter.ledger.records import OutboxMark

_IS_PARKED = text("outbox.state = 'parked'")  # as the partial index spells it


def remember(connection: Connection, destination: str, mark: OutboxMark) -> None:
    """Note what a run read that it did not make itself, in the place of what was noted before."""
    _forget(connection, destination, mark.unit_key)
    own = {(made.dataset, made.artifact) for made in mark.makes}
    first: dict[str, int] = {}
    for position, event in enumerate(mark.events):
        first.setdefault(event.run_id, position)
    rows: dict[tuple[str, str], int] = {}
    for read in mark.reads:
        if (read.dataset, read.artifact) in own:
            continue
        key = name_hash(read.dataset), name_hash(read.artifact)
        rows[key] = min(first[read.run_id], rows.get(key, first[read.run_id]))
    if rows:
        connection.execute(
            insert(reads),
            [
                {
                    "destination": destination,
                    "unit_key": mark.unit_key,
                    "dataset_hash": dataset,
                    "artifact_hash": artifact,
                    "position": position,
                }
                for (dataset, artifact), position in rows.items()
            ],
        )


def missing(connection: Connection, destination: str, unit_keys: Iterable[str]) -> dict[str, int]:
    """Say of which runs the destination lacks something they read, and from which event on.

    It lacks what a dead letter tells of, and what waits behind one.
    """
    found: dict[str, int] = {}
    for part in chunks(unit_keys):
        rows = connection.execute(
            select(reads.c.unit_key, func.min(reads.c.position))
            .select_from(
                reads.join(makers, _of_same_version()).join(
                    outbox,
                    and_(
                        outbox.c.destination == makers.c.destination,
                        outbox.c.run_id == makers.c.run_id,
                    ),
                )
            )
            .where(
                reads.c.destination == destination,
                reads.c.unit_key.in_(part),
                outbox.c.unit_key != reads.c.unit_key,
                outbox.c.event_type == COMPLETE,
                outbox.c.state.in_(("dead", PARKED)),
                outbox.c.corrects == false(),
            )
            .group_by(reads.c.unit_key)
        )
        found.update((key, position) for key, position in rows)
    return found


def released(connection: Connection, destination: str) -> list[str]:
    """Give the runs that waited for others and need not any more."""
    dead = outbox.alias("dead")
    waiting = (
        connection.execute(
            select(outbox.c.unit_key)
            .where(
                outbox.c.destination == destination,
                _IS_PARKED,
                ~select(dead.c.seq)
                .where(
                    dead.c.destination == destination,
                    dead.c.unit_key == outbox.c.unit_key,
                    dead.c.state == "dead",
                )
                .exists(),
            )
            .distinct()
        )
        .scalars()
        .all()
    )
    lacking = missing(connection, destination, waiting)
    return [key for key in waiting if key not in lacking]


def shall_be_shown_again(destination: str) -> ColumnElement[bool]:
    """Say of an event of the outbox whether it may have to be told once more.

    A reader that is still to be told may need it, or what it tells of is the newest version.
    """
    read = select(reads.c.dataset_hash).where(reads.c.destination == destination)
    made = select(makers.c.run_id).where(
        makers.c.destination == destination,
        makers.c.exact | makers.c.dataset_hash.in_(read),
    )
    is_wanted = (outbox.c.event_type == COMPLETE) & outbox.c.run_id.in_(made)
    return is_wanted | is_newest(destination)


def settle(connection: Connection, destination: str, unit_key: str) -> None:
    """Forget what a run read, for it is held whole now, and drop the bodies kept for it alone."""
    datasets = (
        connection.execute(
            select(reads.c.dataset_hash)
            .where(reads.c.destination == destination, reads.c.unit_key == unit_key)
            .distinct()
        )
        .scalars()
        .all()
    )
    if not datasets:
        return
    _forget(connection, destination, unit_key)
    for part in chunks(datasets):
        still_read = select(reads.c.dataset_hash).where(
            reads.c.destination == destination, reads.c.dataset_hash.in_(part)
        )
        made = select(makers.c.run_id).where(
            makers.c.destination == destination,
            makers.c.dataset_hash.in_(part),
            makers.c.dataset_hash.not_in(still_read),
            makers.c.exact == false(),
        )
        newest = select(heads.c.unit_key).where(heads.c.destination == destination)
        other = outbox.alias("other")
        is_open = (
            select(other.c.seq)
            .where(
                other.c.destination == destination,
                other.c.unit_key == outbox.c.unit_key,
                other.c.state.in_(OPEN),
            )
            .exists()
        )
        connection.execute(
            update(outbox)
            .where(
                outbox.c.destination == destination,
                outbox.c.run_id.in_(made),
                outbox.c.unit_key.not_in(newest),
                ~is_open,
                ~shall_be_shown_again(destination),
            )
            .values(body=None)
        )


def park(connection: Connection, destination: str, positions: Mapping[str, int]) -> None:
    """Keep back the events of runs from a position on, but for each one's last.

    What reads the output of a step that the catalog does not know would be linked to an older
    version, for good. They are pending until the dead letter is sent back or dropped.
    """
    for unit_key, position in positions.items():
        of_unit = and_(outbox.c.destination == destination, outbox.c.unit_key == unit_key)
        last = select(func.max(outbox.c.position)).where(of_unit).scalar_subquery()
        connection.execute(
            update(outbox)
            .where(
                of_unit,
                outbox.c.state == "queued",
                outbox.c.position >= position,
                outbox.c.position < last,
            )
            .values(state=PARKED, next_at=None)
        )


def unpark(connection: Connection, destination: str, unit_keys: Iterable[str]) -> None:
    """Queue again what was kept back of runs."""
    for part in chunks(unit_keys):
        connection.execute(
            update(outbox)
            .where(
                outbox.c.destination == destination,
                outbox.c.unit_key.in_(part),
                _IS_PARKED,
            )
            .values(state="queued", attempts=0)
        )


def _forget(connection: Connection, destination: str, unit_key: str) -> None:
    connection.execute(
        delete(reads).where(reads.c.destination == destination, reads.c.unit_key == unit_key)
    )


def _of_same_version() -> ColumnElement[bool]:
    return and_(
        makers.c.destination == reads.c.destination,
        makers.c.dataset_hash == reads.c.dataset_hash,
        makers.c.artifact_hash == reads.c.artifact_hash,
    )
