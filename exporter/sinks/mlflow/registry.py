"""Makes logged models versions of registered models, once each, and lets aliases follow the newest.

Versions are ours when they carry `exporter.unit` and name their own run in `exporter.mlflow_run`;
no other is ever changed or deleted, nor an alias taken from it. A replaced model takes the place
of the older version: the new one is created, the aliases of the old one point to it, the old one
is deleted.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from exporter.errors import SinkTerminal, SinkUnavailable
from exporter.sinks.mlflow.tags import ARTIFACT_TAG, SELF_TAG, UNIT_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from exporter.mapping.mlflow import LoggedModelPlan
    from exporter.mapping.mlflow.registration import Registration
    from exporter.sinks.mlflow.models_api import (
        FoundModel,
        FoundVersion,
        LoggedModelApi,
        RegistryApi,
    )

_MODEL_TAG = "exporter.mlflow_model"
_TIME_TAG = "exporter.time"

# One at a time: an alias is read, compared and set, which two threads must not do at once.
_turn = threading.Lock()


class Registrar:
    """Registers the models of one unit."""

    def __init__(self, registry: RegistryApi, models: LoggedModelApi, *, repair: bool) -> None:
        self._registry = registry
        self._models = models
        self._repair = repair

    def register(self, registration: Registration, plan: LoggedModelPlan, model: FoundModel) -> int:
        """Make a model a version; give 1 where it was none before.

        A version that somebody deleted stays so until repair.
        Repeat: one or two requests, and nothing is written.
        Raises: SinkTerminal where the registry refuses, also for want of permission.
        """
        try:
            return self._register(registration, plan, model)
        except SinkUnavailable as error:
            if error.context.get("status") != 403:
                raise
            raise SinkTerminal(
                f"MLflow does not let us register {registration.name!r}: {error.message}",
                hint="Give our user that permission, or take it off `models` in "
                "mappings/mlflow.yaml.",
                **error.context,
            ) from error

    def _register(
        self, registration: Registration, plan: LoggedModelPlan, model: FoundModel
    ) -> int:
        with _turn:
            ours = self._ours(registration.name, plan)
            current = [v for v in ours if v.tags.get(_MODEL_TAG) == model.model_id]
            made = 0
            if current:
                kept = min(current, key=_number)
            elif not self._repair and any(name == registration.name for name, _ in model.versions):
                return 0
            else:
                self._registry.create(registration.name)
                kept = self._registry.create_version(registration.name, model, _tags(plan, model))
                made = 1
            stale = [v for v in ours if v.version != kept.version]
            if registration.aliases or stale:
                self._set_aliases(registration, kept, stale)
            for version in stale:
                self._registry.delete_version(version.name, version.version)
            return made

    def is_registered(self, model: FoundModel) -> bool:
        """Tell whether a version, whoever made it, still refers to a model."""
        if not model.versions:
            return False
        return any(self._registry.version(name, v) is not None for name, v in model.versions)

    def _ours(self, name: str, plan: LoggedModelPlan) -> list[FoundVersion]:
        """Give the versions that stand for this artifact of this unit, in order."""
        unit = plan.tags[UNIT_TAG]
        found = self._registry.versions(name, UNIT_TAG, unit)
        mine = [v for v in found if _is_ours(v) and v.tags.get(ARTIFACT_TAG) == plan.artifact_id]
        return sorted(mine, key=_number)

    def _set_aliases(
        self, registration: Registration, kept: FoundVersion, stale: Sequence[FoundVersion]
    ) -> None:
        """Let aliases point to a version: those of what it replaces, and those it is newest for."""
        now = self._registry.aliases(registration.name)
        replaced = {version.version for version in stale}
        inherited = [alias for alias, version in now.items() if version in replaced]
        for alias in dict.fromkeys((*inherited, *registration.aliases)):
            holder = now.get(alias)
            if holder == kept.version:
                continue
            if holder is None or holder in replaced or self._is_newer(kept, holder):
                self._registry.set_alias(registration.name, alias, kept.version)

    def _is_newer(self, kept: FoundVersion, holder: str) -> bool:
        """Tell whether a version may take an alias from another: that is ours, and older."""
        other = self._registry.version(kept.name, holder)
        if other is None:
            return True
        return _is_ours(other) and _time(other.tags) < _time(kept.tags)


def _tags(plan: LoggedModelPlan, model: FoundModel) -> Mapping[str, str]:
    return {
        **{key: plan.tags[key] for key in (UNIT_TAG, ARTIFACT_TAG, "exporter.run")},
        SELF_TAG: model.run_id,
        _MODEL_TAG: model.model_id,
        _TIME_TAG: str(plan.created),
    }


def _is_ours(version: FoundVersion) -> bool:
    return bool(version.tags.get(UNIT_TAG)) and version.tags.get(SELF_TAG) == version.run_id


def _number(version: FoundVersion) -> int:
    return int(version.version)


def _time(tags: Mapping[str, str]) -> int:
    said = tags.get(_TIME_TAG, "")
    return int(said) if said.isdecimal() else 0
