"""The effective mapping and artifact policy of a stack, read once per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.config import load_mapping, mapping_names, profile_of
from exporter.mapping import mlflow, openlineage
from exporter.sync.fingerprint import policy_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.config import Settings, StackSettings
    from exporter.mapping.mlflow import MlflowNaming
    from exporter.mapping.openlineage import CatalogProfile, LineageNaming


@dataclass(frozen=True, slots=True)
class Mappings:
    """The names and rules that turn runs into plans and events."""

    mlflow: MlflowNaming
    openlineage: LineageNaming
    catalogs: Mapping[str, CatalogProfile]
    raw: dict[str, Any]  # Any: YAML values, only digested

    @classmethod
    def load(cls, settings: Settings) -> Mappings:
        """Read the mappings, the user's own before the bundled ones. Raises: ConfigError.

        What a user's `openlineage.yaml` does not name is as it ships, the rules of places too.
        """
        raw = {
            name: load_mapping(name, folder=settings.mappings_folder)
            for name in ("mlflow", "openlineage", *_sources(settings))
        }
        raw["openlineage"] = {**load_mapping("openlineage"), **raw["openlineage"]}
        return cls(
            mlflow=mlflow.naming_from_yaml(raw["mlflow"]),
            openlineage=openlineage.naming_from_yaml(raw["openlineage"]),
            catalogs={
                one.name: profile_of(one, settings.mappings_folder)
                for one in settings.sinks.openlineage
            },
            raw=raw,
        )


def _sources(settings: Settings) -> list[str]:
    """Name the profiles that say how stores are read."""
    return [f"sources/{n}" for n in mapping_names("sources", folder=settings.mappings_folder)]


def stack_policy(mappings: Mappings, stack: StackSettings) -> str:
    """Digest what decides how a stack's runs are written."""
    artifacts = stack.artifacts
    return policy_digest(
        {
            "mappings": mappings.raw,
            "flavour": stack.flavour,
            "mode": artifacts.mode,
            "max_size": artifacts.max_size,
            "roots": None if artifacts.roots is None else list(artifacts.roots),
            "rewrite": dict(artifacts.rewrite),
        }
    )
