"""The step graph of a run as one SVG: no script, no request, everything escaped."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from exporter.drawing import text
from exporter.drawing.graph import MOST_EDGES, edges_of
from exporter.drawing.layout import BOX_HEIGHT, lay_out
from exporter.drawing.looks import GRAPH_STYLE, look_of, sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.drawing.graph import Edge
    from exporter.drawing.layout import Box, Direction, Route
    from exporter.hierarchy import Port, RunSnapshot, Step

_MARGIN = 20
_HEAD = 54
_LEAST_WIDTH, _LEAST_BOX, _LARGEST_BOX = 320, 128, 236
_HEAD_EM, _NAME_EM, _SMALL_EM = 17.6, 14.2, 12.2  # bold faces are wider
_LEFT, _RIGHT = 34, 12
_TOLD = 2_000
_PORTS = 20


def draw_run(run: RunSnapshot, *, heading: bool = True) -> str:
    """Draw the steps of a run, who handed what to whom, how each ended and how long it took.

    `heading` writes the names of pipeline and run, the status and the times above, on a ground of
    its own.
    Repeat: the same run gives the same text, which is valid XML and safe inside HTML.
    Limits: of more than 4,000 edges the first are drawn, and the drawing says so.
    """
    every = edges_of(run)
    edges = every[:MOST_EDGES]
    box_width = _box_width(run)
    layout = lay_out(len(run.steps), [(e.source, e.target) for e in edges], box_width)
    top = _MARGIN + (_HEAD if heading else 0)
    notes = _notes(run, len(every) - len(edges))
    width = max(layout.width + 2 * _MARGIN, _LEAST_WIDTH, _head_width(run) if heading else 0)
    height = top + layout.height + _MARGIN + 20 * len(notes)
    left = (width - layout.width) // 2
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="xg" role="img" ',
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{text.full(f'Steps of run {run.name} of pipeline {run.pipeline.name}')}</title>",
        f"<desc>{_told(run, edges)}</desc><style>{GRAPH_STYLE}</style>",
        *(_heading(run, width, height) if heading else ()),
        f'<g transform="translate({left} {top})">',
        *(_edge(run, e, r, layout.direction) for e, r in zip(edges, layout.routes, strict=True)),
        *(_box(s, b, box_width) for s, b in zip(run.steps, layout.boxes, strict=True)),
        "</g>",
        *(
            f'<text class="dim small" x="{_MARGIN}" y="{top + layout.height + 20 * at + 16}">'
            f"{note}</text>"
            for at, note in enumerate(notes)
        ),
        "</svg>\n",
    ]
    return "".join(parts)


def _notes(run: RunSnapshot, left_out: int) -> list[str]:
    notes = [] if run.steps else ["This run has no steps."]
    if left_out:
        notes.append(f"{text.count(left_out)} more edges are not drawn.")
    return notes


def _heading(run: RunSnapshot, width: int, height: int) -> Iterator[str]:
    room = (width - 2 * _MARGIN) / _HEAD_EM
    facts = [text.label(run.status, 12), text.duration(run.start, run.end), text.moment(run.start)]
    said = " · ".join(fact for fact in facts if fact)
    yield f'<rect class="ground" width="{width}" height="{height}" rx="8"/>'
    yield (
        f'<g class="{look_of(run.status).kind}">{sign(run.status, _MARGIN, 42)}'
        f'<text class="head" x="{_MARGIN}" y="32">'
        f"{text.label(f'{run.pipeline.name} / {run.name}', room)}</text>"
        f'<text class="dim" x="{_MARGIN + 22}" y="55">{said}</text></g>'
    )


def _head_width(run: RunSnapshot) -> int:
    wanted = text.width_of(f"{run.pipeline.name} / {run.name}"[:120]) * _HEAD_EM
    return min(round(wanted), 760) + 2 * _MARGIN


def _box_width(run: RunSnapshot) -> int:
    """Give a width that fits the longest name, within bounds."""
    names = [text.width_of(step.name[:60]) * _NAME_EM for step in run.steps]
    lines = [text.width_of(_said(step)) * _SMALL_EM for step in run.steps]
    wanted = max([*names, *lines], default=0) + _LEFT + _RIGHT
    return ceil(min(max(wanted, _LEAST_BOX), _LARGEST_BOX))


def _said(step: Step) -> str:
    """Say how a step stands, in a line."""
    facts = [step.status[:40], text.duration(step.start, step.end)]
    if step.attempt != 1:
        facts.append(f"attempt {step.attempt}")
    return " · ".join(fact for fact in facts if fact)


def _box(step: Step, box: Box, width: int) -> str:
    room = width - _LEFT - _RIGHT
    name = text.label(step.name, room / _NAME_EM) or "(no name)"
    return (
        f'<g class="{look_of(step.status).kind}" transform="translate({box.x} {box.y})">'
        f"<title>{text.full(_tip(step), 4_000)}</title>"
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{BOX_HEIGHT - 1}" rx="7"/>'
        f"{sign(step.status, 9, 15)}"
        f'<text class="name" x="{_LEFT}" y="19">{name}</text>'
        f'<text class="word small" x="{_LEFT}" y="36">'
        f"{text.label(_said(step), room / _SMALL_EM)}</text></g>"
    )


def _tip(step: Step) -> str:
    lines = [step.name, *([step.entrypoint] if step.entrypoint not in {"", step.name} else [])]
    lines.append(_said(step))
    if step.start is not None:
        lines.append(f"started {text.moment(step.start)}")
    lines += [
        f"{way}: {names}"
        for way, ports in (("in", step.inputs), ("out", step.outputs))
        if (names := _listed(ports))
    ]
    return "\n".join(lines)


def _listed(ports: tuple[Port, ...]) -> str:
    names = list(dict.fromkeys(port.name for port in ports))
    more = f" and {len(names) - _PORTS} more" if len(names) > _PORTS else ""
    return ", ".join(names[:_PORTS]) + more


def _edge(run: RunSnapshot, edge: Edge, route: Route, direction: Direction) -> str:
    source, target = run.steps[edge.source].name, run.steps[edge.target].name
    only_waited = " (tried again)" if source == target else " (waited for)"
    handed = f": {', '.join(edge.names[:_PORTS])}" if edge.names else only_waited
    only = "" if edge.names and not route.back else " only"
    return (
        f"<g><title>{text.full(f'{source} → {target}{handed}')}</title>"
        f'<path class="edge{only}" d="{_curve(route, direction)}"/>{_tip_of(route, direction)}</g>'
    )


def _curve(route: Route, direction: Direction) -> str:
    """Draw an edge that leaves and enters along the direction, bends smoothly between layers."""
    x, y = route.points[0]
    parts = [f"M{x} {y}"]
    for at, ((x1, y1), (x2, y2)) in enumerate(pairwise(route.points)):
        if at % 2:
            parts.append(f"L{x2} {y2}")
        elif direction == "right":
            middle = (x1 + x2) // 2
            parts.append(f"C{middle} {y1} {middle} {y2} {x2} {y2}")
        else:
            middle = (y1 + y2) // 2
            parts.append(f"C{x1} {middle} {x2} {middle} {x2} {y2}")
    return "".join(parts)


def _tip_of(route: Route, direction: Direction) -> str:
    x, y = route.points[-1]
    back = 7 if route.back else -7
    if direction == "right":
        return f'<path class="tip" d="M{x} {y}L{x + back} {y - 4}V{y + 4}Z"/>'
    return f'<path class="tip" d="M{x} {y}L{x - 4} {y + back}H{x + 4}Z"/>'


def _told(run: RunSnapshot, edges: tuple[Edge, ...]) -> str:
    """Say in words what is drawn, for those who do not see it."""
    plural = "step" if len(run.steps) == 1 else "steps"
    steps = "; ".join(f"{step.name}: {_said(step)}" for step in run.steps[:100])
    words = f"{len(run.steps)} {plural}. {steps}"
    if edges:
        names = [step.name for step in run.steps]
        words += ". " + "; ".join(f"{names[e.source]} to {names[e.target]}" for e in edges[:100])
    return text.full(words, _TOLD)
