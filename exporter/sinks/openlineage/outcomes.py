"""What became of an event, and the table that says so for every answer of a catalog.

Source: Marquez answers 500 with `"code": 400` in the body to an event it will never take, and 400
or 422 to others; 401, 403, 404, 405, 415, redirects and web pages mean that all events would fare
alike, so they stop the destination instead of condemning its history.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple

from exporter.errors import SinkUnavailable
from exporter.sinks.retry_after import LONGEST_PAUSE_S, retry_after_s

if TYPE_CHECKING:
    from datetime import datetime

Action = Literal["ack", "retry", "dead"]

TRIES_ON_ERROR = 5
"""How often an event is tried that the catalog itself fails on (500)."""
TRIES_ON_TROUBLE = 20
"""How often where the trouble may be anybody's (429, 502-504, time-outs): about ten hours."""

_TROUBLE = frozenset({408, 425, 429, 502, 503, 504})


class Outcome(NamedTuple):
    """What became of one event.

    `status` is the HTTP status, None where there was no answer. `retry_after_s` is the pause the
    destination asked for. `tries` is how often the event may be tried before it is a dead letter.
    """

    seq: int
    action: Action
    status: int | None = None
    body: str = ""
    retry_after_s: float | None = None
    tries: int = TRIES_ON_TROUBLE


class Answer(NamedTuple):
    """A catalog's answer: status, the headers that matter, the beginning of the body."""

    status: int
    content_type: str
    location: str
    retry_after: str
    body: str


def outcome_of(seq: int, answer: Answer, destination: str, now: datetime) -> Outcome:
    """Say what an answer means for the event.

    Raises: SinkUnavailable for an answer that every event would get.
    """
    status, body = answer.status, answer.body
    stop = _stop_hint(answer)
    if stop is not None:
        what, hint = stop
        raise SinkUnavailable(
            f"The OpenLineage destination {destination!r} {what}.", hint=hint, status=status
        )
    if 200 <= status < 300 and status != 207:
        return Outcome(seq, "ack", status)
    if status in _TROUBLE:
        pause = retry_after_s(answer.retry_after, now)
        return Outcome(seq, "retry", status, body, pause, TRIES_ON_TROUBLE)
    if status >= 500 and not _is_refusal(body):
        pause = retry_after_s(answer.retry_after, now)
        return Outcome(seq, "retry", status, body, pause, TRIES_ON_ERROR)
    return Outcome(seq, "dead", status, body)


def is_trouble(outcome: Outcome) -> bool:
    """Tell whether an outcome may be the destination's trouble rather than the event's."""
    return outcome.action == "retry" and (outcome.status is None or outcome.status in _TROUBLE)


def pause_s(tries: int, seq: int, asked_s: float | None) -> float:
    """Give the pause after the `tries`-th try: 1, 2, 4 … seconds, or as long as was asked for.

    Limits: at most an hour. Events differ a little, so that they do not all come back at once.
    """
    doubled = min(2.0 ** min(tries - 1, 12), LONGEST_PAUSE_S)
    spread = 1 + (seq * 7919 % 100) / 400
    return min(max(doubled * spread, asked_s or 0.0), LONGEST_PAUSE_S)


def _stop_hint(answer: Answer) -> tuple[str, str] | None:
    status = answer.status
    if status in {401, 403}:
        return f"refused our credentials (HTTP {status})", "Check the token of this destination."
    if 300 <= status < 400:
        where = f" to {answer.location}" if answer.location else ""
        return (
            f"redirects{where} (HTTP {status})",
            "Redirects are not followed: write the final address as url.",
        )
    if status in {404, 405, 415}:
        return (
            f"knows no OpenLineage at this address (HTTP {status})",
            "Check url and endpoint of this destination; Marquez has api/v1/lineage.",
        )
    if status < 300 and answer.content_type.partition(";")[0].strip().lower() == "text/html":
        return (
            "answered with a web page",
            "This is not a catalog's API: check url and endpoint of this destination.",
        )
    return None


def _is_refusal(body: str) -> bool:
    """Tell whether the body of a 5xx answer says that the event itself is at fault."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("code") in {400, 422}
