"""Opens what a user names: one stack of the settings, or a whole repository to walk."""

from __future__ import annotations

import os
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.config.urls import anchored_place, anchored_sqlite, scheme_of
from exporter.errors import ConfigError, ExporterError, NotFound
from exporter.history.repository import Repository
from exporter.readback.open import ReadbackOptions, open_mlflow
from exporter.sources.artifacts import StoreArtifacts, default_roots
from exporter.sources.mlmd import load_profiles, open_mlmd
from exporter.sources.mlmd.sqlite_file import sqlite_path
from exporter.sources.sidecars import Sidecars

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.config import ArtifactSettings, Settings, StackSettings
    from exporter.history.ports import ArtifactReader, ChangeFeed, History
    from exporter.sources.mlmd import MlmdHistory

DEFAULT_NAME = "default"
_MLMD = "mlmd+"
_MLFLOW = "mlflow+"
_READ_BACK_ONLY = "belongs to reading back out of MLflow"
_DATABASE_SUFFIXES = {".db", ".sqlite", ".sqlite3"}


def open_repository(
    source: str | Path | Settings | None = None,
    *,
    tracking_uri: str | None = None,
    repository: str | None = None,
    stack_key: str | None = None,
    flavour: str = "auto",
    roots: Sequence[str | Path] | None = None,
    rewrite: Mapping[str, str | Path] | None = None,
    include_incomplete: bool = False,
    include_gone: bool = False,
    cache_dir: str | Path | None = None,
) -> Repository:
    """Open a history to walk it; nothing in it is ever changed.

    `source` is `mlmd+<SQLAlchemy URL>` of a store, `mlflow+<tracking URI>` of an MLflow that it was
    exported to (or `tracking_uri` alone), the path of an `exporter.yaml`, or settings; with none
    the configuration file is looked for as the command does. Of a configuration all
    stacks are opened, or the one that `stack_key` names; its sinks are not contacted and their
    secrets need not resolve.

    For a store, `repository` is its name in every identity (`default`) and `stack_key` the key of
    its stack (the active stack of the files beside it, else `default`). `flavour` pins how the
    store encodes its history. Artifacts are read only beneath `roots` (the folder of an SQLite
    file), after `rewrite` has replaced recorded prefixes of their URIs.

    For an MLflow, `repository` is needed where it holds several; `stack_key` opens that stack only.
    Runs that are half-written are there only with `include_incomplete`, those whose source is gone
    only with `include_gone`. Files are fetched when they are read, and kept in `cache_dir`.
    Raises: ConfigError, NotFound, SourceUnavailable, StoreUnreadable.
    """
    _check_arguments(
        source=source,
        tracking_uri=tracking_uri,
        repository=repository,
        stack_key=stack_key,
        flavour=flavour,
        roots=roots,
        rewrite=rewrite,
        cache_dir=cache_dir,
    )
    options = ReadbackOptions(include_incomplete, include_gone, cache_dir)
    tracking_uri = _tracking_uri(source, tracking_uri)
    if tracking_uri is not None:
        _refuse_set(
            "belongs to a store; an MLflow holds what was exported",
            flavour=flavour != "auto",
            roots=roots is not None,
            rewrite=rewrite is not None,
        )
        return Repository(
            open_mlflow(tracking_uri, repository=repository, stack_key=stack_key, options=options)
        )
    if isinstance(source, str) and source.startswith(_MLMD):
        _refuse_set(_READ_BACK_ONLY, **_set_options(options))
        url = source.removeprefix(_MLMD)
        opened = _open_url(
            url,
            repository=repository,
            stack=stack_key,
            flavour=flavour,
            roots=roots,
            rewrite=rewrite,
        )
        return Repository([opened])
    _refuse_set(
        "belongs to a store; a configuration file says it for each of its stacks",
        flavour=flavour != "auto",
        roots=roots is not None,
        rewrite=rewrite is not None,
    )
    return _open_settings(
        _settings(source), repository=repository, stack_key=stack_key, options=options
    )


def open_stack(
    settings: Settings, stack: StackSettings, options: ReadbackOptions | None = None
) -> tuple[ChangeFeed, ArtifactReader]:
    """Open one stack of the settings: its history and the reader of its artifacts.

    Raises: ConfigError, SourceUnavailable, StoreUnreadable.
    """
    url = stack.source.get_secret_value()
    if url.startswith(_MLFLOW):
        try:
            (opened,) = open_mlflow(
                url.removeprefix(_MLFLOW),
                repository=settings.repository,
                stack_key=stack.key,
                options=options,
            )
        except NotFound as error:
            raise ConfigError(error.message, hint=error.hint) from error
        return opened
    url = url.removeprefix(_MLMD)
    history = _open_history(
        url,
        repository=settings.repository,
        stack=stack.key,
        flavour=stack.flavour,
        mappings=settings.mappings_folder,
        sidecars=[Path(stack.sidecars)] if stack.sidecars else [],
    )
    return history, _artifacts(stack.artifacts, url)


def _open_url(
    url: str,
    *,
    repository: str | None,
    stack: str | None,
    flavour: str,
    roots: Sequence[str | Path] | None,
    rewrite: Mapping[str, str | Path] | None,
) -> tuple[MlmdHistory, StoreArtifacts]:
    from exporter.config import ArtifactSettings

    here = Path.cwd()
    url = anchored_sqlite(url, here)
    if isinstance(roots, str | Path):
        roots = [roots]
    policy = ArtifactSettings(
        roots=None if roots is None else tuple(anchored_place(os.fspath(r), here) for r in roots),
        rewrite={old: anchored_place(os.fspath(new), here) for old, new in (rewrite or {}).items()},
    )
    history = _open_history(
        url,
        repository=repository or DEFAULT_NAME,
        stack=stack or _active_stack(url) or DEFAULT_NAME,
        flavour=flavour,
    )
    return history, _artifacts(policy, url)


def _open_history(
    url: str,
    *,
    repository: str,
    stack: str,
    flavour: str,
    mappings: Path | None = None,
    sidecars: Sequence[Path] = (),
) -> MlmdHistory:
    from exporter.config import resource_folder

    folders = [resource_folder("mappings") / "sources"]
    if mappings is not None:
        folders.append(mappings / "sources")
    return open_mlmd(
        url,
        repository=repository,
        stack=stack,
        flavour=flavour,
        profiles=load_profiles(*folders),
        sidecar_dirs=sidecars,
    )


def _open_settings(
    settings: Settings,
    *,
    repository: str | None,
    stack_key: str | None,
    options: ReadbackOptions,
) -> Repository:
    if repository is not None and repository != settings.repository:
        raise ConfigError(
            f"The configuration is of repository {settings.repository!r}, not {repository!r}.",
            hint="Leave repository= out: the configuration says it.",
        )
    keys = [stack.key for stack in settings.stacks]
    if stack_key is not None and stack_key not in keys:
        raise NotFound.among("stack", stack_key, keys, where="the configuration")
    chosen = [stack for stack in settings.stacks if stack_key in (None, stack.key)]
    if not any(_is_mlflow(stack.source.get_secret_value()) for stack in chosen):
        _refuse_set(_READ_BACK_ONLY, **_set_options(options))
    opened: list[tuple[History, ArtifactReader]] = []
    try:
        for stack in chosen:
            opened.append(  # noqa: PERF401 - what is open gets closed
                open_stack(settings, stack, options)
            )
        return Repository(opened)
    except ExporterError:
        for history, _ in opened:
            history.close()
        raise


def _settings(source: str | Path | Settings | None) -> Settings:
    """Give the settings themselves, or read them."""
    from exporter.config import Settings, load_settings

    if isinstance(source, Settings):
        return source
    if source is not None:
        _refuse_database(os.fspath(source))
    return load_settings(source, need_secrets=False)


def _refuse_database(source: str) -> None:
    """Tell a database that is named as if it were a configuration file.

    Raises: ConfigError.
    """
    if "://" in source:
        known = scheme_of(source).partition("+")[0] in ("sqlite", "mysql", "mariadb", "postgresql")
        raise ConfigError(
            f"{scheme_of(source)!r} is no source that this release reads.",
            hint="Write mlmd+ before the URL of the store."
            if known
            else "A source is mlmd+<SQLAlchemy URL>, as mlmd+sqlite:////srv/zenml/metadata.db, "
            "mlflow+<tracking URI>, or the path of an exporter.yaml.",
        )
    if Path(source).suffix.lower() in _DATABASE_SUFFIXES:
        raise ConfigError(
            f"{source!r} is no configuration file.",
            hint=f"If it is a store, open 'mlmd+sqlite:///{source}'.",
        )


def _is_place(value: object) -> bool:
    return isinstance(value, str | os.PathLike)


def _is_source(value: object) -> bool:
    from exporter.config import Settings

    return _is_place(value) or isinstance(value, Settings)


def _are_roots(value: object) -> bool:
    several = isinstance(value, abc.Sequence | abc.Set) and all(map(_is_place, value))
    return _is_place(value) or several


def _is_rewrite(value: object) -> bool:
    return isinstance(value, abc.Mapping) and all(
        isinstance(old, str) and _is_place(new) for old, new in value.items()
    )


# argument → what it takes; the others take text
_ARGUMENTS: dict[str, tuple[Callable[[object], bool], str]] = {
    "source": (_is_source, "a URL, a path or Settings"),
    "roots": (_are_roots, "a sequence of folders and URLs"),
    "rewrite": (_is_rewrite, "a mapping of recorded prefixes to where they are now"),
    "cache_dir": (_is_place, "a folder"),
}


def _check_arguments(**given: object) -> None:
    """Refuse what is of no kind that its argument takes; None is left out.

    Raises: ConfigError.
    """
    for name, value in given.items():
        fits, wanted = _ARGUMENTS.get(name, (lambda v: isinstance(v, str), "text"))
        if value is not None and not fits(value):
            raise ConfigError(
                f"{name}= is {value!r}, of the type {type(value).__name__}.",
                hint=f"Give {wanted}.",
            )


def _refuse_set(reason: str, **set_: bool) -> None:
    for name, is_set in set_.items():
        if is_set:
            raise ConfigError(f"{name}= {reason}.", hint=f"Leave {name}= out.")


def _artifacts(policy: ArtifactSettings, url: str) -> StoreArtifacts:
    return StoreArtifacts(
        mode=policy.mode,
        max_size=policy.max_size,
        roots=default_roots(url) if policy.roots is None else policy.roots,
        rewrite=policy.rewrite,
    )


def _active_stack(url: str) -> str | None:
    """Give the active stack of the files that ZenML keeps beside an SQLite store."""
    return Sidecars(sqlite_path(url)).active_stack if _is_sqlite(url) else None


def _is_sqlite(url: str) -> bool:
    return scheme_of(url).partition("+")[0] == "sqlite"


def _is_mlflow(source: str) -> bool:
    return source.startswith(_MLFLOW)


def _tracking_uri(source: object, tracking_uri: str | None) -> str | None:
    """Give the MLflow to read back from, if one is named.

    Raises: ConfigError where a source is named beside it.
    """
    if tracking_uri is not None:
        if source is not None:
            raise ConfigError(
                "source and tracking_uri= name two histories.", hint="Give one of them."
            )
        return tracking_uri.removeprefix(_MLFLOW)
    if isinstance(source, str) and _is_mlflow(source):
        return source.removeprefix(_MLFLOW)
    return None


def _set_options(options: ReadbackOptions) -> dict[str, bool]:
    """Say which of the options of reading back are set."""
    return {
        "include_incomplete": options.include_incomplete,
        "include_gone": options.include_gone,
        "cache_dir": options.cache_dir is not None,
    }
