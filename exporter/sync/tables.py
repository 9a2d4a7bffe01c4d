"""Describes the tables of a page of runs, and makes the files that MLflow keeps beside them.

A table is read once: its statistics wait in a temporary folder until its unit is written. What came
of an artifact is remembered with its digests, so that no later cycle reads it again.
"""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, Self

from exporter.mapping.mlflow import SERIES_TAG, TableFacts
from exporter.mapping.openlineage import lineage_table
from exporter.materializers.files import ArtifactFiles
from exporter.statistics.describing import STATISTICS, describe, load, render, statistics_bytes
from exporter.statistics.model import StatLimits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from exporter.hierarchy import Artifact, RunSnapshot
    from exporter.history.ports import ArtifactReader
    from exporter.mapping.mlflow import RunPlan, UnitPlan, Upload
    from exporter.sinks.mlflow import MlflowSink
    from exporter.statistics.describing import TableDescription


class _Planned(NamedTuple):
    """A described output of a run of this page."""

    start: int
    artifact_id: str
    unit: str
    run: str


class TableDescriber:
    """Describes tables of one stack; a context manager, whose end drops what waits."""

    def __init__(self, reader: ArtifactReader, *, top_values: int = 0) -> None:
        self._reader = reader
        self._limits = StatLimits(values=top_values)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._waiting: dict[str, Path] = {}
        self._numbers = count()
        self._planned: dict[tuple[str, str, str], list[_Planned]] = {}
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def facts(self, artifact: Artifact) -> TableFacts | None:
        """Describe an artifact; None when it is no table after all.

        Raises: CorruptArtifact when it cannot be read as the table that it looks like; as the
        reader does.
        """
        description = self._describe(artifact)
        if description is None:
            return None
        measures = description.measures
        return TableFacts(
            rows=int(measures["rows"]),
            columns=int(measures["columns"]),
            missing_ratio=measures["missing_ratio"],
            colspec=description.colspec,
            lineage=lineage_table(description.tables).to_text(),
        )

    def expect(self, plan: UnitPlan, run: RunSnapshot) -> None:
        """Hear of a unit of this page, so that later runs are compared with it."""
        for upload in plan.uploads:
            if upload.derived and upload.artifact_id in self._waiting:
                holder = _holder(plan, upload)
                place = (plan.experiment.key, holder.tags[SERIES_TAG], upload.derived)
                planned = _Planned(holder.start, upload.artifact_id, plan.unit, run.name)
                self._planned.setdefault(place, []).append(planned)

    def files(
        self, plan: UnitPlan, run: RunSnapshot, upload: Upload, sink: MlflowSink, experiment_id: str
    ) -> Mapping[str, bytes]:
        """Give the files to keep beside a table, by path, with the drift since the run before it.

        The run before is that of this page or the one in MLflow which started last.
        Raises: as `facts` does; SinkTransient, SinkUnavailable.
        """
        artifact = run.artifact(upload.artifact_id)
        waiting = self._waiting.get(artifact.id)
        now = load(waiting.read_bytes()) if waiting is not None else self._describe(artifact)
        if now is None:
            return {}
        before, title = self._before(plan, upload, sink, experiment_id)
        port = upload.derived.partition("/")[2]
        made = render(now, before, title=f"{port} of {run.name}", previous_title=title)
        return {f"{upload.derived}/{name}": content for name, content in made.items()}

    def _before(
        self, plan: UnitPlan, upload: Upload, sink: MlflowSink, experiment_id: str
    ) -> tuple[TableDescription | None, str]:
        """Give the description of this output in the run before, and that run's name."""
        holder = _holder(plan, upload)
        series = holder.tags[SERIES_TAG]
        here = self._planned.get((plan.experiment.key, series, upload.derived), [])
        earlier = [p for p in here if p.start < holder.start and p.unit != plan.unit]
        nearest = max(earlier, default=None)
        kept = sink.earlier_file(
            experiment_id,
            f"tags.`{SERIES_TAG}` = '{series}' AND tags.`exporter.unit` != '{plan.unit}'",
            before=holder.start,
            path=f"{upload.derived}/{STATISTICS}",
        )
        if nearest is not None and (kept is None or nearest.start >= kept.start):
            return load(self._waiting[nearest.artifact_id].read_bytes()), nearest.run
        if kept is None:
            return None, ""
        return load(kept.content), kept.run

    def _describe(self, artifact: Artifact) -> TableDescription | None:
        """Read a table, and let its statistics wait for its unit."""
        description = describe(ArtifactFiles(self._reader, artifact), limits=self._limits)
        if description is not None:
            with self._lock:
                if self._folder is None:
                    self._folder = tempfile.TemporaryDirectory(prefix="pipeline-exporter-")
                place = Path(self._folder.name) / f"{next(self._numbers)}.pb"
            place.write_bytes(statistics_bytes(description))
            self._waiting[artifact.id] = place
        return description


def _holder(plan: UnitPlan, upload: Upload) -> RunPlan:
    """Give the nested run that holds an upload."""
    return next(child for child in plan.children if child.key == upload.step_key)
