"""What a step took or gave: one artifact on one port."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from exporter.errors import ConfigError
from exporter.hierarchy.times import datetime_from_ms
from exporter.history import render
from exporter.history.sequences import ParameterMap
from exporter.materializers.choice import choose
from exporter.materializers.files import ArtifactFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from exporter.hierarchy import Artifact, Content, StepRef
    from exporter.hierarchy.records import Port
    from exporter.history.stack import Stack
    from exporter.history.views import Step
    from exporter.materializers.protocol import Materializer


# A class or an instance. Named here, where `type` still means Python's own.
MaterializerChoice: TypeAlias = "type[Materializer] | Materializer"


class Output:
    """An artifact as an output of a step."""

    _side = "output"

    def __init__(self, step: Step, port: Port, record: Artifact) -> None:
        self.step = step
        self.record = record
        self._port = port

    @property
    def name(self) -> str:
        """The name of the port, in the step's signature."""
        return self._port.name

    @property
    def index(self) -> int | None:
        """The place in a port that holds a list of artifacts, from 0; None for a single one."""
        return self._port.index

    @property
    def id(self) -> str:
        """The artifact's id in its source."""
        return self.record.id

    @property
    def artifact_name(self) -> str | None:
        """The artifact's own name, where the source gives it one."""
        return self.record.name

    @property
    def uri(self) -> str:
        """Where the artifact was written, as the source recorded it."""
        return self.record.uri

    @property
    def location(self) -> str:
        """Where the artifact is now: the URI with the stack's rewriting applied."""
        return self._stack.reader.location(self.record)

    @property
    def type(self) -> str:
        """The artifact's type, such as `DataArtifact` or `Model`."""
        return self.record.type

    @property
    def data_type(self) -> str | None:
        """The Python type of the value, where recorded, such as `pandas.core.frame.DataFrame`."""
        return self.record.data_type

    @property
    def materializer(self) -> str | None:
        """The class that wrote the artifact, where recorded."""
        return self.record.materializer

    @property
    def state(self) -> str | None:
        """The artifact's state in the source's own word, where recorded."""
        return self.record.state

    @property
    def created(self) -> datetime | None:
        """When the source recorded the artifact, UTC."""
        return datetime_from_ms(self.record.created)

    @cached_property
    def properties(self) -> ParameterMap:
        """What the source says of the artifact, by name."""
        return ParameterMap(self.record.properties)

    @property
    def is_cached(self) -> bool:
        """Whether a cache gave it; on an input, whether the step that delivered it was cached."""
        return self._port.cached

    @property
    def content(self) -> Content:
        """What the stack's policy makes of the bytes: copied, referenced, refused and so on."""
        return self._stack.contents.content(self.record)

    @property
    def producer_ref(self) -> StepRef | None:
        """The step that made the artifact, by name; None where the source does not know."""
        return self.record.producer

    @property
    def producer(self) -> Step | None:
        """The step that made the artifact, of whichever run; None where the source does not know.

        Raises: NotFound when that step is no longer in the source.
        """
        ref = self.record.producer
        if ref is None:
            return None
        for step in self.step.run.steps:
            if step.id == ref.source_id:
                return step
        return self.step.run.pipeline._find_step(ref)

    def files(self) -> list[tuple[str, int]]:
        """List (relative path, size in bytes), sorted; the path is '' when the artifact is a file.

        Raises: UnsafeArtifact outside the roots, MissingArtifact, CorruptArtifact.
        """
        return list(self._stack.reader.files(self.record))

    def open(self, path: str = "") -> BinaryIO:
        """Open one of the files for reading bytes, without loading it. Raises as `files` does."""
        return self._stack.reader.open(self.record, path)

    def read(
        self,
        materializer: MaterializerChoice | None = None,
        *,
        trusted: bool = False,
    ) -> Any:  # Any: whatever the step returned
        """Give the value, by the materializer that wrote it or the one asked for.

        `materializer` is a class of this package or any with a method `read(files, *, trusted)`.
        Nothing is executed unless `trusted`: with it the bytes may be executed, as unpickling does:
        only for artifacts whose writer you trust.
        Raises: UnsafeArtifact when the URI is outside the roots or reading would execute code;
        MissingArtifact; CorruptArtifact; ConfigError when a package is missing.
        """
        files = ArtifactFiles(self._stack.reader, self.record)
        if materializer is None:
            chosen = choose(files)
        else:
            chosen = materializer() if isinstance(materializer, type) else materializer
            if not callable(getattr(chosen, "read", None)):
                raise ConfigError(
                    f"{materializer!r} is no materializer.",
                    hint="Give a class such as exporter.PandasMaterializer, or any object with a "
                    "method read(files, *, trusted).",
                )
        return chosen.read(files, trusted=trusted)

    @property
    def _stack(self) -> Stack:
        return self.step.run.pipeline._stack

    @property
    def _identity(self) -> tuple[object, ...]:
        return (self._side, *self.step._identity, self.name, self.index, self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Output) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        place = "" if self.index is None else f"[{self.index}]"
        return f"{type(self).__name__}({self.name + place!r}, {self.type}, uri={self.uri!r})"

    def _row(self) -> Sequence[object]:
        return (self.name, self.type, self.data_type, self.uri, "yes" if self.is_cached else "")

    def _repr_html_(self) -> str:
        producer = self.record.producer
        facts = [
            ("step", self.step.name),
            ("type", self.type),
            ("data type", self.data_type),
            ("materializer", self.materializer),
            ("uri", self.uri),
            ("produced by", f"{producer.step} in {producer.run}" if producer else None),
            ("cached", "yes" if self.is_cached else ""),
            ("properties", ", ".join(f"{n}={v!r}" for n, v in self.properties.items())),
        ]
        return render.card(self.name, facts)


class Input(Output):
    """An artifact as an input of a step: what some step gave, seen by the one that took it."""

    _side = "input"

    @property
    def parent(self) -> Step | None:
        """The step of this run that delivered the artifact; None when it came from outside."""
        position = self._port.parent
        return None if position is None else self.step.run.steps[position]
