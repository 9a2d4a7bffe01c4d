"""The orders that a history promises, the same over every back end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.history.ports import RunHead


def chronological(heads: Iterable[RunHead]) -> list[RunHead]:
    """Sort runs by start and position: the last is the latest. Runs without a start come first."""
    return sorted(heads, key=_by_start)


def _by_start(head: RunHead) -> tuple[bool, int, int]:
    return (head.start is not None, head.start or 0, head.seq)


def pipeline_order(stack: str, name: str, heads: Sequence[RunHead]) -> tuple[bool, int, str, str]:
    """Give the sort key of a pipeline: by first start, stack and name; those without runs last.

    Runs without a start do not count; a pipeline that has only such runs comes first, as its runs
    do.
    """
    starts = [head.start for head in heads if head.start is not None]
    if not heads:
        return (True, 0, stack, name)
    return (False, min(starts) if starts else -(2**63), stack, name)
