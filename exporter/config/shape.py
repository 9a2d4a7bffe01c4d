"""The shape of the settings: which names there are at a place, and what goes there."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

Shape = Literal["value", "list", "mapping", "section"]


def kind_at(place: Sequence[str | int]) -> Shape | None:
    """Say what goes at a place of the configuration; None if there is no such place."""
    annotation = _annotation_at(place)
    if annotation is None:
        return None
    if _is_section(annotation):
        return "section"
    origin = get_origin(annotation)
    if origin is tuple:
        return "list"
    return "mapping" if origin is Mapping else "value"


def names_at(place: Sequence[str | int]) -> tuple[str, ...]:
    """Give the settings that a section knows; none where there is no section."""
    annotation = _annotation_at(place)
    return tuple(annotation.model_fields) if _is_section(annotation) else ()


def all_places() -> tuple[tuple[str | int, ...], ...]:
    """Give every place of the configuration, lists by their first element."""
    found: list[tuple[str | int, ...]] = []

    def walk(place: tuple[str | int, ...]) -> None:
        for name in names_at(place):
            here = (*place, name)
            found.append(here)
            walk((*here, 0) if kind_at(here) == "list" else here)

    walk(())
    return tuple(found)


def _annotation_at(place: Sequence[str | int]) -> Any:  # Any: a type, or None
    from exporter.config.settings import Settings

    annotation: Any = Settings
    for step in place:
        if _is_section(annotation):
            field = annotation.model_fields.get(step)
            annotation = None if field is None else _plain(field.annotation)
        elif get_origin(annotation) is tuple and isinstance(step, int):
            annotation = _plain(get_args(annotation)[0])
        elif get_origin(annotation) is Mapping:
            annotation = _plain(get_args(annotation)[1])
        elif annotation is Any:
            continue  # whatever is below a place of any shape
        else:
            return None
    return annotation


def _plain(annotation: Any) -> Any:  # Any: types have no common type of their own
    """Take `Annotated` and `| None` away."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return _plain(next(arg for arg in get_args(annotation) if arg is not type(None)))
    return annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
