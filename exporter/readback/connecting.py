"""A tracking API to read from: a server, or a database that is one of MLflow's already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from exporter.config.masking import mask_url
from exporter.config.urls import anchored_sqlite, scheme_of
from exporter.errors import ConfigError, SourceUnavailable, StoreUnreadable
from exporter.sinks.mlflow.rest import RestApi

if TYPE_CHECKING:
    from exporter.sinks.mlflow.api import TrackingApi

_TIMEOUT_S = 60.0
_DATABASES = frozenset({"sqlite", "postgresql", "mysql", "mssql"})
_KNOWN = "Write mlflow+http://host:5000, mlflow+https://… or mlflow+<URL of a tracking database>."
_TABLES = frozenset({"experiments", "experiment_tags", "runs", "tags", "alembic_version"})


def connect(tracking_uri: str, *, timeout_s: float = _TIMEOUT_S) -> TrackingApi:
    """Give a way to ask MLflow; a server is not asked yet, a database must be MLflow's.

    Raises: ConfigError for a URI that is none; SourceUnavailable, StoreUnreadable for a database.
    """
    scheme = scheme_of(tracking_uri)
    if scheme in {"http", "https"}:
        _check_address(tracking_uri)
        return RestApi(tracking_uri, timeout_s=timeout_s)
    if scheme.partition("+")[0] in _DATABASES and "://" in tracking_uri:
        url = anchored_sqlite(tracking_uri, Path.cwd())
        _check_database(url)
        from exporter.sinks.mlflow.database import DatabaseApi

        # A root that is no folder: nothing is to be made beside a database that is only read.
        return DatabaseApi(url, artifact_root="mlflow-artifacts:/")
    raise ConfigError(
        f"{mask_url(tracking_uri)!r} is no tracking URI that can be read back from.", hint=_KNOWN
    )


def _check_address(tracking_uri: str) -> None:
    try:
        parts = urlsplit(tracking_uri)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named:
        raise ConfigError(
            f"The tracking URI {mask_url(tracking_uri)!r} names no host and port.", hint=_KNOWN
        )


def _check_database(url: str) -> None:
    """Refuse a database that is not MLflow's: its own store would make it one.

    Raises: SourceUnavailable, StoreUnreadable.
    """
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    shown = mask_url(url)
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"{shown!r} is no database URL.", hint=_KNOWN) from error
    if parsed.get_backend_name() == "sqlite":
        file = Path(parsed.database or "")
        if not file.is_file():
            raise SourceUnavailable(
                f"There is no tracking database {file}.",
                hint="Write mlflow+sqlite:////absolute/path (four slashes), or three and a path.",
            )
    try:
        engine = create_engine(url)
        try:
            tables = set(inspect(engine).get_table_names())
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise SourceUnavailable(
            f"MLflow's database {shown} cannot be used ({type(error).__name__}).",
            hint="Is it running, and are its URL, its credentials and its driver right?",
        ) from error
    if not tables >= _TABLES:
        raise StoreUnreadable(
            f"{shown} is no tracking database of MLflow.",
            hint="If it is a store of ML Metadata, write mlmd+ before its URL.",
        )
