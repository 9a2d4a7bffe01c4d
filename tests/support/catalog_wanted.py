"""What a lineage catalog should show of runs, worked out from the runs and not from their events.

Only the names come from the mapping, and what a run names outside its own stack: places in its
parameters, and artifacts that no step made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.hierarchy import run_key, step_key
from exporter.hierarchy.status import is_unfinished, mlflow_status
from exporter.mapping.openlineage import LineageNaming, run_events
from exporter.mapping.openlineage.ids import lineage_run_id
from exporter.mapping.openlineage.naming import RunNames
from support.catalog_answers import Name, Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.hierarchy import Port, RunSnapshot, Step

_STATES = {"FINISHED": "COMPLETED", "FAILED": "FAILED", "KILLED": "ABORTED", "RUNNING": "ABORTED"}
_IDLE = frozenset({"cached", "skipped", "pending", "queued"})

Outside = dict[str, tuple[set[Name], set[Name]]]  # run id → what it reads and writes elsewhere


@dataclass
class Wanted:
    """The right picture, the models and the raw data behind each, and who read an old version.

    `raw`: the run that made a model → the datasets, without inputs of their own, it goes back to.
    `behind`: the same run → the runs that made what it goes back to, by artifact.
    `old`: runs of which an input had a newer version by then; a catalog that links readers to the
    newest version shows that one.
    """

    picture: Picture = field(default_factory=Picture)
    models: dict[str, set[Name]] = field(default_factory=dict)
    raw: dict[str, set[Name]] = field(default_factory=dict)
    behind: dict[str, set[str]] = field(default_factory=dict)
    old: set[str] = field(default_factory=set)


def wanted_of(
    snapshots: Iterable[RunSnapshot],
    naming: LineageNaming | None = None,
    *,
    exact_links: bool = False,
) -> Wanted:
    """Say what a catalog should show after whole runs in the order of their end.

    With `exact_links` a reader is linked to the version it read; without, to the newest one then.
    """
    naming = naming or LineageNaming()
    ended = [run for run in snapshots if not is_unfinished(run.status)]
    ended.sort(key=lambda run: (_span(run)[1], _span(run)[0], run.seq))
    story = _Story(ended, naming, exact_links=exact_links)
    for run in ended:
        story.tell(run)
    return story.wanted


def by_end(snapshots: Iterable[RunSnapshot]) -> list[RunSnapshot]:
    """Give runs in the order of their end."""
    return sorted(snapshots, key=lambda run: (_span(run)[1], _span(run)[0], run.seq))


class _Story:
    """Adds run after run to what is wanted."""

    def __init__(
        self, runs: Sequence[RunSnapshot], naming: LineageNaming, *, exact_links: bool
    ) -> None:
        self.wanted = Wanted()
        self._naming = naming
        self._exact = exact_links
        self._made: dict[tuple[str, str, str], tuple[Name, str]] = {}
        self._inputs: dict[str, set[str]] = {}  # run → the runs that made what it read
        self._outputs: dict[str, set[Name]] = {}
        self._order = {key: position for position, key in enumerate(self._makers(runs))}
        self._outside = _outside(runs, naming, {name for name, _ in self._made.values()})

    def tell(self, run: RunSnapshot) -> None:
        run_id, names = self._head(run)
        picture = self.wanted.picture
        start, end = _span(run)
        pipeline = (names.job_namespace, names.pipeline)
        state = _STATES[mlflow_status(run.status)]
        picture.parent_jobs[pipeline] = None
        for position in _producers_first(run):
            step = run.steps[position]
            self._tell_step(run, step, run_id, names, start)
        picture.runs[run_id] = (pipeline, state, start, end)
        picture.end(run_id, *self._outside.get(run_id, (set(), set())))

    def _tell_step(
        self, run: RunSnapshot, step: Step, parent: str, names: RunNames, run_start: int
    ) -> None:
        picture, me = self.wanted.picture, _step_id(run, step)
        job = (names.job_namespace, names.step(step.name))
        start = next((t for t in (step.start, step.end) if t is not None), run_start)
        state = _STATES[mlflow_status(step.status)]
        picture.runs[me] = (job, state, start, step.end if step.end is not None else start)
        picture.parents[me], picture.parent_jobs[job] = parent, names.pipeline
        read = self._read(run, step)
        inputs, outputs = self._outside.get(me, (set(), set()))
        wrote = {self._dataset(names, run, step, port.name) for port in _made_by(run, step)}
        if state != "COMPLETED":
            wrote |= {self._dataset(names, run, step, name) for name in step.declared_outputs}
        picture.end(me, inputs | set(read), outputs | wrote)
        for name, makers in read.items():
            if picture.links[me][name].isdisjoint(makers):
                self.wanted.old.add(me)
                if self._exact:
                    picture.links[me][name] = {max(makers, key=self._order.__getitem__)}
        self._inputs[me] = {maker for makers in read.values() for maker in makers}
        self._outputs[me] = wrote
        self._tell_models(run, step, me, names)

    def _tell_models(self, run: RunSnapshot, step: Step, me: str, names: RunNames) -> None:
        kinds = self._naming.dataset_types
        models = [port for port in _made_by(run, step) if kinds.get(_type(run, port)) == "MODEL"]
        if not models:
            return
        behind: set[str] = set()
        waiting = [me]
        while waiting:
            one = waiting.pop()
            if one not in behind:
                behind.add(one)
                waiting += self._inputs.get(one, ())
        self.wanted.models[me] = {self._dataset(names, run, step, port.name) for port in models}
        self.wanted.behind[me] = behind
        roots = (one for one in behind if not self._inputs.get(one))
        self.wanted.raw[me] = {name for one in roots for name in self._outputs.get(one, ())}

    def _read(self, run: RunSnapshot, step: Step) -> dict[Name, set[str]]:
        """Give the datasets that a step read and the runs that made what it read of each."""
        read: dict[Name, set[str]] = {}
        for port in step.inputs:
            made = self._made.get((run.repository, run.stack, port.artifact))
            if made is not None:
                read.setdefault(made[0], set()).add(made[1])
        return read

    def _makers(self, runs: Sequence[RunSnapshot]) -> list[str]:
        """Note who made each artifact; give the makers in order."""
        makers = []
        for run in runs:
            _, names = self._head(run)
            for position in _producers_first(run):
                step = run.steps[position]
                makers.append(_step_id(run, step))
                for port in _made_by(run, step):
                    name = self._dataset(names, run, step, port.name)
                    key = (run.repository, run.stack, port.artifact)
                    self._made.setdefault(key, (name, makers[-1]))
        return makers

    def _head(self, run: RunSnapshot) -> tuple[str, RunNames]:
        run_id = lineage_run_id(run_key(run), run.start)
        return run_id, RunNames.of(run, self._naming, run_id)

    @staticmethod
    def _dataset(names: RunNames, run: RunSnapshot, step: Step, output: str) -> Name:
        return names.dataset_namespace, names.dataset(run.pipeline.name, step.name, output)


def _outside(runs: Iterable[RunSnapshot], naming: LineageNaming, made: set[Name]) -> Outside:
    """Give what events name that no step of these runs makes."""
    found: Outside = {}
    for run in runs:
        for event in map(json.loads, (one.body for one in run_events(run, naming))):
            sides = found.setdefault(event["run"]["runId"], (set(), set()))
            for side, key in zip(sides, ("inputs", "outputs"), strict=True):
                names = {(one["namespace"], one["name"]) for one in event[key]}
                own = RunNames.of(run, naming, "").dataset_namespace
                side |= {n for n in names - made if key == "inputs" or n[0] != own}
    return found


def _made_by(run: RunSnapshot, step: Step) -> list[Port]:
    """Give the outputs that a step itself made in this very execution."""
    own = []
    for port in step.outputs:
        producer = run.artifact(port.artifact).producer
        if not port.cached and (producer is None or producer.source_id == step.source_id):
            own.append(port)
    return own


def _type(run: RunSnapshot, port: Port) -> str:
    return run.artifact(port.artifact).type


def _producers_first(run: RunSnapshot) -> list[int]:
    """Give the positions of the steps that ran, producers before consumers, else by position."""
    ran = [p for p, s in enumerate(run.steps) if s.status not in _IDLE or _began(s)]
    maker = {port.artifact: p for p in ran for port in _made_by(run, run.steps[p])}
    waits = {
        p: ({maker.get(port.artifact, p) for port in run.steps[p].inputs} | {*run.steps[p].parents})
        & set(ran) - {p}
        for p in ran
    }
    ordered: list[int] = []
    while len(ordered) < len(ran):
        left = [p for p in ran if p not in ordered]
        ordered.append(next((p for p in left if waits[p] <= set(ordered)), left[0]))
    return ordered


def _began(step: Step) -> bool:
    return step.status in {"pending", "queued"} and step.start is not None


def _step_id(run: RunSnapshot, step: Step) -> str:
    return lineage_run_id(step_key(run, step), step.start)


def _span(run: RunSnapshot) -> tuple[int, int]:
    times = [time for step in run.steps for time in (step.start, step.end) if time is not None]
    start = run.start
    if start is None:
        start = min(times, default=run.end if run.end is not None else 0)
    return start, run.end if run.end is not None else max(times, default=start)
