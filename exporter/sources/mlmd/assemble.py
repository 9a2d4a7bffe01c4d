"""Rows of a page as `RunSnapshot`s: statuses, times, artifacts, facts. No I/O.

What a store holds and the records keep nowhere: times of events, `Attribution` (a cached artifact
is attributed to every run that used it), `ParentType`, and the last update of single artifacts and
contexts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from exporter.hierarchy import Artifact, Parameter, PipelineRecord, RunSnapshot, Step, StepRef
from exporter.sources.mlmd.decode import Memo, PropertyRow, json_parameter, native_property
from exporter.sources.mlmd.page import Owner
from exporter.sources.mlmd.steps import UNENDED, RunFrame, StepBuilder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.sources.mlmd.page import Page, Unit
    from exporter.sources.mlmd.profiles import FlavourProfile
    from exporter.sources.sidecars import RunSidecar

_ARTIFACT_STATES = {
    0: "unknown",
    1: "pending",
    2: "live",
    3: "marked_for_deletion",
    4: "deleted",
    5: "abandoned",
    6: "reference",
}


class _Layout(NamedTuple):
    """At which places of an artifact's properties its fields are, and which remain properties.

    `names` are places whose text may repeat the name that the artifact has of its own.
    """

    materializer: int | None
    data_type: int | None
    name: int | None
    names: frozenset[int]
    rest: tuple[int, ...]


class Assembler:
    """Builds the runs of one page."""

    def __init__(self, page: Page, *, repository: str, stack: str) -> None:
        self._page = page
        self._repository = repository
        self._stack = stack
        self._memo = Memo()
        self._steps = StepBuilder(page)
        self._layouts: dict[tuple[str, bool, tuple[str | None, ...]], _Layout] = {}
        self._foreign: dict[tuple[int, str], Artifact] = {}

    def run(self, unit: Unit, profile: FlavourProfile, sidecar: RunSidecar | None) -> RunSnapshot:
        """Build one run."""
        page = self._page
        run, pipeline = page.contexts[unit.run], page.contexts[unit.pipeline]
        frame = RunFrame(unit, profile, pipeline.name, run.name, sidecar)
        steps = self._steps.steps(frame)
        artifacts = self._shown(frame, steps)
        statuses = {step.status for step in steps}
        starts = [step.start for step in steps if step.start is not None]
        ends = [step.end for step in steps if step.end is not None]
        return RunSnapshot(
            repository=self._repository,
            stack=self._stack,
            tool=profile.tool,
            flavour=profile.name,
            pipeline=PipelineRecord(
                pipeline.name,
                pipeline.id,
                str(pipeline.id),
                sidecar.pipeline_docstring if sidecar else None,
            ),
            name=run.name,
            seq=run.id,
            source_id=f"{unit.pipeline}:{unit.run}",
            status=_run_status(statuses),
            start=min(starts, default=None) if steps else run.created or None,
            end=None if statuses & UNENDED else max(ends, default=None),
            changed=frame.changed,
            run_stack=self._run_stack(frame),
            facts=self._facts(frame),
            steps=steps,
            artifacts=artifacts,
        )

    def _shown(self, frame: RunFrame, steps: tuple[Step, ...]) -> tuple[Artifact, ...]:
        """Build the artifacts of a run, distinct, in order of first mention."""
        seen: dict[str, Artifact] = {}
        for step in steps:
            for ports in (step.inputs, step.outputs):
                for port in ports:
                    artifact = port.artifact
                    if artifact not in seen:
                        seen[artifact] = self._artifact(frame, steps, artifact)
        return tuple(seen.values())

    def _artifact(self, frame: RunFrame, steps: tuple[Step, ...], name: str) -> Artifact:
        """Build an artifact; its producer is a step of this very run, else of where the store says.

        One from outside is shared by the runs of the page.
        """
        artifact = int(name)
        execution = self._page.producers.get(artifact)
        place = frame.position.get(execution) if execution is not None else None
        if place is not None:
            step = steps[place]
            own = StepRef(frame.pipeline, frame.run, step.name, step.source_id)
            made = self._new_artifact(artifact, frame.profile, own)
            frame.written.append(made)
            return made
        key = (artifact, frame.profile.name)
        known = self._foreign.get(key)
        if known is None:
            producer: StepRef | None = None
            if execution is not None:
                owner = self._page.owners.get(execution, Owner("", "", ""))
                producer = StepRef(*owner, str(execution))
            known = self._new_artifact(artifact, frame.profile, producer)
            self._foreign[key] = known
        return known

    def _new_artifact(
        self, artifact: int, profile: FlavourProfile, producer: StepRef | None
    ) -> Artifact:
        page = self._page
        row = page.artifacts.get(artifact)
        if row is None:  # an event may outlive its artifact
            return Artifact(str(artifact), "", "", producer=producer)
        rows = page.artifact_properties.get(artifact, ())
        layout = self._layout(rows, profile, named=row[4] is not None)
        name = row[4] if layout.name is None else rows[layout.name][5]
        properties = [
            self._memo.parameter(rows[place], native_property)
            for place in layout.rest
            # the same text again, as some versions write it
            if place not in layout.names or rows[place][5] != name
        ]
        if row[5] is not None:
            properties.append(Parameter("mlmd.external_id", row[5], None, declared=True))
        return Artifact(
            id=str(artifact),
            type=page.names.type_name(row[1]),
            uri=row[2] or "",
            name=name,
            state=None if row[3] is None else _ARTIFACT_STATES.get(row[3]) or str(row[3]),
            data_type=None if layout.data_type is None else rows[layout.data_type][5],
            materializer=None if layout.materializer is None else rows[layout.materializer][5],
            properties=tuple(properties),
            producer=producer,
            created=row[6] or None,
        )

    def _layout(
        self, rows: Sequence[PropertyRow], profile: FlavourProfile, *, named: bool
    ) -> _Layout:
        """Say which of an artifact's properties are lifted; most artifacts are laid out alike."""
        texts = tuple([None if row[5] is None else row[1] for row in rows])
        key = (profile.name, named, texts)
        known = self._layouts.get(key)
        if known is None:
            known = self._layouts[key] = _laid_out(texts, profile, named=named)
        return known

    def _facts(self, frame: RunFrame) -> tuple[Parameter, ...]:
        page, unit = self._page, frame.unit
        facts = _versions(frame)
        if frame.sidecar is not None:
            known = {fact.name for fact in facts}
            facts += [fact for fact in frame.sidecar.facts if fact.name not in known]
        for context in (unit.run, unit.pipeline):
            row = page.contexts[context]
            facts += self._steps.property_facts(row, page.names.type_name(row.type_id))
            facts += [
                Parameter(f"parent_context:{page.names.type_name(type_id)}", name)
                for _, type_id, name in sorted(page.parents.get(context, ()))
            ]
        facts += self._steps.context_facts(frame.shared)
        return tuple(facts)

    def _run_stack(self, frame: RunFrame) -> str | None:
        """Name the stack of the run: by a context all its steps share, else by the sidecar."""
        naming = frame.profile.run_stack
        for context in sorted(frame.shared) if naming is not None else ():
            type_name = self._page.names.type_name(self._page.contexts[context].type_id)
            for row in self._page.context_properties.get(context, ()):
                if naming is None or (type_name, row[1]) != (naming.context, naming.property):
                    continue
                value = json_parameter(row).value
                name = value.get(naming.field) if isinstance(value, dict) else None
                if isinstance(name, str):
                    return name
        return frame.sidecar.stack if frame.sidecar is not None else None


def _versions(frame: RunFrame) -> list[Parameter]:
    """Name the versions of the software that wrote the artifacts this run itself produced."""
    facts = []
    for fact, mark in frame.profile.versions.items():
        if mark.startswith("@"):
            pinned = {a.materializer for a in frame.written if a.materializer is not None}
            parts = [materializer.rpartition(mark) for materializer in pinned]
            found = {version for _, pin, version in parts if pin}
        else:
            found = {str(p.value) for a in frame.written for p in a.properties if p.name == mark}
        facts += [Parameter(fact, version) for version in sorted(found)]
    return facts


def _laid_out(texts: tuple[str | None, ...], profile: FlavourProfile, *, named: bool) -> _Layout:
    """Choose the places of lifted properties by their names; None stands for one without text."""
    rest = list(range(len(texts)))
    materializer = _lift(rest, texts, profile.materializer)
    data_type = _lift(rest, texts, profile.data_type)
    if named:
        names = frozenset(place for place in rest if texts[place] in profile.artifact_name)
        return _Layout(materializer, data_type, None, names, tuple(rest))
    name = _lift(rest, texts, profile.artifact_name)
    return _Layout(materializer, data_type, name, frozenset(), tuple(rest))


def _lift(places: list[int], texts: tuple[str | None, ...], names: tuple[str, ...]) -> int | None:
    """Take the place of the first of the names out of the places, a declared one first."""
    for name in names:
        for place in places:
            if texts[place] == name:
                places.remove(place)
                return place
    return None


def _run_status(statuses: set[str]) -> str:
    if "failed" in statuses:
        return "failed"
    if statuses & UNENDED:
        return "running"
    return "completed" if statuses - {"unknown"} else "unknown"
