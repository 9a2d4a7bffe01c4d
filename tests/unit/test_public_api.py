"""What users may rely on: the names of the package, and that importing it is cheap."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import exporter
from exporter.history.graph import RunGraph

PROMISED = {
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
}
FRAMEWORKS = ("sklearn", "joblib", "torch", "keras", "tensorflow")
HEAVY = (
    *FRAMEWORKS,
    "mlflow",
    "pandas",
    "numpy",
    "pyarrow",
    "sqlalchemy",
    "alembic",
    "pydantic",
    "yaml",
)


def _loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    return set(done.stdout.split())


def test_the_public_names_are_these() -> None:
    assert set(exporter.__all__) == PROMISED
    assert len(exporter.__all__) == len(set(exporter.__all__))
    assert dir(exporter) == sorted(exporter.__all__)


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_public_name_is_there_and_says_what_it_promises(name: str) -> None:
    value = getattr(exporter, name)
    if name != "__version__":
        assert value.__name__ == name
        assert inspect.getdoc(value)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'open_repo'"):
        _ = exporter.open_repo  # type: ignore[attr-defined]  # the point of the test


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import exporter")
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)
    assert {name for name in loaded if name.startswith("exporter")} <= {
        "exporter",
        "exporter._version",
    }


def test_the_views_and_materializers_load_no_data_framework() -> None:
    loaded = _loaded_by(
        "from exporter import Repository, PandasMaterializer, NumpyMaterializer, snapshot\n"
        "from exporter import KerasModelMaterializer, SklearnModelMaterializer\n"
        "from exporter import TorchModelMaterializer, testing"
    )
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_every_public_method_has_a_docstring() -> None:
    for name in ("Repository", "Pipeline", "Run", "Step", "Output", "Input"):
        members = inspect.getmembers(getattr(exporter, name))
        for member, value in members:
            if not member.startswith("_") and (
                inspect.isroutine(value) or isinstance(value, property)
            ):
                assert inspect.getdoc(value), f"{name}.{member}"


def test_a_drawing_keeps_its_promised_names() -> None:
    members = {n for n in dir(RunGraph) if not n.startswith("__")}
    assert {"svg", "html", "save", "_repr_svg_", "_repr_html_"} <= members
    assert all(inspect.getdoc(getattr(RunGraph, n)) for n in ("svg", "html", "save"))
    assert list(inspect.signature(exporter.Run.visualize).parameters) == ["self"]


def test_open_repository_keeps_its_promised_parameters() -> None:
    parameters = inspect.signature(exporter.open_repository).parameters
    assert list(parameters) == [
        "source",
        "tracking_uri",
        "repository",
        "stack_key",
        "flavour",
        "roots",
        "rewrite",
        "include_incomplete",
        "include_gone",
        "cache_dir",
    ]
    assert all(p.default is not inspect.Parameter.empty for p in parameters.values())
    assert [p.kind for p in parameters.values()].count(inspect.Parameter.KEYWORD_ONLY) == 9


def test_the_package_is_typed() -> None:
    assert Path(exporter.__file__).with_name("py.typed").exists()
