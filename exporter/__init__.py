"""Keep ML pipeline history in sync with MLflow and OpenLineage catalogs, and ask it back.

::

    from exporter import open_repository

    with open_repository("mlmd+sqlite:///metadata.db") as repository:
        run = repository.get_pipeline("train_pipeline").get_runs()[-1]
        accuracy = run.get_step("evaluator").outputs["accuracy"].read()

`import exporter` is cheap: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from exporter._version import __version__

if TYPE_CHECKING:
    from exporter.config import Settings
    from exporter.errors import (
        AmbiguousName,
        ArtifactError,
        ConfigError,
        CorruptArtifact,
        ExporterError,
        MissingArtifact,
        NotFound,
        SourceError,
        UnsafeArtifact,
    )
    from exporter.history.outputs import Input, Output
    from exporter.history.repository import Pipeline, Repository
    from exporter.history.snapshots import iter_snapshots, snapshot
    from exporter.history.views import Run, Step
    from exporter.materializers.frames import NumpyMaterializer, PandasMaterializer
    from exporter.materializers.keras_models import KerasModelMaterializer
    from exporter.materializers.plain import BuiltinMaterializer
    from exporter.materializers.raw import BytesMaterializer
    from exporter.materializers.sklearn_models import SklearnModelMaterializer
    from exporter.materializers.statistics import SchemaMaterializer, StatisticsMaterializer
    from exporter.materializers.torch_models import TorchModelMaterializer
    from exporter.sources.open import open_repository

__all__ = [
    "AmbiguousName",
    "ArtifactError",
    "BuiltinMaterializer",
    "BytesMaterializer",
    "ConfigError",
    "CorruptArtifact",
    "ExporterError",
    "Input",
    "KerasModelMaterializer",
    "MissingArtifact",
    "NotFound",
    "NumpyMaterializer",
    "Output",
    "PandasMaterializer",
    "Pipeline",
    "Repository",
    "Run",
    "SchemaMaterializer",
    "Settings",
    "SklearnModelMaterializer",
    "SourceError",
    "StatisticsMaterializer",
    "Step",
    "TorchModelMaterializer",
    "UnsafeArtifact",
    "__version__",
    "iter_snapshots",
    "open_repository",
    "snapshot",
]

_ERRORS = (
    "AmbiguousName ArtifactError ConfigError CorruptArtifact ExporterError MissingArtifact "
    "NotFound SourceError UnsafeArtifact"
)
_HOMES = {
    "Settings": "exporter.config",
    "Input": "exporter.history.outputs",
    "Output": "exporter.history.outputs",
    "Pipeline": "exporter.history.repository",
    "Repository": "exporter.history.repository",
    "Run": "exporter.history.views",
    "Step": "exporter.history.views",
    "iter_snapshots": "exporter.history.snapshots",
    "snapshot": "exporter.history.snapshots",
    "NumpyMaterializer": "exporter.materializers.frames",
    "PandasMaterializer": "exporter.materializers.frames",
    "KerasModelMaterializer": "exporter.materializers.keras_models",
    "BuiltinMaterializer": "exporter.materializers.plain",
    "BytesMaterializer": "exporter.materializers.raw",
    "SchemaMaterializer": "exporter.materializers.statistics",
    "StatisticsMaterializer": "exporter.materializers.statistics",
    "SklearnModelMaterializer": "exporter.materializers.sklearn_models",
    "TorchModelMaterializer": "exporter.materializers.torch_models",
    "open_repository": "exporter.sources.open",
    **dict.fromkeys(_ERRORS.split(), "exporter.errors"),
}


if not TYPE_CHECKING:  # a type checker that sees it takes every misspelt name for a real one

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
