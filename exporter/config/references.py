"""What a configuration takes from elsewhere: `${NAME}`, `{file: path}`, EXPORTER_ variables."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.config.shape import all_places, kind_at, names_at
from exporter.config.urls import anchored_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Place = tuple[str | int, ...]
Tree = Any  # Any: YAML values, checked by the settings' own types afterwards

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PREFIX = "EXPORTER_"
_FILE_SUFFIX = "_FILE"


class Problem(NamedTuple):
    """One thing that is wrong, and at which setting."""

    place: Place
    text: str


class Literal(str):
    """Text from the environment: what looks like a reference in it is meant as it stands."""

    __slots__ = ()


def overlay_environment(
    tree: dict[str, Tree], environ: Mapping[str, str], read: Callable[[str], str]
) -> tuple[dict[Place, str], list[Problem]]:
    """Put EXPORTER_… variables over what the file says; give which variable set which setting.

    `EXPORTER_STATE__URL` is `state.url`, `EXPORTER_STACKS__0__SOURCE` the first stack's source; a
    name with `_FILE` behind it names a file that holds the value. Empty variables count as not set,
    and so do names that begin with no setting (a Kubernetes service called exporter brings
    EXPORTER_PORT and the like), unless they look like a setting misspelt, which is a problem.
    """
    origins: dict[Place, str] = {}
    problems: list[Problem] = []
    for variable in sorted(name for name in environ if name.startswith(_PREFIX)):
        name = variable.removesuffix(_FILE_SUFFIX)
        place = _place(name)
        if not environ[variable]:
            continue
        if kind_at(place[:1]) is None:
            if meant := _meant(place):
                origins[place] = variable
                problems.append(Problem(place, f"no such setting, did you mean {_PREFIX}{meant}"))
            continue
        if name == variable:
            value: Tree = Literal(environ[variable])
        elif environ.get(name):
            problems.append(
                Problem(place, f"{name} and {variable} are both set; unset one of them")
            )
            continue
        else:
            try:
                value = Literal(read(environ[variable]))
            except ValueError as error:
                problems.append(Problem(place, f"{variable}: {error}"))
                continue
        if kind_at(place) in {"section", "list", "mapping"}:
            value = _flow(value)
        if not _put(tree, place, value):
            problems.append(
                Problem(place, f"{variable} points into a list or text that has no such place")
            )
            continue
        origins[place] = variable
    return origins, problems


class Resolver:
    """Replaces every `${VARIABLE}` and `{file: path}` by what it stands for.

    `$${` is a plain `${`. Where `may_stay` allows, what cannot be resolved stays as `${…}`;
    everywhere else it is one of the `problems`.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        read: Callable[[str], str],
        may_stay: Callable[[Place], bool],
    ) -> None:
        self._environ = environ
        self._read = read
        self._may_stay = may_stay
        self.problems: list[Problem] = []

    def resolve(self, value: Tree, place: Place = ()) -> Tree:
        """Give the value with its references replaced; settings without a value are left out."""
        if isinstance(value, Literal):
            return str(value)
        if isinstance(value, str):
            return self._expand(value, place)
        if isinstance(value, list):
            return [self.resolve(item, (*place, index)) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if set(value) == {"file"} and isinstance(value["file"], str) and kind_at(place) == "value":
            return self._content(self._expand(value["file"], place), place)
        return {
            key: self.resolve(item, (*place, key))
            for key, item in value.items()
            if item is not None
        }

    def _expand(self, text: str, place: Place) -> str:
        return _REFERENCE.sub(lambda match: self._variable(match, place), text)

    def _variable(self, match: re.Match[str], place: Place) -> str:
        name = match[1]
        if name is None:
            return "${"
        if name in self._environ:
            return self._environ[name]
        if not _VARIABLE.fullmatch(name):
            advice = "names no variable; write ${NAME}, or $${ for a plain ${"
            self.problems.append(Problem(place, f"{match[0]} {advice}"))
        elif not self._may_stay(place):
            advice = f"the environment has no {name}; set it, or write $${{ for a plain ${{"
            self.problems.append(Problem(place, advice))
        return match[0]

    def _content(self, path: str, place: Place) -> str:
        try:
            return self._read(path)
        except ValueError as error:
            if not self._may_stay(place):
                self.problems.append(Problem(place, str(error)))
            return f"${{file:{path}}}"


def secret_file_reader(folder: Path) -> Callable[[str], str]:
    """Give the function that reads a value from a file, relative paths from `folder`."""

    def read(path: str) -> str:
        place = anchored_path(path, folder)
        try:
            with open(place, encoding="utf-8") as file:  # noqa: PTH123 - the text is what is told
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ValueError(f"the file {place} cannot be read: {reason}") from error
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise ValueError(f"the file {place} is empty")
        return text

    return read


def _place(variable: str) -> Place:
    parts = variable.removeprefix(_PREFIX).lower().split("__")
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _meant(place: Place) -> str | None:
    """Give the variable's name that a place of no setting was probably meant to have."""
    if single := _with_single_underscores(place):
        return single
    first, rest = str(place[0]), [str(step) for step in place[1:]]
    known = names_at(())
    near = difflib.get_close_matches(first, known, n=1, cutoff=0.75)
    if not near and rest:  # one underscore too few: SINKS_MLFLOW__TRACKING_URI
        near = [name for name in known if first.startswith(f"{name}_")]
        rest = [first.removeprefix(f"{name}_") for name in near] + rest
    return "__".join([*near[:1], *rest]).upper() if near else None


def _with_single_underscores(place: Place) -> str | None:
    """Give the name of a setting that is written with one underscore for two: STATE_URL."""
    written = "_".join(map(str, place))
    numbers = re.findall(r"(?<=_)\d+(?=_|$)", written)
    plain = re.sub(r"(?<=_)\d+(?=_|$)", "0", written)
    for known in all_places():
        if "_".join(map(str, known)) == plain and len(known) > 1:
            left = iter(numbers)
            steps = [next(left, "0") if isinstance(step, int) else step for step in known]
            return "__".join(steps).upper()
    return None


def _flow(text: str) -> Tree:
    """Read a whole section or list written in one variable as YAML: `[/srv/a, /srv/b]`."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _put(tree: Tree, place: Place, value: Tree) -> bool:
    """Set the value at a place, making sections on the way; False where there is no such place."""
    for here, step in enumerate(place, start=1):
        if isinstance(tree, list):
            if not isinstance(step, int) or step > len(tree):
                return False
            if step == len(tree):
                tree.append({})
        elif not isinstance(tree, dict):
            return False
        if here == len(place):
            tree[step] = value
            return True
        if isinstance(tree, dict) and tree.get(step) is None:
            tree[step] = [] if kind_at(place[:here]) == "list" else {}
        tree = tree[step]
    return False


def place_text(place: Sequence[str | int]) -> str:
    """Spell a place as people read it: `stacks[0].artifacts.mode`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "the file"
