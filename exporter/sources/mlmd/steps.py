"""Executions of a page as steps: names, parameters, ports, parents, cached flags. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from exporter.hierarchy import Parameter, Port, Step
from exporter.sources.mlmd.decode import json_parameter, native_parameter, raw_value
from exporter.sources.mlmd.page import entrypoint, step_name
from exporter.sources.mlmd.ports import FoundPort, sorted_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from exporter.hierarchy import Artifact
    from exporter.sources.mlmd.page import ContextRow, Page, Unit
    from exporter.sources.mlmd.profiles import FlavourProfile
    from exporter.sources.sidecars import RunSidecar

UNENDED = frozenset({"running", "pending"})

# as a plain tuple is made: some are needed for every row, and a NamedTuple's own call costs double
_port: Callable[[tuple[str, str, int | None, bool, int | None]], Port]
_port = partial(tuple.__new__, Port)
_fact: Callable[[tuple[str, str, None, bool]], Parameter] = partial(tuple.__new__, Parameter)


@dataclass(slots=True)
class _Property:
    """What execution properties of one name are to a flavour, and those decoded so far by text."""

    names_step: bool
    hidden: bool
    output: str | None
    plain: bool  # a parameter and nothing else
    custom: dict[str, Parameter] = field(default_factory=dict)
    declared: dict[str, Parameter] = field(default_factory=dict)


@dataclass(slots=True)
class RunFrame:
    """What the parts of one run share while it is built."""

    unit: Unit
    profile: FlavourProfile
    pipeline: str
    run: str
    sidecar: RunSidecar | None
    position: dict[int, int] = field(default_factory=dict)
    deliverers: dict[int, list[int]] = field(default_factory=dict)
    shared: frozenset[int] = frozenset()
    changed: int | None = None
    attempts: dict[str, int] = field(default_factory=dict)
    written: list[Artifact] = field(default_factory=list)


class StepBuilder:
    """Builds the steps of a page's runs."""

    def __init__(self, page: Page) -> None:
        self._page = page
        # equal texts give one parameter, since stores repeat themselves
        self._properties_of: dict[str, dict[str, _Property]] = {}
        self._nodes: dict[str, Parameter] = {}
        self._types: dict[int, tuple[str, str]] = {}
        self._names: dict[tuple[str | None, str, str | None, str], str] = {}

    def steps(self, frame: RunFrame) -> tuple[Step, ...]:
        """Build a run's steps in execution order; fills the frame's positions and deliverers."""
        page, outputs = self._page, frame.profile.output_events
        changed = 0
        for execution in page.members(frame.unit):
            row = page.executions.get(execution)
            if row is None:
                continue
            frame.position[execution] = len(frame.position)
            changed = max(changed, row[6])
            for _, artifact, kind in page.events.get(execution, ()):
                if kind in outputs:
                    frame.deliverers.setdefault(artifact, []).append(execution)
                known = page.artifacts.get(artifact)
                if known is not None and known[7] > changed:
                    changed = known[7]
        frame.changed = changed or None
        frame.shared = self._shared_contexts(frame.position)
        return tuple([self._step(frame, execution) for execution in frame.position])

    def context_facts(self, ids: Iterable[int]) -> list[Parameter]:
        """Tell contexts besides the run's own: their names and properties."""
        facts = []
        rows = [self._page.contexts[i] for i in ids]
        for row in sorted(rows, key=lambda r: (r.type_id, r.id)):
            kind = self._page.names.type_name(row.type_id)
            facts.append(Parameter(f"context:{kind}", row.name))
            facts += self.property_facts(row, kind)
        return facts

    def property_facts(self, row: ContextRow, kind: str) -> list[Parameter]:
        """Tell a context's properties."""
        facts = [
            Parameter(f"context:{kind}.{p[1]}", raw_value(p), None, not p[2])
            for p in self._page.context_properties.get(row.id, ())
        ]
        if row.external_id is not None:
            name = f"context:{kind}.external_id"
            facts.append(Parameter(name, row.external_id, None, declared=True))
        return facts

    def _step(self, frame: RunFrame, execution: int) -> Step:
        page, profile = self._page, frame.profile
        row = page.executions[execution]
        type_name, function = self._type(row[1])
        name_text, parameters, hidden, declared = self._properties(execution, profile)
        node = page.nodes.get(execution)
        named = (name_text, frame.pipeline, node[1] if node else None, type_name)
        name = self._names.get(named)
        if name is None:
            name = self._names[named] = step_name(*named)
        frame.attempts[name] = attempt = frame.attempts.get(name, 0) + 1
        status = profile.statuses.get(row[2], profile.other_status)
        inputs, outputs = self._ports(execution, frame)
        if status != "failed" or outputs:
            declared = ()
        elif not declared:
            declared = tuple(page.earlier_outputs.get(execution, ()))
        return Step(
            name=name,
            source_id=str(execution),
            entrypoint=function,
            status=status,
            type=type_name,
            attempt=attempt,
            start=row[5] or None,
            end=None if status in UNENDED else row[6] or None,
            docstring=frame.sidecar.step_docstrings.get(function) if frame.sidecar else None,
            parameters=parameters,
            facts=self._facts(execution, hidden, frame.shared),
            inputs=inputs,
            outputs=outputs,
            parents=_parents(inputs),
            declared_outputs=declared,
        )

    def _type(self, type_id: int) -> tuple[str, str]:
        """Give a type's name and the function in it."""
        known = self._types.get(type_id)
        if known is None:
            name = self._page.names.type_name(type_id)
            known = self._types[type_id] = (name, entrypoint(name))
        return known

    def _properties(
        self, execution: int, profile: FlavourProfile
    ) -> tuple[str | None, tuple[Parameter, ...], list[Parameter], tuple[str, ...]]:
        """Split properties into the name's text, parameters, hidden ones, and outputs they name."""
        known = self._properties_of.setdefault(profile.name, {})
        decode = json_parameter if profile.parameters == "json" else native_parameter
        name_text: str | None = None
        parameters: list[Parameter] = []
        hidden: list[Parameter] = []
        declared: list[str] = []
        for row in self._page.execution_properties.get(execution, ()):
            told = known.get(row[1])
            if told is None:
                told = known[row[1]] = _told(row[1], profile)
            text = row[5]
            if text is None:
                parameter = decode(row)
            else:
                texts = told.custom if row[2] else told.declared
                found = texts.get(text)
                if found is None:
                    found = texts[text] = decode(row)
                parameter = found
            if told.plain:
                parameters.append(parameter)
                continue
            if told.names_step and text is not None:
                name_text = text
            if told.output is not None:
                declared.append(told.output)
            (hidden if told.hidden else parameters).append(parameter)
        return name_text, tuple(parameters), hidden, tuple(declared)

    def _ports(self, execution: int, frame: RunFrame) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
        page = self._page
        input_kinds, output_kinds = frame.profile.input_events, frame.profile.output_events
        inputs: list[FoundPort] = []
        outputs: list[FoundPort] = []
        for ports, artifact, kind in page.events.get(execution, ()):
            if kind in output_kinds:
                side = outputs
            elif kind in input_kinds:
                side = inputs
            else:
                continue
            for name, index in ports:
                side.append((name, index, artifact))
        producers, deliverers = page.producers, frame.deliverers
        into = []
        for name, index, artifact in sorted_ports(inputs) if len(inputs) > 1 else inputs:
            others = deliverers.get(artifact)
            parent = _parent(others, execution) if others is not None else None
            if parent is None:
                into.append(_port((name, str(artifact), index, False, None)))
                continue
            cached = producers.get(artifact) != parent
            into.append(_port((name, str(artifact), index, cached, frame.position[parent])))
        out = [
            _port((name, str(artifact), index, producers.get(artifact) != execution, None))
            for name, index, artifact in (sorted_ports(outputs) if len(outputs) > 1 else outputs)
        ]
        return tuple(into), tuple(out)

    def _facts(
        self, execution: int, hidden: list[Parameter], shared: frozenset[int]
    ) -> tuple[Parameter, ...]:
        page = self._page
        row = page.executions[execution]
        facts = []
        node = page.nodes.get(execution)
        if node is not None:
            known = self._nodes.get(node[1])
            if known is None:
                known = self._nodes[node[1]] = Parameter("node", node[1])
            facts.append(known)
        if row[3] is not None:
            facts.append(_fact(("execution_name", row[3], None, False)))
        if row[4] is not None:
            facts.append(Parameter("external_id", row[4]))
        keys = page.cache_keys.get(execution)
        if keys is not None:
            keys = sorted(keys) if len(keys) > 1 else keys
            facts += [_fact(("cache_key", key, None, False)) for key in keys]
        facts += hidden
        beside = page.beside.get(execution)
        if beside:
            facts += self.context_facts(beside - shared)
        return tuple(facts)

    def _shared_contexts(self, members: Iterable[int]) -> frozenset[int]:
        """Find the further contexts all executions of a run have: they are facts of the run."""
        beside = self._page.beside
        groups = [beside.get(i, set()) for i in members] if beside else []
        return frozenset(set.intersection(*groups)) if groups else frozenset()


def _told(name: str, profile: FlavourProfile) -> _Property:
    """Say what properties of a name are to the flavour."""
    prefix, suffix = profile.output_prefix, profile.output_suffix
    output = None
    if suffix and name.startswith(prefix) and name.endswith(suffix):
        output = name[len(prefix) : -len(suffix)]
    hidden = bool(profile.hidden) and name.startswith(profile.hidden)
    names_step = name == profile.name_property
    return _Property(names_step, hidden, output, plain=not (hidden or names_step or output))


def _parents(inputs: tuple[Port, ...]) -> tuple[int, ...]:
    if len(inputs) == 1:
        return () if inputs[0].parent is None else (inputs[0].parent,)
    return tuple(sorted({port.parent for port in inputs if port.parent is not None}))


def _parent(deliverers: Sequence[int], consumer: int) -> int | None:
    """Choose the execution of this run that delivered an artifact: the highest below the consumer.

    One above it is taken only where there is none below: ids rise as executions begin.
    """
    if len(deliverers) == 1 and deliverers[0] != consumer:
        return deliverers[0]
    others = [i for i in deliverers if i != consumer]
    return max((i for i in others if i < consumer), default=None) or min(others, default=None)
