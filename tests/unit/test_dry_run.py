"""The dry run plans what a cycle would write, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.fake_history import FakeHistory
from support.samples import EMPTY, TRAIN, sample_artifacts, sample_history, train_run
from support.sync_site import Site

from exporter.config import Settings
from exporter.errors import SchemaTooOld
from exporter.hierarchy import RunSnapshot, run_key
from exporter.ledger import AppliedUnit, Ledger, SeenUnit
from exporter.sync import dry_run
from exporter.sync.clock import SystemClock
from exporter.sync.dry_run import PlannedStack, planned_units
from exporter.sync.fingerprint import unit_fingerprint
from exporter.sync.mlflow_export import mlflow_sink_name
from exporter.sync.policy import Mappings, stack_policy

if TYPE_CHECKING:
    from pathlib import Path

    from exporter.mapping.mlflow import UnitPlan

_AWAY = "http://127.0.0.1:9"
_HOUR_MS = 3_600_000


class Place:
    """A configuration over a history in memory, and the ledger of an MLflow that is never asked."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, tracking_uri: str | None
    ) -> None:
        self.history = sample_history()
        site = Site(folder, "acme", tracking_uri)
        site.add_stack(folder / "store.db")
        self.settings = Settings.model_validate(site.values())
        self.state_url = site.state_url
        self.sink = mlflow_sink_name(_AWAY)
        self.mappings = Mappings.load(self.settings)
        self.found = PlannedStack("local")
        monkeypatch.setattr(dry_run, "open_stack", lambda *_: (self.history, sample_artifacts()))

    def plans(self) -> list[UnitPlan]:
        """Plan anew."""
        (stack,) = self.settings.stacks
        self.found = PlannedStack("local")
        return [u.plan for u in planned_units(self.settings, self.mappings, stack, self.found)]

    def names(self) -> list[str]:
        """Plan anew, and name the runs."""
        return [plan.parent.name for plan in self.plans()]

    def counts(self) -> tuple[int, int]:
        """Give how many runs were unchanged, and held back."""
        return self.found.unchanged, self.found.held_back

    def record(self) -> dict[str, str]:
        """Record the three runs as units, and give their keys by name."""
        (stack,) = self.settings.stacks
        policy = stack_policy(self.mappings, stack)
        runs = [run for run in self.history._runs.values() if isinstance(run, RunSnapshot)]
        with Ledger.open(self.state_url) as ledger:
            lease = ledger.leases.acquire("test", 60)
            ledger.units.register_sinks(lease, "local", [self.sink])
            seen = [
                SeenUnit(
                    key=run_key(run),
                    source_id=run.source_id,
                    pipeline=run.pipeline.name,
                    run=run.name,
                    status=run.status,
                    unfinished=False,
                    settled=True,
                    fingerprint=unit_fingerprint(run, policy),
                    steps=len(run.steps),
                    artifact_ids=[],
                )
                for run in runs
            ]
            ledger.units.record(lease, "local", seen, 1)
            ledger.leases.release(lease)
        return {unit.run: unit.key for unit in seen}

    def finish(self, key: str) -> None:
        """Let MLflow hold a unit as it is."""
        with Ledger.open(self.state_url) as ledger:
            lease = ledger.leases.acquire("test", 60)
            fingerprint = ledger.units.of([key])[key].fingerprint
            ledger.bindings.finish(lease, self.sink, [AppliedUnit(key, fingerprint)], 1)
            ledger.leases.release(lease)

    def fail(self, key: str, *, dead: bool = False, next_at: int | None = None) -> None:
        """Let MLflow refuse a unit."""
        with Ledger.open(self.state_url) as ledger:
            lease = ledger.leases.acquire("test", 60)
            ledger.units.fail(
                lease, self.sink, key, error="no", kind="k", dead=dead, next_at=next_at, now=1
            )
            ledger.leases.release(lease)

    def drop(self) -> None:
        """Give all dead letters up."""
        with Ledger.open(self.state_url) as ledger:
            lease = ledger.leases.acquire("test", 60)
            ledger.dead.drop(lease)
            ledger.leases.release(lease)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Give a configuration with MLflow."""
    return Place(tmp_path, monkeypatch, _AWAY)


def test_what_mlflow_holds_or_is_not_given_now_is_not_planned(place: Place) -> None:
    assert place.names() == ["run_1", "run_2", "run_3"]
    keys = place.record()
    assert place.names() == ["run_1", "run_2", "run_3"]
    place.finish(keys["run_1"])
    place.fail(keys["run_2"], dead=True)
    place.fail(keys["run_3"], next_at=SystemClock().now_ms() + _HOUR_MS)
    assert (place.names(), place.counts()) == ([], (1, 2))
    place.drop()
    assert (place.names(), place.counts()) == ([], (1, 2))
    place.fail(keys["run_3"], next_at=SystemClock().now_ms() - 1)
    assert (place.names(), place.counts()) == (["run_3"], (1, 1))


def test_a_run_that_changed_is_planned_whatever_became_of_it_before(place: Place) -> None:
    keys = place.record()
    place.finish(keys["run_1"])
    place.finish(keys["run_3"])
    place.fail(keys["run_2"], dead=True)
    place.history.put(replace(train_run(2, cached=True), status="failed"))
    assert (place.names(), place.counts()) == (["run_2"], (2, 0))


def test_without_mlflow_nothing_is_planned_and_unreadable_runs_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, monkeypatch, None)
    place.history = sample_history(unreadable=True)
    assert place.plans() == []
    assert [run for _, run, _ in place.found.unreadable] == ["odd"]


def test_an_artifact_that_an_earlier_page_copies_is_not_copied_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.history = FakeHistory([TRAIN, EMPTY], [train_run(1), train_run(2, cached=True)])
    pages = iter([["run-1"], ["run-2"]])
    changes = place.history.changes(None)
    monkeypatch.setattr(place.history, "changes", lambda _: replace(changes, source_ids=pages))
    first, second = place.plans()
    copied = {upload.artifact_id for upload in first.uploads}
    assert copied
    assert copied.isdisjoint(upload.artifact_id for upload in second.uploads if not upload.held)


def test_a_ledger_that_cannot_be_read_leaves_no_source_open(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def old(_: str, _repository: str) -> None:
        raise SchemaTooOld("An older release wrote it.")

    monkeypatch.setattr(Ledger, "open_existing", old)
    with pytest.raises(SchemaTooOld):
        place.plans()
    assert place.history.closed == 1
