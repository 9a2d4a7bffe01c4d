"""The peers of the export benchmark do the same work: what they leave in MLflow is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlflow.tracking import MlflowClient
from support.mlflow_dump import PAGES, active_runs, dump
from support.mlflow_samples import Files, five_steps, plan, with_artifacts

from benchmarks import client_loop
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from support.mlflow_server import MlflowServer


@pytest.mark.parametrize("how", ["export_batched", "export_one_by_one"])
def test_a_client_loop_leaves_what_the_sink_leaves(how: str, mlflow_server: MlflowServer) -> None:
    files = Files()
    run = with_artifacts(five_steps(f"peer {how}"), files)
    unit = plan(run, scalars={"1-score": {"auc": 0.93, "loss": 0.5}})
    api = RestApi(mlflow_server.url, timeout_s=60)
    sink = MlflowSink(mlflow_server.url, api=api)
    experiment = sink.experiment(unit.experiment)
    sink.apply(unit, experiment, fresh=True, open_file=files.open)
    client = MlflowClient(tracking_uri=mlflow_server.url)
    other = client.create_experiment(f"peer {how}, by the client")
    getattr(client_loop, how)(client, other, unit)
    assert dump(api, other) == dump(api, experiment.experiment_id)
    for identity in (other, experiment.experiment_id):
        (parent,) = (r for r in active_runs(api, identity) if r.key == unit.unit)
        assert all(api.get_file(parent.artifact_uri, path) for path in PAGES)
    sink.close()
