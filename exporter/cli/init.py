"""`init`: a commented configuration, written from what is found on this machine."""

from __future__ import annotations

import os
import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from exporter.cli.config_text import Surroundings, config_text
from exporter.cli.context import log_to_stderr
from exporter.cli.discover import Found, FoundStore, find_stores, places_to_search
from exporter.cli.output import one_line, print_json, print_line, say
from exporter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_DEFAULT_KEY = "default"


def write_config(path: Path, *, as_json: bool, force: bool, search: Sequence[Path]) -> int:
    """Look around, write the file, and say what was found and what to do next.

    Raises: ConfigError when the file is there already, or cannot be written.
    """
    log_to_stderr()
    path = path.absolute()
    _check_place(path, force=force)
    places = places_to_search(search)
    found = find_stores(places)
    around = surroundings(os.environ)
    stacks = list(zip(stack_keys(found.stores), found.stores, strict=True))
    text = config_text(_repository_name(path), stacks, around)
    _write(path, text, force=force)
    if as_json:
        print_json(_to_json(path, places, found, stacks, around))
    else:
        _tell(path, places, found, stacks, around)
    return 0


def surroundings(environ: Mapping[str, str]) -> Surroundings:
    """Say what the environment tells of MLflow and OpenLineage; credentials are only named."""
    return Surroundings(
        tracking_uri=_without_credentials(environ.get("MLFLOW_TRACKING_URI", "")),
        lineage_url=_web_address(_without_credentials(environ.get("OPENLINEAGE_URL", ""))),
        lineage_endpoint=environ.get("OPENLINEAGE_ENDPOINT", ""),
        variables=frozenset(name for name, value in environ.items() if value),
    )


def stack_keys(stores: Sequence[FoundStore]) -> list[str]:
    """Name the stacks: by their active stack where known; a name taken twice gets a number."""
    keys: list[str] = []
    for store in stores:
        wanted = store.active_stack or _DEFAULT_KEY
        wanted = wanted if wanted.isprintable() and wanted.strip() else _DEFAULT_KEY
        wanted = wanted[:200]
        key, number = wanted, 2
        while key in keys:
            key, number = f"{wanted}-{number}", number + 1
        keys.append(key)
    return keys


def _check_place(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder.", hint="Name a file in it.")
    if not path.parent.is_dir():
        raise ConfigError(f"There is no folder {path.parent}.", hint="Create it first.")
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already.", hint="--force overwrites it.")


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write the file; one that is there is replaced whole with `force`, else kept."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if force:
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(path)
        else:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already.", hint="--force overwrites it.") from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Check the permissions of its folder.",
        ) from error
    finally:
        scratch.unlink(missing_ok=True)


def _repository_name(path: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.parent.name).strip("-.")
    return name[:100] or _DEFAULT_KEY


def _without_credentials(url: str) -> str:
    """Give a URL without user and password; they never enter a file."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return ""
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _web_address(url: str) -> str:
    return url if urlsplit(url).scheme in {"http", "https"} else ""


def _to_json(
    path: Path,
    places: Sequence[Path],
    found: Found,
    stacks: Sequence[tuple[str, FoundStore]],
    around: Surroundings,
) -> dict[str, Any]:  # Any: JSON values
    return {
        "ok": True,
        "path": str(path),
        "searched": [str(place) for place in places],
        "stores": [_store_to_json(key, store) for key, store in stacks],
        "skipped": [{"path": str(file), "reason": reason} for file, reason in found.skipped],
        "stopped_early": found.stopped_early,
        "mlflow": around.usable_tracking_uri or None,
        "openlineage": around.lineage_url or None,
    }


def _store_to_json(key: str, store: FoundStore) -> dict[str, Any]:  # Any: JSON values
    return {
        "stack_key": key,
        "source": store.source,
        "schema": store.schema,
        "pipelines": store.sample.pipelines,
        "runs": store.sample.runs,
        "flavours": dict(sorted(store.sample.flavours.items())),
        "root": str(store.root),
        "rewrite": {store.rewrite.old: store.rewrite.new} if store.rewrite else {},
        "artifacts": {"sampled": store.reached.total, "found": store.reached.found},
    }


def _tell(
    path: Path,
    places: Sequence[Path],
    found: Found,
    stacks: Sequence[tuple[str, FoundStore]],
    around: Surroundings,
) -> None:
    for key, store in stacks:
        reached = store.reached
        print_line(one_line(f"stack {key!r}: {store.path}: {store.sample.text()}"))
        print_line(f"  {reached.found} of {reached.total} artifacts looked for are there")
    for file, reason in found.skipped:
        say(one_line(f"not used: {file}: {reason}"))
    if found.stopped_early:
        say("There is too much to search; name the right folder with --search.")
    if not stacks:
        print_line(f"No store was found below {', '.join(map(str, places))}.")
        print_line("Put yours into `source`, or name its folder with --search.")
    print_line(f"MLflow: {around.usable_tracking_uri or 'none; set sinks.mlflow'}")
    print_line(f"OpenLineage: {around.lineage_url or 'a file'}")
    print_line(f"Wrote {path}. Next: pipeline-exporter doctor -c {path}")
