"""A run, its steps, and what they took and gave: views of one `RunSnapshot`, for people."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from exporter.hierarchy import run_key, step_key
from exporter.hierarchy.times import datetime_from_ms, iso_from_ms
from exporter.history import render
from exporter.history.graph import RunGraph
from exporter.history.outputs import Input, Output
from exporter.history.sequences import NamedSequence, ParameterMap, PortList

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from exporter.hierarchy import Artifact, RunSnapshot, UnitKey
    from exporter.hierarchy import Step as StepRecord
    from exporter.hierarchy.records import Port
    from exporter.history.ports import RunHead
    from exporter.history.repository import Pipeline


class Run:
    """One run of a pipeline.

    Its name and start are known at once; the rest is read from the source when first asked for, in
    one page.
    Raises (what reads): NotFound when the run is gone meanwhile; UnknownFlavour when this release
    cannot read it.
    """

    def __init__(
        self, pipeline: Pipeline, head: RunHead, record: RunSnapshot | None = None
    ) -> None:
        self.pipeline = pipeline
        self._head = head
        if record is not None:
            self.record = record

    @cached_property
    def record(self) -> RunSnapshot:
        """The run as a frozen value, artifacts without contents."""
        return self.pipeline._stack.read(self._head)

    @property
    def name(self) -> str:
        """The run's name."""
        return self._head.name

    @property
    def id(self) -> str:
        """The run's id in its source."""
        return self._head.source_id

    @property
    def key(self) -> UnitKey:
        """The run's identity everywhere: the sha256 that MLflow and the catalogs know it by."""
        return run_key(self.record)

    @property
    def status(self) -> str:
        """The source's own word: `completed`, `failed`, `running`, `cached` and so on."""
        return self.record.status

    @property
    def start_time(self) -> datetime | None:
        """When the run started, UTC; None where the source does not know."""
        return datetime_from_ms(self._head.start)

    @property
    def end_time(self) -> datetime | None:
        """When the run ended, UTC; None while it goes on or where the source does not know."""
        return datetime_from_ms(self.record.end)

    @property
    def stack(self) -> str | None:
        """The stack that the run itself used, where the source says so."""
        return self.record.run_stack

    @property
    def tool(self) -> str:
        """What wrote the run: `zenml`, `tfx` and so on."""
        return self.record.tool

    @property
    def flavour(self) -> str:
        """How the source encodes the run, such as `zenml-0.5`."""
        return self.record.flavour

    @cached_property
    def facts(self) -> ParameterMap:
        """What else the source says of the run, such as versions and the git commit."""
        return ParameterMap(self.record.facts)

    @cached_property
    def steps(self) -> StepList:
        """The steps in execution order, every attempt; by name the last attempt."""
        views = [Step(self, i, record) for i, record in enumerate(self.record.steps)]
        return StepList(views, where=f"run {self.name!r}")

    def get_step(self, name: str) -> Step:
        """Give a step by its name in the pipeline; of several attempts the last.

        Raises: NotFound naming the near misses.
        """
        return self.steps[name]

    def visualize(self) -> RunGraph:
        """Draw the run's steps: who handed what to whom, how each ended, how long it took."""
        return RunGraph(self.record)

    @cached_property
    def _artifacts(self) -> dict[str, Artifact]:
        return {artifact.id: artifact for artifact in self.record.artifacts}

    @property
    def _identity(self) -> tuple[str, ...]:
        return (*self.pipeline._identity, self.name, self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(("run", self._identity))

    def __repr__(self) -> str:
        parts = [repr(self.name)]
        if "record" in self.__dict__:
            parts += [self.status, f"{len(self.record.steps)} steps"]
        if self._head.start is not None:
            parts.append(str(iso_from_ms(self._head.start)))
        return f"Run({', '.join(parts)})"

    def _row(self) -> Sequence[object]:
        record = self.record
        return (
            self.name,
            record.status,
            render.moment(record.start),
            render.seconds(record.start, record.end),
            ", ".join(step.name for step in record.steps),
        )

    def _repr_html_(self) -> str:
        record = self.record
        title = (
            f"{self.pipeline.name} / {self.name}: {record.status}, {render.moment(record.start)}"
        )
        return render.table(StepList.columns, [s._row() for s in self.steps], caption=title)


class Step:
    """One execution of a step in a run."""

    def __init__(self, run: Run, position: int, record: StepRecord) -> None:
        self.run = run
        self.record = record
        self._position = position

    @property
    def name(self) -> str:
        """The step's name in the pipeline."""
        return self.record.name

    @property
    def entrypoint(self) -> str:
        """The function or class that ran."""
        return self.record.entrypoint

    @property
    def id(self) -> str:
        """The step's id in its source."""
        return self.record.source_id

    @property
    def key(self) -> UnitKey:
        """The step's identity everywhere."""
        return step_key(self.run.record, self.record)

    @property
    def type(self) -> str:
        """The source's own name for the kind of step."""
        return self.record.type

    @property
    def status(self) -> str:
        """The source's own word: `completed`, `cached`, `failed`, `running` and so on."""
        return self.record.status

    @property
    def is_cached(self) -> bool:
        """Whether the step did not run because an earlier result was taken."""
        return self.record.status == "cached"

    @property
    def attempt(self) -> int:
        """The number of the attempt, from 1."""
        return self.record.attempt

    @property
    def start_time(self) -> datetime | None:
        """When the step started, UTC; None where the source does not know."""
        return datetime_from_ms(self.record.start)

    @property
    def end_time(self) -> datetime | None:
        """When the step ended, UTC; None while it goes on or where the source does not know."""
        return datetime_from_ms(self.record.end)

    @property
    def docstring(self) -> str | None:
        """The step's docstring where the source knows it."""
        return self.record.docstring

    @cached_property
    def parameters(self) -> ParameterMap:
        """The parameters by name with their types, in source order."""
        return ParameterMap(self.record.parameters)

    @cached_property
    def facts(self) -> ParameterMap:
        """What else the source says of the step."""
        return ParameterMap(self.record.facts)

    @cached_property
    def inputs(self) -> PortList[Input]:
        """What the step took, by position and by name."""
        views = [Input(self, port, self._artifact(port)) for port in self.record.inputs]
        return PortList(views, order=self.record.inputs_order, kind="input", where=self._described)

    @cached_property
    def outputs(self) -> PortList[Output]:
        """What the step gave, by position and by name."""
        views = [Output(self, port, self._artifact(port)) for port in self.record.outputs]
        return PortList(
            views, order=self.record.outputs_order, kind="output", where=self._described
        )

    @property
    def input(self) -> Input:
        """The step's only input.

        Raises: NotFound when it has none, AmbiguousName when it has several.
        """
        return self.inputs.sole()

    @property
    def output(self) -> Output:
        """The step's only output.

        Raises: NotFound when it has none, AmbiguousName when it has several.
        """
        return self.outputs.sole()

    @property
    def parents(self) -> list[Step]:
        """The steps of this run that this one waited for, in execution order."""
        return [self.run.steps[position] for position in self.record.parents]

    def _artifact(self, port: Port) -> Artifact:
        return self.run._artifacts[port.artifact]

    @property
    def _described(self) -> str:
        return f"step {self.name!r}"

    @property
    def _identity(self) -> tuple[str, ...]:
        return (*self.run._identity, self.name, str(self.attempt), self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(("step", self._identity))

    def __repr__(self) -> str:
        return f"Step({self.name!r}, {self.status}, outputs={self.outputs.names})"

    def _row(self) -> Sequence[object]:
        record = self.record
        parameters = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return (
            self.name if self.attempt == 1 else f"{self.name} (attempt {self.attempt})",
            record.entrypoint,
            record.status,
            render.moment(record.start),
            render.seconds(record.start, record.end),
            parameters,
            ", ".join(self.outputs.names),
        )

    def _repr_html_(self) -> str:
        record = self.record
        facts = [
            ("run", self.run.name),
            ("entrypoint", record.entrypoint),
            ("status", record.status),
            ("started", render.moment(record.start)),
            ("seconds", render.seconds(record.start, record.end)),
            ("about", record.docstring),
            ("parameters", ", ".join(f"{n}={v!r}" for n, v in self.parameters.items())),
            ("inputs", ", ".join(f"{p.name}: {p.type}" for p in self.inputs)),
            ("outputs", ", ".join(f"{p.name}: {p.type}" for p in self.outputs)),
        ]
        return render.card(self.name, facts)


class StepList(NamedSequence[Step]):
    """The steps of a run in execution order; a name gives the last attempt."""

    kind = "step"
    columns = ("name", "entrypoint", "status", "started", "seconds", "parameters", "outputs")

    def _one(self, name: str, named: list[Step]) -> Step:  # noqa: ARG002 - attempts share the name
        return max(named, key=lambda step: step.attempt)
