"""Where the recorded stores are, and how their artifacts are found again."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_HOME = "home/.config/zenml/local_stores"


class RecordedStore(NamedTuple):
    """A store that real software wrote; its URIs begin with `recorded`."""

    folder: Path
    database: Path
    recorded: str

    @property
    def url(self) -> str:
        """The source as `open_repository` and a configuration take it."""
        return f"mlmd+sqlite:///{self.database}"

    @property
    def rewrite(self) -> dict[str, str]:
        """From the recorded prefix to where the artifacts are now."""
        return {self.recorded: str(self.folder)}


def recorded_store(name: str, stores: Path | None = None) -> RecordedStore:
    """Give `zenml-0.5.7`, `zenml-0.12.0` or `tfx-1.15`, of the checkout or of a copy."""
    folder = (stores or Path(__file__).resolve().parent.parent / "stores") / name
    databases = {
        "zenml-0.5.7": f"{_HOME}/2efb7076-47fc-4b65-96a5-1dd2ee91a41b/metadata.db",
        "zenml-0.12.0": f"{_HOME}/a4fe8953-7e8a-44f9-88a8-5a368b1d112f/metadata.db",
        "tfx-1.15": "metadata.sqlite",
    }
    return RecordedStore(folder, folder / databases[name], f"/data/{name}")
