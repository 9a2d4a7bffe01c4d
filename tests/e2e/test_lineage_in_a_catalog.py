"""Real histories in a catalog that goes by the order of events: every answer is right.

The catalog is one that behaves as Marquez was seen to. Where EXPORTER_TEST_MARQUEZ_URL names a real
one, the same is asked of it, under a repository of each test's own.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import uuid
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes.marquez import FakeMarquez, running_catalog
from support.catalog_answers import answers_of, graph_of, picture_of, upstream_of
from support.command import running_command
from support.lineage_outbox import opened_outbox
from support.lineage_story import day_of, events_of
from support.openlineage_server import Reply
from support.stores import RECORDED, ZENML_05
from support.sync_site import Site

from exporter.config.resources import mapping_file
from exporter.hierarchy import Artifact, Port
from exporter.mapping.openlineage import LineageNaming, announced, run_events
from exporter.sinks.openlineage import HttpDestination, deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.catalog_answers import Picture
    from support.stores import RecordedStore

Json = dict[str, Any]  # Any: JSON values
_REAL = os.environ.get("EXPORTER_TEST_MARQUEZ_URL", "")
_CATALOGS = ["stand-in", *(["real"] if _REAL else [])]


class Catalog:
    """A catalog's address, and the stand-in behind it where it is one."""

    def __init__(self, url: str, fake: FakeMarquez | None) -> None:
        self.url = url
        self.fake = fake


@pytest.fixture(params=_CATALOGS)
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    if request.param == "real":
        yield Catalog(_REAL, None)
        return
    with running_catalog() as fake:
        yield Catalog(fake.url, fake)


@pytest.fixture(params=RECORDED, ids=lambda store: store.name)
def store(request: pytest.FixtureRequest) -> RecordedStore:
    recorded: RecordedStore = request.param
    return recorded


def _site(folder: Path, catalog: Catalog, store: RecordedStore, repository: str = "") -> Site:
    """Give a site that tells the catalog, and a file that says what was told in the end."""
    folder.mkdir(exist_ok=True)
    site = Site(folder, repository or f"r{uuid.uuid4().hex[:8]}", None)
    site.add_stack(store.database, roots=[store.folder])
    site.destinations = [
        {"name": "events", "url": f"file://{site.events}"},
        {"name": "marquez", "url": catalog.url, "catalog": "marquez"},
    ]
    return site


def _right(site: Site) -> Picture:
    """Say what the catalog should answer: each pipeline run's last word, in the order of ends."""
    runs: dict[str, dict[tuple[str, str], Json]] = {}
    for line in site.events.read_bytes().splitlines():
        event = json.loads(line)
        parent = event["run"]["facets"].get("parent") or {"run": event["run"]}
        root = (parent.get("root") or parent)["run"]["runId"]
        kind = "START" if event["eventType"] == "START" else "end"
        runs.setdefault(root, {})[event["run"]["runId"], kind] = event

    def order(root: str) -> str:
        return str(runs[root][root, "end"]["eventTime"])

    return picture_of([list(runs[root].values()) for root in sorted(runs, key=order)])


def _assert_right(site: Site, catalog: Catalog) -> Picture:
    right = _right(site)
    assert answers_of(catalog.url, right) == right
    assert "RUNNING" not in {state for _, state, *_ in right.runs.values()}
    if catalog.fake is not None:
        assert catalog.fake.together == set()
    return right


def _counts(site: Site) -> Json:
    report = site.cycle().to_json()
    assert report["ok"], report["errors"]
    counts: Json = report["openlineage"]["destinations"]["marquez"]
    return counts


def test_after_a_backfill_every_answer_is_right(
    tmp_path: Path, catalog: Catalog, store: RecordedStore
) -> None:
    site = _site(tmp_path / "site", catalog, store)
    counts = _counts(site)
    assert (counts["pending"], counts["dead"]) == (0, 0)
    right = _assert_right(site, catalog)
    with closing(sqlite3.connect(f"file:{store.database}?mode=ro", uri=True)) as database:
        ran = Counter(
            {"COMPLETED": 0}
            | dict(
                database.execute(
                    "SELECT CASE last_known_state WHEN 3 THEN 'COMPLETED' ELSE 'FAILED' END, "
                    "COUNT(*) FROM Execution WHERE last_known_state IN (3, 4) GROUP BY 1"
                )
            )
        )
    steps = Counter(state for run, (_, state, *_) in right.runs.items() if run in right.parents)
    assert steps == ran
    assert _counts(site) | {"delivered": 0} == {
        "queued": 0,
        "delivered": 0,
        "pending": 0,
        "dead": 0,
    }


def test_the_model_is_reachable_from_the_raw_data(
    tmp_path: Path, catalog: Catalog, store: RecordedStore
) -> None:
    profiles = tmp_path / "mappings" / "catalogs"
    profiles.mkdir(parents=True)
    shipped = mapping_file("catalogs/marquez.yaml").read_text(encoding="utf-8")
    announcing = shipped.replace("source_jobs: false", "source_jobs: true")
    (profiles / "marquez.yaml").write_text(announcing, encoding="utf-8")
    site = _site(tmp_path / "site", catalog, store)
    site.more = {"mappings": str(tmp_path / "mappings")}
    counts = _counts(site)
    assert (counts["pending"], counts["dead"]) == (0, 0)
    right = _right(site)
    models = [name for name in right.versions if name[1].endswith(("model", "trainer.output"))]
    assert models
    for model in models:
        maker = right.current[model]
        assert maker is not None
        upstream = upstream_of(catalog.url, maker)
        raw = {run for run in upstream if not right.links.get(run)}
        assert raw
        assert raw != {maker}
        for run in raw & set(right.runs):
            assert f"dataset:{model[0]}:{model[1]}" in graph_of(
                catalog.url, "job", right.runs[run][0]
            )


def test_what_came_from_elsewhere_is_announced_once(tmp_path: Path) -> None:
    naming = LineageNaming()
    read = [day_of("train", day) for day in (1, 2)]
    outside = Artifact(id="raw", type="DataArtifact", uri="s3://lake/raw.csv")
    runs = [
        replace(
            run,
            steps=(replace(run.steps[0], inputs=(Port("raw", "raw"),)), *run.steps[1:]),
            artifacts=(*run.artifacts, outside),
        )
        for run in read
    ]
    told = [announced(run_events(run, naming)) for run in runs]
    assert [event.event_type for event in told[0]] == ["START", "COMPLETE"]
    assert [e.run_id for e in told[0]] == [e.run_id for e in told[1]]
    assert [e.content_hash for e in told[0]] == [e.content_hash for e in told[1]]
    (output,) = json.loads(told[0][1].body)["outputs"]
    assert (output["namespace"], output["name"]) == ("s3://lake", "raw.csv")
    with opened_outbox(tmp_path) as outbox, running_catalog() as fake:
        outbox.queue(runs[::-1], whole=True, more=announced)
        destination = HttpDestination("events", fake.url)
        deliver(
            outbox.ledger,
            outbox,
            destination,
            clock=outbox.clock,
            stop=outbox.stop,
            order="runs",
        )
        destination.close()
        kinds = [e["eventType"] for e in fake.state.events if "source:" in e["job"]["name"]]
        assert kinds == ["START", "COMPLETE"]
        assert fake.state.events[0]["job"]["name"] == "source:s3://lake/raw.csv"
        assert outbox.counts().pending == 0
        first = next(e for e in events_of(runs[0]) if e["job"]["name"] == "train.importer")
        assert len(upstream_of(fake.url, first["run"]["runId"])) == 2


def test_everything_sent_twice_changes_no_answer(
    tmp_path: Path, catalog: Catalog, store: RecordedStore
) -> None:
    first = _site(tmp_path / "first", catalog, store)
    _counts(first)
    again = _site(tmp_path / "again", catalog, store, first.repository)
    assert _counts(again)["delivered"] > 0
    _assert_right(again, catalog)


@pytest.mark.parametrize("asked", [1, 19, 34])
def test_a_worker_that_is_killed_is_followed_by_one_that_makes_it_good(
    tmp_path: Path, asked: int
) -> None:
    with running_catalog() as fake:
        site = _site(tmp_path / "site", Catalog(fake.url, fake), ZENML_05)
        site.stacks[0]["artifacts"]["mode"] = "reference"
        killed: list[int] = []

        def before(_event: Json) -> None:
            if fake.posts == asked and not killed:
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)

        fake.before = before
        with running_command("run", "-c", site.config_file(), cwd=tmp_path) as process:
            process.wait(timeout=120)
        assert (process.returncode, len(killed)) == (-signal.SIGKILL, 1)
        with closing(sqlite3.connect(site.folder / "state.db")) as state:
            state.execute("UPDATE leases SET expires_ms = 0")  # instead of waiting half a minute
            state.commit()
        counts = _counts(site)
        assert (counts["pending"], counts["dead"]) == (0, 0)
        _assert_right(site, Catalog(fake.url, fake))


def test_a_catalog_that_drops_connections_is_exit_4_and_loses_nothing(tmp_path: Path) -> None:
    with running_catalog() as fake:
        site = _site(tmp_path / "site", Catalog(fake.url, fake), ZENML_05)
        fake.before = lambda _event: Reply(503, drop=True) if fake.posts > 20 else None
        report = site.cycle()
        assert report.exit_code == 4
        assert "is in trouble" in report.total.errors[0]["error"]
        fake.before = lambda _event: None
        site.clock.wait(7200)
        counts = _counts(site)
        assert (counts["pending"], counts["dead"]) == (0, 0)
        _assert_right(site, Catalog(fake.url, fake))


def _drop_newest_runs(database: Path, keep: int) -> Callable[[], None]:
    """Take the newest runs out of a copied store; give the function that brings them back."""
    whole = database.read_bytes()
    with closing(sqlite3.connect(database)) as connection:
        runs = [
            row[0]
            for row in connection.execute(
                "SELECT c.id FROM Context c JOIN Type t ON t.id = c.type_id "
                "WHERE t.name = 'pipeline_run' ORDER BY c.id"
            )
        ]
        gone = runs[keep:]
        marks = ",".join("?" * len(gone))
        steps = f"SELECT execution_id FROM Association WHERE context_id IN ({marks})"
        connection.execute(f"DELETE FROM Event WHERE execution_id IN ({steps})", gone)
        connection.execute(f"DELETE FROM Execution WHERE id IN ({steps})", gone)
        connection.execute(f"DELETE FROM Association WHERE context_id IN ({marks})", gone)
        connection.execute(f"DELETE FROM Context WHERE id IN ({marks})", gone)
        connection.commit()

    def bring_back() -> None:
        database.write_bytes(whole)

    return bring_back


def test_runs_that_come_later_are_added_rightly(tmp_path: Path, catalog: Catalog) -> None:
    store = ZENML_05.copy_folder(tmp_path)
    bring_back = _drop_newest_runs(store.database, keep=3)
    site = _site(tmp_path / "site", catalog, store)
    _counts(site)
    some = len(_assert_right(site, catalog).runs)
    bring_back()
    assert _counts(site)["delivered"] > 0
    assert len(_assert_right(site, catalog).runs) > some


def test_a_repaired_dead_letter_leaves_every_answer_right(tmp_path: Path) -> None:
    with running_catalog() as fake:
        catalog = Catalog(fake.url, fake)
        site = _site(tmp_path / "site", catalog, ZENML_05)
        refused: list[str] = []

        def before(event: Json) -> Reply | None:
            name = event["job"]["name"]
            if name.endswith("trainer") and (not refused or event["run"]["runId"] in refused):
                refused.append(event["run"]["runId"])
                return Reply(422, b'{"errors":["job.facets.x must not be null"]}')
            return None

        fake.before = before
        report = site.cycle().to_json()
        assert report["openlineage"]["destinations"]["marquez"]["dead"] == 1
        assert not report["ok"]
        with site.ledger() as ledger:
            (letter,) = ledger.dead.letters()
            assert "must not be null" in letter.error
            lease = ledger.leases.acquire("a person", 60)
            fake.before = lambda _event: None
            ledger.dead.retry(lease)
            ledger.leases.release(lease)
        counts = _counts(site)
        assert (counts["pending"], counts["dead"]) == (0, 0)
        _assert_right(site, catalog)


def test_one_destination_down_for_hours_touches_no_other(tmp_path: Path) -> None:
    with running_catalog() as fake:
        site = _site(tmp_path / "site", Catalog(fake.url, fake), ZENML_05)
        site.destinations.append({"name": "down", "url": "http://127.0.0.1:9", "timeout": "2s"})
        report = site.cycle()
        shown = report.to_json()["openlineage"]["destinations"]
        assert report.exit_code == 4
        assert (shown["marquez"]["pending"], shown["events"]["pending"]) == (0, 0)
        assert shown["down"]["pending"] == 46
        _assert_right(site, Catalog(fake.url, fake))
