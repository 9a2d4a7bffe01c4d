"""What a sink did not take, or could not be read from the source; in a caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from exporter.ledger.dead import write_letter
from exporter.ledger.progress import (
    count,
    forget_letters,
    move,
    new_rows,
    stack_scope,
    standings,
)
from exporter.ledger.schema import letters, unit_sinks, units

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def fail_unit(
    connection: Connection,
    sink: str,
    key: str,
    *,
    error: str,
    kind: str,
    dead: bool,
    next_at: int | None,
    now: int,
) -> int:
    """Count one more failure of a unit; see `Units.fail`."""
    unit = standings(connection, sink, [key])[key]
    if unit.progress is None:
        connection.execute(insert(unit_sinks), new_rows(unit.stack, [unit.unit_id], [sink]))
        count(connection, stack_scope(unit.stack), {f"pending/{sink}": 1})
        unit = unit._replace(progress="pending")
    attempts = unit.attempts + 1
    progress, due = ("dead", None) if dead else ("pending", next_at)
    move(connection, sink, unit, progress, attempts=attempts, next_at=due)
    forget_letters(connection, [unit.unit_id], sink=sink)
    if dead:
        named = connection.execute(
            select(units.c.source_id, units.c.pipeline, units.c.run).where(
                units.c.id == unit.unit_id
            )
        ).one()
        write_letter(
            connection,
            what="unit",
            stack=unit.stack,
            sink=sink,
            source_id=named.source_id or "",
            subject=unit.unit_id,
            pipeline=named.pipeline,
            run=named.run,
            event="",
            kind=kind,
            error=error,
            attempts=attempts,
            now=now,
        )
    return attempts


def fail_run(
    connection: Connection,
    stack: str,
    source_id: str,
    *,
    pipeline: str,
    run: str,
    error: str,
    kind: str,
    now: int,
) -> bool:
    """Open, reopen or leave the letter of a run that cannot be read; see `Units.fail_run`."""
    letter = connection.execute(
        select(letters.c.id, letters.c.error, letters.c.state, letters.c.attempts).where(
            letters.c.stack == stack, letters.c.source_id == source_id, letters.c.what == "run"
        )
    ).one_or_none()
    if letter is not None:
        if letter.state != "retry" and letter.error == error:
            return False
        connection.execute(
            update(letters)
            .where(letters.c.id == letter.id)
            .values(state="open", error=error, kind=kind, attempts=letter.attempts + 1)
        )
        return True
    unit_id = connection.execute(
        select(units.c.id).where(units.c.stack == stack, units.c.source_id == source_id)
    ).scalar_one_or_none()
    write_letter(
        connection,
        what="run",
        stack=stack,
        sink="",
        source_id=source_id,
        subject=unit_id or 0,
        pipeline=pipeline,
        run=run,
        event="",
        kind=kind,
        error=error,
        attempts=1,
        now=now,
    )
    if unit_id is None:
        count(connection, stack_scope(stack), {"runs": 1})
    return True
