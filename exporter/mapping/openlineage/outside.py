"""What a step reads and writes outside its pipeline, as its parameters name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from exporter.mapping.openlineage.places import any_place
from exporter.mapping.openlineage.rules import fits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.hierarchy import Parameter, Value
    from exporter.mapping.openlineage.places import Place, Places
    from exporter.mapping.openlineage.rules import ParameterRules

_DEPTH, _MOST = 4, 200


class Outside(NamedTuple):
    """A place, with the parameter that names it and how that spells it."""

    place: Place
    parameter: str
    uri: str
    is_output: bool


def named_outside(
    parameters: Sequence[Parameter], places: Places, rules: ParameterRules
) -> list[Outside]:
    """Find the places that parameters name, in their order.

    Only URIs that a rule names count, and absolute paths of the parameters that the mapping lists:
    not every text with a slash is a dataset.
    """
    found: list[Outside] = []
    table: str | None = None
    for name, text in _texts(parameters):
        is_uri = ":" in text[:40]
        if not is_uri and not (text.startswith("/") and fits(name, rules.paths)):
            continue
        if fits(name, rules.ignored):
            continue
        place = any_place(text) if not is_uri else places.named(text)
        if place is None and is_uri and "://" in text:
            table = _table(parameters, rules) if table is None else table
            place = places.named(text, table) if table else None
        if place is not None:
            found.append(Outside(place, name, text, fits(name, rules.outputs)))
    return found


def _table(parameters: Sequence[Parameter], rules: ParameterRules) -> str:
    for parameter in parameters:
        if isinstance(parameter.value, str) and parameter.name.lower() in rules.tables:
            return parameter.value
    return ""


def _texts(parameters: Sequence[Parameter]) -> Iterator[tuple[str, str]]:
    """Give the texts in parameters by their dotted names, inside lists and tables too."""
    left = _MOST
    for parameter in parameters:
        for found in _inside(parameter.name, parameter.value, _DEPTH):
            if not left:
                return
            left -= 1
            yield found


def _inside(name: str, value: Value, depth: int) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            if ":" in value or value.startswith("/"):
                yield name, value
        case list() if depth:
            for item in value:
                yield from _inside(name, item, depth - 1)
        case dict() if depth:
            for key, item in value.items():
                yield from _inside(f"{name}.{key}", item, depth - 1)
