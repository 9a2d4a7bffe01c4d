"""`init`: a commented configuration, written from what is found on this machine."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from exporter.cli.config_text import Surroundings, config_text
from exporter.cli.context import log_to_stderr
from exporter.cli.discover import Found, FoundStore, find_stores, places_to_search, plain_path
from exporter.cli.output import one_line, print_json, print_line, say
from exporter.config.masking import mask_url, url_secrets
from exporter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_DEFAULT_KEY = "default"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# Letters that Unicode does not take apart.
_SPELLED = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l"})


def write_config(path: Path, *, as_json: bool, force: bool, search: Sequence[Path]) -> int:
    """Look around, write the file, and say what was found and what to do next.

    Raises: ConfigError when the file is there already, or cannot be written.
    """
    log_to_stderr()
    path = plain_path(path)
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
    variables = frozenset(name for name, value in environ.items() if value)
    mlflow, lineage = environ.get("MLFLOW_TRACKING_URI", ""), environ.get("OPENLINEAGE_URL", "")
    around = Surroundings(
        tracking_uri=_without_credentials(mlflow),
        tracking_is_secret=_has_credentials(mlflow) and not _web_address(mlflow),
        lineage_url=_web_address(_without_credentials(lineage)),
        lineage_endpoint=environ.get("OPENLINEAGE_ENDPOINT", ""),
        variables=variables,
    )
    notes = (_of_mlflow(mlflow, around), _of_lineage(lineage, around))
    return replace(around, notes=tuple(note for note in notes if note))


def _of_mlflow(uri: str, around: Surroundings) -> str:
    """Say what of MLFLOW_TRACKING_URI does not stand in the file, and why; '' for nothing."""
    variable = "MLFLOW_TRACKING_URI"
    if uri and not around.usable_tracking_uri:
        scheme = uri.partition(":")[0] if ":" in uri else ""
        is_folder = scheme == "file" or (not scheme and "/" in uri)
        what = "a folder of files" if is_folder else f"{scheme}:" if scheme else f"{uri!r}"
        return (
            f"{variable} was not used: it names {what}, which the exporter does not write to. "
            "Name a tracking server (`mlflow server`) or a tracking database."
        )
    if around.tracking_is_secret:
        return (
            f"{variable} holds credentials: the file refers to the variable, so keep it set "
            "where the exporter runs."
        )
    names = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    if not _has_credentials(uri) or names <= around.variables:
        return ""
    return (
        f"{variable}: its credentials were left out; set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD."
    )


def _of_lineage(url: str, around: Surroundings) -> str:
    if url and not around.lineage_url:
        return "OPENLINEAGE_URL was not used: it is no http:// or https:// address."
    if not _has_credentials(url) or "OPENLINEAGE_API_KEY" in around.variables:
        return ""
    return "OPENLINEAGE_URL: its credentials were left out; set OPENLINEAGE_API_KEY."


def stack_keys(stores: Sequence[FoundStore]) -> list[str]:
    """Name the stacks: by their active stack where known, else by their folder.

    Active stacks have the first choice; a name taken twice gets a number.
    """
    keys: dict[int, str] = {}
    names = [_fit(store.active_stack or "") for store in stores]
    for place, name in enumerate(names):
        if name and name not in keys.values():
            keys[place] = name
    for place, (name, store) in enumerate(zip(names, stores, strict=True)):
        if place in keys:
            continue
        folder = store.path.parent.name
        wanted = name or ("" if _UUID.fullmatch(folder) else _fit(folder)) or _DEFAULT_KEY
        key, number = wanted, 2
        while key in keys.values():
            key, number = f"{wanted}-{number}", number + 1
        keys[place] = key
    return [keys[place] for place in range(len(stores))]


def _fit(name: str) -> str:
    return name[:200] if name.isprintable() and name.strip() else ""


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
    letters = unicodedata.normalize("NFKD", path.parent.name.translate(_SPELLED))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")
    return name[:100] or _DEFAULT_KEY


def _without_credentials(url: str) -> str:
    """Give a URL without user and password; they never enter a file."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return ""
    authority, slash, path = rest.partition("/")
    return mask_url(f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}")


def _has_credentials(url: str) -> bool:
    authority = url.partition("://")[2].partition("/")[0]
    return "@" in authority or bool(url_secrets(url))


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
        "notes": list(around.notes),
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
    for note in around.notes:
        say(one_line(note))
    if not stacks:
        print_line(f"No store was found below {', '.join(map(str, places))}.")
        print_line("Put yours into `source`, or name its folder with --search.")
    print_line(f"MLflow: {around.usable_tracking_uri or 'none; set sinks.mlflow'}")
    print_line(f"OpenLineage: {around.lineage_url or 'a file'}")
    print_line(f"Wrote {path}. Next: pipeline-exporter doctor -c {shlex.quote(str(path))}")
