"""Where an artifact's files go under the artifact root of the run that holds them.

`outputs/<port>[/<index>]/<relative path>`. MLflow decodes percent signs in a path before it checks
and stores it (`validate_path_is_safe`), so an encoded slash would come back as a slash: a segment
that is not plain is cleaned and gets a tail of its hash instead. The original names are in the
record.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.mapping.homes import Home

SEGMENT_LENGTH = 160  # file systems stop at 255 bytes, staging adds a suffix
SUFFIX_LENGTH = 12
_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]")


def safe_segment(name: str) -> str:
    """Make one path segment that every store takes; a plain name keeps its spelling.

    Different names give different segments: a changed one has a hash of the original before its
    suffix.
    """
    cleaned = _UNSAFE.sub("_", name)
    if cleaned == name and 0 < len(name) <= SEGMENT_LENGTH and name.strip(".") != "":
        return name
    tail = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    stem, dot, suffix = cleaned.strip(".").rpartition(".")
    if not dot or not stem or len(suffix) > SUFFIX_LENGTH:
        return f"{cleaned.strip('.')[:SEGMENT_LENGTH]}~{tail}"
    return f"{stem[:SEGMENT_LENGTH]}~{tail}.{suffix}"


def port_folder(kind: str, port: str, index: int | None) -> str:
    """Give the folder of one artifact on a port: `outputs/train`, `outputs/models/2`."""
    folder = f"{kind}/{safe_segment(port)}"
    return folder if index is None else f"{folder}/{index}"


def stored_path(home: Home, file_path: str) -> str:
    """Give where a file of an artifact is, under the artifact root of the run its home names.

    `file_path` is relative to the artifact, '' where the artifact is the file.
    """
    if not file_path:
        return home.path
    return "/".join([home.path, *(safe_segment(part) for part in file_path.split("/"))])
