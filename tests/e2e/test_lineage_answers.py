"""What the worker tells a catalog is what the runs say: compared with the runs, not with events.

The catalog is one that behaves as Marquez was seen to. Where EXPORTER_TEST_MARQUEZ_URL names a real
one, the same is asked of it, under a repository of each test's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.catalog_checks import assert_answers
from support.stores import MAPPINGS, RECORDED, ZENML_05, RecordedStore
from support.sync_site import Site

from exporter.hierarchy import RunSnapshot
from exporter.sources.mlmd import load_profiles, open_mlmd

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.marquez import FakeMarquez

Json = dict[str, Any]  # Any: JSON values


@pytest.fixture(params=RECORDED, ids=lambda store: store.name)
def store(request: pytest.FixtureRequest) -> RecordedStore:
    recorded: RecordedStore = request.param
    return recorded


def site_of(folder: Path, url: str, store: RecordedStore, repository: str) -> Site:
    """Give a site that tells a catalog and reads no artifacts."""
    folder.mkdir(exist_ok=True)
    site = Site(folder, repository, None)
    site.add_stack(store.database, roots=[store.folder], mode="reference")
    site.destinations = [{"name": "marquez", "url": url, "catalog": "marquez"}]
    return site


def told_whole(site: Site) -> int:
    """Run a cycle after which nothing is left to tell; give how many events were told."""
    report = site.cycle().to_json()
    assert report["ok"], report["errors"]
    counts: Json = report["openlineage"]["destinations"]["marquez"]
    assert (counts["pending"], counts["dead"]) == (0, 0)
    return int(counts["delivered"])


def snapshots_of(site: Site, store: RecordedStore) -> list[RunSnapshot]:
    history = open_mlmd(
        store.url, repository=site.repository, stack="local", profiles=load_profiles(MAPPINGS)
    )
    try:
        ids = [head.source_id for p in history.pipelines() for head in history.heads(p)]
        return [run for run in history.runs(ids) if isinstance(run, RunSnapshot)]
    finally:
        history.close()


def test_a_backfill_and_a_second_one_are_answered_right(
    tmp_path: Path, catalog_url: str, repository: str, store: RecordedStore
) -> None:
    first = site_of(tmp_path / "first", catalog_url, store, repository)
    told = told_whole(first)
    found = assert_answers(catalog_url, snapshots_of(first, store))
    assert told == 2 * len(found.runs)
    assert told_whole(first) == 0
    again = site_of(tmp_path / "again", catalog_url, store, repository)
    assert told_whole(again) >= told
    assert_answers(catalog_url, snapshots_of(again, store))


@pytest.mark.parametrize("posts", [1, 6, 13, 21, 30, 38, 45])
def test_a_catalog_that_goes_away_at_any_point_is_told_the_rest_rightly(
    tmp_path: Path, marquez: FakeMarquez, repository: str, posts: int
) -> None:
    site = site_of(tmp_path / "site", marquez.url, ZENML_05, repository)
    marquez.dies_after = posts
    assert site.cycle().exit_code == 4
    assert len(marquez.state.events) == posts
    marquez.revive()
    site.clock.wait(7200)
    told_whole(site)
    assert marquez.together == set()
    assert_answers(marquez.url, snapshots_of(site, ZENML_05))
