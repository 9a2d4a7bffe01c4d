"""Finding, reading and checking a configuration; every mistake is told at once, with its place."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from exporter.config.catalogs import catalog_problem, way_problem
from exporter.config.references import (
    Place,
    Problem,
    Resolver,
    Tree,
    overlay_environment,
    place_text,
    secret_file_reader,
)
from exporter.config.resources import yaml_error
from exporter.config.settings import At, Settings
from exporter.config.shape import names_at
from exporter.config.urls import sqlite_file
from exporter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

DEFAULT_NAME = "exporter.yaml"
_CONFIG = "EXPORTER_CONFIG"
_SECTIONS_WITH_SECRETS = frozenset({"sinks", "state"})


def find_config(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None
) -> Path:
    """Give the configuration file to read: `path`, else EXPORTER_CONFIG, else ./exporter.yaml.

    Raises: ConfigError if it is not there, saying how to get one.
    """
    named = path or (os.environ if environ is None else environ).get(_CONFIG)
    file = Path(named or DEFAULT_NAME).expanduser()
    if file.exists() and not file.is_dir():  # a pipe or a device can be read as well
        return file
    what = "is a folder" if file.is_dir() else "does not exist"
    raise ConfigError(
        f"The configuration file {_shown(file, path, named)} {what}.",
        hint=f"Name one with --config or EXPORTER_CONFIG"
        f"{', add its file name' if file.is_dir() else ''}, or write one with "
        "`pipeline-exporter init`.",
    )


def _shown(file: Path, path: str | Path | None, named: str | Path | None) -> str:
    """Name a file, and the variable that named it."""
    return f"{file} (of {_CONFIG})" if named and not path else str(file)


def load_settings(
    path: str | Path | None = None,
    *,
    need_secrets: bool = True,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read, complete and check a configuration file; nothing is contacted or created.

    Order:  EXPORTER_… variables win over the file, the file over the defaults.
    Limits: with `need_secrets=False` references in `sinks` and `state` that cannot be resolved stay
    as they are.
    Raises: ConfigError, one line for each thing that is wrong.
    """
    file = find_config(path, environ=environ)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        named = (os.environ if environ is None else environ).get(_CONFIG)
        raise ConfigError(
            f"The configuration file {_shown(file, path, named)} cannot be read: {reason}.",
            hint="Check its permissions and its encoding.",
        ) from error
    tree, lines, problems = _parse(text, file)
    # What is no regular file, such as the shell's <(…), lies in no folder that paths start at.
    settings = _checked(
        tree,
        folder=file.resolve().parent if file.is_file() else Path.cwd(),
        environ=os.environ if environ is None else environ,
        need_secrets=need_secrets,
        told=_Told(str(file), lines, problems),
    )
    settings._file = file.resolve() if file.is_file() else file  # noqa: SLF001 - where it came from is known here only
    return settings


def settings_from(
    values: Mapping[str, Tree],
    *,
    folder: Path | None = None,
    need_secrets: bool = True,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Check settings that a program holds, as `load_settings` checks a file; paths start at folder.

    Raises: ConfigError, one line for each thing that is wrong.
    """
    return _checked(
        dict(values),
        folder=folder or Path.cwd(),
        environ={} if environ is None else environ,
        need_secrets=need_secrets,
        told=_Told("The settings", {}, []),
    )


class _Told:
    """Collects what is wrong and says it in the order of the file."""

    def __init__(self, file: str, lines: dict[Place, int], problems: list[Problem]) -> None:
        self.file = file
        self.lines = lines
        self.variables: dict[Place, str] = {}
        self.problems = problems

    def error(self) -> ConfigError:
        """Give one error for all problems."""
        ordered = sorted(
            dict.fromkeys(self.problems), key=lambda problem: self._line(problem.place)
        )
        told = [
            f"{self._where(place)}: {text}{'?' if 'did you mean' in text else '.'}"
            for place, text in ordered
        ]
        if len(told) == 1:
            return ConfigError(told[0])
        return ConfigError("\n  ".join([f"{self.file} has {len(told)} mistakes:", *told]))

    def _line(self, place: Place) -> int:
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0)

    def _where(self, place: Place) -> str:
        for length in range(len(place), 0, -1):
            if variable := self.variables.get(place[:length]):
                return f"{variable} ({place_text(place)})"
        line = self._line(place)
        file = f"{self.file}:{line}" if line else self.file
        return f"{file}: {place_text(place)}" if place else file


def _checked(
    tree: dict[str, Tree],
    *,
    folder: Path,
    environ: Mapping[str, str],
    need_secrets: bool,
    told: _Told,
) -> Settings:
    read = secret_file_reader(folder)
    told.variables, wrong = overlay_environment(tree, environ, read)
    told.problems += wrong
    lenient = not need_secrets
    resolver = Resolver(
        environ,
        read,
        may_stay=lambda place: lenient and bool(place) and place[0] in _SECTIONS_WITH_SECRETS,
    )
    tree = resolver.resolve(tree)
    told.problems += resolver.problems
    known_bad = {problem.place for problem in told.problems}
    try:
        settings = Settings.model_validate(tree, context={"folder": folder, "lenient": lenient})
    except ValidationError as error:
        found = [_problem(detail) for detail in error.errors(include_url=False)]
        inner = known_bad | {problem.place for problem in found}
        told.problems += [
            problem
            for problem in found
            if problem.place not in known_bad and not _follows(problem, inner)
        ]
        raise told.error() from None  # the original repeats values, which may be secrets
    told.problems += _wrong_catalogs(settings)
    told.problems += _taken_files(settings, told.file)
    if told.problems:
        raise told.error()
    return settings


def _wrong_catalogs(settings: Settings) -> list[Problem]:
    """Find destinations whose catalog has no profile, ours or the user's, or is not reached so."""
    folder = settings.mappings_folder
    return [
        Problem(("sinks", "openlineage", place, "catalog"), problem)
        for place, destination in enumerate(settings.sinks.openlineage)
        if destination.catalog is not None
        and "${" not in destination.catalog
        and (
            problem := catalog_problem(destination.catalog, folder)
            or way_problem(destination, folder)
        )
    ]


def _taken_files(settings: Settings, config: str) -> list[Problem]:
    """Find destinations that would write into a file that is something else already."""
    taken = {config: "the configuration"}
    urls = {"state.url": settings.state.url}
    urls |= {f"the source of stack {stack.key!r}": stack.source for stack in settings.stacks}
    if settings.sinks.mlflow is not None:
        urls["sinks.mlflow.tracking_uri"] = settings.sinks.mlflow.tracking_uri
    for what, url in urls.items():
        if file := sqlite_file(url.get_secret_value()):
            taken[file] = what
    places = {os.path.realpath(file): what for file, what in taken.items()}
    return [
        Problem(("sinks", "openlineage", number, "url"), f"is the file of {places[path]}")
        for number, destination in enumerate(settings.sinks.openlineage)
        if destination.url is not None
        and (named := destination.url.get_secret_value()).startswith("file://")
        and (path := os.path.realpath(named.removeprefix("file://"))) in places
    ]


def _follows(problem: Problem, places: set[Place]) -> bool:
    """Say whether a list is called too short only because its elements are wrong."""
    length = len(problem.place)
    return problem.text.startswith("needs at least") and any(
        len(place) > length and place[:length] == problem.place for place in places
    )


_ADVICE = {
    "missing": "is missing; it has no default",
    "value_error": "{error}",
    "literal_error": "write {expected}",
    "string_type": "is text; put the value in quotes",
    "int_type": "is a whole number",
    "int_parsing": "is a whole number",
    "int_from_float": "is a whole number",
    "model_type": "is a section; write `name: value` lines below it",
    "model_attributes_type": "is a section; write `name: value` lines below it",
    "dict_type": "is a section; write `name: value` lines below it",
    "mapping_type": "is a section; write `name: value` lines below it",
    "tuple_type": "is a list; write lines that begin with `- `, or [a, b]",
    "too_short": "needs at least {min_length}",
    "string_too_long": "has at most {max_length} characters",
    "greater_than_equal": "is at least {ge}",
    "less_than_equal": "is at most {le}",
}


def _problem(detail: ErrorDetails) -> Problem:
    """Say in the user's words what pydantic found; values, which may be secrets, are left out."""
    place: Place = tuple(detail["loc"])
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, At):
        place += cause.place
    if detail["type"] == "extra_forbidden":
        return Problem(place, _unknown(place))
    advice = _ADVICE.get(detail["type"])
    return Problem(place, advice.format(**detail.get("ctx", {})) if advice else detail["msg"])


def _unknown(place: Place) -> str:
    names = names_at(place[:-1])
    near = difflib.get_close_matches(str(place[-1]).lower(), names, n=1, cutoff=0.5)
    if near:
        return f"there is no such setting; did you mean {near[0]!r}"
    return f"there is no such setting; there are {', '.join(names)}"


def _parse(text: str, file: Path) -> tuple[dict[str, Tree], dict[Place, int], list[Problem]]:
    """Read YAML with the line of every setting; a name written twice is told, not lost."""
    import yaml

    lines: dict[Place, int] = {}
    problems: list[Problem] = []
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _note_lines(node, (), lines, problems)
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise yaml_error(file, error) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {error}.", hint="Save it as UTF-8 text.") from error
    except RecursionError as error:
        raise ConfigError(f"{file} is nested too deeply or contains itself.") from error
    if not isinstance(tree, dict):
        what = "holds no settings" if tree is None else "must be a mapping, `name: value` lines"
        raise ConfigError(
            f"{file} {what}.",
            hint="`pipeline-exporter init` writes a commented file to start from.",
        )
    return tree, lines, problems


def _note_lines(
    node: Any,  # Any: a YAML node; yaml is imported late
    place: Place,
    lines: dict[Place, int],
    problems: list[Problem],
) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if node.id == "sequence":
        for index, item in enumerate(node.value):
            _note_lines(item, (*place, index), lines, problems)
    if node.id != "mapping":
        return
    seen: set[str] = set()
    for key, item in node.value:
        name = str(key.value)
        here = (*place, name)
        lines[here] = key.start_mark.line + 1
        if name in seen and name != "<<":
            problems.append(Problem(here, "is written twice; keep one"))
        seen.add(name)
        _note_lines(item, here, lines, problems)
