"""Opening the ledger: one object that hands out its parts over one database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from exporter.errors import StateUnavailable
from exporter.ledger import migrate as migration
from exporter.ledger.bindings import Bindings
from exporter.ledger.cycles import Cycles
from exporter.ledger.database import Database, parse_url
from exporter.ledger.dead import DeadLetters
from exporter.ledger.leases import Leases
from exporter.ledger.outbox import Outbox
from exporter.ledger.units import Units

if TYPE_CHECKING:
    from types import TracebackType


class Ledger:
    """The state of one configuration; many processes may open it, the lease's holder writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.leases = Leases(database)
        self.units = Units(database)
        self.bindings = Bindings(database)
        self.outbox = Outbox(database)
        self.dead = DeadLetters(database)
        self.cycles = Cycles(database)

    @classmethod
    def open(cls, url: str, *, migrate: bool = True, read_only: bool = False) -> Ledger:
        """Open a ledger; with `migrate` a new one is created and an older one brought up to date.

        Repeat: opening again changes nothing; two processes may open a new ledger at the same time.
        Raises: ConfigError (URL, missing folder, driver), StateUnavailable (out of reach, or not
            there and not to be created), SchemaTooOld, SchemaTooNew, StateError (another program's
            database).
        """
        database = migration.prepare(parse_url(url), migrate=migrate, read_only=read_only)
        return cls(database)

    @classmethod
    def open_existing(cls, url: str) -> Ledger | None:
        """Open a ledger to read it; None where there is none yet, which means: nothing was synced.

        Raises: as `open` does.
        """
        try:
            return cls.open(url, migrate=False, read_only=True)
        except StateUnavailable as error:
            if error.context.get("missing"):
                return None
            raise

    @staticmethod
    def upgrade(url: str) -> tuple[str | None, str]:
        """Bring a ledger up to this release; give the revisions before (None: it is new) and after.

        Repeat: does nothing, and says the same revision twice.
        Raises: as `open` does.
        """
        return migration.upgrade(parse_url(url))

    @property
    def revision(self) -> str:
        """The schema's revision, which is this release's own once the ledger is open."""
        return migration.HEAD

    @property
    def url(self) -> str:
        """The URL with its password masked, for people."""
        return self._database.masked

    def close(self) -> None:
        """Release all connections. May be called twice."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
