"""What differs between two canonical values of runs, place by place."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = Any  # Any: JSON values

_NAMES = ("id", "name", "path")


class ValueDifference(NamedTuple):
    """Two values at one place; None stands for nothing there."""

    path: str
    left: Json
    right: Json


def value_differences(left: Json, right: Json, path: str = "") -> Iterator[ValueDifference]:
    """Give the places where two JSON values differ, such as `steps[trainer].status`.

    Members of lists are told apart by their id or name where that is unique, else by position; the
    same members in another order are one difference, of the list.
    """
    if left == right and type(left) is type(right):
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for key in dict.fromkeys((*left, *right)):
            place = f"{path}.{key}" if path else key
            yield from value_differences(left.get(key), right.get(key), place)
    elif isinstance(left, list) and isinstance(right, list):
        yield from _lists(left, right, path)
    else:
        yield ValueDifference(path, left, right)


def _lists(left: Sequence[Json], right: Sequence[Json], path: str) -> Iterator[ValueDifference]:
    ours, theirs = _named(left), _named(right)
    found = False
    for name in dict.fromkeys((*ours, *theirs)):
        for difference in value_differences(ours.get(name), theirs.get(name), f"{path}[{name}]"):
            found = True
            yield difference
    if not found:
        yield ValueDifference(path, list(ours), list(theirs))


def _named(items: Sequence[Json]) -> Mapping[str, Json]:
    """Give the members of a list by names: their own where no two share one."""
    names = [_name(item, place) for place, item in enumerate(items)]
    several = {name for name, count in Counter(names).items() if count > 1}
    return {
        f"{name}#{place}" if name in several else name: item
        for place, (name, item) in enumerate(zip(names, items, strict=True))
    }


def _name(item: Json, place: int) -> str:
    if isinstance(item, dict):
        for key in _NAMES:
            if isinstance(item.get(key), str):
                return str(item[key])
    if isinstance(item, list) and item and isinstance(item[0], str):
        return item[0]
    return str(place)
