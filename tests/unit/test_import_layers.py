"""Imports go down only, and the pure packages import nothing that could surprise."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).resolve().parents[2] / "exporter"

# What each layer may import of the package, besides itself. `errors` is a leaf for all. The root
# (`exporter/__init__`) is the public API; nothing below it may import from it.
_MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "_version": frozenset(),
    "hierarchy": frozenset(),
    "drawing": frozenset({"hierarchy"}),
    "mapping": frozenset({"hierarchy", "drawing"}),
    "config": frozenset({"hierarchy", "mapping"}),
    "ledger": frozenset({"hierarchy"}),
    "statistics": frozenset({"hierarchy", "drawing"}),
    "materializers": frozenset({"hierarchy", "statistics"}),
    "history": frozenset({"hierarchy", "drawing", "materializers"}),
}
_MAY_IMPORT["sinks"] = frozenset({"mapping", "hierarchy", "ledger", "config"})
_MAY_IMPORT["readback"] = frozenset(
    {"history", "hierarchy", "config", "materializers", "mapping", "sinks"}
)
_MAY_IMPORT["sources"] = frozenset({"history", "hierarchy", "config", "materializers", "readback"})
_BELOW_SYNC = frozenset(_MAY_IMPORT)
_MAY_IMPORT["sync"] = _BELOW_SYNC
_MAY_IMPORT["service"] = _BELOW_SYNC | {"sync"}
_MAY_IMPORT["cli"] = _BELOW_SYNC | {"sync", "service", ""}
_MAY_IMPORT[""] = _BELOW_SYNC | {"sync"}
_MAY_IMPORT["testing"] = frozenset({"hierarchy", "materializers"})
_MAY_IMPORT["__main__"] = frozenset({"cli"})

_PURE = ("hierarchy", "drawing", "mapping")
_SURPRISES = frozenset(
    {
        "alembic",
        "apscheduler",
        "asyncio",
        "fsspec",
        "glob",
        "http",
        "httpx",
        "io",
        "locale",
        "logging",
        "mlflow",
        "os",
        "pandas",
        "pathlib",
        "pyarrow",
        "random",
        "requests",
        "secrets",
        "shutil",
        "socket",
        "sqlalchemy",
        "sqlite3",
        "structlog",
        "subprocess",
        "tempfile",
        "threading",
        "time",
    }
)
_IMPURE_NAMES = frozenset({"uuid1", "uuid4", "getenv", "environ", "now", "utcnow", "today", "open"})

_HEAVY = frozenset({"mlflow", "pandas", "sqlalchemy", "alembic", "pydantic", "pyarrow", "numpy"})
_LIGHT_AT_START = ("__init__", "__main__", "errors", "hierarchy", "cli/__init__", "cli/app")


def _layer(path: Path) -> str:
    parts = path.relative_to(_PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def _files() -> list[Path]:
    return sorted(_PACKAGE.rglob("*.py"))


def _module_of(path: Path) -> list[str]:
    parts = ["exporter", *path.relative_to(_PACKAGE).with_suffix("").parts]
    return parts[:-1] if parts[-1] == "__init__" else parts


def _is_typing_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _imports(body: list[ast.stmt], path: Path, *, only_at_start: bool = False) -> Iterator[str]:
    """Give every module that a file imports, `import x` in functions too unless only_at_start."""
    for node in body:
        if only_at_start and (
            _is_typing_guard(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _module_of(path)
            package = base if path.name == "__init__.py" else base[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        else:
            children = [child for child in ast.walk(node) if isinstance(child, ast.stmt)]
            yield from _imports(
                [child for child in children if child is not node and _is_import(child)], path
            )


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _tree(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path)).body


def _layer_of_module(module: str) -> str | None:
    """Give the layer that an imported module belongs to; None outside the package."""
    parts = module.split(".")
    if parts[0] != "exporter":
        return None
    known = len(parts) > 1 and (
        (_PACKAGE / parts[1]).is_dir() or (_PACKAGE / f"{parts[1]}.py").is_file()
    )
    return parts[1] if known else ""


def test_every_part_of_the_package_has_a_layer() -> None:
    parts = {_layer(path) for path in _files()}
    assert parts <= set(_MAY_IMPORT), f"say in {__file__} which layer they are"


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(_PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    layer = _layer(path)
    allowed = _MAY_IMPORT[layer] | {layer, "errors", "_version"}
    used = {module: _layer_of_module(module) for module in _imports(_tree(path), path)}
    wrong = sorted(m for m, part in used.items() if part is not None and part not in allowed)
    assert wrong == [], f"the layer {layer or 'exporter'!r} may import {sorted(allowed)}"


@pytest.mark.parametrize(
    "path",
    [path for path in _files() if _layer(path) in _PURE],
    ids=lambda path: str(path.relative_to(_PACKAGE)),
)
def test_the_pure_packages_have_no_clock_no_chance_and_no_world(path: Path) -> None:
    body = [node for node in _tree(path) if not _is_typing_guard(node)]
    modules = {module.split(".")[0] for module in _imports(body, path)}
    assert modules & _SURPRISES == set()
    calls = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for statement in body
        for call in ast.walk(statement)
        if isinstance(call, ast.Call) and isinstance(node := call.func, ast.Attribute | ast.Name)
    }
    assert calls & _IMPURE_NAMES == set()


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in _files()
        if str(path.relative_to(_PACKAGE).with_suffix("")).startswith("hierarchy/")
        or str(path.relative_to(_PACKAGE).with_suffix("")) in _LIGHT_AT_START
    ],
    ids=lambda path: str(path.relative_to(_PACKAGE)),
)
def test_what_every_start_imports_is_light(path: Path) -> None:
    modules = {m.split(".")[0] for m in _imports(_tree(path), path, only_at_start=True)}
    assert modules & _HEAVY == set()
