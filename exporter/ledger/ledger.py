"""Opening the ledger: one object that hands out its parts over one database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from sqlalchemy import select

from exporter.errors import ConfigError, ExporterError, StateUnavailable
from exporter.ledger import migrate as migration
from exporter.ledger.bindings import Bindings
from exporter.ledger.cycles import Cycles
from exporter.ledger.database import Database, parse_url
from exporter.ledger.dead import DeadLetters
from exporter.ledger.leases import Leases
from exporter.ledger.outbox import Outbox
from exporter.ledger.progress import upsert
from exporter.ledger.schema import properties
from exporter.ledger.units import Units

if TYPE_CHECKING:
    from types import TracebackType

    from exporter.ledger.records import Lease

_REPOSITORY = "repository"


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
    def open_existing(cls, url: str, repository: str) -> Ledger | None:
        """Open a repository's ledger to read it; None where nothing was synced yet.

        Raises: as `open` does; ConfigError where it is another repository's.
        """
        try:
            ledger = cls.open(url, migrate=False, read_only=True)
        except StateUnavailable as error:
            if error.context.get("missing"):
                return None
            raise
        try:
            ledger.check_repository(repository)
        except ExporterError:
            ledger.close()
            raise
        return ledger

    @staticmethod
    def upgrade(url: str) -> tuple[str | None, str]:
        """Bring a ledger up to this release; give the revisions before (None: it is new) and after.

        Repeat: does nothing, and says the same revision twice.
        Raises: as `open` does.
        """
        return migration.upgrade(parse_url(url))

    def claim(self, lease: Lease, repository: str) -> None:
        """Make this the state of a repository. Repeat: no effect.

        Raises: ConfigError where it is another's; LeaseLost.
        """
        if self.check_repository(repository) is None:
            with self._database.write(lease) as connection:
                upsert(connection, properties, [{"name": _REPOSITORY, "value": repository}])

    def check_repository(self, repository: str) -> str | None:
        """Say whose state this is, None while it is nobody's.

        Raises: ConfigError where it is that of another repository.
        """
        with self._database.read() as connection:
            owner = connection.execute(
                select(properties.c.value).where(properties.c.name == _REPOSITORY)
            ).scalar_one_or_none()
        if owner not in {None, repository}:
            raise ConfigError(
                f"The state database {self.url} is that of repository {owner!r}, and the "
                f"configuration names {repository!r}.",
                hint="The name is part of every identity. Give the repository its name back, or "
                "export it under the new one with a state.url of its own.",
            )
        return owner

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
