"""Transports of openlineage-python for tests, each named by the path of its class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attr
from openlineage.client.serde import Serde
from openlineage.client.transport import Config, Transport
from openlineage.client.transport.http import TokenProvider
from openlineage.client.transport.transform import EventTransformer

RECORDING = "support.client_transports.RecordingTransport"
TOKENS = "support.client_transports.Tokens"


@attr.define
class RecordingConfig(Config):
    """Where events go, and which are refused."""

    path: str
    refuse: str = ""
    says: str = "refused"

    @classmethod
    def from_dict(cls, params: dict[str, Any]) -> RecordingConfig:
        return cls(params["path"], params.get("refuse", ""), params.get("says", "refused"))


class RecordingTransport(Transport):
    """Appends each event to a file as the client's own transports would send it."""

    kind = "recording"
    config_class = RecordingConfig

    def __init__(self, config: RecordingConfig) -> None:
        self.config = config

    def emit(self, event: Any) -> None:  # Any: the client's event
        if self.config.refuse and self.config.refuse in f"{event.job.name} {event.eventType.value}":
            raise ValueError(self.config.says)
        with Path(self.config.path).open("a", encoding="utf-8") as file:
            file.write(Serde.to_json(event) + "\n")


class OutOfReachTransport(Transport):
    """Never reaches anybody."""

    kind = "out-of-reach"

    def __init__(self, config: Config) -> None:
        self.config = config

    def emit(self, event: Any) -> None:
        raise ConnectionRefusedError("nobody there")


class Renaming(EventTransformer):
    """Puts every job under another namespace, and leaves importers out."""

    def transform(self, event: Any) -> Any:
        if event.job.name.endswith(".importer"):
            return None
        event.job.namespace = self.properties["namespace"]
        return event


class Tokens(TokenProvider):
    """Gives one token for ever."""

    def __init__(self, config: dict[str, str]) -> None:
        self.token = config["token"]

    def get_bearer(self) -> str | None:
        return f"Bearer {self.token}"
