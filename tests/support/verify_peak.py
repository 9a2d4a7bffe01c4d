"""Verifies a generated history in a process of its own, and prints the counts and its peak.

`python -m support.verify_peak <folder> <runs> fill` makes store and MLflow, without `fill` it
verifies.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import stores
from benchmarks.filling import fill
from benchmarks.memory import peak_kib
from exporter.config import Settings, load_settings, resource_folder
from exporter.hierarchy import Content, RunSnapshot
from exporter.mapping.mlflow import MlflowNaming, plan_experiment, plan_unit
from exporter.sinks.mlflow.database import DatabaseApi
from exporter.sync.policy import Mappings
from exporter.sync.verifying import Verification


def _settings(folder: Path, runs: int) -> Settings:
    """Give settings without files: referenced artifacts, no pages."""
    home = folder / str(runs)
    store = stores.training_store(folder, runs)
    stores.settings(home, store, f"sqlite:///{home / 'mlflow.db'}")
    mappings = home / "mappings"
    mappings.mkdir(exist_ok=True)
    text = (resource_folder("mappings") / "mlflow.yaml").read_text(encoding="utf-8")
    text = text.replace("pages: true", "pages: false")
    (mappings / "mlflow.yaml").write_text(text, encoding="utf-8")
    config = home / "exporter.yaml"
    with config.open("a", encoding="utf-8") as file:
        file.write(f"mappings: {mappings}\n")
    return load_settings(config)


def _fill(folder: Path, runs: int, naming: MlflowNaming) -> None:
    database = folder / str(runs) / "mlflow.db"
    api = DatabaseApi(f"sqlite:///{database}")
    walked = stores.history(stores.training_store(folder, runs))
    experiments: dict[str, str] = {}
    for record in walked.pipelines():
        planned = plan_experiment("bench", "bench", record, naming)
        created = api.create_experiment(planned.name, planned.tags)
        assert created is not None
        experiments[record.name] = created
    for ids in walked.changes(None).source_ids:
        for run in walked.runs(ids):
            assert isinstance(run, RunSnapshot)
            artifacts = tuple(replace(a, content=Content("referenced")) for a in run.artifacts)
            plan = plan_unit(replace(run, artifacts=artifacts), {}, naming)
            fill(database, experiments[run.pipeline.name], [plan])
    walked.close()
    api.close()


def main(folder: Path, runs: int, *, fills: bool) -> None:
    """Do what the words of the command say."""
    settings = _settings(folder, runs)
    if fills:
        _fill(folder, runs, Mappings.load(settings).mlflow)
        return
    work = Verification(settings)
    kinds = sorted({difference.kind for difference in work.differences()})
    report = work.stacks["bench"]
    shown = {"runs": report.runs, "kinds": kinds, "errors": report.errors, "kib": peak_kib()}
    sys.stdout.write(json.dumps(shown))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), fills="fill" in sys.argv)
