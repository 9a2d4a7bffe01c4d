"""Logged models and the registry in MLflow's own store, where the tracking URI is a database."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelParameter, LoggedModelStatus
from mlflow.entities.logged_model_tag import LoggedModelTag
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from exporter.sinks.mlflow.answers import AlreadyExists, MissingResource
from exporter.sinks.mlflow.models_api import FoundModel, FoundVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

_PAGE = 100
_MOST_VERSIONS = 1_000


class Asking(Protocol):
    """Counts a call of the store, and says what its failure means in the words of the sink."""

    def __call__(self, what: str) -> AbstractContextManager[None]:
        """Hold the store's turn while the block runs."""


Store = Any  # Any: the store's methods have no annotations


class DatabaseModels:
    """The logged models of a database. See `LoggedModelApi` for what each call promises."""

    def __init__(self, store: Callable[[], Store], asking: Asking) -> None:
        self._store = store
        self._asking = asking

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
        """Create a model."""
        with self._asking("create a model"):
            made = self._store().create_logged_model(
                experiment_id,
                name,
                run_id,
                [LoggedModelTag(key, value) for key, value in tags.items()],
                [LoggedModelParameter(key, value) for key, value in params],
                model_type,
            )
        return _found_model(made)

    def log_params(self, model_id: str, params: Sequence[tuple[str, str]]) -> None:
        """Add parameters."""
        entities = [LoggedModelParameter(key, value) for key, value in params]
        with self._asking("log parameters of a model"):
            self._store().log_logged_model_params(model_id, entities)

    def finish(self, model_id: str) -> None:
        """Make a model ready."""
        with self._asking("make a model ready"):
            self._store().finalize_logged_model(model_id, LoggedModelStatus.READY)

    def link(self, run_id: str, model_id: str) -> None:
        """Make a model an output of a run."""
        with self._asking("log outputs"):
            self._store().log_outputs(run_id, [LoggedModelOutput(model_id, 0)])

    def search(self, experiment_id: str, filter_text: str) -> Iterator[FoundModel]:
        """Give models, by pages."""
        token: str | None = None
        while True:
            with self._asking("search models"):
                page = self._store().search_logged_models(
                    [experiment_id], filter_text, max_results=_PAGE, page_token=token
                )
            yield from map(_found_model, page)
            token = page.token
            if not token:
                return

    def get(self, model_id: str) -> FoundModel | None:
        """Give a model, deleted or not."""
        try:
            with self._asking("get a model"):
                return _found_model(self._store().get_logged_model(model_id, allow_deleted=True))
        except MissingResource:
            return None

    def set_tags(self, model_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a model."""
        entities = [LoggedModelTag(key, value) for key, value in tags.items()]
        with self._asking("set tags of a model"):
            self._store().set_logged_model_tags(model_id, entities)

    def delete(self, model_id: str) -> None:
        """Soft-delete a model."""
        with suppress(MissingResource), self._asking("delete a model"):
            self._store().delete_logged_model(model_id)


class DatabaseRegistry:
    """The registered models of a database. See `RegistryApi` for what each call promises."""

    def __init__(
        self, registry: Callable[[], Store], tracking: Callable[[], Store], asking: Asking
    ) -> None:
        self._registry = registry
        self._tracking = tracking
        self._asking = asking

    def create(self, name: str) -> None:
        """Create a registered model."""
        with suppress(AlreadyExists), self._asking("create a registered model"):
            self._registry().create_registered_model(name)

    def aliases(self, name: str) -> Mapping[str, str]:
        """Give alias → version of a registered model."""
        try:
            with self._asking("get a registered model"):
                found = self._registry().get_registered_model(name)
        except MissingResource:
            return {}
        return {alias: str(version) for alias, version in found.aliases.items()}

    def versions(self, name: str, tag: str, value: str) -> Sequence[FoundVersion]:
        """Give the versions of a registered model that carry a tag."""
        found: list[FoundVersion] = []
        token: str | None = None
        while True:
            with self._asking("search versions"):
                page = self._registry().search_model_versions(
                    f"tags.`{tag}` = '{value}'", _MOST_VERSIONS, page_token=token
                )
            found += map(_found_version, page)
            token = page.token
            if not token:
                return [version for version in found if version.name == name]

    def version(self, name: str, version: str) -> FoundVersion | None:
        """Give one version."""
        try:
            with self._asking("get a version"):
                return _found_version(self._registry().get_model_version(name, version))
        except MissingResource:
            return None

    def create_version(self, name: str, model: FoundModel, tags: Mapping[str, str]) -> FoundVersion:
        """Make a logged model a version, and tell the model, as a server does."""
        tag_of: Any = ModelVersionTag  # Any: its constructor has no annotations
        entities = [tag_of(key, value) for key, value in tags.items()]
        with self._asking("create a version"):
            made = self._registry().create_model_version(
                name,
                model.artifact_location,  # `models:/` would be looked up at a global tracking URI
                model.run_id,
                entities,
                model_id=model.model_id,
            )
        with self._asking("set tags of a model"):
            self._tracking().set_model_versions_tags(name, str(made.version), model.model_id)
        return _found_version(made)

    def delete_version(self, name: str, version: str) -> None:
        """Delete a version."""
        with suppress(MissingResource), self._asking("delete a version"):
            self._registry().delete_model_version(name, version)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias point to a version."""
        with self._asking("set an alias"):
            self._registry().set_registered_model_alias(name, alias, version)


def _found_model(model: LoggedModel) -> FoundModel:
    return FoundModel(
        model_id=model.model_id,
        name=model.name,
        status=str(model.status),
        run_id=model.source_run_id or "",
        artifact_location=model.artifact_location,
        tags=dict(model.tags),
        params=dict(model.params),
        metrics=frozenset(metric.key for metric in model.metrics or ()),
    )


def _found_version(version: ModelVersion) -> FoundVersion:
    untyped: Any = version  # Any: the entity's properties have no annotations
    return FoundVersion(
        untyped.name, str(untyped.version), untyped.run_id or "", dict(untyped.tags)
    )
