"""Reading back from what is no MLflow, refuses us, or goes away says so and changes nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from support.fake_history import FakeArtifacts
from support.mlflow_faults import Reply, error_reply, scripted_server, try_again_at_once
from support.mlflow_samples import five_steps
from support.mlflow_server import free_port
from support.readback_site import Exported
from support.stores import ZENML_05

import exporter
from exporter.errors import (
    ConfigError,
    ExporterError,
    NotFound,
    SinkTransient,
    SourceUnavailable,
    StoreUnreadable,
)
from exporter.hierarchy import Artifact, Port
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from pathlib import Path

    from support.mlflow_server import MlflowServer
    from support.sync_site import Site

HTML = Reply(200, b"<!doctype html><title>Sign in</title>", (("Content-Type", "text/html"),))


@pytest.mark.parametrize(
    ("reply", "error", "hint"),
    [
        (error_reply(401), SourceUnavailable, "MLFLOW_TRACKING_USERNAME"),
        (error_reply(403), SourceUnavailable, "MLFLOW_TRACKING_TOKEN"),
        (HTML, SourceUnavailable, "tracking URI"),
        (Reply(404, b"Not Found"), SourceUnavailable, "tracking URI"),
        (error_reply(429, Retry_After="600"), SourceUnavailable, "again later"),
        (error_reply(400, "INVALID_PARAMETER_VALUE"), StoreUnreadable, ""),
    ],
)
def test_an_answer_that_is_no_history_is_told_with_what_to_do(
    reply: Reply, error: type[ExporterError], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-3n")
    with scripted_server(reply) as server:
        with pytest.raises(error) as caught:
            exporter.open_repository(f"mlflow+{server.url}")
        assert server.authorizations == ["Bearer tok-3n"]
    assert hint in caught.value.hint
    assert "sinks.mlflow" not in str(caught.value)
    assert "tok-3n" not in str(caught.value)


def test_credentials_in_the_address_are_used_and_never_shown() -> None:
    with scripted_server(error_reply(401)) as server:
        address = server.url.replace("http://", "http://ann:s3cret-word@")
        with pytest.raises(SourceUnavailable) as caught:
            exporter.open_repository(tracking_uri=address)
        assert server.authorizations == ["Basic YW5uOnMzY3JldC13b3Jk"]
    assert "s3cret-word" not in str(caught.value)
    with scripted_server(Reply(body=b'{"experiments": []}')) as server:
        address = server.url.replace("http://", "http://ann:s3cret-word@")
        with pytest.raises(NotFound, match="no exported history") as missing:
            exporter.open_repository(tracking_uri=address)
    assert "s3cret-word" not in str(missing.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://",
        "http://mlflow:port",
        "ftp://mlflow",
        "mlruns",
        "file:///srv/mlruns",
        "",
        "databricks",
        "sqlite:x.db",
    ],
)
def test_a_tracking_uri_that_is_none_is_told(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="tracking URI"):
        exporter.open_repository(f"mlflow+{uri}")
    with pytest.raises(ConfigError):
        exporter.open_repository("mlmd+sqlite:///x.db", tracking_uri=uri)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    try_again_at_once(monkeypatch)
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        exporter.open_repository(tracking_uri=f"http://127.0.0.1:{free_port()}")


def test_a_database_that_is_not_mlflow_s_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    store = tmp_path / "metadata.db"
    shutil.copyfile(ZENML_05.database, store)
    before = sha256(store.read_bytes()).digest()
    with pytest.raises(StoreUnreadable, match=r"no tracking database.*mlmd\+"):
        exporter.open_repository(f"mlflow+sqlite:///{store}")
    with pytest.raises(SourceUnavailable, match="no tracking database"):
        exporter.open_repository(tracking_uri=f"sqlite:///{tmp_path / 'nothing.db'}")
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(ExporterError, match=r"text\.db"):
        exporter.open_repository(tracking_uri=f"sqlite:///{tmp_path / 'text.db'}")
    with pytest.raises(SourceUnavailable) as caught:
        exporter.open_repository("mlflow+postgresql+psycopg://u:s3cret@127.0.0.1:9/none")
    assert "s3cret" not in str(caught.value)
    assert sha256(store.read_bytes()).digest() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metadata.db", "text.db"]


def test_files_come_by_pieces_from_a_server_and_a_break_is_told(
    mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = RestApi(mlflow_server.url, timeout_s=60)
    exported = Exported(mlflow_server.url, api)
    run = five_steps(steps=1)
    step = replace(run.steps[0], outputs=(Port("file", "1"),))
    run = replace(
        run,
        repository=exported.repository,
        steps=(step,),
        artifacts=(Artifact("1", "T", "/data/file.bin"),),
    )
    data = bytes(range(256)) * 20_000
    exported.apply(run, FakeArtifacts({"/data/file.bin": data}))
    root = next(
        found.artifact_uri
        for binding in exported.bindings.values()
        for found in api.search(binding.experiment_id, "")
        if found.key != found.tags["exporter.unit"]
    )
    blocks = list(api.read_file(root, "outputs/file/file.bin"))
    assert b"".join(blocks) == data
    assert max(map(len, blocks)) <= 256 * 1024
    with exported.open() as repository:
        output = repository.get_pipeline("train").get_runs()[0].steps[0].output
        with output.open() as stream:
            assert stream.read() == data

        def breaks(_api: RestApi, _uri: str, _path: str) -> object:
            yield data[:1_000]
            raise SinkTransient("MLflow broke off while it sent an artifact: reset.")

        monkeypatch.setattr(RestApi, "read_file", breaks)
        with pytest.raises(SourceUnavailable, match="broke off"):
            output.open()
    api.close()


def test_an_answer_that_breaks_off_is_no_whole_file() -> None:
    cut = Reply(200, b"x" * 1_000, (("Content-Type", "application/octet-stream"),), drop=True)
    with scripted_server(cut) as server:
        api = RestApi(server.url, timeout_s=5, sleep=lambda _: None)
        with pytest.raises(SinkTransient, match="broke off"):
            b"".join(api.read_file("mlflow-artifacts:/1/r/artifacts", "a"))
        api.close()


def test_a_server_s_files_are_not_in_its_database(
    mlflow_server: MlflowServer,
) -> None:
    api = RestApi(mlflow_server.url, timeout_s=60)
    exported = Exported(mlflow_server.url, api)
    run = five_steps(steps=1)
    step = replace(run.steps[0], outputs=(Port("file", "1"),))
    artifact = Artifact("1", "T", "/data/file.bin")
    run = replace(run, repository=exported.repository, steps=(step,), artifacts=(artifact,))
    exported.apply(run, FakeArtifacts({"/data/file.bin": b"x"}))
    api.close()
    database = f"mlflow+sqlite:///{mlflow_server.folder / 'mlflow.db'}"
    with exporter.open_repository(database, repository=exported.repository) as repository:
        output = repository.get_pipeline("train").get_runs()[0].steps[0].output
        with pytest.raises(SourceUnavailable, match=r"open mlflow\+http"):
            output.open()


def test_a_configuration_may_name_an_mlflow_as_a_source(site: Site, tmp_path: Path) -> None:
    site.add_stack(ZENML_05.database, roots=[ZENML_05.folder], mode="reference")
    assert site.cycle().to_json()["ok"]
    there = tmp_path / "there"
    there.mkdir()
    stacks = [{"key": "local", "source": f"mlflow+{site.tracking_uri}"}]
    values = {**site.values(), "stacks": stacks}
    file = there / "exporter.yaml"
    file.write_text(json.dumps(values))
    with (
        exporter.open_repository(file) as back,
        exporter.open_repository(site.config_file()) as source,
    ):
        assert exporter.snapshot(back) == exporter.snapshot(source)
    site.stacks = stacks
    report = site.cycle().to_json()
    assert "would be written to" in report["errors"][0]["error"]
    site.tracking_uri = None
    site.state = f"sqlite:///{there / 'state.db'}"
    site.destinations = [{"name": "events", "url": f"file://{there}/events.jsonl"}]
    report = site.cycle().to_json()
    assert report["ok"], report["errors"]
    assert report["units"]["written"] == ZENML_05.runs
    assert (there / "events.jsonl").stat().st_size > 0
