"""The boundary of a unit of work: whatever goes wrong inside becomes a recorded outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from exporter.config.masking import mask_url
from exporter.errors import (
    ArtifactError,
    DeletedInSink,
    ExporterError,
    SinkRateLimited,
    SinkTransient,
    SinkUnavailable,
    SourceUnavailable,
    StateError,
    StoreUnreadable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.hierarchy import RunSnapshot
    from exporter.ledger import Ledger
    from exporter.sync.clock import Clock
    from exporter.sync.leading import Leadership
    from exporter.sync.report import StackReport

MAX_ATTEMPTS = 8
_FIRST_PAUSE_MS = 10_000
_LONGEST_PAUSE_MS = 3_600_000
_UNEXPECTED = "unexpected"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """A unit that could not be written: why, and whether to try again by itself."""

    kind: str
    message: str
    transient: bool
    retry_after_ms: int = 0
    is_deleted: bool = False
    is_artifact: bool = False

    @property
    def is_unexpected(self) -> bool:
        """Tell whether nobody foresaw it: an error that is none of ours."""
        return self.kind == _UNEXPECTED

    def next_at(self, now_ms: int, attempts: int) -> int:
        """Give when to try again after `attempts` earlier failures: 10 s doubling to an hour."""
        pause = min(_FIRST_PAUSE_MS << min(attempts, 10), _LONGEST_PAUSE_MS)
        return now_ms + max(pause, self.retry_after_ms)


def attempt(work: Callable[[], T], mask: Callable[[str], str] = mask_url) -> T | Failure:
    """Run one unit's work; a failure is a value, its message without the secrets that `mask` knows.

    Raises: SinkUnavailable, SourceUnavailable, StoreUnreadable and StateError, which are not about
    the unit.
    """
    try:
        return work()
    except (SinkUnavailable, SourceUnavailable, StoreUnreadable, StateError):
        raise
    except SinkRateLimited as error:
        pause_ms = int(error.retry_after_s * 1000)
        return Failure(type(error).__name__, mask(str(error)), True, retry_after_ms=pause_ms)
    except ExporterError as error:
        return Failure(
            type(error).__name__,
            mask(str(error)),
            transient=isinstance(error, SinkTransient | ArtifactError),
            is_deleted=isinstance(error, DeletedInSink),
            is_artifact=isinstance(error, ArtifactError),
        )
    except Exception as error:  # noqa: BLE001 - the one boundary: an unforeseen error must not stop the other units
        return Failure(_UNEXPECTED, mask(f"{type(error).__name__}: {error}"), transient=False)


@dataclass(frozen=True, slots=True)
class FailureBook:
    """Writes down what a sink did not take, in the ledger and in the report."""

    ledger: Ledger
    leadership: Leadership
    clock: Clock
    mask: Callable[[str], str] = mask_url

    def attempt(self, work: Callable[[], T]) -> T | Failure:
        """Run one unit's work; see `attempt`."""
        return attempt(work, self.mask)

    def note(
        self,
        sink: str,
        run: RunSnapshot,
        key: str,
        failure: Failure,
        report: StackReport,
    ) -> None:
        """Note a failure; one that does not pass by itself, or came too often, is dead.

        A sink that asks for a pause has it, as often as it asks.
        """
        named = {"pipeline": run.pipeline.name, "run": run.name}
        self.note_unit(sink, {"stack": run.stack, **named}, key, failure, report)

    def note_unit(
        self,
        sink: str,
        where: Mapping[str, str],
        key: str,
        failure: Failure,
        report: StackReport,
    ) -> None:
        """Note a failure of a unit that `where` names; see `note`."""
        now = self.clock.now_ms()
        state = self.ledger.units.sink_states(sink, [key]).get(key)
        attempts = state.attempts if state is not None else 0
        is_too_often = attempts + 1 >= MAX_ATTEMPTS and not failure.retry_after_ms
        dead = not failure.transient or is_too_often
        self.ledger.units.fail(
            self.leadership.lease,
            sink,
            key,
            error=failure.message,
            kind=failure.kind,
            dead=dead,
            next_at=None if dead else failure.next_at(now, attempts),
            now=now,
        )
        report.failed += 1
        report.dead_now += dead
        report.errors.append(
            {**where, "sink": shown_sink(sink), "error": failure.message, "dead": dead}
        )


def shown_sink(sink: str) -> str:
    """Name a sink for people: there is one MLflow, whatever the ledger calls it."""
    return "mlflow" if sink.startswith("mlflow/") else sink
