"""Finding the YAML that ships with the package, from a wheel and from a checkout alike.

In a wheel `mappings/` and `config/` lie in `exporter/_bundled`; in a checkout they stand beside
`exporter/`. A folder of the user's own (`mappings:` in the configuration, `--mappings`) wins file
by file.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from exporter.errors import ConfigError, NotFound

_PACKAGE = Path(__file__).resolve().parent.parent

Kind = Literal["mappings", "config"]


def resource_folder(kind: Kind) -> Path:
    """Give the folder of the files that ship with the package.

    Raises: ConfigError if the installation is incomplete.
    """
    for folder in (_PACKAGE / "_bundled" / kind, _PACKAGE.parent / kind):
        if folder.is_dir():
            return folder
    raise ConfigError(
        f"The installation lacks its folder {kind!r}.",
        hint="Install pipeline-exporter again, from a wheel or from a whole checkout.",
    )


def mapping_file(name: str, *, folder: Path | None = None) -> Path:
    """Give the path of a file of `mappings/`, by its path inside: `schemas/event.json`.

    Raises: NotFound with the near misses; ConfigError for a path that leaves the folder.
    """
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/"):
        raise ConfigError(f"{name!r} is no file of mappings/.")
    places = [folder] if folder is not None else []
    for place in (*places, resource_folder("mappings")):
        path = place.joinpath(*parts)
        if path.is_file():
            return path
    raise NotFound.among("mapping", name, _all_files(folder), where="mappings/")


def mapping_names(group: str, *, folder: Path | None = None) -> tuple[str, ...]:
    """Name the YAML files of one folder of `mappings/`, the user's own included, sorted."""
    places = [resource_folder("mappings"), *([folder] if folder is not None else [])]
    found = {path.stem for place in places for path in (place / group).glob("*.yaml")}
    return tuple(sorted(found))


def load_mapping(name: str, *, folder: Path | None = None) -> dict[str, Any]:
    """Read one YAML file of `mappings/`, named without its suffix: `mlflow`, `sources/zenml-0.5`.

    Raises: NotFound with the near misses; ConfigError with line and column if it is not a YAML
    mapping.
    """
    return load_yaml_mapping(mapping_file(f"{name}.yaml", folder=folder))


def load_yaml_mapping(path: Path) -> dict[str, Any]:  # Any: YAML values, parsed by the caller
    """Read a YAML file that must hold a mapping.

    Raises: ConfigError naming the file, with line and column where it is not YAML.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe one
    except yaml.MarkedYAMLError as error:
        raise yaml_error(path, error) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds no YAML mapping.", hint="Write `name: value` lines.")
    return cast("dict[str, Any]", value)


def yaml_error(path: Path, error: Any) -> ConfigError:  # Any: yaml is imported late
    """Turn a YAML syntax error into one line that names the file, the line and the column."""
    mark = error.problem_mark or error.context_mark
    place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    return ConfigError(
        f"{place} is not YAML: {error.problem or error.context}.",
        hint="Look at that line and the one above: a missing colon, quote or wrong indent.",
    )


def _all_files(folder: Path | None) -> list[str]:
    places = [resource_folder("mappings"), *([folder] if folder is not None else [])]
    return sorted(
        {
            path.relative_to(place).as_posix()
            for place in places
            for path in place.rglob("*")
            if path.is_file()
        }
    )
