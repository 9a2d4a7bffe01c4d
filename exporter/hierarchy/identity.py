"""Identity by names, not by ids or URLs: a moved or restored store is the same history."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from exporter.hierarchy.records import RunSnapshot, Step

UnitKey = NewType("UnitKey", str)


def history_key(
    repository: str,
    stack: str,
    tool: str | None,
    pipeline: str,
    run: str | None = None,
    step: str | None = None,
    attempt: int | None = None,
) -> UnitKey:
    """Give the sha256 that names a pipeline, a run or a step for ever, as 64 hex digits.

    A pipeline has no tool: runs of several tools may share one.
    """
    identity = [repository, stack, tool, pipeline, run, step, attempt]
    text = json.dumps(identity, ensure_ascii=True, separators=(",", ":"))
    return UnitKey(hashlib.sha256(text.encode("ascii")).hexdigest())


def run_key(run: RunSnapshot) -> UnitKey:
    """Give the key of a run, which is the key of its unit."""
    return history_key(run.repository, run.stack, run.tool, run.pipeline.name, run.name)


def step_key(run: RunSnapshot, step: Step) -> UnitKey:
    """Give the key of one attempt of a step."""
    return history_key(
        run.repository, run.stack, run.tool, run.pipeline.name, run.name, step.name, step.attempt
    )
