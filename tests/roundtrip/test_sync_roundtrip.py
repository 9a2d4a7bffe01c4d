"""What a cycle leaves in MLflow says exactly what the source said, however odd."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_history import FakeArtifacts, FakeHistory
from support.mlflow_samples import five_steps
from support.strategies import NASTY, histories
from support.sync_site import Site

from exporter.hierarchy import Parameter, PipelineRecord, canonical_bytes, run_key, run_to_value

if TYPE_CHECKING:
    from pathlib import Path

    from support.mlflow_server import MlflowServer

    from exporter.hierarchy import RunSnapshot

_numbers = itertools.count(1)


def _whole(run: RunSnapshot, files: FakeArtifacts) -> RunSnapshot:
    """Give a run with the contents that the reader says."""
    return replace(
        run, artifacts=tuple(replace(a, content=files.content(a)) for a in run.artifacts)
    )


def _serve(
    patch: pytest.MonkeyPatch, site: Site, history: FakeHistory, files: FakeArtifacts
) -> None:
    """Let the engine open these instead of the store that the settings name."""
    if not site.stacks:
        site.add_stack(site.folder / "not-there.db")
    patch.setattr("exporter.sync.engine.open_stack", lambda *_: (history, files))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_history_is_read_back_from_mlflow_as_it_was(
    data: st.DataObject, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    number = next(_numbers)
    folder = tmp_path / str(number)
    folder.mkdir()
    site = Site(folder, f"back-{tmp_path.parent.name}-{number}", mlflow_server.url)
    pipelines, runs = data.draw(histories(repository=site.repository, max_runs=3))
    files = FakeArtifacts()
    with pytest.MonkeyPatch.context() as patch:
        _serve(patch, site, FakeHistory(pipelines, runs, repository=site.repository), files)
        first = site.cycle().to_json()
        assert first["errors"] == []
        assert sum(first["units"].values()) == first["source"]["runs"] == len(runs)
        records = site.records()
        assert {key: canonical_bytes(run_to_value(run)) for key, run in records.items()} == {
            run_key(run): canonical_bytes(run_to_value(_whole(run, files))) for run in runs
        }
        again = site.cycle().to_json()
        assert again["mlflow"]["requests"] == 0
        assert sum(again["units"].values()) == len(runs)


@pytest.mark.parametrize("server", ["mlflow_server", "mlflow_server_on_postgres"])
def test_hostile_names_and_enormous_values_arrive_whole(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue(server).url
    site = Site(tmp_path, f"hostile-{tmp_path.parent.name}-{server}", url)
    odd = (
        *(Parameter(name, name) for name in NASTY),
        *(Parameter(f"p{n}", n) for n in range(150)),
        Parameter("long", "x" * 100_000),
        Parameter("nan", math.nan),
        Parameter("inf", math.inf),
        Parameter("huge", 10**60),
    )
    runs = []
    for seq, name in enumerate(NASTY, 1):
        run = five_steps(name, name, seq=seq, steps=1)
        step = replace(run.steps[0], name=name, entrypoint=name, parameters=odd if seq == 1 else ())
        pipeline = PipelineRecord(name, seq, str(seq))
        runs.append(replace(run, repository=site.repository, pipeline=pipeline, steps=(step,)))
    history = FakeHistory([run.pipeline for run in runs], runs, repository=site.repository)
    with pytest.MonkeyPatch.context() as patch:
        _serve(patch, site, history, FakeArtifacts())
        report = site.cycle().to_json()
        assert report["errors"] == []
        assert report["units"]["written"] == len(runs)
        assert sum(report["kept_beside"].values()) > 0
        assert {key: canonical_bytes(run_to_value(run)) for key, run in site.records().items()} == {
            run_key(run): canonical_bytes(run_to_value(run)) for run in runs
        }
        assert site.cycle().to_json()["mlflow"]["requests"] == 0
