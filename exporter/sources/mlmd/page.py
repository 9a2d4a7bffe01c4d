"""The rows of one page of runs, fetched in a fixed number of queries and grouped by owner."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from exporter.sources.mlmd import queries
from exporter.sources.mlmd.ports import port_names
from exporter.sources.mlmd.store import listed, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.sources.mlmd.decode import PropertyRow
    from exporter.sources.mlmd.ports import PortName
    from exporter.sources.mlmd.profiles import FlavourProfile
    from exporter.sources.mlmd.store import Reader, Row


_OWNER = itemgetter(0)
_NAME_AND_KIND = itemgetter(1, 2)
_UNNAMED: list[PortName] = [("", None)]  # an event without a path has one port

EventRow: TypeAlias = "tuple[list[PortName], int, int]"  # ports, artifact, kind


class Unit(NamedTuple):
    """A run of a pipeline: the two contexts. A run that names no pipeline has 0."""

    pipeline: int
    run: int


class TypeRow(NamedTuple):
    """A type of the store; names may repeat with other versions."""

    name: str
    kind: int
    version: str | None


class ContextRow(NamedTuple):
    """A context: pipeline, run, node, cache key, stack and others."""

    id: int
    type_id: int
    name: str
    external_id: str | None
    created: int
    updated: int


class Owner(NamedTuple):
    """Where an execution outside the run belongs."""

    pipeline: str
    run: str
    step: str


class Names:
    """Type names of the store, by the role the profiles give them."""

    def __init__(self, rows: Iterable[Row], profiles: Iterable[FlavourProfile]) -> None:
        self.types = {row[0]: TypeRow(row[1], row[2], row[3]) for row in rows}
        known = tuple(profiles)
        self.pipelines = self._context_types(n for p in known for n in p.pipeline_types)
        self.runs = self._context_types(n for p in known for n in p.run_types)
        self.nodes = self._context_types(n for p in known for n in p.node_types)
        self.caches = self._context_types(n for p in known for n in p.cache_types)
        self.name_properties = tuple(sorted({p.name_property for p in known if p.name_property}))
        self.outputs = frozenset(n for p in known for n in p.output_events)
        self.told = self.pipelines | self.runs | self.nodes

    def _context_types(self, names: Iterable[str]) -> frozenset[int]:
        wanted = set(names)
        return frozenset(i for i, t in self.types.items() if t.kind == 2 and t.name in wanted)

    def type_name(self, type_id: int) -> str:
        """Give a type's name; its id in words where the type is gone."""
        found = self.types.get(type_id)
        return found.name if found is not None else f"type {type_id}"


@dataclass(slots=True)
class Page:
    """What the store holds of some runs. Lists are in the store's order where it has one."""

    names: Names
    ordered_paths: bool
    contexts: dict[int, ContextRow] = field(default_factory=dict)
    context_properties: dict[int, list[PropertyRow]] = field(default_factory=dict)
    parents: dict[int, list[tuple[int, int, str]]] = field(default_factory=dict)
    run_executions: dict[int, list[int]] = field(default_factory=dict)
    pipelines_of: dict[int, set[int]] = field(default_factory=dict)
    cache_keys: dict[int, list[str]] = field(default_factory=dict)
    beside: dict[int, set[int]] = field(default_factory=dict)
    nodes: dict[int, tuple[int, str]] = field(default_factory=dict)
    executions: dict[int, Row] = field(default_factory=dict)
    execution_properties: dict[int, list[PropertyRow]] = field(default_factory=dict)
    events: dict[int, list[EventRow]] = field(default_factory=dict)
    artifacts: dict[int, Row] = field(default_factory=dict)
    artifact_properties: dict[int, list[PropertyRow]] = field(default_factory=dict)
    producers: dict[int, int | None] = field(default_factory=dict)
    owners: dict[int, Owner] = field(default_factory=dict)
    earlier_outputs: dict[int, list[str]] = field(default_factory=dict)

    later_pins: set[int] | None = None
    _members: dict[Unit, list[int]] = field(default_factory=dict)

    def members(self, unit: Unit) -> list[int]:
        """Give a unit's executions, ascending: those in the run and in the pipeline both."""
        known = self._members.get(unit)
        if known is None:
            ids = self.run_executions.get(unit.run, [])
            if unit.pipeline:
                in_pipeline = self.pipelines_of
                ids = [i for i in ids if unit.pipeline in in_pipeline.get(i, ())]
            known = self._members[unit] = ids
        return known


def fetch_page(
    reader: Reader,
    units: Sequence[Unit],
    profiles: Sequence[FlavourProfile],
    *,
    ordered_paths: bool,
) -> Page:
    """Read everything the units need; the number of queries does not depend on what they hold."""
    names = Names(reader.rows(queries.TYPES), profiles)
    page = Page(names, ordered_paths)
    runs = {unit.run for unit in units}
    pipelines = {unit.pipeline for unit in units if unit.pipeline}
    _contexts(reader, page, runs, pipelines)
    if page.run_executions:
        _executions(reader, page)
        _artifacts(reader, page)
        _owners(reader, page)
        _earlier_outputs(reader, page)
    return page


def _contexts(reader: Reader, page: Page, runs: set[int], pipelines: set[int]) -> None:
    in_runs = listed("context_id", runs)
    members: dict[int, list[int]] = defaultdict(list)
    for _, run, execution in reader.rows(queries.ASSOCIATED, contexts=in_runs):
        members[run].append(execution)
    page.run_executions = {run: sorted(ids) for run, ids in members.items()}
    ids = {i for group in members.values() for i in group}
    wanted = runs | pipelines
    beside: list[Row] = []
    if ids:
        pipelines_of: dict[int, set[int]] = defaultdict(set)
        for context, execution in reader.rows(
            queries.ASSOCIATED_WITHIN,
            contexts=listed("context_id", pipelines),
            executions=within("execution_id", ids),
        ):
            pipelines_of[execution].add(context)
        page.pipelines_of = pipelines_of
        beside = reader.rows(queries.NEIGHBOURS, runs=listed("r.context_id", runs))
        wanted.update(map(_OWNER, beside))
        if page.names.nodes:
            for execution, context, name in reader.rows(
                queries.NODES,
                types=_types(page.names.nodes),
                executions=within("a.execution_id", ids),
            ):
                known = page.nodes.get(execution)
                if execution in ids and (known is None or context < known[0]):
                    page.nodes[execution] = (context, name)
    for row in reader.rows(queries.CONTEXTS, ids=within("id", wanted)):
        if row[0] in wanted:
            page.contexts[row[0]] = ContextRow(*row)
    _sort_beside(page, beside)
    page.context_properties = _grouped(
        reader.rows(queries.CONTEXT_PROPERTIES, ids=within("context_id", wanted)), wanted
    )
    parents: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for child, parent, type_id, name in reader.rows(
        queries.PARENT_CONTEXTS, ids=listed("p.context_id", runs | pipelines)
    ):
        parents[child].append((parent, type_id, name))
    page.parents = parents


def _sort_beside(page: Page, rows: list[Row]) -> None:
    """Tell cache keys from further contexts; pipelines, runs and nodes are told elsewhere."""
    caches = {c.id: c.name for c in page.contexts.values() if c.type_id in page.names.caches}
    known = page.names.told | page.names.caches
    extra = {c.id for c in page.contexts.values() if c.type_id not in known}
    for context, execution in rows:
        if context in caches:
            page.cache_keys.setdefault(execution, []).append(caches[context])
        elif context in extra:
            page.beside.setdefault(execution, set()).add(context)


def _executions(reader: Reader, page: Page) -> None:
    ids = {i for group in page.run_executions.values() for i in group}
    page.executions = {
        row[0]: row
        for row in reader.rows(queries.EXECUTIONS, ids=within("id", ids))
        if row[0] in ids
    }
    page.execution_properties = _grouped(
        reader.rows(queries.EXECUTION_PROPERTIES, ids=within("execution_id", ids)), ids
    )
    found = reader.rows(queries.EVENTS, ids=within("execution_id", ids))
    found = [row for row in found if row[2] in ids]
    ports = _ports(reader, {row[0] for row in found}, ordered=page.ordered_paths)
    events: dict[int, list[EventRow]] = defaultdict(list)
    for event, artifact, execution, kind in found:
        events[execution].append((ports.get(event, _UNNAMED), artifact, kind))
    page.events = events


def _ports(reader: Reader, events: set[int], *, ordered: bool) -> dict[int, list[PortName]]:
    """Name the ports of events that name any; equal ones are one list."""
    ports: dict[int, list[PortName]] = {}
    known: dict[PortName, list[PortName]] = {}
    rows = reader.rows(queries.EVENT_PATHS, ids=within("event_id", events)) if events else []
    for event, part in groupby(rows, _OWNER):
        path = list(part)
        if len(path) == 2 and not path[0][1] and path[1][1]:  # one port, as nearly always
            port = (path[0][3] or "", path[1][2])
            same = known.get(port)
            if same is None:
                same = known[port] = [port]
            ports[event] = same
        else:
            ports[event] = port_names(path, ordered=ordered)
    return ports


def _artifacts(reader: Reader, page: Page) -> None:
    ids = {artifact for group in page.events.values() for _, artifact, _ in group}
    if not ids:
        return
    page.artifacts = {
        row[0]: row
        for row in reader.rows(queries.ARTIFACTS, ids=within("id", ids))
        if row[0] in ids
    }
    page.artifact_properties = _grouped(
        reader.rows(queries.ARTIFACT_PROPERTIES, ids=within("artifact_id", ids)), ids
    )
    outputs = ",".join(map(str, sorted(page.names.outputs)))
    page.producers = {
        row[0]: row[1]
        for row in reader.rows(queries.PRODUCERS, ids=listed("a.id", ids), outputs=outputs)
    }


def _owners(reader: Reader, page: Page) -> None:
    """Name producers' runs by the store, also for this page's, so that pages do not matter."""
    foreign = _foreign_producers(page)
    if not foreign or not page.names.pipelines:
        return
    pipelines: dict[int, tuple[int, str]] = {}
    anchors = []
    for anchor, execution, context, name in reader.rows(
        queries.PIPELINES_OF,
        types=_types(page.names.pipelines),
        executions=listed("a.execution_id", foreign),
    ):
        anchors.append(anchor)
        if execution not in pipelines or context < pipelines[execution][0]:
            pipelines[execution] = (context, name)
    types = _types(page.names.runs | page.names.nodes)
    runs: dict[int, tuple[int, str]] = {}
    nodes: dict[int, tuple[int, str]] = {}
    found = (
        reader.rows(queries.BESIDE, anchors=listed("r.id", anchors), types=types) if anchors else []
    )
    lost = foreign - {row[0] for row in found if row[3] in page.names.runs}
    if lost:
        found += reader.rows(
            queries.CONTEXTS_OF, executions=listed("a.execution_id", lost), types=types
        )
    for execution, association, _, type_id, name in found:
        place = runs if type_id in page.names.runs else nodes
        if execution not in place or association < place[execution][0]:
            place[execution] = (association, name)
    _name_owners(reader, page, foreign, pipelines, runs, nodes)


def _name_owners(
    reader: Reader,
    page: Page,
    foreign: set[int],
    pipelines: dict[int, tuple[int, str]],
    runs: dict[int, tuple[int, str]],
    nodes: dict[int, tuple[int, str]],
) -> None:
    name_property = page.names.name_properties[0] if page.names.name_properties else ""
    for execution, type_id, text in reader.rows(
        queries.NAMED, {"name": name_property}, ids=listed("x.id", foreign)
    ):
        pipeline = pipelines.get(execution, (0, ""))[1]
        run = runs.get(execution, (0, ""))[1]
        node = nodes.get(execution, (0, None))[1]
        step = step_name(text, pipeline, node, page.names.type_name(type_id))
        page.owners[execution] = Owner(pipeline, run, step)


def _foreign_producers(page: Page) -> set[int]:
    """Find the producers that lie outside one of the runs that show their artifacts."""
    foreign: set[int] = set()
    for members in page.run_executions.values():
        own = set(members)
        for execution in members:
            for _, artifact, _ in page.events.get(execution, ()):
                producer = page.producers.get(artifact)
                if producer is not None and producer not in own:
                    foreign.add(producer)
    for execution, pipelines in page.pipelines_of.items():
        # runs shared by several pipelines: what one unit holds may be foreign to its neighbour
        if len(pipelines) > 1:
            foreign.add(execution)
    shared = _shared_runs(page)
    for run in shared:
        foreign.update(page.run_executions.get(run, ()))
    return foreign


def _shared_runs(page: Page) -> list[int]:
    out = []
    for run, members in page.run_executions.items():
        pipelines = {p for i in members for p in page.pipelines_of.get(i, ())}
        if len(pipelines) > 1 or any(not page.pipelines_of.get(i) for i in members):
            out.append(run)
    return out


def _earlier_outputs(reader: Reader, page: Page) -> None:
    """Find the ports failed steps would have had, from the newest earlier success of the node."""
    failed = set()
    for execution, row in page.executions.items():
        if row[2] in (2, 3, 5) or execution not in page.nodes:
            continue
        if not any(kind in page.names.outputs for _, _, kind in page.events.get(execution, ())):
            failed.add(execution)
    if not failed:
        return
    names: dict[int, set[str]] = defaultdict(set)
    for execution, name in reader.rows(
        queries.EARLIER_OUTPUTS,
        good="3,5",
        outputs=",".join(map(str, sorted(page.names.outputs))),
        nodes=listed("f.context_id", {page.nodes[i][0] for i in failed}),
        executions=listed("f.execution_id", failed),
    ):
        names[execution].add(name)
    page.earlier_outputs = {execution: sorted(found) for execution, found in names.items()}


def step_name(text: str | None, pipeline: str, node: str | None, type_name: str) -> str:
    """Name a step in its pipeline: as recorded, else by its node, else by its type."""
    if text is not None:
        return text[1:-1] if _plain_json_string(text) else _loaded(text)
    if node is not None:
        return node[len(pipeline) + 1 :] if node.startswith(f"{pipeline}.") else node
    return entrypoint(type_name)


def entrypoint(type_name: str) -> str:
    """Give the function or class of an execution type, whatever the module before it."""
    return type_name.rpartition(".")[2] or type_name


def _plain_json_string(text: str) -> bool:
    return (
        len(text) >= 2 and text[0] == text[-1] == '"' and "\\" not in text and '"' not in text[1:-1]
    )


def _loaded(text: str) -> str:
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str) else text


def _grouped(rows: Iterable[Row], wanted: set[int]) -> dict[int, list[PropertyRow]]:
    """Group property rows by owner, each by (name, declared first): no store keeps an order."""
    groups: dict[int, list[PropertyRow]] = {}
    for owner, part in groupby(rows, _OWNER):
        if owner not in wanted:
            continue
        group = cast("list[PropertyRow]", list(part))  # the template selects these columns
        known = groups.get(owner)
        groups[owner] = group if known is None else known + group
    for group in groups.values():
        if len(group) > 1:
            group.sort(key=_NAME_AND_KIND)
    return groups


def _types(ids: Iterable[int]) -> str:
    return ",".join(map(str, sorted(ids))) or "-1"
