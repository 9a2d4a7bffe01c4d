"""Whether the sinks can be reached and let us in, and where files would go. Nothing is sent."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli.checks.check import Check
from exporter.errors import ConfigError, ExporterError, SinkError, SinkUnavailable
from exporter.sinks.openlineage import open_destination
from exporter.sync.engine import open_mlflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.config import OpenLineageSettings, Settings

_DRIVERS = {
    "s3": "boto3",
    "gs": "google.cloud.storage",
    "wasb": "azure.storage.blob",
    "wasbs": "azure.storage.blob",
    "abfs": "azure.storage.filedatalake",
    "abfss": "azure.storage.filedatalake",
}
_REFUSED = {401, 403}


def check_sinks(settings: Settings) -> Iterator[Check]:
    """Check MLflow and every OpenLineage destination."""
    sinks = settings.sinks
    if sinks.mlflow is not None:
        yield from _mlflow(settings, sinks.mlflow.tracking_uri.get_secret_value())
    for destination in sinks.openlineage:
        yield _destination(destination)
    if sinks.mlflow is None and not sinks.openlineage:
        yield Check.warning(
            "sinks",
            "there are none: `run` only reads",
            "Add sinks.mlflow or sinks.openlineage.",
        )


def _mlflow(settings: Settings, uri: str) -> Iterator[Check]:
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        yield Check.warning(
            "mlflow", "its database is not there yet", "The first `run` creates it; is it right?"
        )
        return
    try:
        sink = open_mlflow(settings)
    except ExporterError as error:
        yield Check.problem("mlflow", error)
        return
    try:
        version = sink.check()
        yield Check.ok("mlflow", f"version {version} at {uri.rpartition('@')[2]}")
        yield _artifact_root(sink.artifact_root(), is_server=uri.startswith("http"))
    except SinkError as error:
        unavailable = SinkUnavailable(error.message, hint=error.hint)
        yield Check.problem("mlflow", unavailable)
    finally:
        sink.close()


def _artifact_root(root: str | None, *, is_server: bool) -> Check:
    part = "mlflow artifacts"
    if root is None:
        return Check.ok(part, "there is no default experiment to tell where files go")
    scheme = root.partition(":")[0] if ":" in root else ""
    if scheme in {"mlflow-artifacts", "http", "https"}:
        return Check.ok(part, "files go through the server")
    if scheme in {"", "file"}:
        folder = Path(root.removeprefix("file://"))
        if not is_server or folder.is_dir():
            return Check.ok(part, f"files go into the folder {folder}")
        return Check.warning(
            part,
            f"files go into the folder {folder}, which this machine lacks",
            "Start the server with --serve-artifacts and --artifacts-destination, "
            "or mount that folder here.",
        )
    driver = _DRIVERS.get(scheme)
    if driver is not None and not _is_installed(driver):
        return Check.warning(
            part,
            f"files go straight to {scheme}://, and its driver {driver} is not installed",
            "Install it beside the exporter, or let the server proxy artifacts.",
        )
    return Check.ok(part, f"files go straight to {scheme}://, with this machine's credentials")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _destination(settings: OpenLineageSettings) -> Check:
    part = f"openlineage {settings.name}"
    url = settings.url.get_secret_value()
    try:
        open_destination(settings).close()
        if url.startswith("file://"):
            return _file(part, Path(url.removeprefix("file://")))
        return _catalog(part, settings, url)
    except (ConfigError, SinkUnavailable) as error:
        return Check.problem(part, error)


def _file(part: str, path: Path) -> Check:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder.", hint="Name a file in it.")
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not os.access(nearest, os.W_OK) or (nearest != path and not nearest.is_dir()):
        raise SinkUnavailable(
            f"The file {path} cannot be written.",
            hint=f"Check the permissions of {nearest} for the user that runs the exporter.",
        )
    size = (
        f"{path.stat().st_size:,} bytes so far" if path.exists() else "the first event creates it"
    )
    return Check.ok(part, f"file {path}, {size}")


def _catalog(part: str, settings: OpenLineageSettings, url: str) -> Check:
    """Ask the endpoint with a GET: whatever it answers, it is there; no event is sent."""
    base, endpoint = url.rstrip("/"), settings.endpoint.strip("/")
    target = base if not endpoint or base.endswith(endpoint) else f"{base}/{endpoint}"
    headers = {"Accept": "application/json"}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    request = urllib.request.Request(target, headers=headers)  # noqa: S310 - http(s), checked
    try:
        with urllib.request.urlopen(request, timeout=settings.timeout.total_seconds()) as answer:  # noqa: S310 - as above
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SinkUnavailable(
            f"{target} cannot be reached: {reason}.", hint="Is it running, and is url right?"
        ) from error
    if status in _REFUSED:
        raise SinkUnavailable(
            f"{target} refuses our credentials (HTTP {status}).", hint="Check its `token`."
        )
    if status >= 500:
        return Check.warning(
            part, f"{target} answers HTTP {status}", "Look at its log; events wait in the outbox."
        )
    if status == 404:
        return Check.warning(
            part,
            f"something answers at {base}, but {target} is not known to a GET (HTTP 404)",
            "Check `endpoint` if events are refused.",
        )
    return Check.ok(part, f"{target} answers")
