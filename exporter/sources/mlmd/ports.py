"""Which ports an event names, and in which order a step's ports stand.

The rows of an event's path are a flat list: a key row (the port), then an index row (the place in
its list). One event may name several ports. PostgreSQL and MySQL keep no order of rows: there the
pairing is only told where it is certain.
Source: https://github.com/google/ml-metadata/blob/master/ml_metadata/proto/metadata_store.proto
(Event.Path)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.sources.mlmd.store import Row

PortName = tuple[str, int | None]
FoundPort = tuple[str, int | None, int]  # name, index, artifact


def port_names(rows: Sequence[Row], *, ordered: bool) -> list[PortName]:
    """Name the ports of one event; an event without a path has one port named ''."""
    if not rows:
        return [("", None)]
    if len(rows) == 2 and not rows[0][1] and rows[1][1]:
        return [(rows[0][3] or "", rows[1][2])]
    if ordered and _alternates(rows):
        return [(rows[i][3] or "", rows[i + 1][2]) for i in range(0, len(rows), 2)]
    keys = [row[3] or "" for row in rows if not row[1]] or [""]
    indexes = [row[2] for row in rows if row[1]]
    if indexes and (len(set(indexes)) == 1):
        return [(key, indexes[0]) for key in keys]
    return [(key, None) for key in keys]


def sorted_ports(found: list[FoundPort]) -> list[FoundPort]:
    """Sort ports, each once: by the port's lowest artifact, its name, then the index."""
    if len(found) < 2:
        return found
    lowest: dict[str, int] = {}
    for name, _, artifact in found:
        if artifact < lowest.get(name, artifact + 1):
            lowest[name] = artifact
    return sorted(
        set(found), key=lambda p: (lowest[p[0]], p[0], -1 if p[1] is None else p[1], p[2])
    )


def _alternates(rows: Sequence[Row]) -> bool:
    return len(rows) % 2 == 0 and all(bool(row[1]) == bool(i % 2) for i, row in enumerate(rows))
