"""What past cycles came to, for `status`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from exporter.ledger.records import CycleRecord
from exporter.ledger.schema import cycles

if TYPE_CHECKING:
    from exporter.ledger.database import Database
    from exporter.ledger.records import Lease


class Cycles:
    """The last cycles with their reports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, lease: Lease, cycle: CycleRecord, *, keep: int = 1000) -> None:
        """Add a cycle that ended; all but the newest `keep` are forgotten."""
        with self._database.write(lease) as connection:
            newest = connection.execute(
                insert(cycles)
                .values(
                    started_ms=cycle.started_ms,
                    ended_ms=cycle.ended_ms,
                    ok=cycle.ok,
                    report=json.dumps(cycle.report, separators=(",", ":")),
                )
                .returning(cycles.c.id)
            ).scalar_one()
            connection.execute(delete(cycles).where(cycles.c.id <= newest - keep))

    def last(self, limit: int = 1) -> list[CycleRecord]:
        """Give the last cycles, newest first."""
        query = (
            select(cycles.c.started_ms, cycles.c.ended_ms, cycles.c.ok, cycles.c.report)
            .order_by(cycles.c.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [
                CycleRecord(started, ended, ok, json.loads(report))
                for started, ended, ok, report in connection.execute(query)
            ]
