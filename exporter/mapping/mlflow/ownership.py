"""Which parameters and metrics of a run came from us: what people add is left alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from exporter.hierarchy import run_key, step_key
from exporter.mapping.mlflow.measures import ParamTable, named_ports
from exporter.mapping.mlflow.text import plain_key

if TYPE_CHECKING:
    from exporter.hierarchy import RunSnapshot


class WrittenKeys(NamedTuple):
    """The keys that an export of a run wrote into one MLflow run.

    Metrics are known by the names of the outputs: their fields are in the artifacts, not in the
    record.
    """

    params: frozenset[str]
    outputs: tuple[str, ...]

    def has_metric(self, key: str) -> bool:
        """Tell whether a metric belongs to one of the outputs."""
        return any(
            key == output or key.startswith((f"{output}.", f"{output}_")) for output in self.outputs
        )


def written_keys(run: RunSnapshot) -> dict[str, WrittenKeys]:
    """Give what an export of this run wrote, for its parent run and each nested run by key."""
    written: dict[str, WrittenKeys] = {}
    for step in run.steps:
        params = ParamTable(Counter())
        params.add("", step.parameters)
        outputs = tuple(plain_key(name) for name, _ in named_ports(step.outputs))
        written[step_key(run, step)] = WrittenKeys(frozenset(params.values), outputs)
    every = ParamTable(Counter())
    shown: list[str] = []
    for step in {step.name: step for step in run.steps}.values():
        every.add(f"{step.name}.", step.parameters)
        shown += [plain_key(f"{step.name}.{name}") for name, _ in named_ports(step.outputs)]
    written[run_key(run)] = WrittenKeys(frozenset(every.values), tuple(shown))
    return written
