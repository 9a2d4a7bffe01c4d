"""What may have changed in a store since a cursor, in a few queries whatever its size.

The cursor is a signpost taken before the walk: the largest ids and times, the ids missing just
below them (a transaction that commits late shows a lower id), and the newest (id, time) pairs,
since several rows share a millisecond and writers stamp times with their own clocks. What moves
neither (values changed by SQL, deleted old rows, parent contexts) is found by the caller's rolling
re-scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.sources.mlmd import queries
from exporter.sources.mlmd.store import listed

if TYPE_CHECKING:
    from exporter.sources.mlmd.store import Reader

VERSION = 1
OVERLAP_MS = 600_000
BOUNDARY_ROWS = 2_000
ID_OVERLAP = 256
_KINDS = ("Execution", "Artifact", "Context")

Boundary = dict[str, list[list[int]]]


@dataclass(slots=True)
class Moved:
    """Executions, and run contexts themselves, that may have changed."""

    executions: set[int]
    runs: set[int]
    pairs: list[tuple[int, int]]


def signpost(reader: Reader) -> dict[str, Any]:  # Any: JSON
    """Read the maxima and what lies just below them."""
    row = reader.rows(queries.MAXIMA)[0]
    times = [t for t in row[4:7] if t is not None]
    latest = max(times, default=0)
    boundary: Boundary = {}
    floors: dict[str, int] = {}
    for kind in _KINDS:
        floors[kind], boundary[kind] = _boundary(reader, kind, latest - OVERLAP_MS)
    return {
        "version": VERSION,
        "schema": row[0],
        "event": row[1] or 0,
        "association": row[2] or 0,
        "context": row[3] or 0,
        "event_gaps": _gaps(reader, "Event", row[1] or 0),
        "association_gaps": _gaps(reader, "Association", row[2] or 0),
        "floors": floors,
        "boundary": boundary,
        "header": None,
    }


def moved_since(reader: Reader, cursor: dict[str, Any]) -> Moved:  # Any: JSON
    """Compare the store with a cursor."""
    moved = Moved(set(), set(), [])
    new: dict[str, set[int]] = {}
    vanished: dict[str, set[int]] = {}
    window: set[int] = set()
    for kind in _KINDS:
        known = {(i, t) for i, t in cursor["boundary"][kind]}
        now = _rows_since(reader, kind, cursor["floors"][kind])
        new[kind] = {i for i, _ in now - known}
        vanished[kind] = {i for i, _ in known - now} - {i for i, _ in now}
        if kind == "Execution":
            window = {i for i, _ in now | known}
    moved.executions |= new["Execution"]
    if vanished["Execution"] or vanished["Artifact"]:
        moved.executions |= window
    for row in _above(reader, queries.EVENTS_ABOVE, cursor, "event"):
        moved.executions.add(row[1])
    for _, context, execution in _above(reader, queries.ASSOCIATIONS_ABOVE, cursor, "association"):
        moved.executions.add(execution)
        moved.pairs.append((context, execution))
    artifacts = new["Artifact"] | vanished["Artifact"]
    if artifacts:
        moved.executions |= {
            row[0]
            for row in reader.rows(
                queries.EVENTS_OF_ARTIFACTS, artifacts=listed("artifact_id", artifacts)
            )
        }
    contexts = new["Context"] | vanished["Context"]
    if contexts:
        moved.executions |= {
            row[0]
            for row in reader.rows(
                queries.EXECUTIONS_OF_CONTEXTS, contexts=listed("context_id", contexts)
            )
        }
    fresh = reader.rows(
        queries.IDS_ABOVE, table=reader.table("Context"), above=str(cursor["context"])
    )
    moved.runs = contexts | {row[0] for row in fresh}
    return moved


def usable(cursor: dict[str, Any] | None) -> bool:  # Any: JSON
    """Tell whether a cursor is one of this release's."""
    return cursor is not None and cursor.get("version") == VERSION


def went_back(cursor: dict[str, Any], now: dict[str, Any]) -> bool:  # Any: JSON
    """Tell whether the store has less than the cursor saw: it was restored or replaced."""
    return any(now[key] < cursor[key] for key in ("event", "association", "context"))


def _boundary(reader: Reader, kind: str, since: int) -> tuple[int, list[list[int]]]:
    """Give the newest rows since a time, at most so many, and the time since which they are all."""
    rows = reader.rows(
        queries.MOVED + f" LIMIT {BOUNDARY_ROWS + 1}", table=reader.table(kind), since=str(since)
    )
    if len(rows) <= BOUNDARY_ROWS:
        return since, [[row[0], row[1]] for row in rows]
    floor = rows[-1][1] + 1  # rows of the cut-off millisecond may be missing: begin behind it
    kept = [[row[0], row[1]] for row in rows if row[1] >= floor]
    if kept:
        return floor, kept
    return floor - 1, [list(r) for r in _rows_since(reader, kind, floor - 1)]


def _rows_since(reader: Reader, kind: str, since: int) -> set[tuple[int, int]]:
    rows = reader.rows(queries.MOVED, table=reader.table(kind), since=str(since))
    return {(row[0], row[1]) for row in rows}


def _gaps(reader: Reader, kind: str, highest: int) -> list[int]:
    """List the ids that are missing among the last ones."""
    low = max(0, highest - ID_OVERLAP)
    rows = reader.rows(queries.IDS_ABOVE, table=reader.table(kind), above=str(low))
    return sorted(set(range(low + 1, highest + 1)) - {row[0] for row in rows})


def _above(
    reader: Reader,
    template: str,
    cursor: dict[str, Any],
    key: str,  # Any: JSON
) -> list[tuple[Any, ...]]:  # Any: integers of the template's columns
    """Read the rows above the cursor's id, and those that have since filled a gap below it."""
    rows = reader.rows(template, ids=f"id > {cursor[key]}")
    gaps = cursor[f"{key}_gaps"]
    return rows + reader.rows(template, ids=listed("id", gaps)) if gaps else rows
