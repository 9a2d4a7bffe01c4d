"""What ZenML kept beside its metadata store: active stack, docstrings, versions, git SHA.

A store works without any of it. A broken file is one warning and counts as absent; nothing here
ever raises for one. ZenML 0.5 kept `<repository>/.zen/*.json`, 0.6–0.13
`profiles/<profile>/*.yaml`, from 0.8 with `pipeline_runs.yaml`.
Source: https://github.com/zenml-io/zenml/tree/0.12.0/src/zenml/zen_stores
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import yaml

from exporter.hierarchy import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Loaded = dict[str, Any]  # Any: JSON or YAML values of other software, checked where they are used

_LEVELS = 6  # the store's folder and its ancestors
_CHILDREN = 200  # folders looked at beside an ancestor
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunSidecar:
    """What is known of one run besides its store; docstrings go by function or class name."""

    pipeline_docstring: str | None = None
    step_docstrings: Mapping[str, str] = field(default_factory=dict)
    stack: str | None = None
    facts: tuple[Parameter, ...] = ()


class Sidecars:
    """The sidecar files of one store.

    Repeat: `refresh` reads a file again only when its size or time changed.
    """

    def __init__(self, store: Path | None, folders: Sequence[Path] = ()) -> None:
        self._store = store
        self._folders = [Path(folder) for folder in folders]
        self._files: dict[Path, tuple[tuple[int, int], Loaded | None]] = {}
        self._warned: set[Path] = set()
        self.active_stack: str | None = None
        self._runs: dict[tuple[str, str], RunSidecar] = {}
        self._pipelines: dict[str, str] = {}
        self._state: list[tuple[Path, tuple[int, int]]] | None = None
        self.refresh()

    def run(self, pipeline: str, run: str) -> RunSidecar | None:
        """Give what is known of a run."""
        return self._runs.get((pipeline, run))

    def pipeline_docstring(self, pipeline: str) -> str | None:
        """Give the docstring of the pipeline's newest entry."""
        return self._pipelines.get(pipeline)

    def refresh(self) -> None:
        """Look again; cheap when nothing changed."""
        repositories, profiles = self._found()
        watched = [
            p for zen in repositories for p in (zen / "zenservice.json", zen / "config.yaml")
        ]
        for profile in profiles:
            watched += [profile / "pipeline_runs.yaml", profile.parent.parent / "config.yaml"]
        state = [(path, stamp) for path in watched if (stamp := _stamp(path)) is not None]
        if state == self._state:
            return
        self._state = state
        self.active_stack = self._active(repositories, profiles)
        self._runs, self._pipelines = {}, {}
        for profile in reversed(profiles):
            self._take_runs(profile)

    def _found(self) -> tuple[list[Path], list[Path]]:
        """Find `.zen` folders and profile folders that belong to the store, nearest first."""
        repositories: list[Path] = []
        profiles: list[Path] = []
        for root, trusted in self._roots():
            for zen in _zen_folders(root):
                if zen not in repositories and self._belongs(
                    zen / "metadata_stores", trusted=trusted
                ):
                    repositories.append(zen)
            for profile in _profile_folders(root):
                if profile not in profiles and self._belongs(
                    profile / "metadata_stores", trusted=trusted
                ):
                    profiles.append(profile)
        return repositories, profiles

    def _roots(self) -> Iterator[tuple[Path, bool]]:
        for folder in self._folders:
            yield folder, True
        if self._store is not None:
            yield from ((p, False) for p in list(self._store.parents)[:_LEVELS])

    def _belongs(self, stores: Path, *, trusted: bool) -> bool:
        """Tell whether one of a configuration's metadata stores is this one, wherever it lies now.

        Newer `.zen` folders name no store: the active stack of one is taken where nothing else says
        otherwise.
        """
        if trusted or not stores.is_dir():
            return True
        return bool(self._store_uuids(stores))

    def _store_uuids(self, stores: Path) -> set[str]:
        tail = self._store.parts[-2:] if self._store is not None else ()
        uuids = set()
        for path in [*sorted(stores.glob("*.json")), *sorted(stores.glob("*.yaml"))]:
            document = self._load(path) or {}
            uri, uuid = document.get("uri"), document.get("uuid")
            if isinstance(uri, str) and isinstance(uuid, str) and Path(uri).parts[-2:] == tail:
                uuids.add(uuid)
        return uuids

    def _active(self, repositories: list[Path], profiles: list[Path]) -> str | None:
        for zen in repositories:
            key = (self._load(zen / "zenservice.json") or {}).get("active_stack_key")
            name = (self._load(zen / "config.yaml") or {}).get("active_stack_name")
            for found in (key, name):
                if isinstance(found, str) and found:
                    return found
        for profile in profiles:
            document = self._load(profile.parent.parent / "config.yaml") or {}
            known = document.get("profiles")
            settings = known.get(profile.name) if isinstance(known, dict) else None
            found = settings.get("active_stack") if isinstance(settings, dict) else None
            if isinstance(found, str) and found:
                return found
        return None

    def _take_runs(self, profile: Path) -> None:
        document = self._load(profile / "pipeline_runs.yaml")
        pipelines = document.get("pipeline_runs") if document is not None else None
        if not isinstance(pipelines, dict):
            return
        uuids = self._store_uuids(profile / "metadata_stores")
        for pipeline, entries in pipelines.items():
            for entry in entries if isinstance(entries, list) else ():
                if not isinstance(entry, dict) or not _uses(entry, uuids):
                    continue
                taken = _run_sidecar(entry)
                self._runs[str(pipeline), str(entry.get("name"))] = taken
                if taken.pipeline_docstring is not None:
                    self._pipelines[str(pipeline)] = taken.pipeline_docstring

    def _load(self, path: Path) -> Loaded | None:
        stamp = _stamp(path)
        if stamp is None:
            return None
        known = self._files.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        document: Loaded | None = None
        try:
            text = path.read_text(encoding="utf-8")
            loaded = (
                json.loads(text) if path.suffix == ".json" else yaml.load(text, _LOADER)  # noqa: S506 - a safe one
            )
            if not isinstance(loaded, dict):
                raise ValueError("not a mapping")  # noqa: TRY004, TRY301 - one defect of several
            document = loaded
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            if path not in self._warned:
                self._warned.add(path)
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                _log.warning("sidecar_unreadable", path=str(path), reason=reason)
        self._files[path] = (stamp, document)
        return document


def default_stack_key(store: Path | None, folders: Sequence[Path] = ()) -> str | None:
    """Give the active stack that the sidecars of a store name; None where nothing names one."""
    return Sidecars(store, folders).active_stack


def _zen_folders(root: Path) -> Iterator[Path]:
    if root.name == ".zen":
        yield root
    candidates = [str(root), *_children(root)]
    # by text: an ancestor may hold many folders, and each page looks again
    yield from (Path(c, ".zen") for c in candidates if os.path.isdir(f"{c}/.zen"))  # noqa: PTH112 - see above


def _profile_folders(root: Path) -> Iterator[Path]:
    if (root / "pipeline_runs.yaml").is_file() or (root / "stacks.yaml").is_file():
        yield root
    for place in (root / "profiles", root / ".config" / "zenml" / "profiles"):
        if _is_folder(place):
            yield from map(Path, _children(place))


def _children(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            paths = sorted(entry.path for entry in entries if entry.is_dir())
    except OSError:
        return []
    return paths[:_CHILDREN]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _uses(entry: Loaded, uuids: set[str]) -> bool:
    """Tell whether a run used one of these metadata stores; yes where that is not known."""
    stack = entry.get("stack")
    components = stack.get("components") if isinstance(stack, dict) else None
    if not uuids or not isinstance(components, list):
        return True
    named = {
        c.get("uuid")
        for c in components
        if isinstance(c, dict) and c.get("type") == "metadata_store"
    }
    return not named or bool(named & uuids)


def _run_sidecar(entry: Loaded) -> RunSidecar:
    pipeline = entry.get("pipeline")
    pipeline = pipeline if isinstance(pipeline, dict) else {}
    steps = pipeline.get("steps")
    docstrings = {
        str(step.get("name")): step["docstring"]
        for step in (steps if isinstance(steps, list) else ())
        if isinstance(step, dict) and isinstance(step.get("docstring"), str)
    }
    stack = entry.get("stack")
    name = stack.get("name") if isinstance(stack, dict) else None
    facts = tuple(
        Parameter(key, str(entry[key]))
        for key in ("zenml_version", "git_sha")
        if entry.get(key) is not None
    )
    docstring = pipeline.get("docstring")
    return RunSidecar(
        pipeline_docstring=docstring if isinstance(docstring, str) else None,
        step_docstrings=docstrings,
        stack=name if isinstance(name, str) else None,
        facts=facts,
    )
