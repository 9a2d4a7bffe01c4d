"""Which materializer reads an artifact: by what was recorded, then its type, then its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.materializers.frames import (
    ARRAY_FILES,
    PARQUET_FILES,
    NumpyMaterializer,
    PandasMaterializer,
)
from exporter.materializers.keras_models import (
    HDF5_SUFFIXES,
    KERAS_SUFFIXES,
    SAVED_MODEL,
    KerasModelMaterializer,
)
from exporter.materializers.plain import (
    BYTES_VALUE_TYPE,
    CONTAINER_FILE,
    JSON_FILES,
    TEXT_FILES,
    VALUE_TYPES,
    BuiltinMaterializer,
)
from exporter.materializers.plugins import plugin_for
from exporter.materializers.raw import (
    PICKLE_FILES,
    PICKLE_SUFFIXES,
    BytesMaterializer,
    PickleMaterializer,
)
from exporter.materializers.sklearn_models import JOBLIB_SUFFIXES, SklearnModelMaterializer
from exporter.materializers.statistics import SchemaMaterializer, StatisticsMaterializer
from exporter.materializers.torch_models import (
    TORCH_FILES,
    TORCH_SUFFIXES,
    TorchModelMaterializer,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.hierarchy import Artifact
    from exporter.materializers.files import ArtifactFiles
    from exporter.materializers.protocol import Materializer

# The class that ZenML 0.5 to 0.98 recorded → the materializer that reads its files.
_BY_CLASS: dict[str, Callable[[], Materializer]] = {
    "BuiltInMaterializer": BuiltinMaterializer,
    "BuiltInContainerMaterializer": BuiltinMaterializer,
    "BytesMaterializer": BuiltinMaterializer,
    "CloudpickleMaterializer": PickleMaterializer,
    "KerasMaterializer": KerasModelMaterializer,
    "NeuralProphetMaterializer": TorchModelMaterializer,
    "NumpyMaterializer": NumpyMaterializer,
    "PandasMaterializer": PandasMaterializer,
    "PyTorchDataLoaderMaterializer": TorchModelMaterializer,
    "PyTorchLightningMaterializer": TorchModelMaterializer,
    "PyTorchMaterializer": TorchModelMaterializer,
    "PyTorchModuleMaterializer": TorchModelMaterializer,
    "PydanticMaterializer": BuiltinMaterializer,
    "SklearnMaterializer": SklearnModelMaterializer,
    "StructuredStringMaterializer": BuiltinMaterializer,
}
# Types of TFX that say what is inside, whatever the file is called.
_BY_TYPE: dict[str, Callable[[], Materializer]] = {
    "ExampleStatistics": StatisticsMaterializer,
    "Schema": SchemaMaterializer,
}


def recorded_class(materializer: str | None) -> str:
    """Give the bare class name of a recorded path such as `zenml.materializers.X@zenml_0.5.7`."""
    return (materializer or "").partition("@")[0].rpartition(".")[2]


def choose(files: ArtifactFiles) -> Materializer:
    """Choose the materializer that reads an artifact; BytesMaterializer where no format is known.

    A plug-in that names the recorded class or data type comes first.
    Raises: ConfigError when that plug-in is broken; else as `ArtifactFiles` does.
    """
    artifact = files.artifact
    plugin = plugin_for(*_recorded_names(artifact))
    if plugin is not None:
        return plugin
    recorded = _BY_CLASS.get(recorded_class(artifact.materializer))
    if recorded is not None:
        return recorded()
    if artifact.type in _BY_TYPE:
        return _BY_TYPE[artifact.type]()
    if artifact.type in (*VALUE_TYPES, BYTES_VALUE_TYPE) and "" in files.sizes:
        return BuiltinMaterializer()
    return _by_files(files)


def _recorded_names(artifact: Artifact) -> tuple[str, ...]:
    """Give the names by which a plug-in may claim an artifact, the most telling first."""
    path = (artifact.materializer or "").partition("@")[0]
    return path, recorded_class(artifact.materializer), artifact.data_type or ""


def _by_files(files: ArtifactFiles) -> Materializer:
    """Choose by the names that ZenML gives its files; the most telling first."""
    names = set(files.names)
    top = {path or base for path, base in zip(files.sizes, files.names, strict=True)}
    if SAVED_MODEL in names or any(name.endswith(KERAS_SUFFIXES) for name in names):
        return KerasModelMaterializer()
    if {"data.parquet", "shape.json"} <= top or top & set(ARRAY_FILES):
        return NumpyMaterializer()
    if top & {*PARQUET_FILES, "df.csv"}:
        return PandasMaterializer()
    if top & {*JSON_FILES, *TEXT_FILES, CONTAINER_FILE}:
        return BuiltinMaterializer()
    return _by_model_files(files, names, top) or BytesMaterializer()


def _by_model_files(files: ArtifactFiles, names: set[str], top: set[str]) -> Materializer | None:
    """Choose among those whose formats mostly execute code, once nothing safer fits."""
    if top & set(TORCH_FILES) or any(name.endswith(TORCH_SUFFIXES) for name in names):
        return TorchModelMaterializer()
    if top & set(PICKLE_FILES) or any(name.endswith(PICKLE_SUFFIXES) for name in names):
        is_sklearn = (files.artifact.data_type or "").startswith("sklearn.")
        return SklearnModelMaterializer() if is_sklearn else PickleMaterializer()
    if any(name.endswith(JOBLIB_SUFFIXES) for name in names):
        return SklearnModelMaterializer()
    if any(name.endswith(HDF5_SUFFIXES) for name in names):
        return KerasModelMaterializer()
    return None
