"""One stack, open for a cycle: its history, its artifacts, the policy of its units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.config.urls import same_place
from exporter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.config import Settings, StackSettings
    from exporter.history.ports import ArtifactReader, ChangeFeed
    from exporter.ledger import Ledger
    from exporter.sync.leading import Leadership


@dataclass(frozen=True, slots=True)
class OpenStack:
    """A stack's back ends. `policy` digests the mapping and the artifact policy."""

    key: str
    history: ChangeFeed
    artifacts: ArtifactReader
    policy: str


@dataclass(frozen=True, slots=True)
class LedgerContents:
    """Keeps artifacts' contents in the ledger, under the stack's policy."""

    ledger: Ledger
    leadership: Leadership
    stack: str
    policy: str

    def recall(self, artifact_ids: Sequence[str]) -> Mapping[str, str]:
        """Give what is remembered of these artifacts."""
        return self.ledger.bindings.contents(self.stack, self.policy, artifact_ids)

    def keep(self, contents: Mapping[str, str]) -> None:
        """Remember."""
        self.ledger.bindings.save_contents(self.leadership.lease, self.stack, self.policy, contents)


def refuse_own_sink(settings: Settings, stack: StackSettings) -> None:
    """Refuse a stack that is read out of the very MLflow it would be written to.

    Raises: ConfigError.
    """
    source, mlflow = stack.source.get_secret_value(), settings.sinks.mlflow
    if mlflow is None or not source.startswith("mlflow+"):
        return
    if same_place(source) == same_place(mlflow.tracking_uri.get_secret_value()):
        raise ConfigError(
            f"Stack {stack.key!r} is read out of the MLflow that it would be written to.",
            hint="Name another MLflow in sinks.mlflow, or the store it came from as the source.",
        )
