"""How often a cycle reads a run, and what it keeps in mind meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.generator import RUNNING, GeneratedStore
from support.sync_site import Site

from exporter.sources.mlmd import MlmdHistory
from exporter.sync.cycle import StackCycle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from exporter.hierarchy import RunSnapshot, UnreadableRun


@pytest.fixture
def lineage(tmp_path: Path) -> Site:
    """Give a site without MLflow over a store: a run with files, one goes on, one was removed."""
    path, files = tmp_path / "store.db", tmp_path / "files"
    with GeneratedStore(path) as store:
        store.fill(4, pipelines=1)
        store.chain("going", "run_9", state=RUNNING, steps=2)
        store.flush()
        uris = [str(uri) for (uri,) in store.sql("SELECT uri FROM Artifact ORDER BY id")]
    for uri in uris[1:]:  # the first is missing
        folder = files / uri.removeprefix("/data/generated").lstrip("/")
        folder.mkdir(parents=True)
        (folder / "data.json").write_text(json.dumps(0.5))
    site = Site(tmp_path, "reading", None)
    site.add_stack(path, roots=[files], rewrite={"/data/generated": files})
    return site


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each run is asked for."""
    counts: Counter[str] = Counter()
    genuine = MlmdHistory.runs

    def counting(
        self: MlmdHistory, source_ids: Sequence[str]
    ) -> Sequence[RunSnapshot | UnreadableRun]:
        counts.update(source_ids)
        return genuine(self, source_ids)

    monkeypatch.setattr(MlmdHistory, "runs", counting)
    return counts


def test_a_full_run_reads_each_run_once_and_counts_each_artifact_once(
    lineage: Site, tmp_path: Path, asked: Counter[str]
) -> None:
    first = lineage.cycle().to_json()
    assert set(asked.values()) == {1}
    assert len(asked) == 5
    with GeneratedStore(tmp_path / "store.db") as store:
        (removed,) = store.sql("SELECT id FROM Context WHERE name = 'run_3'")
        store.sql("DELETE FROM Association WHERE context_id = ?", removed[0])
        store.sql("DELETE FROM Context WHERE id = ?", removed[0])
    asked.clear()
    full = lineage.cycle(full=True).to_json()
    assert set(asked.values()) == {1}
    assert len(asked) == 5
    assert full["source"]["runs"] == first["source"]["runs"] - 1
    assert full["artifacts"]["missing"] == 1


def test_what_a_new_sink_lacks_is_caught_up_with_in_flat_memory(
    lineage: Site, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lineage.cycle()
    second = lineage.folder / "second.jsonl"
    lineage.destinations = [
        {"name": "events", "url": f"file://{lineage.events}"},
        {"name": "second", "url": f"file://{second}"},
    ]
    kept: list[int] = []
    genuine = StackCycle._take_pending

    def counting(self: StackCycle) -> None:
        before = len(self._done)
        genuine(self)
        kept.append(len(self._done) - before)

    monkeypatch.setattr(StackCycle, "_take_pending", counting)
    asked.clear()
    lineage.cycle()
    assert kept == [0]
    assert set(asked.values()) == {1}
    assert len(second.read_bytes().splitlines()) == len(lineage.told())
