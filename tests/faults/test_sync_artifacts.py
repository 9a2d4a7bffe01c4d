"""Artifacts that are missing, corrupt, refused or too large: the unit completes and records it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.generator import GeneratedStore
from support.mlflow_faults import try_again_at_once

from exporter.config import Settings
from exporter.sources.open import open_stack
from exporter.sync.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from support.sync_site import Site

_PREFIX = "/data/generated"


class Place:
    """A store of one run of three steps, and the files of its artifacts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"
        self.files = folder / "files"
        with GeneratedStore(self.path) as store:
            store.chain("train", "run_1", steps=3)
        with GeneratedStore(self.path) as store:
            self.uris = [str(uri) for (uri,) in store.sql("SELECT uri FROM Artifact ORDER BY id")]
        for number in range(len(self.uris)):
            self.write(number, json.dumps({"score": number / 8}))

    def folder(self, number: int) -> Path:
        """Give the folder of an artifact."""
        return self.files / self.uris[number].removeprefix(_PREFIX).lstrip("/")

    def write(self, number: int, text: str) -> None:
        """Write the file of an artifact."""
        self.folder(number).mkdir(parents=True, exist_ok=True)
        (self.folder(number) / "data.json").write_text(text)

    def remove(self, number: int) -> None:
        """Remove an artifact's files."""
        (self.folder(number) / "data.json").unlink()
        self.folder(number).rmdir()


@pytest.fixture
def place(tmp_path: Path, site: Site) -> Place:
    """Give a store whose files are all right, configured as the site's stack."""
    made = Place(tmp_path)
    site.add_stack(made.path, roots=[made.files], rewrite={_PREFIX: made.files})
    return made


def _states(site: Site) -> list[str]:
    (run,) = site.records().values()
    return [a.content.state if a.content else "none" for a in run.artifacts]


def test_a_missing_artifact_is_recorded_and_found_again_by_repair(site: Site, place: Place) -> None:
    place.remove(1)
    report = site.cycle().to_json()
    assert report["ok"]
    assert (report["artifacts"]["missing"], report["artifacts"]["copied"]) == (1, 3)
    assert _states(site) == ["copied", "missing", "copied", "copied"]
    place.write(1, "1")
    assert site.cycle().to_json()["mlflow"]["requests"] == 0
    repaired = site.cycle(repair=True).to_json()
    assert (repaired["artifacts"]["missing"], repaired["artifacts"]["copied"]) == (0, 4)
    assert repaired["units"]["written"] == 1
    assert _states(site) == ["copied"] * 4
    again = site.cycle(repair=True).to_json()
    assert (again["units"]["written"], again["mlflow"]["runs_updated"]) == (0, 0)


@pytest.mark.parametrize("full", [False, True])
def test_bytes_that_come_back_are_found_by_a_later_look_or_a_full_run(
    site: Site, place: Place, full: bool
) -> None:
    place.remove(1)
    place.remove(2)
    assert site.cycle().exit_code == 0
    assert site.cycle().to_json()["mlflow"]["requests"] == 0
    if not full:
        site.clock.wait(61)
    report = site.cycle(full=full)
    assert (report.exit_code, report.to_json()["mlflow"]["requests"]) == (0, 0)
    place.write(1, "1")
    if not full:
        site.clock.wait(4 * 60 + 1)
    report = site.cycle(full=full)
    shown = report.to_json()
    assert (report.exit_code, shown["units"]["written"], shown["units"]["waiting"]) == (0, 1, 0)
    assert _states(site) == ["copied", "copied", "missing", "copied"]


def test_the_looks_for_lost_bytes_come_to_an_end_and_a_full_run_still_finds_them(
    site: Site, place: Place
) -> None:
    place.remove(1)
    looked = 0
    for _ in range(12):
        looked += site.cycle().to_json()["artifacts"]["missing"]
        site.clock.wait(60 * 86_400)
    assert looked == 9
    assert site.begun() == 0
    place.write(1, "1")
    assert site.cycle().to_json()["artifacts"]["copied"] == 0
    assert site.cycle(full=True).to_json()["units"]["written"] == 1
    assert _states(site) == ["copied"] * 4


def test_files_outside_the_roots_and_links_are_refused(
    site: Site, place: Place, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden")
    place.remove(0)
    place.folder(0).symlink_to(tmp_path)
    with GeneratedStore(place.path) as store:
        store.sql("UPDATE Artifact SET uri = '/etc/passwd' WHERE id = 2")
    report = site.cycle().to_json()
    assert report["ok"]
    assert report["artifacts"]["refused"] == 2
    assert report["mlflow"]["files"] == 2


def test_an_artifact_beyond_the_limit_is_not_copied(site: Site, place: Place) -> None:
    place.write(2, json.dumps("x" * 5_000))
    site.stacks[0]["artifacts"]["max_size"] = 1_000
    report = site.cycle().to_json()
    assert report["artifacts"]["too_large"] == 1
    assert _states(site)[2] == "too_large"


def test_reference_mode_copies_nothing_and_still_reads_metrics(site: Site, place: Place) -> None:
    site.stacks[0]["artifacts"]["mode"] = "reference"
    report = site.cycle().to_json()
    assert report["artifacts"]["referenced"] == 4
    assert (report["mlflow"]["files"], report["mlflow"]["bytes"]) == (0, 0)
    values = {key: value for run in site.runs() for key, (value, _) in run.metrics.items()}
    assert any(key.endswith("score") for key in values)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"score": ', "\x00\x00", "", '{"score": 1e999999}', '"\\ud800"']
)
def test_a_hostile_value_makes_no_metric_and_harms_nothing(
    site: Site, place: Place, text: str
) -> None:
    place.write(3, text)
    report = site.cycle().to_json()
    assert (report["ok"], report["units"]["written"]) == (True, 1)
    assert report["artifacts"]["copied"] == 4


def test_files_that_went_away_since_they_were_digested_are_recorded_as_missing(
    site: Site, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_again_at_once(monkeypatch)
    sound, site.tracking_uri = site.tracking_uri, "http://127.0.0.1:9"
    assert site.cycle().exit_code == 4  # digested, and remembered as copied
    place.remove(1)
    place.write(2, '{"score": 0.75, "more": true}')
    site.tracking_uri = sound
    report = site.cycle().to_json()
    assert (report["ok"], report["units"]["written"], report["units"]["dead"]) == (True, 1, 0)
    assert _states(site) == ["copied", "missing", "copied", "copied"]
    assert site.cycle().to_json()["mlflow"]["runs_updated"] == 0  # looked at once more, by rule
    assert site.cycle().to_json()["mlflow"]["requests"] == 0


def test_an_error_nobody_foresaw_becomes_a_dead_letter_without_secrets(
    site: Site, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: Settings, stack: object) -> object:
        history, reader = open_stack(settings, stack)  # type: ignore[arg-type]  # handed on

        def fail(*_: object) -> object:
            raise ZeroDivisionError("driver: mysql://root:hunter2@db/x and s3cr3t-token")

        monkeypatch.setattr(reader, "content", fail)
        return history, reader

    site.more["sinks"] = {
        "mlflow": {"tracking_uri": site.tracking_uri, "token": "s3cr3t-token"},
        "openlineage": [{"name": "events", "url": f"file://{site.events}"}],
    }
    monkeypatch.setattr("exporter.sync.engine.open_stack", broken)
    engine: Engine = site.engine()
    report = engine.cycle()
    assert report.exit_code == 1
    shown = json.dumps(report.to_json())
    assert "ZeroDivisionError" in shown
    with site.ledger() as ledger:
        shown += "".join(letter.error for letter in ledger.dead.letters())
        assert len(ledger.dead.letters()) == 2
    assert "hunter2" not in shown
    assert "s3cr3t-token" not in shown
