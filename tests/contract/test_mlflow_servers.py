"""Servers as they are run in earnest: with TLS, passwords, a path prefix, behind a proxy."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from support.certificates import self_signed
from support.forward_proxy import forward_proxy
from support.mlflow_dump import active_runs
from support.mlflow_faults import try_again_at_once
from support.mlflow_samples import Files, five_steps, plan, with_artifacts
from support.mlflow_server import running_mlflow

from exporter.errors import ConfigError, SinkTransient, SinkUnavailable
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.mlflow_server import MlflowServer

    from exporter.mapping.mlflow import UnitPlan
    from exporter.sinks.mlflow import Applied

PASSWORD = "a long p@ssword"
NAME = "mlflow.test"  # known to the certificate and to the proxy, to nobody else
needs_auth = pytest.mark.skipif(
    find_spec("flask_wtf") is None, reason="mlflow[auth] is not installed: it needs flask-wtf"
)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server with TLS, passwords and a path prefix, and the certificate that it shows."""

    server: MlflowServer
    certificate: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    made = self_signed(folder, NAME)
    auth = folder / "auth.ini"
    auth.write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    with running_mlflow(
        folder,
        scheme="https",
        prefix="/mlflow",
        options=(
            "--app-name",
            "basic-auth",
            "--static-prefix",
            "/mlflow",
            "--allowed-hosts",
            "*",
            "--uvicorn-opts",
            f"--ssl-keyfile {made.key} --ssl-certfile {made.certificate}",
        ),
        environment={
            "MLFLOW_AUTH_CONFIG_PATH": str(auth),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for this test",
        },
    ) as server:
        yield Guarded(server, made.certificate)


@pytest.fixture
def trusted(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    monkeypatch.setenv("SSL_CERT_FILE", str(guarded.certificate))
    return guarded


def write(sink: MlflowSink, unit: UnitPlan, files: Files) -> Applied:
    """Write a unit that is new, then make sure that nothing is left to write."""
    experiment = sink.experiment(unit.experiment)
    applied = sink.apply(unit, experiment, fresh=True, open_file=files.open)
    again = sink.apply(unit, experiment, bound=applied.runs, fresh=False, open_file=files.open)
    assert (again.requests, again.runs) == (1, applied.runs)
    return applied


@needs_auth
def test_a_unit_with_files_is_written_through_tls_password_and_prefix(trusted: Guarded) -> None:
    api = RestApi(trusted.server.url, username="admin", password=PASSWORD, timeout_s=60.0)
    sink, files = MlflowSink("http://unused", api=api), Files()
    assert sink.check()[0].isdigit()
    unit = plan(with_artifacts(five_steps("through everything", steps=2), files))
    applied = write(sink, unit, files)
    assert applied.files == 3
    runs = {run.run_id: run for run in active_runs(api, applied.experiment_id)}
    for upload in unit.uploads:
        root = runs[applied.runs[upload.step_key]].artifact_uri
        for file, path in zip(upload.files, upload.paths, strict=True):
            assert api.get_file(root, path) == files.bytes[upload.artifact_id, file.path]
    sink.close()


@needs_auth
@pytest.mark.parametrize("given", [None, ("admin", "wrong " + PASSWORD), ("nobody", PASSWORD)])
def test_missing_and_wrong_credentials_are_said_without_the_password(
    trusted: Guarded, given: tuple[str, str] | None
) -> None:
    username, password = given or (None, None)
    sink = MlflowSink(trusted.server.url, username=username, password=password)
    with pytest.raises(SinkUnavailable, match="HTTP 401") as caught:
        sink.check()
    sink.close()
    assert "MLFLOW_TRACKING_USERNAME" in (caught.value.hint or "")
    shown = f"{caught.value} {caught.value.context}"
    assert PASSWORD not in shown


@needs_auth
def test_credentials_come_from_the_environment_of_mlflows_own_client(
    trusted: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    sink = MlflowSink(trusted.server.url)
    assert sink.check() != "unknown"
    sink.close()


@needs_auth
def test_a_certificate_that_nobody_signed_is_refused_with_the_way_to_trust_it(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    sink = MlflowSink(guarded.server.url, username="admin", password=PASSWORD)
    with pytest.raises(SinkUnavailable, match="certificate is not trusted") as caught:
        sink.check()
    assert "SSL_CERT_FILE" in (caught.value.hint or "")
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(guarded.certificate))
    assert sink.check() != "unknown"
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "/nowhere/at/all.pem")
    sink.close()
    with pytest.raises(ConfigError) as unreadable:
        sink.check()
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in (unreadable.value.hint or "")
    monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    assert sink.check() != "unknown"
    sink.close()


@needs_auth
def test_a_certificate_for_another_name_is_refused(
    trusted: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forward_proxy(urlsplit(trusted.server.url).port or 0) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        sink = MlflowSink("https://other.test/mlflow", username="admin", password=PASSWORD)
        with pytest.raises(SinkUnavailable, match="certificate is not trusted"):
            sink.check()
        sink.close()


@needs_auth
def test_tls_goes_through_a_proxy_as_a_tunnel_that_sees_no_password(
    trusted: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forward_proxy(urlsplit(trusted.server.url).port or 0) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        sink = MlflowSink(f"https://{NAME}/mlflow", username="admin", password=PASSWORD)
        assert sink.check() != "unknown"
        sink.close()
    assert len(proxy.heads) == 1
    assert proxy.heads[0].startswith(f"CONNECT {NAME}:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic YW5uOnBAc3M=" in proxy.heads[0]
    assert "\r\nAuthorization" not in proxy.heads[0]


def test_plain_http_goes_through_a_proxy_by_its_whole_address(
    mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = urlsplit(mlflow_server.url).port or 0
    with forward_proxy(port) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        # A name that the server lets in, and that is not this machine's loopback.
        sink, files = MlflowSink(f"http://192.168.7.7:{port}"), Files()
        write(sink, plan(with_artifacts(five_steps("through a proxy"), files)), files)
        sink.close()
        heads = len(proxy.heads)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        direct = MlflowSink(mlflow_server.url)
        direct.check()
        direct.close()
    assert proxy.heads[0].startswith(f"POST http://192.168.7.7:{port}/api/2.0/mlflow/")
    assert len(proxy.heads) == heads


def test_a_server_that_no_proxy_names_and_one_on_loopback_are_spoken_to_directly(
    mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_again_at_once(monkeypatch)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    sink = MlflowSink(mlflow_server.url)
    assert sink.check() != "unknown"
    sink.close()
    far = MlflowSink("http://mlflow.invalid:5000")
    with pytest.raises(SinkUnavailable, match=r"through the proxy http://127\.0\.0\.1:9\)"):
        far.check()
    far.close()
    monkeypatch.setenv("no_proxy", ".invalid")
    with pytest.raises(SinkUnavailable) as caught:
        MlflowSink("http://mlflow.invalid:5000").check()
    assert "proxy" not in caught.value.message


def test_a_proxy_of_another_kind_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "socks5://ann:hidden@127.0.0.1:9")
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        MlflowSink("http://mlflow.invalid:5000").check()
    assert "hidden" not in f"{caught.value} {caught.value.hint}"


def with_root(server: MlflowServer, pipeline: str, root: str) -> tuple[RestApi, UnitPlan, Files]:
    """Give an experiment whose artifacts the server does not proxy, and a unit for it."""
    api, files = RestApi(server.url, timeout_s=60.0), Files()
    unit = plan(with_artifacts(five_steps(pipeline), files))
    api._post("experiments/create", {"name": unit.experiment.name, "artifact_location": root})
    return api, unit, files


def test_files_go_into_a_folder_where_the_server_proxies_none(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    api, unit, files = with_root(mlflow_server, "into a folder", str(tmp_path / "root"))
    sink = MlflowSink("http://unused", api=api)
    assert write(sink, unit, files).files == 3
    sink.close()
    stored = {path for path in (tmp_path / "root").rglob("*") if path.is_file()}
    pages = {path for path in stored if path.parent.name == "exporter"}
    assert {path.name for path in pages} == {"graph.svg", "summary.html"}
    found = sorted(path.read_bytes() for path in stored - pages)
    assert found == sorted(files.bytes.values())


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("/proc/no-such-folder/root", "did not take a file"),
        ("gs://nowhere/root", "gs://nowhere cannot be reached from here"),
    ],
)
def test_a_root_out_of_reach_fails_the_unit_and_leaves_it_unsealed(
    mlflow_server: MlflowServer, root: str, said: str
) -> None:
    api, unit, files = with_root(mlflow_server, f"out of reach {root}", root)
    sink = MlflowSink("http://unused", api=api)
    experiment = sink.experiment(unit.experiment)
    with pytest.raises(SinkTransient, match=said):
        sink.apply(unit, experiment, fresh=True, open_file=files.open)
    found = active_runs(api, experiment.experiment_id)
    assert not [run for run in found if "exporter.complete" in run.tags]
    sink.close()
