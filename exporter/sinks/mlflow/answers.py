"""What an answer of the server means: HTTP status → error class, with the words of the server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from exporter.errors import (
    DeletedInSink,
    SinkError,
    SinkRateLimited,
    SinkTerminal,
    SinkTransient,
    SinkUnavailable,
)
from exporter.sinks.retry_after import retry_after_s

_CREDENTIALS_HINT = (
    "Set sinks.mlflow username and password or token, or MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN."
)
_ADDRESS_HINT = "Is sinks.mlflow.tracking_uri right?"
_DELETED_HINT = "It was deleted in MLflow; `pipeline-exporter run --repair` brings it back."
_MESSAGE_LENGTH = 500
# Two writers that log one new dataset at once: MLflow 3.17.2 answers the later one with HTTP 400.
# The words are the driver's: SQLite's, psycopg's, those of MySQL.
_RACE = ("IntegrityError", "UniqueViolation", "Duplicate entry")

ERRORS: dict[int, tuple[type[SinkError], str]] = {
    401: (SinkUnavailable, _CREDENTIALS_HINT),
    403: (SinkUnavailable, _CREDENTIALS_HINT),
    407: (SinkUnavailable, "A proxy asks for credentials."),
    408: (SinkTransient, ""),
    413: (SinkTerminal, "The server or a proxy before it limits the size of requests."),
    425: (SinkTransient, ""),
    429: (SinkRateLimited, ""),
}


class Answer(NamedTuple):
    """A server's answer, read whole."""

    status: int
    content_type: str
    retry_after: str | None
    body: bytes


class MissingResource(SinkTerminal):
    """MLflow says that what was asked for does not exist."""


class AlreadyExists(SinkTerminal):
    """MLflow says that what was to be created exists, perhaps soft-deleted."""


class InactiveRun(DeletedInSink):
    """MLflow refuses to write to a run or experiment that somebody deleted."""


def json_of(answer: Answer, what: str, address: str) -> dict[str, Any]:  # Any: parsed JSON
    """Give the JSON object of a good answer, or raise what the status means.

    Raises: SinkUnavailable where the answer is not MLflow's, else the class that `ERRORS` names;
    5xx are transient, other 4xx terminal.
    """
    parsed = _parsed(answer)
    if answer.status == 200 and isinstance(parsed, dict):
        return parsed
    spoken = isinstance(parsed, dict) and "error_code" in parsed
    if answer.status < 400 or (not spoken and answer.status in {400, 404, 405}):
        seen = answer.content_type.partition(";")[0] or "no content type"
        raise not_mlflow(address, f"{what}: HTTP {answer.status}, {seen}", status=answer.status)
    raise error_of(answer, what, address)


def not_mlflow(address: str, said: str, **context: object) -> SinkUnavailable:
    """Give the error for something else that listens at the address."""
    message = f"{address} does not answer as an MLflow server ({said})."
    return SinkUnavailable(message, hint=_ADDRESS_HINT, **context)


def error_of(answer: Answer, what: str, address: str) -> SinkError:
    """Give the error that an answer of 4xx or 5xx stands for."""
    parsed = _parsed(answer)
    code = str(parsed.get("error_code", "")) if isinstance(parsed, dict) else ""
    said = str(parsed.get("message", "")) if isinstance(parsed, dict) else ""
    message = f"MLflow at {address} answered HTTP {answer.status} to {what}"
    message += f": {said[:_MESSAGE_LENGTH]}" if said else "."
    context: dict[str, object] = {"status": answer.status, "request": what, "error_code": code}
    kind, hint = ERRORS.get(
        answer.status, (SinkTransient if answer.status >= 500 else SinkTerminal, "")
    )
    delay = retry_after_s(answer.retry_after, datetime.now(UTC))
    if kind is SinkRateLimited or (issubclass(kind, SinkTransient) and delay is not None):
        return SinkRateLimited(message, retry_after_s=delay or 1.0, hint=hint, **context)
    if code == "RESOURCE_ALREADY_EXISTS":
        return AlreadyExists(message, hint=hint, **context)
    if code == "RESOURCE_DOES_NOT_EXIST":
        return MissingResource(message, hint=hint, **context)
    if any(word in said for word in _RACE):
        return SinkTransient(message, hint="", **context)
    if "'active' state" in said:
        return InactiveRun(message, hint=_DELETED_HINT, **context)
    return kind(message, hint=hint, **context)


def _parsed(answer: Answer) -> Any:  # Any: parsed JSON
    try:
        return json.loads(answer.body)
    except ValueError:
        return None
