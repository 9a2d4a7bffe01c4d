"""What verifying takes from the ledger, which it only reads and can do without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from exporter.hierarchy.status import is_unfinished
from exporter.ledger import Ledger
from exporter.mapping.mlflow import Home
from exporter.sync.mlflow_export import mlflow_sink_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.config import Settings
    from exporter.hierarchy import RunSnapshot
    from exporter.ledger import SinkState


class Standings(NamedTuple):
    """What the ledger knows of some units: how far MLflow is with each, and their MLflow runs."""

    states: Mapping[str, SinkState]
    bound: Mapping[str, Mapping[str, str]]
    last_cycle_ms: int | None

    def is_waiting(self, run: RunSnapshot, key: str, fingerprint: str, *, is_missing: bool) -> bool:
        """Tell whether a cycle is yet to write a run: it goes on, or is newer than the last one.

        Before the first cycle all that is missing waits. A change that a cycle did not see does
        not.
        """
        state = self.states.get(key)
        if state is not None and state.progress == "pending":
            return True
        if state is not None and (state.progress != "done" or state.fingerprint == fingerprint):
            return False
        if self.last_cycle_ms is None and is_missing:
            return True
        if is_unfinished(run.status) or any(is_unfinished(step.status) for step in run.steps):
            return True
        changed = (run.end or run.start) if run.changed is None else run.changed
        if self.last_cycle_ms is None or changed is None:
            return False
        return changed >= self.last_cycle_ms


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The ledger of the settings, read only; `ledger` is None where there is none yet."""

    ledger: Ledger | None
    sink: str

    @classmethod
    def of(cls, settings: Settings, tracking_uri: str) -> Self:
        """Open it. Raises: StateError for one that is there and cannot be read."""
        ledger = Ledger.open_existing(settings.state.url.get_secret_value(), settings.repository)
        return cls(ledger, mlflow_sink_name(tracking_uri))

    def close(self) -> None:
        """Release the connections."""
        if self.ledger is not None:
            self.ledger.close()

    def standings(self, keys: Sequence[str]) -> Standings:
        """Say how far MLflow is with these units."""
        if self.ledger is None:
            return Standings({}, {}, None)
        cycles = self.ledger.cycles.last(1)
        return Standings(
            self.ledger.units.sink_states(self.sink, keys),
            self.ledger.bindings.of(self.sink, keys),
            cycles[0].started_ms if cycles else None,
        )

    def pipelines(self, stack: str) -> list[str]:
        """Name the pipelines that were exported of a stack, also those no longer at the source."""
        return [] if self.ledger is None else self.ledger.units.pipeline_names(stack)

    def homes(self, stack: str, artifact_ids: Sequence[str]) -> dict[str, Home]:
        """Give where copied artifacts are, as far as it is known."""
        if self.ledger is None:
            return {}
        rows = self.ledger.bindings.homes(self.sink, stack, artifact_ids)
        return {artifact_id: Home(*row) for artifact_id, row in rows.items()}

    def contents(self, stack: str, policy: str, artifact_ids: Sequence[str]) -> Mapping[str, str]:
        """Give the contents that were worked out under a policy."""
        if self.ledger is None:
            return {}
        return self.ledger.bindings.contents(stack, policy, artifact_ids)
