"""The effective mapping and artifact policy of a stack, read once per process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.config import load_mapping, mapping_names
from exporter.mapping import mlflow, openlineage
from exporter.sync.fingerprint import policy_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.config import OpenLineageSettings, Settings, StackSettings
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
        """Read the mappings, the user's own before the bundled ones. Raises: ConfigError."""
        raw = {
            name: load_mapping(name, folder=settings.mappings_folder)
            for name in ("mlflow", "openlineage", *_sources(settings))
        }
        return cls(
            mlflow=mlflow.naming_from_yaml(raw["mlflow"]),
            openlineage=openlineage.naming_from_yaml(raw["openlineage"]),
            catalogs={d.name: profile_of(settings, d) for d in settings.sinks.openlineage},
            raw=raw,
        )


def profile_of(settings: Settings, destination: OpenLineageSettings) -> CatalogProfile:
    """Give the profile of a destination's catalog: the named one, else a file's or a general one.

    Raises: ConfigError if it is wrong, or there is none of that name.
    """
    is_file = destination.url is not None and destination.url.get_secret_value().startswith("file:")
    name = destination.catalog or ("file" if is_file else "generic")
    folder = settings.mappings_folder
    return openlineage.profile_from_yaml(name, load_mapping(f"catalogs/{name}", folder=folder))


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
