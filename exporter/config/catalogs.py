"""The profile of the catalog that a destination is: shipped, or the user's own."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Protocol

from exporter.config.resources import load_mapping, mapping_names
from exporter.errors import ConfigError
from exporter.mapping.openlineage.profile import profile_from_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.mapping.openlineage.profile import CatalogProfile

GROUP = "catalogs"


class Secret(Protocol):
    """A setting that does not show itself by accident."""

    def get_secret_value(self) -> str:
        """Give the value."""


class NamesCatalog(Protocol):
    """What the settings say of a destination, as far as its catalog goes."""

    @property
    def url(self) -> Secret | None:
        """Where it is; None where a transport of openlineage-python leads there."""

    @property
    def catalog(self) -> str | None:
        """Which catalog it is; None for the plain one of its kind of URL."""


def profile_of(settings: NamesCatalog, folder: Path | None = None) -> CatalogProfile:
    """Give the profile of a destination; one of the user's own folder of mappings wins.

    Without a name a file is spoken to as `file`, anything else as `generic`.
    Raises: ConfigError for a profile that is not valid, and for a name that there is none of.
    """
    url = "" if settings.url is None else settings.url.get_secret_value()
    name = settings.catalog or catalog_of_url(url)
    if problem := catalog_problem(name, folder):
        raise ConfigError(f"Catalog {name!r}: {problem}.", hint=f"See mappings/{GROUP}.")
    return profile_from_yaml(name, load_mapping(f"{GROUP}/{name}", folder=folder))


def way_problem(settings: NamesCatalog, folder: Path | None = None) -> str:
    """Say why a destination's catalog is not reached by a URL; nothing where it is, or has none."""
    if settings.url is None or profile_of(settings, folder).transport != "openlineage":
        return ""
    return (
        "is not reached by a url; write `transport:` with what openlineage-python needs, "
        "see docs/catalogs.md"
    )


def catalog_of_url(url: str) -> str:
    """Name the catalog that a destination is taken for when the settings do not say."""
    return "file" if url.startswith("file:") else "generic"


def catalog_problem(name: str, folder: Path | None = None) -> str:
    """Say what is wrong with a catalog's name, in words that follow it; nothing if it is known."""
    known = catalog_names(folder)
    if name in known:
        return ""
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    if near:
        return f"there is no profile of that name; did you mean {near[0]!r}"
    return f"there is no profile of that name; there are {', '.join(known)}"


def catalog_names(folder: Path | None = None) -> tuple[str, ...]:
    """Name the catalogs that there is a profile of, sorted."""
    return mapping_names(GROUP, folder=folder)
