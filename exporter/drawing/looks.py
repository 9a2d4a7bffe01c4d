"""How statuses look: a colour, a shape and the source's own word, so that none says it alone."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """The looks of a status: the class that colours it, and the path drawn in a 16 by 16 disc."""

    kind: str
    sign: str


_LOOKS = {
    "good": Look("good", "M4.6 8.3 7.1 10.8 11.5 5.6"),
    "reused": Look("reused", "M4.8 6.3H11.2M4.8 9.7H11.2"),
    "bad": Look("bad", "M5.3 5.3 10.7 10.7M10.7 5.3 5.3 10.7"),
    "again": Look("bad", "M11 8A3 3 0 1 1 8 5H10M8.4 3.2 10.2 5 8.4 6.8"),
    "going": Look("going", "M6.4 4.9 11 8 6.4 11.1Z"),
    "waiting": Look("going", "M8 4.6V8L10.4 9.6"),
    "stopped": Look("stopped", "M5.6 5.6H10.4V10.4H5.6Z"),
    "passed": Look("other", "M4.6 5 7.6 8 4.6 11M8.4 5 11.4 8 8.4 11"),
    "other": Look("other", "M5 8H11"),
}
_OF_WORD = {
    "completed": "good",
    "cached": "reused",
    "failed": "bad",
    "retried": "again",
    "running": "going",
    "pending": "waiting",
    "queued": "waiting",
    "cancelled": "stopped",
    "stopped": "stopped",
    "skipped": "passed",
}

# kind: line and text, soft fill; light, then dark.
_COLOURS = {
    "good": (("#23704a", "#e6f4ec"), ("#7cc79a", "#1d3327")),
    "reused": (("#5b4fa8", "#eeecfa"), ("#b3a8f5", "#2b2746")),
    "bad": (("#b3261e", "#fbe3e1"), ("#f2958d", "#472522")),
    "going": (("#2f5fc0", "#e5edfb"), ("#7aa2f0", "#202d4a")),
    "stopped": (("#9a5206", "#fdeed8"), ("#f0b060", "#3d2f18")),
    "other": (("#5c6675", "#eef0f3"), ("#a3adbb", "#272d36")),
}


def look_of(status: str) -> Look:
    """Give the looks of a source's word for a status; those of `other` for a word nobody knows."""
    return _LOOKS[_OF_WORD.get(status, "other")]


def sign(status: str, x: int = 0, y: int = 0) -> str:
    """Draw the disc of a status with its top left corner there."""
    return (
        f'<g class="sign" transform="translate({x} {y})"><circle cx="8" cy="8" r="8"/>'
        f'<path d="{look_of(status).sign}"/></g>'
    )


def _coloured(at: int) -> str:
    rules = []
    for kind, colours in _COLOURS.items():
        line, soft = colours[at]
        rules.append(
            f".xg .{kind} rect{{fill:{soft};stroke:{line}}}.xg .{kind} circle{{fill:{line}}}"
            f".xg .{kind} .word{{fill:{line}}}"
        )
    return "".join(rules)


def _themed(ground: str, ink: str, dim: str, edge: str, at: int) -> str:
    return (
        f".xg .ground{{fill:{ground}}}.xg text{{fill:{ink}}}.xg .dim{{fill:{dim}}}"
        f".xg .edge{{stroke:{edge}}}.xg .tip{{fill:{edge}}}.xg .sign path{{stroke:{ground}}}"
        f"{_coloured(at)}"
    )


def _chips(at: int) -> str:
    return "".join(
        f".status.{kind}{{color:{line};background:{soft}}}"
        f".status.{kind} circle{{fill:{line}}}.status.{kind} path{{stroke:{soft}}}"
        for kind, colours in _COLOURS.items()
        for line, soft in [colours[at]]
    )


GRAPH_STYLE = (
    '.xg text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;'
    "unicode-bidi:isolate}.xg .name{font-weight:600}.xg .small{font-size:11.5px}"
    ".xg .head{font-size:16px;font-weight:650}.xg .edge{fill:none;stroke-width:1.5}"
    ".xg .only{stroke-dasharray:4 3}.xg .sign path{fill:none;stroke-width:1.8;"
    "stroke-linecap:round;stroke-linejoin:round}"
    ".xg .reused rect{stroke-dasharray:5 3}.xg .word{font-weight:500}"
    f"{_themed('#fff', '#1b2028', '#5c6675', '#8b95a4', 0)}"
    f"@media(prefers-color-scheme:dark){{{_themed('#14171c', '#e4e8ee', '#a3adbb', '#707b8b', 1)}}}"
)
CHIP_STYLE = (
    ".status{display:inline-flex;align-items:center;gap:6px;border-radius:10px;"
    "padding:1px 9px 1px 4px;font-size:12px;font-weight:550;white-space:nowrap}"
    ".status svg{width:14px;height:14px;flex:none}.status path{fill:none;stroke-width:2;"
    f"stroke-linecap:round;stroke-linejoin:round}}{_chips(0)}"
    f"@media(prefers-color-scheme:dark){{{_chips(1)}}}"
)
