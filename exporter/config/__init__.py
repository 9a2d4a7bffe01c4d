"""What one exporter is told to do: its settings, where they come from, and how they are shown.

It knows files, variables and YAML; it never contacts a store, a sink or the ledger. The names below
are imported when they are asked for, since pydantic and YAML take their time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.config.catalogs import catalog_names, profile_of
    from exporter.config.load import find_config, load_settings, settings_from
    from exporter.config.masking import Masker, mask_url
    from exporter.config.resources import (
        load_mapping,
        mapping_file,
        mapping_names,
        resource_folder,
    )
    from exporter.config.settings import (
        ArtifactSettings,
        LogSettings,
        MlflowSettings,
        OpenLineageSettings,
        ScheduleSettings,
        Settings,
        SinkSettings,
        StackSettings,
    )

__all__ = [
    "ArtifactSettings",
    "LogSettings",
    "Masker",
    "MlflowSettings",
    "OpenLineageSettings",
    "ScheduleSettings",
    "Settings",
    "SinkSettings",
    "StackSettings",
    "catalog_names",
    "find_config",
    "load_mapping",
    "load_settings",
    "mapping_file",
    "mapping_names",
    "mask_url",
    "profile_of",
    "resource_folder",
    "settings_from",
]

_MODULES = {
    "catalog_names": "catalogs",
    "profile_of": "catalogs",
    "find_config": "load",
    "load_settings": "load",
    "settings_from": "load",
    "Masker": "masking",
    "mask_url": "masking",
    "load_mapping": "resources",
    "mapping_file": "resources",
    "mapping_names": "resources",
    "resource_folder": "resources",
}


def __getattr__(name: str) -> Any:  # Any: whatever the module calls by that name
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULES.get(name, 'settings')}")
    value = getattr(module, name)
    globals()[name] = value
    return value
