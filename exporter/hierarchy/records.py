"""The records that every back end delivers and every sink takes.

A `RunSnapshot` is one pipeline run, complete in itself: the unit of work, of retry, of
dead-lettering and of comparison. Times are UTC milliseconds since the epoch, None where the source
recorded none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from exporter.hierarchy.values import Value

ContentState = Literal["copied", "referenced", "too_large", "refused", "missing", "corrupt"]
PortOrder = Literal["declared", "artifact_id"]


class Parameter(NamedTuple):
    """A named value: a parameter, a property or a fact.

    `text` is the source's own spelling, kept only where decoding it loses something. `declared`
    tells an MLMD property of the type from a custom one: both may carry one name.
    """

    name: str
    value: Value
    text: str | None = None
    declared: bool = False


class StepRef(NamedTuple):
    """A step of any run in the same store, by name and by the source's id."""

    pipeline: str
    run: str
    step: str
    source_id: str


class FileRecord(NamedTuple):
    """A file of an artifact; the path is relative to it, '' when the artifact is the file."""

    path: str
    size: int
    sha256: str


class Content(NamedTuple):
    """What became of an artifact's bytes under the stack's policy.

    `sha256` and `files` are there only where it was copied. For a folder sha256 is over the sorted
    lines `relative path NUL size NUL sha256`.
    """

    state: ContentState
    sha256: str | None = None
    size: int | None = None
    files: tuple[FileRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something a step wrote. `uri` is what the store recorded, wherever the bytes are now."""

    id: str
    type: str
    uri: str
    name: str | None = None
    state: str | None = None
    data_type: str | None = None
    materializer: str | None = None
    properties: tuple[Parameter, ...] = ()
    producer: StepRef | None = None
    created: int | None = None
    content: Content | None = None


class Port(NamedTuple):
    """One artifact on one input or output of a step.

    A port that holds a list is several of these with one name and rising `index`. `parent` (inputs)
    is the position in `RunSnapshot.steps` of the step that delivered the artifact in this run; None
    when it came from outside.
    """

    name: str
    artifact: str
    index: int | None = None  # type: ignore[assignment]  # hides tuple.index, which nobody asks a port
    cached: bool = False
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of a step. Its place in `RunSnapshot.steps` is its place in the run."""

    name: str
    source_id: str
    entrypoint: str
    status: str
    type: str = ""
    attempt: int = 1
    start: int | None = None
    end: int | None = None
    docstring: str | None = None
    parameters: tuple[Parameter, ...] = ()
    facts: tuple[Parameter, ...] = ()
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    inputs_order: PortOrder = "artifact_id"
    outputs_order: PortOrder = "artifact_id"
    parents: tuple[int, ...] = ()
    declared_outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PipelineRecord:
    """A pipeline of one stack. `seq` is its position in the source, `source_id` the source's id."""

    name: str
    seq: int
    source_id: str
    docstring: str | None = None


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """One pipeline run with its steps and artifacts.

    `stack` is the configuration's key, `run_stack` the stack the run itself used where known.
    `source_id` names the unit in its source and is what `History.runs` takes. `artifacts` are
    distinct, in order of first mention. `changed` is when the store last touched the run by its own
    clock, for settling; it is no part of the value.
    """

    repository: str
    stack: str
    tool: str
    flavour: str
    pipeline: PipelineRecord
    name: str
    seq: int
    source_id: str
    status: str
    start: int | None = None
    end: int | None = None
    changed: int | None = field(default=None, compare=False)
    run_stack: str | None = None
    facts: tuple[Parameter, ...] = ()
    steps: tuple[Step, ...] = ()
    artifacts: tuple[Artifact, ...] = ()

    def artifact(self, artifact_id: str) -> Artifact:
        """Give one of the run's artifacts by its id."""
        for artifact in self.artifacts:
            if artifact.id == artifact_id:
                return artifact
        raise KeyError(artifact_id)


@dataclass(frozen=True, slots=True)
class UnreadableRun:
    """A run the source holds but this release cannot read; a dead letter that says why."""

    pipeline: str
    name: str
    source_id: str
    reason: str
