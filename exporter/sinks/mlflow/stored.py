"""What an artifact store holds of one file."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from exporter.sinks.mlflow.answers import MissingResource

if TYPE_CHECKING:
    from exporter.sinks.mlflow.api import TrackingApi


class StoredFile(NamedTuple):
    """A file as the artifact store has it; sha256 is None where it was not read to its end."""

    size: int | None
    sha256: str | None


def read_stored(
    api: TrackingApi, artifact_uri: str, path: str, most: int | None = None
) -> StoredFile | None:
    """Read a file and digest it; None where there is none, no digest where it is too long."""
    digest, size = hashlib.sha256(), 0
    try:
        with closing(api.read_file(artifact_uri, path)) as blocks:
            for block in blocks:
                size += len(block)
                if most is not None and size > most:
                    return StoredFile(None, None)
                digest.update(block)
    except MissingResource:
        return None
    return StoredFile(size, digest.hexdigest())
