"""`ChangeFeed` over an ML Metadata database: pipelines, heads, whole runs, and what changed."""

from __future__ import annotations

import gc
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from exporter.errors import ConfigError, UnknownFlavour
from exporter.hierarchy import PipelineRecord, RunSnapshot, UnreadableRun
from exporter.history.ports import Changes, Cursor, RunHead
from exporter.sources.mlmd import changes as feed
from exporter.sources.mlmd import queries
from exporter.sources.mlmd.assemble import Assembler
from exporter.sources.mlmd.flavours import (
    FOREIGN_PIPELINE_TYPES,
    FOREIGN_RUN_TYPES,
    OLD_TFX_WITNESS,
    flavour_of,
    flavour_of_store,
)
from exporter.sources.mlmd.page import Names, Page, Unit, fetch_page
from exporter.sources.mlmd.store import MlmdStore, listed, within
from exporter.sources.sidecars import Sidecars

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from exporter.sources.mlmd.profiles import FlavourProfile
    from exporter.sources.mlmd.store import Reader

PAGE_RUNS = 200
# what rows raise that fit together in no way the reader foresees
BAD_ROWS = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)
_SLICE = 2_000  # executions mapped to runs at a time


def open_mlmd(
    url: str,
    *,
    repository: str,
    stack: str,
    flavour: str = "auto",
    profiles: Mapping[str, FlavourProfile],
    sidecar_dirs: Sequence[Path] = (),
    page_runs: int = PAGE_RUNS,
    busy_timeout_s: float = 5.0,
) -> MlmdHistory:
    """Open a store read-only by its SQLAlchemy URL (what follows `mlmd+`).

    Raises: SourceUnavailable, StoreUnreadable; ConfigError for the URL or an unknown flavour.
    """
    if flavour != "auto" and flavour not in profiles:
        known = ", ".join(["auto", *sorted(profiles)])
        raise ConfigError(f"There is no flavour {flavour!r}.", hint=f"There are: {known}.")
    chosen = dict(profiles) if flavour == "auto" else {flavour: profiles[flavour]}
    store = MlmdStore(url, busy_timeout_s=busy_timeout_s)
    return MlmdHistory(
        store,
        repository=repository,
        stack=stack,
        profiles=chosen,
        pinned=None if flavour == "auto" else flavour,
        sidecars=Sidecars(store.file.path if store.file is not None else None, sidecar_dirs),
        page_runs=page_runs,
    )


class MlmdHistory:
    """One ML Metadata store as the history of one stack.

    Order: runs in changes come oldest context first. Every page is one short transaction; none is
    held while yielding.
    """

    def __init__(
        self,
        store: MlmdStore,
        *,
        repository: str,
        stack: str,
        profiles: Mapping[str, FlavourProfile],
        pinned: str | None,
        sidecars: Sidecars,
        page_runs: int,
    ) -> None:
        self._store = store
        self._repository = repository
        self._stack = stack
        self._profiles = profiles
        self._pinned = pinned
        self._sidecars = sidecars
        self._page_runs = page_runs

    @property
    def repository(self) -> str:
        """The repository's name."""
        return self._repository

    @property
    def stack(self) -> str:
        """The stack key."""
        return self._stack

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine every query goes through."""
        return self._store.engine

    @property
    def schema(self) -> int:
        """The schema version of the store."""
        return self._store.schema

    @property
    def place(self) -> str:
        """Where the store is, without password."""
        return self._store.place

    @property
    def active_stack(self) -> str | None:
        """The active stack of the sidecars."""
        return self._sidecars.active_stack

    def close(self) -> None:
        """Release connections. May be called twice."""
        self._store.close()

    def pipelines(self) -> Sequence[PipelineRecord]:
        """Give all pipelines by context id; those without runs too."""
        self._sidecars.refresh()

        def work(reader: Reader) -> list[PipelineRecord]:
            names = self._names(reader)
            rows = reader.rows(queries.PIPELINES, types=_ids(names.pipelines))
            return [
                PipelineRecord(
                    row[2], row[0], str(row[0]), self._sidecars.pipeline_docstring(row[2])
                )
                for row in rows
            ]

        return self._store.read(work)

    def empty_pipelines(self) -> Sequence[PipelineRecord]:
        """Give the pipelines that have no run, by context id."""

        def work(reader: Reader) -> list[PipelineRecord]:
            types = _ids(self._names(reader).pipelines)
            rows = reader.rows(queries.EMPTY_PIPELINES, types=types)
            docstring = self._sidecars.pipeline_docstring
            return [PipelineRecord(name, i, str(i), docstring(name)) for i, name in rows]

        return self._store.read(work)

    def heads(self, pipeline: PipelineRecord) -> Sequence[RunHead]:
        """Give the heads of a pipeline's runs by (start, seq)."""
        context = int(pipeline.source_id)

        def work(reader: Reader) -> list[RunHead]:
            names = self._names(reader)
            types = _ids(names.runs)
            heads = [
                RunHead(f"{context}:{row[0]}", row[1], row[0], row[2])
                for row in reader.rows(queries.HEADS, types=types, pipeline=str(context))
            ]
            seen = {head.seq for head in heads}
            children = reader.rows(
                queries.CHILD_CONTEXTS, ids=f"p.parent_context_id = {context}", types=types
            )
            return heads + [
                RunHead(f"{context}:{run}", name, run, created or None)
                for _, run, name, created in children
                if run not in seen
            ]

        found = self._store.read(work)
        return sorted(found, key=lambda h: (h.start is None, h.start or 0, h.seq))

    def runs(self, source_ids: Sequence[str]) -> Sequence[RunSnapshot | UnreadableRun]:
        """Read runs whole, by pages, in the order asked for; ids that are gone are left out."""
        self._sidecars.refresh()
        out: list[RunSnapshot | UnreadableRun] = []
        for start in range(0, len(source_ids), self._page_runs):
            units = [
                unit for i in source_ids[start : start + self._page_runs] if (unit := _unit(i))
            ]
            if not units:
                continue
            with _no_collection():
                out += self._store.read(partial(self._read, units=units))
        return out

    def changes(self, cursor: Cursor | None) -> Changes:
        """Say what may have changed since a cursor; one that does not fit asks for everything."""
        header = self._store.file.token() if self._store.file is not None else None
        if (
            cursor is not None
            and feed.usable(cursor)
            and header is not None
            and cursor["header"] == header
        ):
            return Changes(iter(()), cursor, untouched=True)
        now = self._store.read(feed.signpost)
        now["header"] = header
        if now["schema"] != self._store.schema:
            self._store.read_layout()
        if cursor is None or not feed.usable(cursor) or feed.went_back(cursor, now):
            return Changes(self._walk(), now, full=True)
        moved = self._store.read(lambda reader: feed.moved_since(reader, cursor))
        return Changes(self._candidates(moved), now)

    def _walk(self) -> Iterator[Sequence[str]]:
        """Yield every unit by pages of run contexts, oldest first."""
        after = 0
        while True:
            page = self._store.read(partial(self._walk_page, after=after))
            if page is None:
                return
            after, ids = page
            if ids:
                yield ids

    def _walk_page(self, reader: Reader, after: int) -> tuple[int, list[str]] | None:
        names = self._names(reader)
        types = _ids(names.runs | self._foreign_types(names))
        rows = reader.rows(
            queries.RUN_PAGE, types=types, after=str(after), limit=str(self._page_runs)
        )
        if not rows:
            return None
        units = self._units_of(reader, names, {row[0]: row[2] for row in rows})
        return rows[-1][0], [f"{u.pipeline}:{u.run}" for u in units]

    def _foreign_types(self, names: Names) -> set[int]:
        """Give the run types of software that is named but not read; none for a pinned flavour."""
        if self._pinned is not None:
            return set()
        kinds = {t.name: i for i, t in names.types.items() if t.kind == 2}
        return {
            i
            for i, t in names.types.items()
            if t.kind == 2
            and t.name in FOREIGN_RUN_TYPES
            and (t.name != "run" or OLD_TFX_WITNESS in kinds)
        }

    def _units_of(self, reader: Reader, names: Names, runs: Mapping[int, int]) -> list[Unit]:
        """Pair runs with the pipelines whose executions they share, or that are their parents."""
        members = reader.rows(queries.ASSOCIATED, contexts=listed("context_id", runs))
        executions = {row[2] for row in members}
        foreign = {
            i for i, t in names.types.items() if t.kind == 2 and t.name in FOREIGN_PIPELINE_TYPES
        }
        pipeline_types = names.pipelines | foreign
        pipelines: dict[int, set[int]] = defaultdict(set)
        if executions and pipeline_types:
            for _, execution, context, _ in reader.rows(
                queries.PIPELINES_OF,
                types=_ids(pipeline_types),
                executions=within("a.execution_id", executions),
            ):
                pipelines[execution].add(context)
        found: dict[int, set[int]] = {run: set() for run in runs}
        for _, run, execution in members:
            found[run] |= pipelines.get(execution, set())
        for child, parent, type_id, _ in reader.rows(
            queries.PARENT_CONTEXTS, ids=listed("p.context_id", runs)
        ):
            if type_id in pipeline_types:
                found[child].add(parent)
        readable = names.runs
        return [
            Unit(pipeline, run)
            for run in sorted(found)
            for pipeline in sorted(found[run]) or ([] if runs[run] in readable else [0])
        ]

    def _candidates(self, moved: feed.Moved) -> Iterator[Sequence[str]]:
        """Map moved executions and contexts to units, a slice at a time; every unit once."""
        seen: set[str] = set()
        pending: list[str] = []
        for unit in self._moved_units(moved):
            source_id = f"{unit.pipeline}:{unit.run}"
            if source_id in seen:
                continue
            seen.add(source_id)
            pending.append(source_id)
            if len(pending) == self._page_runs:
                yield pending
                pending = []
        if pending:
            yield pending

    def _moved_units(self, moved: feed.Moved) -> Iterator[Unit]:
        contexts = sorted(moved.runs | {context for context, _ in moved.pairs})
        for start in range(0, len(contexts), self._page_runs):
            part = contexts[start : start + self._page_runs]
            yield from self._store.read(partial(self._run_units, contexts=part))
        executions = sorted(moved.executions)
        for start in range(0, len(executions), _SLICE):
            slice_ = set(executions[start : start + _SLICE])
            yield from self._store.read(partial(self._execution_units, executions=slice_))

    def _run_units(self, reader: Reader, contexts: Sequence[int]) -> list[Unit]:
        names = self._names(reader)
        types = names.runs | self._foreign_types(names)
        rows = reader.rows(queries.CONTEXTS, ids=within("id", contexts))
        wanted = set(contexts)
        runs = {row[0]: row[1] for row in rows if row[0] in wanted and row[1] in types}
        return self._units_of(reader, names, runs) if runs else []

    def _execution_units(self, reader: Reader, executions: set[int]) -> list[Unit]:
        """Find executions' runs beside their associations; by a scan where they are not there."""
        names = self._names(reader)
        types = _ids(names.runs | self._foreign_types(names))
        pipeline_types = _ids(names.pipelines)
        rows = reader.rows(
            queries.PIPELINES_OF,
            types=pipeline_types,
            executions=listed("a.execution_id", executions),
        )
        found = (
            reader.rows(queries.BESIDE, anchors=listed("r.id", [r[0] for r in rows]), types=types)
            if rows
            else []
        )
        lost = executions - {row[0] for row in found}
        if lost:
            found += reader.rows(
                queries.CONTEXTS_OF, executions=listed("a.execution_id", lost), types=types
            )
        runs = {row[2]: row[3] for row in found}
        return self._units_of(reader, names, runs) if runs else []

    def _read(self, reader: Reader, units: Sequence[Unit]) -> list[RunSnapshot | UnreadableRun]:
        page = fetch_page(
            reader,
            units,
            list(self._profiles.values()),
            ordered_paths=self._store.dialect == "sqlite",
        )
        store_flavour: str | None = None
        assembler = Assembler(page, repository=self._repository, stack=self._stack)
        foreign = self._foreign_types(page.names)
        out: list[RunSnapshot | UnreadableRun] = []
        for unit in units:
            if not _exists(page, unit, foreign):
                continue
            name = self._pinned
            if name is None:
                if store_flavour is None:
                    store_flavour = self._store_flavour(reader, page.names)
                name = flavour_of(page, unit, store_flavour)
            profile = self._profiles.get(name)
            if profile is None:
                out.append(_unreadable(page, unit, name))
                continue
            pipeline, run = page.contexts[unit.pipeline].name, page.contexts[unit.run].name
            try:
                out.append(assembler.run(unit, profile, self._sidecars.run(pipeline, run)))
            except BAD_ROWS as error:
                out.append(_ill_formed(page, unit, error))
        return out

    def _store_flavour(self, reader: Reader, names: Names) -> str:
        properties = [row[0] for row in reader.rows(queries.TYPE_PROPERTIES)]
        return flavour_of_store((t.name for t in names.types.values()), properties)

    def _names(self, reader: Reader) -> Names:
        return Names(reader.rows(queries.TYPES), self._profiles.values())


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the cyclic collector while a page is built: rows and records make no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _exists(page: Page, unit: Unit, foreign: set[int]) -> bool:
    """Tell whether the store still pairs these contexts."""
    if unit.run not in page.contexts:
        return False
    run_type = page.contexts[unit.run].type_id
    if not unit.pipeline:
        return run_type in foreign
    if unit.pipeline not in page.contexts:
        return False
    if run_type not in page.names.runs and run_type not in foreign:
        return False
    return bool(page.members(unit)) or any(
        parent == unit.pipeline for parent, _, _ in page.parents.get(unit.run, ())
    )


def _unreadable(page: Page, unit: Unit, flavour: str) -> UnreadableRun:
    error = UnknownFlavour(
        f"The run is of the flavour {flavour}, which this release does not read.",
        hint="It stays a dead letter; the other runs of the store are exported.",
    )
    return _named(page, unit, str(error))


def _ill_formed(page: Page, unit: Unit, error: Exception) -> UnreadableRun:
    return _named(
        page,
        unit,
        f"Its rows cannot be put together ({type(error).__name__}: {error}). Correct them in the "
        "store; the other runs are not concerned.",
    )


def _named(page: Page, unit: Unit, reason: str) -> UnreadableRun:
    run = page.contexts[unit.run].name
    pipeline = page.contexts[unit.pipeline].name if unit.pipeline in page.contexts else run
    return UnreadableRun(pipeline, run, f"{unit.pipeline}:{unit.run}", reason)


def _unit(source_id: str) -> Unit | None:
    pipeline, _, run = source_id.partition(":")
    if not (pipeline.isdecimal() and run.isdecimal()):
        return None
    return Unit(int(pipeline), int(run))


def _ids(ids: Iterable[int] | Collection[int]) -> str:
    return ",".join(map(str, sorted(ids))) or "-1"


__all__ = ["PAGE_RUNS", "MlmdHistory", "open_mlmd"]
