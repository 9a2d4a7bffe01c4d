"""Snapshots: a history as canonical JSON values, to compare, to keep, to diff."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from exporter.hierarchy import RunSnapshot, run_to_value
from exporter.history.order import chronological

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.hierarchy import UnreadableRun
    from exporter.history.repository import Repository

JsonObject = dict[str, Any]  # Any: JSON values


def iter_snapshots(
    repository: Repository, *, on_unreadable: Callable[[UnreadableRun], None] | None = None
) -> Iterator[JsonObject]:
    """Yield every run as one canonical value, with what became of the bytes of its artifacts.

    Two values are equal when the runs are; `exporter.hierarchy.canonical_bytes` spells them for
    comparing and hashing. Memory does not grow with the history. A run that this release cannot
    read is left out and told to `on_unreadable`, by default as a warning.
    Order: pipelines as `get_pipelines` gives them, each with its runs in chronological order.
    """
    tell = on_unreadable or _warn
    for run in iter_runs(repository):
        if isinstance(run, RunSnapshot):
            yield run_to_value(run)
        else:
            tell(run)


def iter_runs(repository: Repository) -> Iterator[RunSnapshot | UnreadableRun]:
    """Yield every run as a record with contents, in the same order."""
    for pipeline in repository.get_pipelines():
        stack = pipeline._stack
        heads = chronological(stack.history.heads(pipeline.record))
        for page in stack.pages(heads):
            for _, found in page:
                yield stack.contents.fill(found) if isinstance(found, RunSnapshot) else found


def snapshot(
    repository: Repository, *, on_unreadable: Callable[[UnreadableRun], None] | None = None
) -> JsonObject:
    """Give the whole history as one canonical value: all pipelines and all runs."""
    return {
        "repository": repository.name,
        "pipelines": [
            {
                "stack": pipeline.stack_key,
                "name": pipeline.name,
                "seq": pipeline.record.seq,
                "source_id": pipeline.id,
                "docstring": pipeline.docstring,
            }
            for pipeline in repository.get_pipelines()
        ],
        "runs": list(iter_snapshots(repository, on_unreadable=on_unreadable)),
    }


def _warn(run: UnreadableRun) -> None:
    warnings.warn(
        f"The run {run.name!r} of pipeline {run.pipeline!r} is left out: {run.reason}", stacklevel=4
    )
