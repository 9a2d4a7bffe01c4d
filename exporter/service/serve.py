"""Cycles by APScheduler: never two at a time, missed ones made up once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from apscheduler.schedulers.background import BackgroundScheduler

from exporter.errors import (
    ConfigError,
    ExporterError,
    LeaseHeld,
    SchemaTooNew,
    SchemaTooOld,
    StateUnavailable,
)
from exporter.ledger import Ledger
from exporter.service.schedule import first_run, next_runs, schedule_text, trigger_of
from exporter.sync.engine import Engine

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

    from exporter.config import Settings
    from exporter.sync.clock import Stop

_HEARTBEAT_S = 1.0
_SHORTEST_DELIVERY_S = 30.0
_NEVER_CURED = (ConfigError, SchemaTooNew, SchemaTooOld)


class Service:
    """Runs cycles until `stop` is requested.

    Another leader is no error here: this process stands by. A database out of reach is waited for.
    """

    def __init__(
        self, settings: Settings, stop: Stop, log: BoundLogger, *, migrate: bool = False
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._log = log
        self._migrate = migrate
        self._engine = Engine(settings, stop=stop, migrate=True)
        self._state_is_checked = False
        self._stands_by = False
        self._fatal: ExporterError | None = None

    def run(self) -> int:
        """Serve; 0 after a clean stop, which waits for the runs under way.

        Raises: SchemaTooOld, SchemaTooNew, ConfigError, which a schedule does not cure.
        """
        if self._stop.requested:  # a signal came while the process started
            self._log.info("stopping")
            self._log.info("stopped")
            return 0
        try:
            self._check_state()
        except StateUnavailable as error:
            self._log.warning("state_not_ready", detail=str(error))
        schedule = self._settings.schedule
        scheduler = BackgroundScheduler(timezone=UTC)
        scheduler.add_job(
            self._cycle,
            trigger_of(schedule),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=first_run(schedule, datetime.now(UTC)),
        )
        scheduler.start()
        self._log.info(
            "serving", repository=self._settings.repository, schedule=schedule_text(schedule)
        )
        try:
            while self._fatal is None and not self._stop.wait(_HEARTBEAT_S):
                pass
        finally:
            self._stop.request()
            self._log.info("stopping")
            scheduler.shutdown(wait=True)
        if self._fatal is not None:
            raise self._fatal
        self._log.info("stopped")
        return 0

    def _check_state(self) -> None:
        """Create the ledger or see that it is of this release; an older one only with `migrate`."""
        url = self._settings.state.url.get_secret_value()
        if self._migrate:
            before, after = Ledger.upgrade(url)
            self._log.info("state_ready", before=before, after=after)
        else:
            try:
                Ledger.open(url, migrate=False).close()
            except StateUnavailable as error:
                if not error.context.get("missing"):
                    raise
        self._state_is_checked = True

    def _cycle(self) -> None:
        try:
            if not self._state_is_checked:
                self._check_state()
            report = self._engine.cycle(delivery_s=self._until_the_next())
        except LeaseHeld as held:
            if not self._stands_by:
                self._log.info("standing_by", detail=str(held))
            self._stands_by = True
        except _NEVER_CURED as error:
            self._fatal = error
        except ExporterError as error:
            self._log.error("cycle_failed", kind=type(error).__name__, detail=str(error))
        else:
            self._stands_by = False
            self._tell(report.to_json())

    def _until_the_next(self) -> float:
        """Give how long events may be delivered before the sources want to be looked at again."""
        now = datetime.now(UTC)
        moments = [moment for moment in next_runs(self._settings.schedule, now, 2) if moment > now]
        return max([_SHORTEST_DELIVERY_S, *((m - now).total_seconds() for m in moments[:1])])

    def _tell(self, report: dict[str, Any]) -> None:  # Any: the JSON of `run --json`
        for error in report["errors"]:
            self._log.error("not_written", **error)
        self._log.info(
            "cycle",
            ok=report["ok"],
            seconds=report["seconds"],
            units=report["units"],
            mlflow=report["mlflow"],
            openlineage=report["openlineage"],
        )
