"""The last look at an event before it may leave: a catalog's own check comes too late.

A refused event can be half applied, and a namespace with a wrong character breaks Marquez' lists
for all its users for good; so nothing enters the outbox that our own, stricter schema refuses.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import orjson

from exporter.errors import ConfigError, SinkTerminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EVENT_SCHEMA = "PipelineExporterEvent.json"
SCHEMA_FOLDER = "schemas/1-0-0"
_MASK = "the value"


class EventCheck:
    """Checks events by the schema of exactly what this release emits. Thread-safe."""

    def __init__(
        self,
        event_schema: dict[str, Any],
        facet_schemas: Sequence[dict[str, Any]],  # Any: JSON
    ) -> None:
        """Compile the schema; values never appear in its messages, for they may be secrets."""
        registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in facet_schemas])
        self._validator = jsonschema_rs.Draft202012Validator(
            event_schema, validate_formats=True, registry=registry, mask=_MASK, offline=True
        )

    @classmethod
    def of_folder(cls, folder: Path) -> EventCheck:
        """Read the schemas of `mappings/schemas/<version>`.

        Raises: ConfigError if one is missing or is no JSON.
        """
        try:
            schemas = {
                path.name: json.loads(path.read_text(encoding="utf-8"))
                for path in sorted(folder.glob("*.json"))
            }
            event = schemas.pop(EVENT_SCHEMA)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"The schemas of OpenLineage events in {folder} cannot be read: {error}.",
                hint="Install pipeline-exporter again.",
            ) from error
        return cls(event, list(schemas.values()))

    def check(self, body: bytes, *, max_bytes: int = 0) -> dict[str, Any]:  # Any: JSON
        """Pass an event that may leave, and give it as it was read.

        `max_bytes` is what its catalog takes, 0 for any size.

        Raises: SinkTerminal that names the field and what is wrong with it, never its value.
        """
        if 0 < max_bytes < len(body):
            raise SinkTerminal(
                f"An event of {len(body):,} bytes is more than the {max_bytes:,} that the catalog "
                "takes, also without statistics and other long facets.",
                hint="Raise max_bytes in the catalog's profile, or leave out facets there "
                "(facets_without).",
            )
        try:
            event: dict[str, Any] = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise SinkTerminal(f"The event is not JSON: {error}.") from error
        if self._validator.is_valid(event):
            return event
        worst: tuple[int, str, str] | None = None
        for wrong in self._validator.iter_errors(event):
            path = ".".join(str(part) for part in wrong.instance_path)
            found = (len(wrong.instance_path), path, wrong.message)
            worst = found if worst is None else max(worst, found)
        if worst is not None:
            _, path, message = worst
            raise SinkTerminal(
                f"The event's {path or 'top level'} is not what we send: {message}.",
                hint="This is a bug of pipeline-exporter: please report it.",
                field=path,
            )
        return event
