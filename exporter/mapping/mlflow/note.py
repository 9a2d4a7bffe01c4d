"""The description that MLflow shows on a run's page, as markdown."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from exporter.drawing.text import duration
from exporter.mapping.mlflow.text import value_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.hierarchy import Artifact, Port, RunSnapshot, Step

NOTE_LENGTH = 7_500
_DOCSTRING_LENGTH = 2_000
_CELL_LENGTH = 60
_LIST_LENGTH = 12
_MARKDOWN = re.compile(r"([\\`*_\[\]|#~])")
_SPACE = re.compile(r"\s+")


def run_note(run: RunSnapshot) -> str:
    """Describe a pipeline run: its steps with status, duration, parameters and outputs."""
    lines = [f"**{_cell(run.pipeline.name)}** · run **{_cell(run.name)}** · {_cell(run.status)}"]
    lines[0] += _lasted(run.start, run.end)
    stack = run.run_stack or run.stack
    lines += ["", f"{_cell(run.tool)} · stack {_cell(stack)}"]
    lines += _docstring(run.pipeline.docstring)
    lines += ["", "| Step | Status | Duration | Parameters | Outputs |", "|---|---|---|---|---|"]
    rows = [
        f"| {_step_name(step)} | {_cell(step.status)} | {duration(step.start, step.end)} "
        f"| {_parameters(step)} | {_listed(port.name for port in step.outputs)} |"
        for step in run.steps
    ]
    return _bounded(lines, rows, "steps")


def step_note(step: Step, artifacts: dict[str, Artifact]) -> str:
    """Describe a step: its docstring, its parameters, and what went in and came out."""
    lines = [f"**{_step_name(step)}** · {_cell(step.status)}{_lasted(step.start, step.end)}"]
    if step.entrypoint and step.entrypoint != step.name:
        lines[0] += f" · {_cell(step.entrypoint)}"
    lines += _docstring(step.docstring)
    rows = [
        f"| {_cell(p.name)} | {_cell(value_text(p.value))} |"
        for p in step.parameters[:_LIST_LENGTH]
    ]
    if rows:
        lines += ["", "| Parameter | Value |", "|---|---|", *rows]
    ports = [("in", port) for port in step.inputs] + [("out", port) for port in step.outputs]
    if ports:
        lines += ["", "| | Name | Type | Content | URI |", "|---|---|---|---|---|"]
    return _bounded(lines, [_port_row(way, port, artifacts) for way, port in ports], "artifacts")


def _port_row(way: str, port: Port, artifacts: dict[str, Artifact]) -> str:
    artifact = artifacts[port.artifact]
    content = artifact.content
    state: str = "" if content is None else content.state
    if content is not None and content.size is not None:
        state += f", {content.size:,} bytes"
    cached = " (cached)" if port.cached else ""
    return (
        f"| {way} | {_cell(port.name)}{cached} | {_cell(artifact.type)} | {state} "
        f"| {_cell(artifact.uri, 120)} |"
    )


def _bounded(lines: Sequence[str], rows: Sequence[str], what: str) -> str:
    text = "\n".join(lines)[: NOTE_LENGTH - 100]
    for shown, row in enumerate(rows):
        if len(text) + len(row) > NOTE_LENGTH - 100:
            return f"{text}\n\n… and {len(rows) - shown} more {what}."
        text += f"\n{row}"
    return text


def _docstring(text: str | None) -> list[str]:
    if not text or not text.strip():
        return []
    shown = html.escape(text.strip()[:_DOCSTRING_LENGTH], quote=False)
    return ["", *(f"> {line}" for line in shown.splitlines())]


def _step_name(step: Step) -> str:
    return _cell(step.name) + (f" (attempt {step.attempt})" if step.attempt > 1 else "")


def _parameters(step: Step) -> str:
    return _listed(f"{p.name}={value_text(p.value)}" for p in step.parameters)


def _listed(items: Iterable[str]) -> str:
    every = list(items)
    text = ", ".join(_cell(item) for item in every[:_LIST_LENGTH])
    return text if len(every) <= _LIST_LENGTH else f"{text}, … {len(every) - _LIST_LENGTH} more"


def _lasted(start: int | None, end: int | None) -> str:
    shown = duration(start, end)
    return f" · {shown}" if shown else ""


def _cell(text: str, limit: int = _CELL_LENGTH) -> str:
    """Show a text in one table cell as it is written, whatever markdown or HTML it holds."""
    plain = _SPACE.sub(" ", text[: 4 * limit]).strip()
    if len(plain) > limit:
        plain = plain[: limit - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", html.escape(plain, quote=False))
