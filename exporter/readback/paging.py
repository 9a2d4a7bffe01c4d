"""Paging through the runs of an experiment while others write to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.sinks.mlflow.api import TrackingApi
    from exporter.sinks.mlflow.bindings import FoundRun

_PAGE = 1_000  # as the tracking API pages; another number would only cost requests


def runs_by_start(
    api: TrackingApi, experiment_id: str, filter_text: str, *, page: int = _PAGE
) -> Iterator[FoundRun]:
    """Give the runs that fit a filter by start, each once.

    MLflow's page tokens are offsets: a run that is added or deleted meanwhile shifts the pages that
    follow, and runs are seen twice or not at all. So each page begins at the start of the last run
    of the page before; only among runs of one very start, more than a page of them, offsets count.
    """
    after: int | None = None
    known: set[str] = set()  # run ids given that start at `after`
    while True:
        condition = filter_text
        if after is not None:
            condition += f" AND attributes.start_time >= {after}"
        last, at_last = after, set(known)
        for count, run in enumerate(
            api.search(experiment_id, condition, order="attributes.start_time ASC"), 1
        ):
            if run.start != last:
                last, at_last = run.start, set()
            if run.run_id not in at_last:
                at_last.add(run.run_id)
                yield run
            if count % page == 0 and last != after:
                break
        else:
            return
        after, known = last, at_last
