"""The repository: pipelines of all stacks and their runs, read as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self, overload

from exporter.errors import AmbiguousName, ConfigError, NotFound
from exporter.hierarchy import RunSnapshot, history_key
from exporter.history import render
from exporter.history.order import chronological, pipeline_order
from exporter.history.sequences import at_position
from exporter.history.stack import Stack
from exporter.history.views import Run, Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from exporter.hierarchy import PipelineRecord, StepRef, UnitKey
    from exporter.history.ports import ArtifactReader, History, RunHead

_SHOWN_RUNS = 100


class Repository:
    """A history: the pipelines of one or several stacks.

    Every question is answered from the source as it is now; nothing in it is ever changed. Close
    it, or use it in a `with` block.
    Raises (what reads): SourceUnavailable, StoreUnreadable.
    """

    def __init__(self, stacks: Sequence[tuple[History, ArtifactReader]]) -> None:
        names = {history.repository for history, _ in stacks}
        if len(names) != 1:
            raise ConfigError(f"One repository was expected, there are {len(names)}.")
        self.name = names.pop()
        self._stacks = {history.stack: Stack(history, reader) for history, reader in stacks}
        if len(self._stacks) != len(stacks):
            raise ConfigError(f"Two stacks of repository {self.name!r} have the same key.")

    @property
    def stacks(self) -> list[str]:
        """The stack keys, in the order of the configuration."""
        return list(self._stacks)

    def get_pipelines(self) -> list[Pipeline]:
        """Give the pipelines of all stacks.

        Order: by first start, stack key and name; those without runs last.
        """
        found = []
        for stack in self._stacks.values():
            for record in stack.history.pipelines():
                heads = stack.history.heads(record)
                order = pipeline_order(stack.key, record.name, heads)
                found.append((order, Pipeline(self, stack, record)))
        found.sort(key=lambda pair: pair[0])
        return [pipeline for _, pipeline in found]

    def get_pipeline(self, pipeline_name: str, stack_key: str | None = None) -> Pipeline:
        """Give one pipeline by name, of one stack or of whichever has it.

        Raises: NotFound naming the near misses; AmbiguousName listing the stacks when several have
        it.
        """
        if stack_key is not None and stack_key not in list(self._stacks):
            raise NotFound.among("stack", stack_key, self._stacks, where=self._described)
        stacks = self._stacks.values() if stack_key is None else [self._stacks[stack_key]]
        named: list[Pipeline] = []
        known: list[str] = []
        for stack in stacks:
            for record in stack.history.pipelines():
                known.append(record.name)
                if record.name == pipeline_name:
                    named.append(Pipeline(self, stack, record))
        if len(named) == 1:
            return named[0]
        if not named:
            where = self._described if stack_key is None else f"stack {stack_key!r}"
            raise NotFound.among("pipeline", pipeline_name, dict.fromkeys(known), where=where)
        keys = ", ".join(repr(pipeline.stack_key) for pipeline in named)
        raise AmbiguousName(
            f"{len(named)} pipelines are named {pipeline_name!r}, in the stacks {keys}.",
            hint="Say which with stack_key=…",
            name=pipeline_name,
        )

    def close(self) -> None:
        """Release all connections. May be called twice."""
        for stack in self._stacks.values():
            stack.history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _described(self) -> str:
        return f"repository {self.name!r}"

    def __repr__(self) -> str:
        return f"Repository({self.name!r}, stacks={self.stacks})"

    def _repr_html_(self) -> str:
        rows = [pipeline._row() for pipeline in self.get_pipelines()]
        return render.table(Pipeline._columns, rows, caption=f"repository {self.name}")


class Pipeline:
    """A pipeline of one stack."""

    _columns = ("pipeline", "stack", "runs", "first run", "latest run")

    def __init__(self, repository: Repository, stack: Stack, record: PipelineRecord) -> None:
        self.repository = repository
        self.record = record
        self._stack = stack

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.record.name

    @property
    def stack_key(self) -> str:
        """The key of the stack it belongs to."""
        return self._stack.key

    @property
    def id(self) -> str:
        """The pipeline's id in its source."""
        return self.record.source_id

    @property
    def key(self) -> UnitKey:
        """The pipeline's identity everywhere."""
        return history_key(self._stack.repository, self._stack.key, None, self.name)

    @property
    def docstring(self) -> str | None:
        """The pipeline's docstring where the source knows it."""
        return self.record.docstring

    def get_runs(self) -> RunList:
        """Give the runs as they are in the source now, the latest last.

        Order: by start, then by position in the source. Only their names and starts are read yet.
        """
        return RunList(self, chronological(self._stack.history.heads(self.record)))

    @property
    def runs(self) -> RunList:
        """The same as `get_runs()`."""
        return self.get_runs()

    def get_run(self, name: str) -> Run:
        """Give a run by its name.

        Raises: NotFound naming the near misses; AmbiguousName when several have the name.
        """
        return self.get_runs()._by_name(name)

    def _find_step(self, ref: StepRef) -> Step:
        """Find a step of any run in the same stack."""
        pipeline = self.repository.get_pipeline(ref.pipeline, self.stack_key)
        for run in pipeline.get_runs().all(ref.run):
            for step in run.steps:
                if step.id == ref.source_id:
                    return step
        raise NotFound(
            f"The step {ref.step!r} of run {ref.run!r} is no longer in stack {self.stack_key!r}.",
            step=ref.step,
            run=ref.run,
        )

    @property
    def _identity(self) -> tuple[str, ...]:
        return (self._stack.repository, self._stack.key, self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(("pipeline", self._identity))

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, stack={self.stack_key!r})"

    def _row(self) -> Sequence[object]:
        runs = self.get_runs()
        first, latest = (runs[0], runs[-1]) if runs else (None, None)
        return (
            self.name,
            self.stack_key,
            len(runs),
            render.moment(first._head.start) if first else "",
            f"{latest.name} {render.moment(latest._head.start)}" if latest else "",
        )

    def _repr_html_(self) -> str:
        return self.get_runs()._repr_html_()


class RunList(Sequence[Run]):
    """The runs of a pipeline, the latest last: a sequence that reads a run when it is asked for.

    `len`, names and positions cost nothing more; `runs[-1]` reads one run; iterating reads pages of
    fixed size and holds one page at a time. Answers by name too.
    """

    def __init__(self, pipeline: Pipeline, heads: Sequence[RunHead]) -> None:
        self._pipeline = pipeline
        self._heads = heads

    @overload
    def __getitem__(self, key: int | str) -> Run: ...

    @overload
    def __getitem__(self, key: slice) -> RunList: ...

    def __getitem__(self, key: int | str | slice) -> Run | RunList:
        if isinstance(key, slice):
            return RunList(self._pipeline, self._heads[key])
        if isinstance(key, str):
            return self._by_name(key)
        if not hasattr(key, "__index__"):
            raise NotFound.among("run", key, self.names, where=self._described)
        head = at_position(self._heads, key, kind="run", where=self._described)
        return Run(self._pipeline, head)

    def __len__(self) -> int:
        return len(self._heads)

    def __iter__(self) -> Iterator[Run]:
        """Give the runs in order, read by pages; runs that are gone meanwhile are left out."""
        for page in self._pipeline._stack.pages(self._heads):
            for head, found in page:
                record = found if isinstance(found, RunSnapshot) else None
                yield Run(self._pipeline, head, record)

    def __reversed__(self) -> Iterator[Run]:
        return iter(self[::-1])

    def __contains__(self, item: object) -> bool:
        if isinstance(item, str):
            return any(head.name == item for head in self._heads)
        return isinstance(item, Run) and any(
            Run(self._pipeline, head) == item for head in self._heads if head.source_id == item.id
        )

    @property
    def names(self) -> list[str]:
        """The names in order."""
        return [head.name for head in self._heads]

    def all(self, name: str) -> list[Run]:
        """Give all runs of the name, in order; an empty list for a name that is not there."""
        return [Run(self._pipeline, head) for head in self._heads if head.name == name]

    @property
    def _described(self) -> str:
        return f"pipeline {self._pipeline.name!r}"

    def _by_name(self, name: str) -> Run:
        named = self.all(name)
        if len(named) == 1:
            return named[0]
        where = self._described
        if not named:
            raise NotFound.among("run", name, self.names, where=where)
        raise AmbiguousName(
            f"{len(named)} runs of {where} are named {name!r}.",
            hint=f"Use get_runs().all({name!r}), which gives them in order.",
            name=name,
        )

    def __repr__(self) -> str:
        names = self.names
        shown = names if len(names) <= 4 else [*names[:2], "…", names[-1]]
        return f"RunList({len(names)} runs: {shown})"

    def _repr_html_(self) -> str:
        rows = [run._row() for run in self[-_SHOWN_RUNS:]]
        hidden = len(self) - len(rows)
        caption = f"{self._pipeline.name} ({self._pipeline.stack_key}): {len(self)} runs"
        caption += f", the latest {len(rows)}" if hidden > 0 else ""
        return render.table(("run", "status", "started", "seconds", "steps"), rows, caption=caption)
