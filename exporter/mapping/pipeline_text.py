"""A pipeline as the text that its experiment in MLflow keeps of it, from which it is read back.

The text is compact ASCII JSON in the tag `exporter.record`. A longer one, which only a long
docstring makes, stands in parts: the tag begins with `parts:<count>:<digest>:`, and `.1`, `.2` …
hold the rest. The digest tells a half-written text from a whole one, since MLflow sets one tag of
an experiment at a time.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from exporter.hierarchy import PipelineRecord
from exporter.mapping.records_text import RECORD_TAG, part_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART_LENGTH = 4_900  # servers before MLflow 3 take 5,000 characters
_MAX_PARTS = 1_000
_PARTS = "parts:"


def encode_pipeline(record: PipelineRecord) -> dict[str, str]:
    """Spell a pipeline as tags of its experiment."""
    value = {
        "v": 1,
        "name": record.name,
        "seq": record.seq,
        "source_id": record.source_id,
        "docstring": record.docstring,
    }
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    if len(text) <= _PART_LENGTH:
        return {RECORD_TAG: text}
    parts = [text[at : at + _PART_LENGTH] for at in range(0, len(text), _PART_LENGTH)]
    tags = {part_tag(number): part for number, part in enumerate(parts)}
    tags[RECORD_TAG] = f"{_PARTS}{len(parts)}:{_digest(text)}:{parts[0]}"
    return tags


def decode_pipeline(tags: Mapping[str, str]) -> PipelineRecord | None:
    """Give back the pipeline that an experiment's tags hold; None where they hold no whole one."""
    text = tags.get(RECORD_TAG, "")
    try:
        if text.startswith(_PARTS):
            _, count, digest, first = text.split(":", 3)
            numbers = range(1, min(int(count), _MAX_PARTS))
            text = "".join([first, *(tags[part_tag(number)] for number in numbers)])
            if _digest(text) != digest:
                return None
        value = json.loads(text)
        name, seq, source_id = value["name"], value["seq"], value["source_id"]
        docstring = value["docstring"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    # Tags are input: anyone may have written them.
    texts = [name, source_id] if docstring is None else [name, source_id, docstring]
    if type(seq) is not int or not all(isinstance(text, str) for text in texts):
        return None
    return PipelineRecord(name, seq, source_id, docstring)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii", "backslashreplace")).hexdigest()[:16]
