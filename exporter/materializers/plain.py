"""Values of the language itself: JSON, text, bytes, containers of them, and TFX values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from exporter.errors import CorruptArtifact
from exporter.materializers.protocol import parsing

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.materializers.files import ArtifactFiles

JSON_FILES = (
    "data.json",
    "data_v2.json",
    "output.json",
    "model.json",
    "profile.json",
    "results.json",
    "artifact.json",
    "service.json",
)
TEXT_FILES = ("data.txt", "output.html", "output.md", "output.csv", "model.txt", "uuid.txt")
CONTAINER_FILE = "metadata.json"
_BYTES_TYPE = "builtins.bytes"


def _truth(text: str) -> bool:
    if text.strip() in ("1", "true", "True"):
        return True
    if text.strip() in ("0", "false", "False"):
        return False
    raise ValueError(f"{text!r} is neither 0 nor 1")


def _tfx_json(text: str) -> Any:  # Any: a JSON value
    return json.loads(text)


# How TFX writes each type of value into the file `value`.
# Source: https://github.com/tensorflow/tfx/blob/v1.15.1/tfx/types/standard_artifacts.py
VALUE_TYPES: dict[str, Callable[[str], Any]] = {  # Any: the value itself
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": _truth,
    "JsonValue": _tfx_json,
}
BYTES_VALUE_TYPE = "Bytes"


class BuiltinMaterializer:
    """Reads what is written as JSON or text: numbers, strings, lists, dicts, bytes, TFX values.

    Containers of other things (ZenML 0.13 and later) are read element by element, each by the rules
    for its files; the absolute paths such a container records are not followed.
    """

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: the value itself
        """Give the value; a tuple recorded as such is a tuple again.

        Raises: CorruptArtifact when there is no such file or it does not parse.
        """
        artifact = files.artifact
        if "" in files.sizes and artifact.type in (*VALUE_TYPES, BYTES_VALUE_TYPE):
            return _tfx_value(files)
        path = files.find(*JSON_FILES)
        if path is not None:
            return _json_value(files, path)
        if CONTAINER_FILE in files.sizes:
            return _container(files, trusted=trusted)
        path = files.find(*TEXT_FILES)
        if path is not None:
            return _text_value(files, path)
        path = files.find(suffixes=(".json",))
        if path is not None:
            return _json_value(files, path)
        raise CorruptArtifact(
            f"{files.described} holds no JSON or text value.",
            hint="Choose the materializer that wrote it, or BytesMaterializer.",
            artifact=artifact.id,
        )


def _json_value(files: ArtifactFiles, path: str) -> Any:  # Any: a JSON value
    raw = files.read(path)
    with parsing(files, "JSON"):
        value = json.loads(raw)
        if isinstance(value, list) and files.artifact.data_type == "builtins.tuple":
            return tuple(value)
        return value


def _text_value(files: ArtifactFiles, path: str) -> str | bytes:
    raw = files.read(path)
    if files.artifact.data_type == _BYTES_TYPE:
        return raw
    with parsing(files, "text"):
        return raw.decode("utf-8")


def _tfx_value(files: ArtifactFiles) -> Any:  # Any: the value itself
    raw = files.read("")
    kind = files.artifact.type
    if kind == BYTES_VALUE_TYPE:
        return raw
    with parsing(files, f"{kind} value"):
        return VALUE_TYPES[kind](raw.decode("utf-8"))


def _container(files: ArtifactFiles, *, trusted: bool) -> Any:  # Any: a container of any values
    """Read a list, tuple, set or dict kept as numbered folders; a dict is its keys and its values.

    Source:
    https://github.com/zenml-io/zenml/blob/0.13.2/src/zenml/materializers/built_in_materializer.py
    """
    from exporter.materializers.choice import choose

    raw = files.read(CONTAINER_FILE)
    with parsing(files, "container"):
        types = _element_types(json.loads(raw))
        inside = {path.partition("/")[0] for path in files.sizes}
        if any(str(position) not in inside for position in range(len(types))):
            raise ValueError(
                f"{len(types)} elements are announced, the folders are {sorted(inside)}"
            )
    elements = []
    for position, data_type in enumerate(types):
        element = files.within(str(position), data_type=data_type)
        elements.append(choose(element).read(element, trusted=trusted))
    with parsing(files, "container"):
        match files.artifact.data_type:
            case "builtins.dict":
                keys, values = elements
                return dict(zip(keys, values, strict=True))
            case "builtins.tuple":
                return tuple(elements)
            case "builtins.set":
                return set(elements)
            case _:
                return elements


def _element_types(
    recorded: Any,
) -> list[str]:  # Any: a JSON value, as ZenML 0.13 or a later one wrote it
    if isinstance(recorded, list):
        types = [str(element["type"]) for element in recorded]
    else:
        types = [str(element) for element in recorded["types"][: int(recorded["length"])]]
    return [text.removeprefix("<class '").removesuffix("'>") for text in types]
