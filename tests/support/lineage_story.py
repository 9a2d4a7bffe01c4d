"""A small history: one pipeline of four steps, run on five days; the fourth run fails."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from exporter.hierarchy import Artifact, PipelineRecord, Port, RunSnapshot, Step, StepRef
from exporter.mapping.openlineage import LineageNaming, run_events
from support.lineage_samples import T0

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]  # Any: a parsed event

DAY_MS = 86_400_000
_STEPS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("importer", (), ("train", "test")),
    ("trainer", ("importer.train",), ("model",)),
    ("evaluator", ("trainer.model", "importer.test"), ("report",)),
    ("deployer", ("trainer.model", "evaluator.report"), ("deployment",)),
)


def story(
    pipeline: str = "train", *, days: int = 5, fails_on: int = 4, repository: str = "acme"
) -> list[RunSnapshot]:
    """Give the runs of a pipeline, one a day."""
    return [
        day_of(pipeline, day, fails=day == fails_on, repository=repository)
        for day in range(1, days + 1)
    ]


def day_of(
    pipeline: str,
    day: int,
    *,
    fails: bool = False,
    hours: int = 1,
    reads: RunSnapshot | None = None,
    repository: str = "acme",
) -> RunSnapshot:
    """Give the run of one day; a run that fails does so in the evaluator.

    `reads` is a run whose model the importer reads.
    """
    start, end = T0 + day * DAY_MS, T0 + day * DAY_MS + hours * 3_600_000
    known: dict[str, Artifact] = {}
    steps: list[Step] = []
    for position, (name, inputs, outputs) in enumerate(_STEPS):
        if fails and name == "deployer":
            break
        is_broken = fails and name == "evaluator"
        source_id = f"{pipeline}-{day}-{name}"
        for output in outputs if not is_broken else ():
            known[f"{name}.{output}"] = Artifact(
                id=f"{pipeline}-{day}-{name}-{output}",
                type="ModelArtifact" if output == "model" else "DataArtifact",
                uri=f"/data/store/{name}/{output}/{source_id}",
                producer=StepRef(pipeline, f"run_{day}", name, source_id),
            )
        steps.append(
            Step(
                name,
                source_id,
                name,
                "failed" if is_broken else "completed",
                start=start + position * 60_000,
                end=start + position * 60_000 + 50_000,
                inputs=tuple(Port(i.replace(".", "_"), known[i].id) for i in inputs),
                outputs=tuple(Port(o, known[f"{name}.{o}"].id) for o in outputs if not is_broken),
                declared_outputs=outputs if is_broken else (),
                parents=tuple(range(position)),
            )
        )
    artifacts = tuple(known.values())
    if reads is not None:
        model = next(a for a in reads.artifacts if a.type == "ModelArtifact")
        steps[0] = replace(steps[0], inputs=(Port("base", model.id),))
        artifacts = (*artifacts, model)
    return RunSnapshot(
        repository=repository,
        stack="local_stack",
        tool="zenml",
        flavour="zenml-0.5",
        pipeline=PipelineRecord(pipeline, 1, pipeline),
        name=f"run_{day}",
        seq=day,
        source_id=f"{pipeline}:{day}",
        status="failed" if fails else "completed",
        start=start,
        end=end,
        steps=tuple(steps),
        artifacts=artifacts,
    )


def events_of(run: RunSnapshot, naming: LineageNaming | None = None) -> list[Json]:
    """Give a run's events, parsed, in the order in which they should leave."""
    return [json.loads(event.body) for event in run_events(run, naming or LineageNaming())]


def by_end(runs: Iterable[RunSnapshot]) -> list[RunSnapshot]:
    """Give runs in the order of their end."""
    return sorted(runs, key=lambda run: (run.end or 0, run.seq))
