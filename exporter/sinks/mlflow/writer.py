"""Writes planned runs with as few requests as MLflow allows, and counts what it did."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from exporter.errors import CorruptArtifact, SinkError, SinkRateLimited, SinkUnavailable
from exporter.mapping.mlflow import PAGES_TAG, pages_tag, unsent_pages
from exporter.sinks.mlflow.api import (
    BATCH_ENTITIES,
    BATCH_METRICS,
    BATCH_PARAMS,
    BATCH_TAGS,
    CreatedRun,
    TrackingApi,
)
from exporter.sinks.mlflow.holding import seal_tags
from exporter.sinks.mlflow.tags import PARENT_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from exporter.hierarchy import FileRecord
    from exporter.mapping.mlflow import DatasetPlan, MetricPoint, RunPlan, UnitPlan, Upload


@dataclass(slots=True)
class Tally:
    """What one apply did so far."""

    created: int = 0
    deleted: int = 0
    updated: set[str] = field(default_factory=set)
    files: int = 0
    bytes: int = 0
    tables: int = 0
    models: int = 0
    models_registered: int = 0
    models_left_deleted: int = 0


class UnitWriter:
    """Writes the runs of one unit into one experiment.

    `model_of` names the only model of a step's run, by the step's key: its metrics show there too.
    """

    def __init__(
        self,
        api: TrackingApi,
        experiment_id: str,
        plan: UnitPlan,
        open_file: Callable[[str, str], BinaryIO],
        derive: Callable[[Upload], Mapping[str, bytes]] | None = None,
    ) -> None:
        self.api = api
        self.plan = plan
        self.tally = Tally()
        self.model_of: Mapping[str, str] = {}
        self.pages_failed = ""
        self._experiment_id = experiment_id
        self._open_file = open_file
        self._derive = derive

    def create(self, run: RunPlan, parent_id: str | None) -> CreatedRun:
        """Create a run with all its tags but seal and record."""
        tags = dict(run.tags)
        if parent_id is not None:
            tags[PARENT_TAG] = parent_id
        created = self.api.create_run(self._experiment_id, run.name, run.start, tags)
        self.tally.created += 1
        return created

    def fill(self, run: RunPlan, run_id: str) -> None:
        """Write everything into a run that was just created, its seal last."""
        self.finish(run, run_id)
        if run.datasets:
            self.log_inputs(run_id, run.datasets)
        self.log(
            run_id,
            params=run.params.items(),
            metrics=run.metrics,
            tags=self.seal_of(run, run_id).items(),
            model_id=self.model_of.get(run.key),
        )

    def seal_of(self, run: RunPlan, run_id: str) -> dict[str, str]:
        """Give the tags that say: this run is whole. They ride in the last request of the run."""
        return seal_tags(self.plan, run.key, run_id, self.pages_held())

    def finish(self, run: RunPlan, run_id: str) -> None:
        """Set status and end; MLflow creates every run as running."""
        if run.status != "RUNNING" or run.end is not None:
            self.api.update_run(run_id, status=run.status, end=run.end)

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetPlan]) -> None:
        """Log datasets, as many in a call as MLflow takes."""
        for start in range(0, len(datasets), BATCH_ENTITIES):
            self.api.log_inputs(run_id, datasets[start : start + BATCH_ENTITIES])

    def log(
        self,
        run_id: str,
        *,
        params: Iterable[tuple[str, str]] = (),
        metrics: Sequence[MetricPoint] = (),
        tags: Iterable[tuple[str, str]] = (),
        model_id: str | None = None,
    ) -> None:
        """Write parameters, metrics (of a model too) and tags; all tags are in the last call."""
        for params_, metrics_, tags_ in batches(list(params), metrics, list(tags)):
            self.api.log_batch(
                run_id, params=params_, metrics=metrics_, tags=tags_, model_id=model_id
            )

    def delete(self, run_id: str) -> None:
        """Soft-delete a run."""
        self.api.delete_run(run_id)
        self.tally.deleted += 1

    def upload(self, upload: Upload, artifact_uri: str) -> None:
        """Store the files of one artifact, checking that they are what the plan says."""
        for file, path in zip(upload.files, upload.paths, strict=True):
            self.send_file(upload.artifact_id, file, artifact_uri, path)
        self.describe(upload, artifact_uri)

    def describe(self, upload: Upload, artifact_uri: str) -> None:
        """Store what is derived from a table, its description, beside its files."""
        if not upload.derived or self._derive is None:
            return
        for path, content in self._derive(upload).items():
            self.api.put_file(artifact_uri, path, io.BytesIO(content), len(content))
        self.tally.tables += 1

    def send_file(self, artifact_id: str, file: FileRecord, artifact_uri: str, path: str) -> None:
        """Store one file of an artifact, checking that it is what the plan says."""
        with self._open_file(artifact_id, file.path) as raw:
            reader = _Checked(raw)
            body = cast("BinaryIO", reader)  # read and seek are all that is called
            self.api.put_file(artifact_uri, path, body, file.size)
        reader.check(file, artifact_id)
        self.tally.files += 1
        self.tally.bytes += file.size

    def put_record(self, artifact_uri: str) -> None:
        """Store a record that is too long for tags."""
        if self.plan.record_file is not None:
            path, content = self.plan.record_file
            self.api.put_file(artifact_uri, path, io.BytesIO(content), len(content))

    def put_pages(self, artifact_uri: str, held: str = "") -> None:
        """Store the pages that the tag `held` does not name.

        A root that takes none holds back nothing else: `pages_failed` says why.
        Raises: SinkUnavailable, SinkRateLimited.
        """
        for path, content in unsent_pages(self.plan.pages, held).items():
            try:
                self.api.put_file(artifact_uri, path, io.BytesIO(content), len(content))
            except (SinkUnavailable, SinkRateLimited):
                raise
            except SinkError as error:
                self.pages_failed = error.message
                return

    def pages_held(self) -> dict[str, str]:
        """Give the tag that says which pages the parent holds; empty where some are not stored."""
        if not self.plan.pages:
            return {}
        return {PAGES_TAG: "" if self.pages_failed else pages_tag(self.plan.pages)}


class _Checked:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._hash.update(block)
        self._size += len(block)
        return block

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int) -> int:
        self._hash = hashlib.sha256()
        self._size = 0
        return self._file.seek(offset)

    def check(self, expected: FileRecord, artifact_id: str) -> None:
        """Raise CorruptArtifact when the bytes sent are not those the plan was made from."""
        if self._size != expected.size or self._hash.hexdigest() != expected.sha256:
            raise CorruptArtifact(
                f"File {expected.path!r} of artifact {artifact_id} changed while it was copied.",
                hint="The next cycle reads it again.",
                artifact=artifact_id,
                path=expected.path,
            )


def batches(
    params: Sequence[tuple[str, str]],
    metrics: Sequence[MetricPoint],
    tags: Sequence[tuple[str, str]],
) -> Iterator[tuple[Sequence[tuple[str, str]], Sequence[MetricPoint], Sequence[tuple[str, str]]]]:
    """Divide into calls within MLflow's limits; the last holds the tags, if up to 100.

    At most 100 parameters, 1,000 metrics and 1,000 things in all in one call.
    """
    early, last_tags = tags[:-BATCH_TAGS], tags[-BATCH_TAGS:]
    room = BATCH_ENTITIES - BATCH_TAGS
    while len(params) > BATCH_PARAMS or len(params) + len(metrics) > room or early:
        some_params, params = params[:BATCH_PARAMS], params[BATCH_PARAMS:]
        count = min(BATCH_METRICS, room - len(some_params))
        some_metrics, metrics = metrics[:count], metrics[count:]
        some_tags, early = early[:BATCH_TAGS], early[BATCH_TAGS:]
        yield some_params, some_metrics, some_tags
    if params or metrics or last_tags:
        yield params, metrics, last_tags
