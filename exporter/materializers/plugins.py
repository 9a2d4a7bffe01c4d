"""Materializers that other packages bring, by entry points of the group `exporter.materializers`.

The name of an entry point is what a store records: the class that wrote an artifact (`Lines`, or
`acme.materializers.Lines`) or its data type (`acme.Lines`). Its value is the materializer's class.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from exporter.errors import ConfigError
from exporter.materializers.protocol import Materializer

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "exporter.materializers"


def plugin_for(*names: str) -> Materializer | None:
    """Give the materializer registered for the first of `names` that has one; None if none has.

    Only that one is loaded: a plug-in that is broken fails for what it names and nothing else.
    Raises: ConfigError that names the plug-in, when it cannot be loaded, is no materializer, or is
    one of several for the same name.
    """
    registered = _registered()
    for name in names:
        if name in registered:
            return _made(registered[name])
    return None


@cache
def _registered() -> dict[str, tuple[EntryPoint, ...]]:
    """Find what is installed, once per process; a plug-in installed later is seen by the next."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=GROUP):
        if point not in found.get(point.name, ()):
            found[point.name] = (*found.get(point.name, ()), point)
    return found


def _made(points: tuple[EntryPoint, ...]) -> Materializer:
    point = points[0]
    shown = ", ".join(f"{p.value!r} of {_distribution(p)}" for p in points)
    if len(points) > 1:
        raise ConfigError(
            f"Several plug-ins say that they read {point.name!r}: {shown}.",
            hint=f"Uninstall all but one. {_HINT}",
        )
    try:
        made = point.load()()
    except Exception as error:  # a stranger's module may raise anything while it is imported
        raise ConfigError(
            f"The plug-in for {point.name!r}, {shown}, cannot be loaded: "
            f"{type(error).__name__}: {error}",
            hint=f"Repair or uninstall it. {_HINT}",
        ) from error
    if not isinstance(made, Materializer):
        raise ConfigError(
            f"The plug-in for {point.name!r}, {shown}, is no materializer.",
            hint=f"It must be a class with a method read(files, *, trusted=False). {_HINT}",
        )
    return made


_HINT = "Until then name another: output.read(materializer=…)."


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"
