"""Building OpenLineage events, beside openlineage-python that emits the same content.

Both start from what is known of a run: the exporter from its records and table descriptions, the
client from the fields of the same facets. The client emits to a transport that drops everything.
Own facets, which the client has no classes for, are left out on both sides.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, Spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exporter.hierarchy import RunSnapshot
    from exporter.mapping.openlineage import LineageEvent, RunDetails
    from exporter.statistics.model import TableStatistics

_COLUMNS, _STEPS, _ROWS = 20, 10, 100_000


def measure(schemas: Path, *, rounds: int) -> list[Figure]:
    """Build the events of one run by turns; times are of this process's processors."""
    from exporter.mapping.openlineage import (
        CatalogProfile,
        LineageNaming,
        run_events,
    )
    from exporter.sinks.openlineage import EventCheck

    tables = {str(n): _table(n) for n in range(_STEPS * 2)}
    run = _run(tables)
    naming = LineageNaming()
    plain = CatalogProfile("plain", input_facets="apart", own_facets=False)
    whole = replace(plain, own_facets=True)
    check = EventCheck.of_folder(schemas)
    details = _spelled(tables)
    emit = _client(run_events(run, naming, plain, details=details))
    events = len(run_events(run, naming, plain, details=details))

    def checked() -> None:
        for event in run_events(run, naming, plain, details=details):
            check.check(event.body)

    def checked_whole() -> None:
        for event in run_events(run, naming, whole, details=details):
            check.check(event.body)

    works = {
        "client": emit,
        "ours": lambda: run_events(run, naming, plain, details=details),
        "checked": checked,
        "anew": lambda: run_events(run, naming, plain, details=_spelled(tables)),
        "whole": lambda: run_events(run, naming, whole, details=details),
        "checked_whole": checked_whole,
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            taken = _cpu(work)
            if number:
                found[name].append(taken / events * 1e6)
    return _figures(found, events)


def _figures(found: dict[str, list[float]], events: int) -> list[Figure]:
    def ratio(which: str) -> Spread:
        pairs = zip(found["client"], found[which], strict=True)
        return Spread.of([theirs / ours for theirs, ours in pairs])

    def micros(which: str) -> str:
        return f"{Spread.of(found[which]).median:.0f}"

    size = f"{events} events, 10 of them with 2 + 2 datasets of {_COLUMNS} columns"
    ours, checked, anew = ratio("ours"), ratio("checked"), ratio("anew")
    whole, checked_whole = ratio("whole"), ratio("checked_whole")
    return [
        Figure(
            "client / events with schemas and statistics",
            ours.median,
            "×",
            10,
            "at least",
            f"{ours}; {micros('client')} and {micros('ours')} µs CPU an event; {size}",
        ),
        Figure(
            "client / the same, each checked",
            checked.median,
            "×",
            5,
            "at least",
            f"{checked}; {micros('checked')} µs",
        ),
        Figure(
            "client / the same, every table spelled anew",
            anew.median,
            "×",
            note=f"{anew}; {micros('anew')} µs; the exporter spells a table once, when it reads it",
        ),
        Figure(
            "client without / events with own facets, checked",
            checked_whole.median,
            "×",
            note=f"{checked_whole}; {micros('checked_whole')} µs; "
            f"unchecked {whole.median:.1f} ×, {micros('whole')} µs",
        ),
    ]


def _cpu(work: Callable[[], object]) -> float:
    work()
    begun = time.process_time()
    for _ in range(10):
        work()
    return (time.process_time() - begun) / 10


def _client(events: tuple[LineageEvent, ...]) -> Callable[[], None]:
    """Give what builds and emits the same events by the client; no configuration is read."""
    from openlineage.client import OpenLineageClient
    from openlineage.client.serde import Serde
    from openlineage.client.transport import Transport

    from benchmarks.lineage_by_client import by_the_client

    class Dropping(Transport):
        """Serialises, as every transport that sends does, and drops; `noop` would do neither."""

        kind = "dropping"

        def emit(self, event: Any) -> None:  # Any: one of the client's events
            Serde.to_json(event).encode("utf-8")

    os.environ.pop("OPENLINEAGE_URL", None)
    client = OpenLineageClient(transport=Dropping())
    bodies = [json.loads(event.body) for event in events]

    def emit() -> None:
        for body in bodies:
            client.emit(by_the_client(body))

    return emit


def _spelled(tables: dict[str, TableStatistics]) -> RunDetails:
    from exporter.mapping.mlflow import TableFacts
    from exporter.mapping.openlineage import RunDetails, lineage_table

    return RunDetails(
        tables={
            number: TableFacts(_ROWS, _COLUMNS, 0.0, "", lineage_table([table]).to_text())
            for number, table in tables.items()
        }
    )


def _run(tables: dict[str, TableStatistics]) -> RunSnapshot:
    """Make a run of ten steps, each of which reads and writes two tables."""
    from exporter.hierarchy import (
        Artifact,
        Content,
        FileRecord,
        Parameter,
        PipelineRecord,
        Port,
        RunSnapshot,
        Step,
        StepRef,
    )

    start = 1_700_000_000_000
    files = (FileRecord("df.parquet", 2_000_000, "a" * 64),)
    steps = tuple(
        Step(
            f"step_{n}",
            str(n),
            f"step_{n}",
            "completed",
            start=start + 1_000 * n,
            end=start + 1_000 * n + 900,
            docstring="Does its part.",
            parameters=(Parameter("rows", _ROWS), Parameter("seed", 7)),
            inputs=tuple(
                Port(f"in_{side}", str(2 * (n - 1) + side), parent=n - 1)
                for side in range(2 if n else 0)
            ),
            outputs=tuple(Port(f"out_{side}", str(2 * n + side)) for side in range(2)),
            parents=(n - 1,) if n else (),
        )
        for n in range(_STEPS)
    )
    artifacts = tuple(
        Artifact(
            number,
            "DataArtifact",
            f"/data/train/step_{int(number) // 2}/out_{int(number) % 2}/{int(number) // 2}",
            data_type="pandas.core.frame.DataFrame",
            producer=StepRef("train", "run_1", f"step_{int(number) // 2}", str(int(number) // 2)),
            content=Content("copied", "a" * 64, 2_000_000, files),
        )
        for number in tables
    )
    return RunSnapshot(
        repository="acme",
        stack="local",
        tool="zenml",
        flavour="zenml-0.5",
        pipeline=PipelineRecord("train", 1, "1"),
        name="run_1",
        seq=1,
        source_id="1:1",
        status="completed",
        start=start,
        end=start + 20_000,
        steps=steps,
        artifacts=artifacts,
    )


def _table(seed: int) -> TableStatistics:
    from exporter.statistics.model import ColumnStatistics, Distinct, Quantiles, TableStatistics

    points = tuple((ratio / 4, seed + ratio * 1.25) for ratio in range(5))
    columns = tuple(
        ColumnStatistics(
            f"column_{n}",
            "float",
            "double",
            _ROWS,
            nulls=n,
            distinct=Distinct(_ROWS - n, "exact"),
            minimum=float(seed),
            maximum=seed + 5.0,
            mean=seed + 2.5,
            deviation=1.25,
            zeros=0,
            quantiles=Quantiles(points, "exact", _ROWS),
        )
        for n in range(_COLUMNS)
    )
    return TableStatistics(_ROWS, columns, _COLUMNS, size_bytes=2_000_000)
