"""A difference as a line for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.sync.verify_report import Difference

_LONGEST = 160


def difference_text(difference: Difference, *, with_stack: bool) -> str:
    """Say where a difference is and what it is: `train / run_1 / fit: param "a": source …`."""
    d = difference
    where = [d.stack if with_stack else "", d.pipeline, d.run, d.step]
    return f"{' / '.join(part for part in where if part)}: {_what(d)}"


def _what(d: Difference) -> str:
    match d.kind:
        case "run" if d.name == "copies":
            return f"MLflow has {d.sink} runs of it."
        case "run" if d.source is None:
            place = "a nested run" if d.step else "a run"
            return f"MLflow has {place} that the source does not know."
        case "run":
            return "deleted in MLflow." if d.sink else "not in MLflow."
        case "experiment" if not d.name:
            return f"its experiment {'was deleted in' if d.sink else 'is not in'} MLflow."
        case "parent":
            return f"nested below run {_value(d.sink)}, not below {_value(d.source)}."
        case "file":
            sides = f"source {_file(d.source)}, MLflow {_file(d.sink)}"
            return f"file {_value(d.name)}: {sides}"
        case "record":
            place = f" {d.name}" if d.name else ""
            return f"record{place}: source {_value(d.source)}, MLflow {_value(d.sink)}"
    name = f" {_value(d.name)}" if d.name else ""
    return f"{d.kind}{name}: source {_value(d.source)}, MLflow {_value(d.sink)}"


def _value(value: Any) -> str:  # Any: a JSON value
    if value is None:
        return "none"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _file(value: Any) -> str:  # Any: size and sha256, or None
    if value is None:
        return "none"
    size = "longer" if value["size"] is None else f"{value['size']:,} bytes"
    return f"{size} {value['sha256'][:12]}" if value["sha256"] else size
