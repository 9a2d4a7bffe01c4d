"""Compares one run of the source with all that MLflow holds of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.hierarchy import RunSnapshot, canonical_bytes, iso_from_ms, run_to_value
from exporter.mapping.mlflow import PAGES_TAG, planned_files
from exporter.mapping.records_text import HEAD_TAG, SEAL_TAG
from exporter.mapping.value_diff import value_differences
from exporter.readback.kept import KeptArtifact
from exporter.readback.units import UnitReader, sealed_unit
from exporter.sinks.mlflow.differences import differing_fields
from exporter.sinks.mlflow.holding import Holding, by_key, digest_of, is_record, rank, seal_tags
from exporter.sinks.mlflow.mending import is_intact, most_bytes
from exporter.sinks.mlflow.tags import GONE_TAG, PARENT_TAG
from exporter.sync.contents import COMPUTED_ON_RUN
from exporter.sync.verify_report import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.mapping.homes import Home
    from exporter.mapping.mlflow import PlannedFile, RunPlan, UnitPlan
    from exporter.readback.experiments import TrackedPipeline
    from exporter.sinks.mlflow.bindings import FoundRun, FoundUnit
    from exporter.sinks.mlflow.differences import FieldDifference
    from exporter.sinks.mlflow.reading import MlflowReader
    from exporter.sync.verify_report import Kind

Json = Any  # Any: JSON values
DELETED = "deleted"
THERE = "there"


class ComparedUnit(NamedTuple):
    """What a comparison found; `is_missing` says that MLflow has no such run, or deleted it."""

    differences: list[Difference]
    is_missing: bool
    bytes: int


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The run that MLflow gives back, or the reason why it gives none."""

    run: RunSnapshot | None
    reason: str = ""

    @property
    def homes(self) -> dict[str, Home]:
        """Where the copied artifacts are, by the record."""
        artifacts = () if self.run is None else self.run.artifacts
        return {a.id: a.home for a in artifacts if isinstance(a, KeptArtifact) and a.home}


def read_back(
    reader: MlflowReader, pipeline: TrackedPipeline, found: FoundUnit, bound: Mapping[str, str]
) -> ReadBack:
    """Read a unit's record as the read-back adapter does. Raises: SinkError."""
    parents = [run for run in found.runs if run.key == found.unit]
    if not parents:
        return ReadBack(None, "no run")
    best = min(parents, key=lambda r: (bound.get(r.key) != r.run_id, not digest_of(r), r.run_id))
    unit = sealed_unit(best, pipeline)
    if unit is None:
        return ReadBack(None, "no whole record")
    run = UnitReader(reader.get_file).run(unit)
    if isinstance(run, RunSnapshot):
        return ReadBack(run)
    return ReadBack(None, "the record of another run" if run is None else run.reason)


@dataclass(slots=True)
class UnitComparison:
    """One run of the source, with contents, and its plan.

    `bound` are the run ids that the ledger knows. With `sizes_only` no stored file is read.
    """

    reader: MlflowReader
    experiment_id: str
    run: RunSnapshot
    plan: UnitPlan
    back: ReadBack
    bound: Mapping[str, str]
    sizes_only: bool
    _bytes: int = 0
    _listed: dict[tuple[str, str], Mapping[str, int | None]] = field(default_factory=dict)

    def fields(self, found: FoundUnit) -> ComparedUnit:
        """Compare everything but the files. `found` are the unit's active runs."""
        groups = by_key(found.runs)
        parent = self._chosen(groups.pop(self.plan.unit, []))
        if parent is None:
            gone = self.plan.unit in self._deleted()
            missing = self._difference("", "run", "", THERE, DELETED if gone else None)
            return ComparedUnit([missing], True, 0)
        differences = list(self._runs(groups, parent, found))
        return ComparedUnit([*differences, *self._record()], False, 0)

    def files(self, found: FoundUnit) -> ComparedUnit:
        """Compare the files of the runs that are there."""
        groups = by_key(found.runs)
        chosen = {key: run for key, runs in groups.items() if (run := self._chosen(runs))}
        parent = chosen.get(self.plan.unit)
        pages = "" if parent is None else parent.tags.get(PAGES_TAG, "")
        differences = [
            difference
            for file in planned_files(self.plan)
            if file.key in chosen
            and (difference := self._file(file, chosen[file.key].artifact_uri, pages)) is not None
        ]
        return ComparedUnit(differences, False, self._bytes)

    def _runs(
        self, groups: dict[str, list[FoundRun]], parent: FoundRun, found: FoundUnit
    ) -> Iterator[Difference]:
        holding = Holding(self.plan, parent, self.reader.get_file)
        plan = self.plan.parent
        seal = seal_tags(self.plan, plan.key, parent.run_id, {})
        wanted = holding.wanted_of_parent(seal)
        for found_field in differing_fields(
            plan, wanted, parent, partial(holding.keys_of, plan.key)
        ):
            if not _is_of_the_record(found_field):
                yield self._spelled("", found_field)
        yield from self._duplicates("", sum(r.key == plan.key for r in found.runs))
        deleted: Mapping[str, object] | None = None
        for child in self.plan.children:
            runs = groups.pop(child.key, [])
            kept = self._chosen(runs)
            if kept is None:
                deleted = self._deleted() if deleted is None else deleted
                now = DELETED if child.key in deleted else None
                yield self._difference(child.name, "run", "", THERE, now)
                continue
            yield from self._duplicates(child.name, len(runs))
            yield from self._step(child, kept, parent, holding)
        for runs in groups.values():
            yield self._difference(runs[0].name, "run", "", None, THERE)

    def _step(
        self, plan: RunPlan, kept: FoundRun, parent: FoundRun, holding: Holding
    ) -> Iterator[Difference]:
        seal = seal_tags(self.plan, plan.key, kept.run_id, {})
        wanted = {**plan.tags, PARENT_TAG: parent.run_id, **seal}
        if digest_of(kept) == digest_of(parent):
            wanted[SEAL_TAG] = kept.tags[SEAL_TAG]  # told once, as a difference of the record
        for found in differing_fields(plan, wanted, kept, partial(holding.keys_of, plan.key)):
            yield self._spelled(plan.name, found)

    def _record(self) -> Iterator[Difference]:
        """Compare what reading back gives with the source."""
        back = self.back.run
        if back is None:
            yield self._difference("", "record", "", "whole", self.back.reason)
            return
        ours, theirs = run_to_value(self.run), run_to_value(back)
        if canonical_bytes(ours) != canonical_bytes(theirs):
            for place in value_differences(ours, theirs):
                if place.left != COMPUTED_ON_RUN:
                    yield self._difference("", "record", place.path, place.left, place.right)
        homes = self.back.homes
        for artifact_id in sorted({*homes, *self.plan.homes}):
            here, there = self.plan.homes.get(artifact_id), homes.get(artifact_id)
            if here != there:
                name = f"home of artifact {artifact_id}"
                yield self._difference("", "record", name, _place(here), _place(there))

    def _file(self, file: PlannedFile, root: str, pages: str) -> Difference | None:
        planned = {"size": file.size, "sha256": file.sha256}
        if self.sizes_only or file.sha256 is None:
            size, is_there = self._listed_size(root, file.path)
            is_right = is_there and (file.is_derived or size in {None, file.size})
            held: Json = {"size": size, "sha256": None} if is_there else None
        else:
            stored = self.reader.stored(root, file.path, most_bytes(file))
            self._bytes += (stored.size or 0) if stored is not None else 0
            is_right = is_intact(file, stored, pages)
            held = None if stored is None else stored._asdict()
        if is_right:
            return None
        step = next((c.name for c in self.plan.children if c.key == file.key), "")
        return self._difference(step, "file", file.path, planned, held)

    def _listed_size(self, root: str, path: str) -> tuple[int | None, bool]:
        folder, _, name = path.rpartition("/")
        if (root, folder) not in self._listed:
            self._listed[root, folder] = self.reader.list_files(root, folder)
        listed = self._listed[root, folder]
        return listed.get(name), name in listed

    def _chosen(self, runs: list[FoundRun]) -> FoundRun | None:
        return min(runs, key=lambda run: rank(run, self.plan, self.bound), default=None)

    def _deleted(self) -> Mapping[str, object]:
        """Give the runs that somebody deleted in MLflow, by key."""
        found = self.reader.unit(self.experiment_id, self.plan.unit, deleted=True)
        return by_key(run for run in found.runs if GONE_TAG not in run.tags)

    def _duplicates(self, step: str, count: int) -> Iterator[Difference]:
        if count > 1:
            yield self._difference(step, "run", "copies", 1, count)

    def _spelled(self, step: str, found: FieldDifference) -> Difference:
        kind: Kind = found.kind
        name = found.name
        source, sink = _value(found.kind, found.planned), _value(found.kind, found.found)
        if kind == "metric" and source is not None and source == sink:
            name = f"{name} time"
            source, sink = _metric_time(found.planned), _metric_time(found.found)
        if kind == "tag" and name == PARENT_TAG:
            kind, name = "parent", ""
        return self._difference(step, kind, name, source, sink)

    def _difference(self, step: str, kind: Kind, name: str, source: Json, sink: Json) -> Difference:
        run = self.run
        return Difference(run.stack, run.pipeline.name, run.name, step, kind, name, source, sink)


def _is_of_the_record(found: FieldDifference) -> bool:
    """Tell whether a tag spells the record, which is compared by its value, or names pages."""
    if found.kind != "tag" or found.name == HEAD_TAG:
        return False
    return is_record(found.name) or found.name in {SEAL_TAG, PAGES_TAG}


def _value(kind: Kind, value: Any) -> Json:  # Any: a field's value
    if value is None:
        return None
    if kind in {"start", "end"}:
        return iso_from_ms(value)
    if kind == "metric":
        number = value[0]
        return number if math.isfinite(number) else repr(number)
    return value


def _metric_time(point: Any) -> Json:  # Any: (value, time)
    return iso_from_ms(point[1])


def _place(home: Any) -> Json:  # Any: a home or None
    return None if home is None else f"{home.path} of the run {home.step_key}"
