"""What a failure of MLflow means to whoever reads a history."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from exporter.config.masking import mask_url
from exporter.errors import (
    SinkError,
    SinkTransient,
    SinkUnavailable,
    SourceError,
    SourceUnavailable,
    StoreUnreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_CREDENTIALS = (
    "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
)
_ADDRESS = "Is it running, and is the tracking URI that of an MLflow server or its database?"
_AGAIN = "Try again later."


@contextmanager
def reading() -> Iterator[None]:
    """Give errors of the tracking API as errors of a source.

    Raises: SourceUnavailable where asking again may help, else StoreUnreadable.
    """
    try:
        yield
    except SinkError as error:
        raise source_error(error) from error


def source_error(error: SinkError) -> SourceError:
    """Give the error of a source that an error of the tracking API stands for."""
    message = mask_url(error.message)
    if isinstance(error, SinkUnavailable):
        refused = error.context.get("status") in {401, 403}
        return SourceUnavailable(message, hint=_CREDENTIALS if refused else _hint(error))
    if isinstance(error, SinkTransient):
        return SourceUnavailable(message, hint=error.hint or _AGAIN)
    return StoreUnreadable(message, hint=_hint(error))


def _hint(error: SinkError) -> str:
    """Keep a hint that does not speak of the exporter's configuration, which readers lack."""
    return _ADDRESS if "sinks.mlflow" in error.hint or not error.hint else error.hint
