"""Opens the history of a repository that an MLflow holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from exporter.config.masking import mask_url
from exporter.errors import ConfigError, NotFound
from exporter.readback.artifacts import ReadbackArtifacts
from exporter.readback.cache import FileCache
from exporter.readback.connecting import connect
from exporter.readback.experiments import tracked_pipelines
from exporter.readback.history import ReadbackHistory
from exporter.readback.locating import Locator

if TYPE_CHECKING:
    from exporter.sinks.mlflow.api import TrackingApi


class ReadbackOptions(NamedTuple):
    """What a reader wants to see, and where files are cached."""

    include_incomplete: bool = False
    include_gone: bool = False
    cache_dir: str | Path | None = None


def open_mlflow(
    tracking_uri: str,
    *,
    repository: str | None = None,
    stack_key: str | None = None,
    options: ReadbackOptions | None = None,
) -> list[tuple[ReadbackHistory, ReadbackArtifacts]]:
    """Open the stacks of the repository that a tracking server or database holds, by their names.

    `tracking_uri` is an address, or the SQLAlchemy URL of a tracking database. Credentials are
    those in it, else those of MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or of
    MLFLOW_TRACKING_TOKEN.
    Raises: ConfigError, also where several repositories are there and none is named; NotFound;
    SourceUnavailable; StoreUnreadable.
    """
    chosen = options or ReadbackOptions()
    cache = None if chosen.cache_dir is None else FileCache(_folder(chosen.cache_dir))
    shown = f"MLflow at {mask_url(tracking_uri)}"
    api = connect(tracking_uri)
    try:
        held: dict[str, set[str]] = {}
        for pipeline in tracked_pipelines(api):
            held.setdefault(pipeline.repository, set()).add(pipeline.stack)
        name = _repository(held, repository, shown)
        stacks = sorted(held[name])
        if stack_key is not None:
            stacks = [_known_stack(stacks, stack_key, name)]
    except BaseException:
        api.close()
        raise
    return [_stack(api, name, stack, chosen, cache) for stack in stacks]


def _stack(
    api: TrackingApi, repository: str, stack: str, options: ReadbackOptions, cache: FileCache | None
) -> tuple[ReadbackHistory, ReadbackArtifacts]:
    history = ReadbackHistory(
        api,
        repository,
        stack,
        include_incomplete=options.include_incomplete,
        include_gone=options.include_gone,
    )
    return history, ReadbackArtifacts(api, Locator(api, history), cache)


def _repository(held: dict[str, set[str]], wanted: str | None, shown: str) -> str:
    names = sorted(held)
    if wanted is not None:
        if wanted not in held:
            raise NotFound.among("repository", wanted, names, where=shown)
        return wanted
    if not names:
        raise NotFound(
            f"There is no exported history in {shown}.",
            hint="`pipeline-exporter run` writes one.",
        )
    if len(names) > 1:
        listed = ", ".join(map(repr, names))
        raise ConfigError(
            f"{shown} holds {len(names)} repositories: {listed}.",
            hint="Say which with repository=…",
        )
    return names[0]


def _known_stack(stacks: list[str], wanted: str, repository: str) -> str:
    if wanted not in stacks:
        raise NotFound.among("stack", wanted, stacks, where=f"repository {repository!r}")
    return wanted


def _folder(place: str | Path) -> Path:
    return Path(os.fspath(place)).expanduser().absolute()
