"""Sequences that also answer by name, and parameters by name in source order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, overload

from exporter.errors import AmbiguousName, NotFound
from exporter.history import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.hierarchy import Parameter, Value
    from exporter.hierarchy.records import PortOrder


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    def _row(self) -> Sequence[object]: ...


T = TypeVar("T")
NamedT = TypeVar("NamedT", bound=_Named)


class ParameterMap(Mapping[str, "Value"]):
    """Values by name, in the order of the source; a read-only mapping.

    Where the source holds one name twice, as MLMD may (a property that the type declares and a
    custom one), the name gives the declared one and `all(name)` gives both. `text(name)` is the
    source's own spelling.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._parameters = tuple(parameters)
        self._by_name: dict[str, Parameter] = {}
        for parameter in self._parameters:
            known = self._by_name.get(parameter.name)
            if known is None or (parameter.declared and not known.declared):
                self._by_name[parameter.name] = parameter

    def __getitem__(self, name: str) -> Value:
        return self._parameter(name).value

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def all(self, name: str) -> list[Value]:
        """Give every value of the name, in source order; none for a name that is not there."""
        return [parameter.value for parameter in self._parameters if parameter.name == name]

    def text(self, name: str) -> str | None:
        """Give the source's own spelling, kept only where the value cannot say it exactly."""
        return self._parameter(name).text

    @property
    def custom(self) -> ParameterMap:
        """Only the values that the type does not declare."""
        return ParameterMap([p for p in self._parameters if not p.declared])

    @property
    def declared(self) -> ParameterMap:
        """Only the values that the type declares."""
        return ParameterMap([p for p in self._parameters if p.declared])

    @property
    def records(self) -> tuple[Parameter, ...]:
        """The parameters as recorded, doubles included."""
        return self._parameters

    def _parameter(self, name: str) -> Parameter:
        try:
            return self._by_name[name]
        except (KeyError, TypeError):  # what has no hash is no name
            raise NotFound.among("parameter", name, self._by_name) from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)!r})"

    def _repr_html_(self) -> str:
        return render.table(("name", "value"), [(n, repr(v)) for n, v in self.items()])


class NamedSequence(Sequence[NamedT], Generic[NamedT]):
    """Things in their order, by position and by name.

    Iteration gives the things; `in` takes a thing or a name; `names` has every name once, in order.
    """

    kind = "item"
    columns: tuple[str, ...] = ()  # the header of the table in a notebook

    def __init__(self, items: Sequence[NamedT], *, where: str) -> None:
        self._items = tuple(items)
        self._where = where

    @overload
    def __getitem__(self, key: int | str) -> NamedT: ...

    @overload
    def __getitem__(self, key: slice) -> Sequence[NamedT]: ...

    def __getitem__(self, key: int | str | slice) -> NamedT | Sequence[NamedT]:
        if isinstance(key, slice):
            return self._items[key]
        if isinstance(key, str):
            return self._by_name(key)
        if not hasattr(key, "__index__"):
            raise NotFound.among(self.kind, key, self.names, where=self._where)
        return at_position(self._items, key, kind=self.kind, where=self._where)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[NamedT]:
        return iter(self._items)

    def __contains__(self, item: object) -> bool:
        if isinstance(item, str):
            return any(known.name == item for known in self._items)
        return item in self._items

    @property
    def names(self) -> list[str]:
        """Every name once, in order."""
        return list(dict.fromkeys(item.name for item in self._items))

    def all(self, name: str) -> list[NamedT]:
        """Give all things of the name, in order; an empty list for a name that is not there."""
        return [item for item in self._items if item.name == name]

    def _by_name(self, name: str) -> NamedT:
        named = self.all(name)
        if not named:
            raise NotFound.among(self.kind, name, self.names, where=self._where)
        return self._one(name, named)

    def _one(self, name: str, named: list[NamedT]) -> NamedT:
        if len(named) == 1:
            return named[0]
        raise AmbiguousName(
            f"{len(named)} {self.kind}s of {self._where} are named {name!r}.",
            hint=f"Use .all({name!r}), which gives them in order.",
            name=name,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._items)!r})"

    def _repr_html_(self) -> str:
        return render.table(self.columns, [item._row() for item in self._items])


def at_position(items: Sequence[T], position: int, *, kind: str, where: str) -> T:
    """Give the item at a position, from the end if negative.

    Raises: IndexError saying how many there are.
    """
    try:
        return items[position]
    except IndexError:
        raise IndexError(
            f"There is no {kind} at position {position} of {where}: there are {len(items)}."
        ) from None


class PortList(NamedSequence[NamedT]):
    """The inputs or outputs of a step; a port that holds a list is several with one name.

    `order` says what the order means: `declared`, as the step's signature has it, or `artifact_id`
    where the store does not record that.
    """

    columns = ("name", "type", "data type", "uri", "cached")

    def __init__(self, items: Sequence[NamedT], *, order: PortOrder, kind: str, where: str) -> None:
        super().__init__(items, where=where)
        self.order: PortOrder = order
        self.kind = kind

    def sole(self) -> NamedT:
        """Give the only one.

        Raises: NotFound when there is none, AmbiguousName when there are several.
        """
        if len(self) == 1:
            return self[0]
        if not self:
            raise NotFound(f"There is no {self.kind} in {self._where}.")
        raise AmbiguousName(
            f"There are {len(self)} {self.kind}s in {self._where}.",
            hint=f"Ask by name or position; the names are {', '.join(map(repr, self.names[:10]))}.",
        )
