"""An artifact that knows where MLflow keeps its bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from exporter.hierarchy import Artifact
from exporter.mapping.homes import Home  # noqa: TC001 - a field of a dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.hierarchy import RunSnapshot

_KEY = re.compile(r"[0-9a-f]{64}")
_SHA256 = _KEY
_CLIMBING = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True, eq=False)
class KeptArtifact(Artifact):
    """An artifact with its home, which is no part of its value: it equals the source's own."""

    home: Home | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and _value(self) == _value(other)

    def __hash__(self) -> int:
        return hash(_value(self))


def with_homes(run: RunSnapshot, homes: Mapping[str, Home]) -> tuple[KeptArtifact, ...]:
    """Give a run's artifacts, each with its home if it has one."""
    return tuple(_kept(artifact, homes.get(artifact.id)) for artifact in run.artifacts)


def is_sound_home(home: Home) -> bool:
    """Tell whether a home is one that the exporter writes: a key, and a path that stays below."""
    return _KEY.fullmatch(home.step_key) is not None and is_inside(home.path)


def is_inside(path: str) -> bool:
    """Tell whether a relative path stays in the folder it starts from."""
    parts = set(path.split("/"))
    return not _CLIMBING & parts and ".." not in path.split("\\") and "\x00" not in path


def is_digest(text: object) -> bool:
    """Tell whether a value is a sha256 in hex digits, fit for a file name."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def _kept(artifact: Artifact, home: Home | None) -> KeptArtifact:
    named: dict[str, Any] = dict(zip(_FIELDS, _value(artifact), strict=True))  # Any: each its own
    return KeptArtifact(**named, home=home)


_FIELDS = tuple(field.name for field in fields(Artifact))


def _value(artifact: Artifact) -> tuple[object, ...]:
    return tuple(getattr(artifact, name) for name in _FIELDS)
