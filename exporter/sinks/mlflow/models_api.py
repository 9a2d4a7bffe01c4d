"""What the sink asks of MLflow about models: logged ones, and the registry's versions of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

READY = "READY"
PARAMS_AT_ONCE = 100
_VERSIONS_TAG = "mlflow.modelVersions"  # MLflow's own, on a model that was registered


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A logged model as MLflow holds it now. `run_id` is that of the run that wrote it."""

    model_id: str
    name: str
    status: str
    run_id: str
    artifact_location: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: frozenset[str] = frozenset()

    @property
    def versions(self) -> list[tuple[str, str]]:
        """Give (registered model, version) of everything that it was ever registered as."""
        try:
            said = json.loads(self.tags.get(_VERSIONS_TAG, "[]"))
            pairs = [(str(item["name"]), str(item["version"])) for item in said]
            return [pair for pair in pairs if pair[1].isdecimal()]
        except (ValueError, TypeError, KeyError):
            return []


class FoundVersion(NamedTuple):
    """A version of a registered model."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]


class LoggedModelApi(Protocol):
    """The calls for logged models. All but `create` and `link` may be repeated without an effect.

    Raises (all methods): SinkUnavailable, SinkTransient, SinkTerminal; `create` and `link` are sent
    once and raise SinkTransient where it is not known what came of them.
    """

    def create(
        self,
        experiment_id: str,
        name: str,
        *,
        model_type: str,
        run_id: str,
        tags: Mapping[str, str],
        params: Sequence[tuple[str, str]],
    ) -> FoundModel:
        """Create a model that is not ready. Repeat: a second model."""

    def log_params(self, model_id: str, params: Sequence[tuple[str, str]]) -> None:
        """Add parameters that the model has not yet."""

    def finish(self, model_id: str) -> None:
        """Make a model ready."""

    def link(self, run_id: str, model_id: str) -> None:
        """Make a model an output of a run. Repeat: refused."""

    def search(self, experiment_id: str, filter_text: str) -> Iterator[FoundModel]:
        """Give models that are not deleted, by pages."""

    def get(self, model_id: str) -> FoundModel | None:
        """Give a model, deleted or not; None where there is none."""

    def set_tags(self, model_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a model."""

    def delete(self, model_id: str) -> None:
        """Soft-delete a model; one that is deleted is fine."""


class RegistryApi(Protocol):
    """The calls for registered models. All but `create_version` may be repeated.

    Raises (all methods): as `LoggedModelApi`; `create_version` is sent once.
    """

    def create(self, name: str) -> None:
        """Create a registered model; one that exists is fine."""

    def aliases(self, name: str) -> Mapping[str, str]:
        """Give alias → version of a registered model; empty where there is none."""

    def versions(self, name: str, tag: str, value: str) -> Sequence[FoundVersion]:
        """Give the versions of a registered model that carry a tag."""

    def version(self, name: str, version: str) -> FoundVersion | None:
        """Give one version; None where there is none."""

    def create_version(self, name: str, model: FoundModel, tags: Mapping[str, str]) -> FoundVersion:
        """Make a logged model a version. Repeat: a second version."""

    def delete_version(self, name: str, version: str) -> None:
        """Delete a version; one that is gone is fine."""

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias point to a version."""
