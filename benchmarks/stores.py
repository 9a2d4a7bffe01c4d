"""Generated ML Metadata stores, made once in the folder, and settings that read them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.config import Settings, load_settings, resource_folder
from exporter.sources.mlmd import load_profiles, open_mlmd

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.generator import GeneratedStore

    from exporter.sources.mlmd import MlmdHistory

STEPS = 5
_STEP_NAMES = ("importer", "analyzer", "trainer", "evaluator", "deployer")
_TESTS = Path(__file__).resolve().parent.parent / "tests"

_CONFIG = """\
repository: {repository}
stacks:
  - key: bench
    source: mlmd+sqlite:///{store}
    artifacts: {{mode: reference, roots: [{outputs}], rewrite: {{/data/generated: {outputs}}}}}
sinks:
  mlflow: {{tracking_uri: {tracking_uri}, threads: {threads}}}
state: {{url: sqlite:///{state}}}
"""


def store(folder: Path, runs: int) -> Path:
    """Give a store of ZenML 0.5 runs of five steps; every other run has two cached ones."""
    return _made(folder / f"store-{runs}.db", lambda made: made.fill(runs))


def training_store(folder: Path, runs: int) -> Path:
    """Give a store of runs as training leaves them: five parameters a step, an output each."""

    def fill(made: GeneratedStore) -> None:
        from support.generator import StepSpec

        for number in range(runs):
            parameters = {f"parameter_{place}": number + place / 8 for place in range(5)}
            steps = [
                StepSpec(
                    name,
                    parameters=parameters,
                    inputs=(("data", -1, 0),) if place else (),
                    outputs=("output",),
                )
                for place, name in enumerate(_STEP_NAMES)
            ]
            made.run(f"pipeline_{number % 4}", f"run_{number}", steps)

    return _made(folder / f"training-{runs}.db", fill)


def write_outputs(store: Path, root: Path) -> None:
    """Write the outputs of a store: a number each, and ten named ones for an evaluator."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        for number, (uri,) in enumerate(connection.execute("SELECT uri FROM Artifact")):
            folder = root / uri.removeprefix("/data/generated/")
            folder.mkdir(parents=True)
            value: object = number / 1_000
            if "/evaluator/" in uri:
                value = {f"metric_{place}": number / 1_000 + place for place in range(10)}
            (folder / "data.json").write_text(json.dumps(value), encoding="utf-8")


def _made(path: Path, fill: Callable[[GeneratedStore], object]) -> Path:
    """Give a store that is there, or make it by the tests' generator."""
    if not path.exists():
        if str(_TESTS) not in sys.path:
            sys.path.append(str(_TESTS))
        from support.generator import GeneratedStore

        begun = path.with_suffix(".begun")
        begun.unlink(missing_ok=True)
        with GeneratedStore(begun) as made:
            fill(made)
        begun.rename(path)
    return path


def history(path: Path) -> MlmdHistory:
    """Open a store as the product does."""
    return open_mlmd(
        f"sqlite:///{path}",
        repository="bench",
        stack="bench",
        profiles=load_profiles(resource_folder("mappings") / "sources"),
    )


def settings(
    folder: Path,
    store: Path,
    tracking_uri: str,
    *,
    threads: int = 4,
    repository: str = "bench",
    outputs: Path | None = None,
) -> Settings:
    """Give the settings of an exporter with its state in `folder` and files in `outputs`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "exporter.yaml"
    text = _CONFIG.format(
        repository=repository,
        store=store,
        outputs=outputs or folder / "no-outputs",
        tracking_uri=tracking_uri,
        threads=threads,
        state=folder / "state.db",
    )
    config.write_text(text, encoding="utf-8")
    return load_settings(config)
