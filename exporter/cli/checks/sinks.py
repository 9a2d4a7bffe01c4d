"""Whether the sinks can be reached and let us in, and where files would go. Nothing is sent."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli.checks.catalogs import check_destination
from exporter.cli.checks.check import Check
from exporter.cli.checks.limits import done_in_time
from exporter.errors import ConfigError, ExporterError, SinkError, SinkUnavailable
from exporter.sync.engine import open_mlflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.config import Settings

_SERVER_S = 10.0
_DATABASE_S = 30.0  # MLflow tries twice, and looks through its tables
_DRIVERS = {
    "s3": "boto3",
    "gs": "google.cloud.storage",
    "wasb": "azure.storage.blob",
    "wasbs": "azure.storage.blob",
    "abfs": "azure.storage.filedatalake",
    "abfss": "azure.storage.filedatalake",
}


def check_sinks(settings: Settings) -> Iterator[Check]:
    """Check MLflow and every OpenLineage destination."""
    sinks = settings.sinks
    if sinks.mlflow is not None:
        yield from _mlflow(settings, sinks.mlflow.tracking_uri.get_secret_value())
    for destination in sinks.openlineage:
        yield from check_destination(settings, destination)
    if sinks.mlflow is None and not sinks.openlineage:
        error = ConfigError(
            "The configuration names no sink, so there is nothing to write to.",
            hint="Add sinks.mlflow.tracking_uri, or a destination under sinks.openlineage.",
        )
        yield Check.problem("sinks", error)


def _mlflow(settings: Settings, uri: str) -> Iterator[Check]:
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        yield Check.warning(
            "mlflow", "its database is not there yet", "The first `run` creates it; is it right?"
        )
        return
    try:
        sink = open_mlflow(settings, creates=False)
    except ExporterError as error:
        yield Check.problem("mlflow", error)
        return
    found: list[Check] = []

    def ask() -> None:
        try:
            found.append(Check.ok("mlflow", f"version {sink.check()} at {shown}"))
            found.append(_artifact_root(sink.artifact_root(), is_server=uri.startswith("http")))
        finally:
            sink.close()

    shown = uri.rpartition("@")[2]
    limit_s = _SERVER_S if uri.startswith("http") else _DATABASE_S
    try:
        if not done_in_time(ask, limit_s):
            sink.break_off()
            raise SinkUnavailable(
                f"MLflow at {shown} gave no answer in {limit_s:.0f} s.",
                hint="Does it hang, and is sinks.mlflow.tracking_uri right?",
            )
    except SinkError as error:
        if error.context.get("missing"):
            found.append(
                Check.warning(
                    "mlflow",
                    "its database holds no MLflow yet",
                    "The first `run` creates it; is it right?",
                )
            )
        else:
            found.append(Check.problem("mlflow", SinkUnavailable(error.message, hint=error.hint)))
    yield from found


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
