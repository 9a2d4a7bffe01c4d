"""A small history that changes once: what a killed export has to survive.

First: a run of three steps, one that takes two of them from the cache, one whose last step is still
running. Then: the running one ends, a value of the first changes, a step of the second is gone, and
a fourth run has appeared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from support.generator import RUNNING, GeneratedStore

if TYPE_CHECKING:
    from support.generator import WrittenRun

RECORDED_PREFIX = "/data/generated"


class TwoGenerations:
    """The store in a folder of its own, with files behind its artifacts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.path = folder / "metadata.db"
        self._runs: list[WrittenRun] = []

    def write_first(self) -> None:
        """Write the first generation."""
        with GeneratedStore(self.path) as store:
            first = store.chain("train", "run_1", steps=3)
            second = store.chain("train", "run_2", steps=3, reuse=first)
            third = store.chain("train", "run_3", steps=3, state=RUNNING, c=2.0)
            self._runs = [first, second, third]
        self._write_files()

    def write_second(self) -> None:
        """Change the store as its software would."""
        first, second, third = self._runs
        with GeneratedStore(self.path) as store:
            store.now += 3_600_000
            store.finish(third.steps[2])
            store.change_parameter(first.steps[2].execution, "C", "7.5")
            store.remove_step(second.steps[2].execution)
            store.chain("train", "run_4", steps=3, reuse=first)
        self._write_files()

    def _write_files(self) -> None:
        with GeneratedStore(self.path) as store:
            uris = [str(uri) for (uri,) in store.sql("SELECT uri FROM Artifact")]
        for number, uri in enumerate(uris):
            target = self.files / uri.removeprefix(RECORDED_PREFIX).lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            (target / "data.json").write_text(json.dumps({"score": number / 8, "n": number}))
            if number % 3 == 0:  # a model, told by its name
                (target / "model.keras").write_text(str(number))
