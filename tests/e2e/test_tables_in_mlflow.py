"""Tables that are copied come with statistics, schema and report, and fill the Datasets panel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from support.generator import GeneratedStore
from support.mlflow_server import empty_database
from support.zenml_stores import recorded_store
from tensorflow_metadata.proto.v0 import statistics_pb2

import exporter
from exporter.errors import SinkTransient
from exporter.hierarchy import canonical_bytes
from exporter.sinks.mlflow.sink import MlflowSink
from exporter.sync import tables

if TYPE_CHECKING:
    from pathlib import Path

    from support.sync_site import Site

    from exporter.sinks.mlflow.bindings import FoundRun

_FILES = ("statistics.pb", "statistics.json", "schema.pbtxt", "table-schema.json", "report.html")


@pytest.fixture(params=["server", "database"])
def tracked(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Site:
    """Give a site over a tracking server, and over a tracking database alone."""
    if request.param == "database":
        site.tracking_uri = empty_database(tmp_path)
    return site


def _add_recorded(site: Site, name: str) -> None:
    store = recorded_store(name)
    site.add_stack(store.database, roots=[store.folder], rewrite={store.recorded: store.folder})


def _steps(site: Site, run: str) -> dict[str, FoundRun]:
    found = [
        r for r in site.runs() if r.tags["exporter.run"] == run and r.tags.get("exporter.step")
    ]
    return {r.tags["exporter.step"]: r for r in found}


def _file(site: Site, run: FoundRun, path: str) -> bytes:
    api = site.api()
    try:
        return api.get_file(run.artifact_uri, path)
    finally:
        api.close()


class Frames:
    """A store of runs that each wrote one data frame, which another step reads."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "store.db"
        self._folder = folder / "frames"
        self._written = 0

    def add(self, run: str, frame: pd.DataFrame | bytes) -> None:
        """Write one more run."""
        place = self._folder / run
        place.mkdir(parents=True)
        if isinstance(frame, bytes):
            (place / "df.parquet.gzip").write_bytes(frame)
        else:
            frame.to_parquet(place / "df.parquet.gzip", compression="gzip")
        with GeneratedStore(self.database) as store:
            self._written += 1
            store.now += 1_000_000 * self._written
            made = store.chain("train", run, steps=2)
            first = made.steps[0]
            store.flush()
            store.sql(
                "UPDATE Artifact SET uri = ? WHERE id IN (SELECT artifact_id FROM Event WHERE "
                "execution_id = ? AND type = 4) AND uri LIKE '%/test/%'",
                str(place),
                first.execution,
            )


def test_a_table_has_its_description_beside_its_files(site: Site, tmp_path: Path) -> None:
    frames = Frames(tmp_path)
    frames.add("first", pd.DataFrame({"x": [1.0, None, 3.0], "name": ["a", "b", "<script>"]}))
    site.add_stack(frames.database, roots=[tmp_path])
    report = site.cycle().to_json()
    assert report["ok"], report["errors"]
    assert report["mlflow"]["tables"] == 1
    writer, reader = sorted(_steps(site, "first").values(), key=lambda run: run.start)
    (rows,) = [key for key in writer.metrics if key.endswith(".rows")]
    port = rows.removesuffix(".rows")
    assert writer.metrics[rows][0] == 3
    assert writer.metrics[f"{port}.columns"][0] == 2
    assert writer.metrics[f"{port}.missing_ratio"][0] == pytest.approx(1 / 6)
    made = {name: _file(site, writer, f"exporter/{port}/{name}") for name in _FILES}
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    statistics.ParseFromString(made["statistics.pb"])
    assert statistics.datasets[0].num_examples == 3
    assert [f.path.step[0] for f in statistics.datasets[0].features] == ["x", "name"]
    assert [f["name"] for f in json.loads(made["table-schema.json"])["fields"]] == ["x", "name"]
    assert b"<script" not in made["report.html"]
    dataset = next(d for d in reader.datasets if d.name.endswith(".test"))
    api = site.api()
    body = api._post("runs/search", {"experiment_ids": _ids(site), "max_results": 100})
    api.close()
    inputs = [
        given["dataset"]
        for run in body["runs"]
        for given in run.get("inputs", {}).get("dataset_inputs", [])
        if given["dataset"]["digest"] == dataset.digest
    ]
    columns = json.loads(inputs[0]["schema"])["mlflow_colspec"]
    assert [column["name"] for column in columns] == ["x", "name"]
    assert json.loads(inputs[0]["profile"])["rows"] == 3
    again = site.cycle().to_json()
    assert (again["mlflow"]["requests"], again["mlflow"]["tables"]) == (0, 0)


def _ids(site: Site) -> list[str]:
    api = site.api()
    try:
        return list(site._experiments(api).values())
    finally:
        api.close()


def test_a_report_tells_what_changed_since_the_run_before(site: Site, tmp_path: Path) -> None:
    frames = Frames(tmp_path)
    frames.add("first", pd.DataFrame({"x": [0.0] * 500}))
    frames.add("second", pd.DataFrame({"x": [9.0] * 500}))
    site.add_stack(frames.database, roots=[tmp_path])
    site.cycle()
    frames.add("third", pd.DataFrame({"x": [90.0] * 500}))
    site.cycle()
    for run, before in (("first", None), ("second", "first"), ("third", "second")):
        writer = min(_steps(site, run).values(), key=lambda r: r.start)
        (rows,) = [key for key in writer.metrics if key.endswith(".rows")]
        report = _file(site, writer, f"exporter/{rows.removesuffix('.rows')}/report.html").decode()
        shown = report.partition("<main")[2].partition("<footer")[0]
        assert ("strong" in shown) == bool(before)
        assert before is None or f"<bdi>{before}</bdi>" in shown


def test_a_table_that_cannot_be_read_is_noted_and_its_run_is_whole(
    site: Site, tmp_path: Path
) -> None:
    frames = Frames(tmp_path)
    frames.add("broken", b"PAR1 and nothing more")
    site.add_stack(frames.database, roots=[tmp_path])
    report = site.cycle().to_json()
    assert report["ok"]
    assert report["units"]["written"] == 1
    assert report["mlflow"]["tables"] == 0
    assert report["kept_beside"]["tables_undescribed"] == 1
    assert "cannot be described" in " ".join(note["note"] for note in report["notes"])
    assert site.cycle().to_json()["mlflow"]["requests"] == 0


@pytest.mark.parametrize("full", [False, True])
def test_a_table_that_could_not_be_described_for_a_while_is_described_later(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    frames = Frames(tmp_path)
    frames.add("first", pd.DataFrame({"x": [1.0, 2.0]}))
    site.add_stack(frames.database, roots=[tmp_path])
    with monkeypatch.context() as patched:

        def full_disk(*_: object) -> bytes:
            raise OSError(28, "No space left on device")

        patched.setattr(tables, "statistics_bytes", full_disk)
        report = site.cycle().to_json()
        assert (report["units"]["written"], report["mlflow"]["tables"]) == (1, 0)
        assert "No space left" in " ".join(note["note"] for note in report["notes"])
        assert site.cycle().to_json()["mlflow"]["requests"] == 0
        site.clock.wait(61)
        assert site.cycle().to_json()["mlflow"]["requests"] == 0
    if not full:
        site.clock.wait(4 * 60 + 1)
    report = site.cycle(full=full).to_json()
    assert (report["ok"], report["mlflow"]["tables"]) == (True, 1)
    writer = min(_steps(site, "first").values(), key=lambda r: r.start)
    (rows,) = [key for key in writer.metrics if key.endswith(".rows")]
    assert _file(site, writer, f"exporter/{rows.removesuffix('.rows')}/statistics.pb")
    site.clock.wait(60 * 86_400)
    assert site.cycle().to_json()["mlflow"]["runs_updated"] == 0
    assert site.begun() == 0


def test_statistics_can_be_left_out(site: Site, tmp_path: Path) -> None:
    frames = Frames(tmp_path)
    frames.add("first", pd.DataFrame({"x": [1.0]}))
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    (mappings / "mlflow.yaml").write_text("statistics: false\n", encoding="utf-8")
    site.more["mappings"] = str(mappings)
    site.add_stack(frames.database, roots=[tmp_path])
    assert site.cycle().to_json()["mlflow"]["tables"] == 0
    (mappings / "mlflow.yaml").write_text("statistics: true\n", encoding="utf-8")
    later = site.cycle().to_json()
    assert (later["ok"], later["mlflow"]["tables"]) == (True, 1)
    writer = min(_steps(site, "first").values(), key=lambda r: r.start)
    assert any(key.endswith(".rows") for key in writer.metrics)


@pytest.mark.parametrize("name", ["zenml-0.5.7", "tfx-1.15"])
def test_tables_of_real_stores_are_described_and_the_history_reads_back_as_it_was(
    name: str, tracked: Site
) -> None:
    _add_recorded(tracked, name)
    report = tracked.cycle().to_json()
    assert report["ok"], report["errors"]
    assert report["mlflow"]["tables"] > 0
    assert "tables_undescribed" not in report["kept_beside"]
    assert tracked.cycle().to_json()["mlflow"]["tables"] == 0
    with (
        exporter.open_repository(tracked.config_file()) as source,
        exporter.open_repository(
            tracking_uri=tracked.tracking_uri, repository=tracked.repository
        ) as back,
    ):
        assert canonical_bytes(exporter.snapshot(back)) == canonical_bytes(
            exporter.snapshot(source)
        )


def test_a_killed_description_is_made_by_the_next_cycle(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = Frames(tmp_path)
    frames.add("first", pd.DataFrame({"x": [1.0, 2.0]}))
    site.add_stack(frames.database, roots=[tmp_path])
    with monkeypatch.context() as patched:

        def lost(*_: object, **__: object) -> None:
            raise SinkTransient("the process was killed")

        patched.setattr(MlflowSink, "earlier_file", lost)
        site.cycle()
    site.clock.wait(60)
    report = site.cycle().to_json()
    assert report["ok"], report["errors"]
    writer = min(_steps(site, "first").values(), key=lambda r: r.start)
    (rows,) = [key for key in writer.metrics if key.endswith(".rows")]
    assert _file(site, writer, f"exporter/{rows.removesuffix('.rows')}/report.html")
