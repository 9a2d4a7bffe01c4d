"""A run as the text that MLflow keeps of it: the record, from which the run is read back exactly.

The record is compact ASCII JSON `{"v": 1, "run": <canonical value>, "homes": {artifact id: [step,
path]}}`. A step of the run itself is given by its position, one of another unit by its key. It
stands in tags `exporter.record`, `.1`, `.2` … of 8,000 characters: `1j` and the JSON, or `1z` and
the JSON deflated and in base64; a longer one in the artifact `exporter/record.<hash>.json`, the tag
then being `1@` and the path, and `exporter.record.head` what lists and orders the run, so that
listing reads no file. The seal `<sha256 of the JSON>:<parts>` does not depend on the compression.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.errors import StoreUnreadable
from exporter.hierarchy import run_from_value, run_to_value, step_key
from exporter.mapping.homes import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.hierarchy import RunSnapshot

JsonObject = dict[str, Any]  # Any: JSON values

RECORD_TAG = "exporter.record"
SEAL_TAG = "exporter.complete"
WRITING_TAG = "exporter.writing"
HEAD_TAG = "exporter.record.head"
_PART_LENGTH = 8_000
_MAX_PARTS = 4
_COMPRESS_FROM = 2_000


class EncodedRecord(NamedTuple):
    """A record ready to be written: tags, the file (path, bytes) if too long, the seal."""

    tags: dict[str, str]
    file: tuple[str, bytes] | None
    seal: str


def encode_record(run: RunSnapshot, homes: Mapping[str, Home]) -> EncodedRecord:
    """Spell a run and the homes of its artifacts; equal ones have equal seals everywhere."""
    own: dict[str, int] = {step_key(run, step): i for i, step in enumerate(run.steps)}
    placed: dict[str, list[str | int]] = {}
    for artifact in run.artifacts:
        home = homes.get(artifact.id)
        if home is not None:
            placed[artifact.id] = [own.get(home.step_key, home.step_key), home.path]
    value = {"v": 1, "run": run_to_value(run), "homes": placed}
    plain = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    raw = plain.encode("ascii")
    digest = hashlib.sha256(raw).hexdigest()
    text = f"1j{plain}"
    if len(text) > _COMPRESS_FROM:
        packed = f"1z{base64.b64encode(zlib.compress(raw, 6)).decode('ascii')}"
        text = min(text, packed, key=len)
    file = None
    if len(text) > _PART_LENGTH * _MAX_PARTS:
        file = (f"exporter/record.{digest[:16]}.json", raw)
        text = f"1@{file[0]}"
    parts = [text[at : at + _PART_LENGTH] for at in range(0, len(text), _PART_LENGTH)]
    tags = {part_tag(number): part for number, part in enumerate(parts)}
    if file is not None:
        head = json.dumps([run.source_id, run.name, run.seq, run.start], separators=(",", ":"))
        if len(head) <= _PART_LENGTH:
            tags[HEAD_TAG] = head
    return EncodedRecord(tags, file, f"{digest}:{len(parts)}")


def part_tag(number: int) -> str:
    """Give the tag of one part of a record."""
    return RECORD_TAG if number == 0 else f"{RECORD_TAG}.{number}"


def decode_record(
    tags: Mapping[str, str], fetch: Callable[[str], bytes]
) -> tuple[RunSnapshot, dict[str, Home]]:
    """Give back the run and homes that a parent run's tags hold.

    `fetch` reads an artifact of that MLflow run by its path.

    Raises: StoreUnreadable where there is no whole record, it was altered, or a newer release wrote
    it.
    """
    return record_from_value(read_record(tags, fetch))


def read_record(tags: Mapping[str, str], fetch: Callable[[str], bytes]) -> JsonObject:
    """Give the record as JSON values, checked against its seal only. Raises as `decode_record`."""
    try:
        value = json.loads(_raw_record(tags, fetch))
    except (ValueError, RecursionError) as error:
        raise StoreUnreadable("The record of the MLflow run is no JSON.") from error
    if not isinstance(value, dict):
        raise StoreUnreadable("The record of the MLflow run is no JSON object.")
    return value


def record_from_value(value: JsonObject) -> tuple[RunSnapshot, dict[str, Home]]:
    """Give the run and homes that a record spells. Raises: StoreUnreadable for a malformed one."""
    try:
        run = run_from_value(value["run"])
        homes: dict[str, Home] = {}
        for artifact_id, (place, path) in value["homes"].items():
            key = step_key(run, run.steps[place]) if isinstance(place, int) else place
            homes[artifact_id] = Home(key, path)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise StoreUnreadable(
            f"The record of the MLflow run is malformed ({type(error).__name__}).",
            hint="This exporter did not write it so.",
        ) from error
    return run, homes


def _raw_record(tags: Mapping[str, str], fetch: Callable[[str], bytes]) -> bytes:
    digest, _, count = tags.get(SEAL_TAG, "").partition(":")
    if not count.isdecimal():
        raise StoreUnreadable("The MLflow run carries no seal, so it is not whole.")
    try:
        text = "".join(tags[part_tag(number)] for number in range(int(count)))
    except KeyError as error:
        raise StoreUnreadable(f"The MLflow run lacks the tag {error.args[0]}.") from error
    form, body = text[:2], text[2:]
    try:
        match form:
            case "1j":
                raw = body.encode("ascii")
            case "1z":
                raw = zlib.decompress(base64.b64decode(body, validate=True))
            case "1@":
                raw = fetch(body)
            case _:
                raise StoreUnreadable(
                    f"The record of the MLflow run has the unknown form {form!r}.",
                    hint="A newer release wrote it: upgrade.",
                )
    except (binascii.Error, zlib.error, UnicodeEncodeError) as error:
        raise StoreUnreadable("The record of the MLflow run is damaged.") from error
    if hashlib.sha256(raw).hexdigest() != digest:
        raise StoreUnreadable("The record of the MLflow run does not match its seal.")
    return raw
