"""Who leads: one row, taken by compare-and-set, judged by the database's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select, update

from exporter.errors import LeaseHeld, LeaseLost
from exporter.ledger.database import NO_LEASE, now_ms
from exporter.ledger.records import Lease, LeaseHolder
from exporter.ledger.schema import LEADER, leases

if TYPE_CHECKING:
    from exporter.ledger.database import Database


class Leases:
    """The right to write, held by one process at most; after a take-over the former one's fail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(self, owner: str, ttl_s: float) -> Lease:
        """Take the lease if it is free or has run out. `owner` names this process and no other.

        Repeat: a second call of the same owner is refused like anybody's.
        Raises: LeaseHeld with `owner` and `expires_in_s` in its context.
        """
        with self._database.write_unfenced() as connection:
            taken = connection.execute(
                update(leases)
                .where(
                    leases.c.name == LEADER,
                    or_(leases.c.owner == "", leases.c.expires_ms <= now_ms()),
                )
                .values(
                    owner=owner,
                    token=leases.c.token + 1,
                    expires_ms=now_ms() + int(ttl_s * 1000),
                )
                .returning(leases.c.token, leases.c.expires_ms)
            ).one_or_none()
            if taken is not None:
                return Lease(owner, taken.token, ttl_s, taken.expires_ms)
        holder = self.holder()
        name = holder.owner if holder else "another process"
        left = max(holder.expires_in_s, 0.0) if holder else 0.0
        raise LeaseHeld(
            f"The lease is held by {name} and expires in {left:.0f} s.",
            hint="Wait until it ends, or stop that process.",
            owner=name,
            expires_in_s=left,
        )

    def renew(self, lease: Lease) -> Lease:
        """Extend the lease by its time to live from now, also one that ran out and nobody took.

        Raises: LeaseLost.
        """
        with self._database.write(lease) as connection:
            expires = connection.execute(
                update(leases)
                .where(leases.c.name == LEADER, leases.c.token == lease.token)
                .values(expires_ms=now_ms() + int(lease.ttl_s * 1000))
                .returning(leases.c.expires_ms)
            ).scalar_one()
        return Lease(lease.owner, lease.token, lease.ttl_s, expires)

    def release(self, lease: Lease) -> None:
        """Give the lease back. Repeat: a lease that is lost or given back already is left alone."""
        try:
            with self._database.write(lease) as connection:
                connection.execute(
                    update(leases)
                    .where(leases.c.name == LEADER, leases.c.token == lease.token)
                    .values(owner="", expires_ms=0)
                )
        except LeaseLost:
            return

    def holder(self) -> LeaseHolder | None:
        """Tell who leads; None when the lease is free. One that has run out is still told."""
        with self._database.read() as connection:
            row = connection.execute(
                select(
                    leases.c.owner, leases.c.token, (leases.c.expires_ms - now_ms()).label("left")
                ).where(leases.c.name == LEADER)
            ).one_or_none()
        if row is None:
            raise self._database.damaged(NO_LEASE)
        return LeaseHolder(row.owner, row.token, row.left / 1000) if row.owner else None
