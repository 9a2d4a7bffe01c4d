"""The page about one run: what ran, when, how long, how it ended, and what it took and gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.drawing import text
from exporter.drawing.looks import CHIP_STYLE, look_of, sign
from exporter.drawing.page import framed, tiles
from exporter.drawing.svg import draw_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from exporter.hierarchy import Artifact, Content, Parameter, Port, RunSnapshot, Step, Value

_MOST_STEPS, _MOST_ARTIFACTS, _MOST_ITEMS = 500, 500, 12
_STYLE = (
    ".graph{padding:0}.graph svg{display:block;margin:0 auto}"
    "td{vertical-align:top}td.list,td.uri,td.name{white-space:normal;overflow-wrap:anywhere}"
    "td.list{min-width:140px;max-width:320px}td.uri{min-width:220px;max-width:420px}"
    "td.name{min-width:190px;max-width:280px;font-weight:550}td.fact{width:260px}"
    "td .kind{font-weight:400;white-space:normal;overflow-wrap:anywhere}"
    "td div.kind{min-width:110px;max-width:260px}"
    ".about{white-space:pre-line;max-width:75ch;overflow-wrap:anywhere;margin:10px 0}"
    f"{CHIP_STYLE}"
)
_STEP_HEAD = ("step", "status", "start (UTC)", "duration", "parameters", "inputs", "outputs")
_ARTIFACT_HEAD = ("artifact", "type", "from", "content", "size", "recorded at")


def summary_page(run: RunSnapshot) -> str:
    """Describe a run on one page that needs nothing else: graph, steps, artifacts, facts.

    Repeat: the same run gives the same text.
    Limits: of more than 500 steps or artifacts the first are listed, and the page says how many
    more there are; long values are cut.
    """
    kept = run.run_stack or run.stack
    figures = [
        ("status", _status(run.status)),
        ("duration", text.duration(run.start, run.end) or "–"),
        ("steps", text.count(len(run.steps))),
        ("artifacts", text.count(len(run.artifacts))),
        *_step_figures(run.steps),
    ]
    when = f"Started {text.moment(run.start)}" if run.start is not None else "Start not known"
    ended = f", ended {text.moment(run.end)}" if run.end is not None else ""
    about = run.pipeline.docstring
    told = f'<p class="about">{text.escaped(about.strip(), 2_000)}</p>' if about else ""
    body = (
        f'<p class="dim">{when}{ended} · {text.named(run.tool)} · stack {text.named(kept)}</p>'
        f"{told}{tiles(figures)}"
        f'<h2>Graph</h2><div class="scroll graph">{draw_run(run, heading=False).strip()}</div>'
        f"{_steps(run)}{_artifacts(run)}{_facts(run)}"
    )
    return framed(f"{run.pipeline.name} / {run.name}", body, _STYLE)


def _step_figures(steps: Sequence[Step]) -> list[tuple[str, str]]:
    """Count what stands out among the steps."""
    words = [step.status for step in steps]
    found = (("cached", words.count("cached")), ("failed", words.count("failed")))
    return [(f"{name} steps", text.count(number)) for name, number in found if number]


def _steps(run: RunSnapshot) -> str:
    rows = [
        (
            ("name", _step_name(step)),
            ("", _status(step.status)),
            ("", text.moment(step.start).removesuffix(" UTC")),
            ("n", text.duration(step.start, step.end)),
            ("list", _items(_parameter(p) for p in step.parameters)),
            ("list", _ports(step.inputs)),
            ("list", _ports(step.outputs)),
        )
        for step in run.steps[:_MOST_STEPS]
    ]
    return _table("Steps", _STEP_HEAD, rows, len(run.steps))


def _step_name(step: Step) -> str:
    attempt = f' <span class="kind">attempt {step.attempt}</span>' if step.attempt != 1 else ""
    shown = text.named(step.name, 300) + attempt
    if step.entrypoint and step.entrypoint != step.name:
        shown += f'<div class="kind">{text.named(step.entrypoint)}</div>'
    return shown


def _artifacts(run: RunSnapshot) -> str:
    ports = _first_ports(run)
    rows = [
        (
            ("name", _artifact_name(artifact, ports)),
            ("", _artifact_type(artifact)),
            ("list", _producer(run, artifact)),
            *_content(artifact.content),
            ("uri dim", text.named(artifact.uri, 300)),
        )
        for artifact in run.artifacts[:_MOST_ARTIFACTS]
    ]
    return _table("Artifacts", _ARTIFACT_HEAD, rows, len(run.artifacts))


def _first_ports(run: RunSnapshot) -> dict[str, str]:
    """Name artifacts, as HTML, by the output of this run that shows them first, else the input."""
    names: dict[str, str] = {}
    for step in run.steps:
        for port in step.outputs:
            shown = f"{text.named(step.name)}.<wbr>{text.named(port.name)}"
            names.setdefault(port.artifact, shown)
    for step in run.steps:
        for port in step.inputs:
            shown = f"{text.named(port.name)} of {text.named(step.name)}"
            names.setdefault(port.artifact, shown)
    return names


def _artifact_name(artifact: Artifact, ports: Mapping[str, str]) -> str:
    shown = ports.get(artifact.id, "")
    name = f"{text.named(artifact.name)}, " if artifact.name else ""
    return f'{shown}<div class="kind">{name}id {text.named(artifact.id, 80)}</div>'


def _artifact_type(artifact: Artifact) -> str:
    shown = text.named(artifact.type, 80)
    if artifact.data_type:
        shown += f'<div class="kind">{text.named(artifact.data_type, 60)}</div>'
    return shown


def _producer(run: RunSnapshot, artifact: Artifact) -> str:
    made = artifact.producer
    if made is None:
        return ""
    if (made.pipeline, made.run) == (run.pipeline.name, run.name):
        return text.named(made.step)
    return f"{text.named(made.step)}<div class='kind'>of run {text.named(made.run)}</div>"


def _content(content: Content | None) -> tuple[tuple[str, str], tuple[str, str]]:
    """Say what became of the bytes; they are not known before an export."""
    if content is None:
        return ("dim", "–"), ("", "")
    size = "" if content.size is None else text.size(content.size)
    return ("", content.state.replace("_", " ")), ("n", size)


def _facts(run: RunSnapshot) -> str:
    own = [
        ("repository", run.repository),
        ("stack", run.stack),
        ("stack of the run", run.run_stack or ""),
        ("source", run.flavour),
        ("id in the source", run.source_id),
    ]
    rows = [(("name fact", name), ("uri", text.named(value))) for name, value in own if value]
    rows += [
        (("name fact", text.named(fact.name)), ("uri", text.escaped(_spelled(fact.value), 500)))
        for fact in run.facts
    ]
    return _table("Facts", (), rows[:_MOST_STEPS], len(rows))


def _table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]], total: int
) -> str:
    """Give a titled table; rows hold a class and HTML for each cell. Nothing where it is empty."""
    if not rows:
        return ""
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = "".join(
        f"<tr>{''.join(f'<td{_class(kind)}>{cell}</td>' for kind, cell in row)}</tr>"
        for row in rows
    )
    top = f"<thead><tr>{names}</tr></thead>" if names else ""
    more = f'<p class="dim">… and {text.count(total - len(rows))} more.</p>'
    return (
        f'<h2>{title}</h2><div class="scroll"><table>{top}<tbody>{lines}</tbody></table></div>'
        f"{more if total > len(rows) else ''}"
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _status(status: str) -> str:
    """Show a status as a chip: its sign, its colour and the source's word."""
    return (
        f'<span class="status {look_of(status).kind}"><svg viewBox="0 0 16 16" '
        f'aria-hidden="true">{sign(status)}</svg>{text.named(status, 40)}</span>'
    )


def _ports(ports: Sequence[Port]) -> str:
    """List ports by name; a list port once, with how many artifacts it holds."""
    held: dict[str, list[Port]] = {}
    for port in ports:
        held.setdefault(port.name, []).append(port)
    return _items(
        text.named(name, 80)
        + (f' <span class="kind">× {len(all_)}</span>' if len(all_) > 1 else "")
        + (' <span class="kind">cached</span>' if any(port.cached for port in all_) else "")
        for name, all_ in held.items()
    )


def _parameter(parameter: Parameter) -> str:
    value = text.escaped(_spelled(parameter.value), 80)
    return f'{text.named(parameter.name, 80)} = <span class="dim">{value}</span>'


def _spelled(value: Value) -> str:
    return value if isinstance(value, str) else _number(value)


def _number(value: Value) -> str:
    try:
        return repr(value)
    except ValueError:  # an integer of more digits than CPython spells in decimal
        return "(a very long number)"


def _items(items: Iterable[str]) -> str:
    every = list(items)
    shown = "".join(f"<div>{item}</div>" for item in every[:_MOST_ITEMS])
    left = len(every) - _MOST_ITEMS
    return shown if left <= 0 else f'{shown}<div class="dim">… and {left} more</div>'
