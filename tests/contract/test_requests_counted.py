"""`requests` in a summary is what the tracking server was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.generator import GeneratedStore
from support.killing import killing_proxy
from support.stores import RECORDED
from support.sync_site import Site

if TYPE_CHECKING:
    from pathlib import Path

    from support.mlflow_server import MlflowServer
    from support.stores import RecordedStore


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda store: store.name)
def test_every_request_of_a_first_cycle_counts(
    recorded: RecordedStore, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    with killing_proxy(mlflow_server.url) as (proxy, url):
        site = Site(tmp_path, f"counted {recorded.name}", url)
        site.add_stack(recorded.database)
        report = site.cycle()
        assert report.total.mlflow is not None
        assert report.total.mlflow.requests == proxy.count > 0


def test_every_request_counts_where_runs_come_and_are_repaired(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    with killing_proxy(mlflow_server.url) as (proxy, url):
        site = Site(tmp_path, "counted", url)
        site.add_stack(path)
        with GeneratedStore(path) as store:
            for name in ("train", "score"):
                store.chain(name, "run_1", steps=2)
        for number, repair in enumerate((False, True, False)):
            proxy.disarm()
            report = site.cycle(full=True, repair=repair)
            assert report.total.mlflow is not None
            assert report.total.mlflow.requests == proxy.count
            with GeneratedStore(path) as store:
                store.now += 86_400_000
                store.chain("train", f"another_{number}", steps=1)
