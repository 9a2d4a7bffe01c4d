"""What became of an event, and the table that says so for every answer of a catalog.

Source: Marquez answers 500 with `"code": 400` in the body to an event it will never take, and 400
or 422 to others; a profile names such refusals. 401, 403, 404, 405, 415, redirects and web pages
mean that all events would fare alike, so they stop the destination instead of condemning its
history.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from exporter.errors import SinkUnavailable
from exporter.mapping.openlineage.profile import CatalogProfile
from exporter.sinks.retry_after import LONGEST_PAUSE_S, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Action = Literal["ack", "retry", "dead"]

GENERIC = CatalogProfile("generic")

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


class OutcomeRules(Protocol):
    """What a catalog's profile says of its answers."""

    @property
    def refusals(self) -> tuple[int, ...]:
        """Statuses, or codes in the body of a 5xx, that no later try will change."""

    @property
    def tries(self) -> int:
        """How often an event is tried that the catalog itself fails on."""

    @property
    def success(self) -> Mapping[str, int]:
        """Numbers in the body of a 2xx that must be reached."""


class Answer(NamedTuple):
    """A catalog's answer: status, the headers that matter, the beginning of the body.

    Where the body broke off and is not whole, the status has still been said.
    """

    status: int
    content_type: str
    location: str
    retry_after: str
    body: str
    is_whole: bool = True


def outcome_of(
    seq: int,
    answer: Answer,
    destination: str,
    now: datetime,
    rules: OutcomeRules = GENERIC,
) -> Outcome:
    """Say what an answer means for the event.

    Raises: SinkUnavailable for an answer that every event would get.
    """
    refuse_stop(answer, destination)
    status, body = answer.status, answer.body
    if 200 <= status < 300:
        return _of_success(seq, answer, rules)
    if status in rules.refusals:
        return Outcome(seq, "dead", status, body)
    if status in _TROUBLE:
        pause = retry_after_s(answer.retry_after, now)
        return Outcome(seq, "retry", status, body, pause, TRIES_ON_TROUBLE)
    if status >= 500 and json_of(body).get("code") not in rules.refusals:
        pause = retry_after_s(answer.retry_after, now)
        return Outcome(seq, "retry", status, body, pause, rules.tries)
    return Outcome(seq, "dead", status, body)


def refuse_stop(answer: Answer, destination: str) -> None:
    """Pass an answer that says something of the event.

    Raises: SinkUnavailable for an answer that every event would get.
    """
    stop = _stop_hint(answer)
    if stop is not None:
        what, hint = stop
        raise SinkUnavailable(
            f"The OpenLineage destination {destination!r} {what}.", hint=hint, status=answer.status
        )


def json_of(body: str) -> dict[str, Any]:  # Any: JSON values
    """Give the JSON object in a body; an empty one where there is none."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _of_success(seq: int, answer: Answer, rules: OutcomeRules) -> Outcome:
    """Read a 2xx: catalogs say in its body that they took nothing, or not all.

    Source: `summary` and `failed_events` of batch answers in the specification's own API,
    https://github.com/OpenLineage/OpenLineage/blob/main/spec/OpenLineage.yml
    """
    told = json_of(answer.body)
    missed = [name for name, least in rules.success.items() if not _reaches(told.get(name), least)]
    if missed and not answer.is_whole:
        return Outcome(seq, "retry", None, f"The answer broke off: {answer.body}")
    if missed:
        said = answer.body or f"An empty body, which has no {missed[0]}."
        return Outcome(seq, "dead", answer.status, said)
    failed = failures_in(told)
    if failed or (answer.status == 207 and failed is None):
        may_retry = any(failure.may_retry for failure in failed or ())
        return Outcome(
            seq,
            "retry" if may_retry else "dead",
            answer.status,
            answer.body,
            tries=rules.tries,
        )
    return Outcome(seq, "ack", answer.status)


class Failure(NamedTuple):
    """One event of several that was not taken; `place` is None where the catalog does not say."""

    place: int | None
    reason: str
    may_retry: bool


def failures_in(told: dict[str, Any]) -> list[Failure] | None:  # Any: JSON values
    """Give what a 2xx says was not taken; None where it says nothing of it."""
    listed = told.get("failed_events", told.get("failures"))
    summary = told.get("summary")
    counts = summary if isinstance(summary, dict) else told
    failed = counts.get("failed")
    count = failed if isinstance(failed, int) and not isinstance(failed, bool) else 0
    if isinstance(listed, list):
        named = [_failure(one) for one in listed]
    elif count or failed == 0:
        named = []
    else:
        return [Failure(None, "", may_retry=False)] if told.get("status") == "failure" else None
    if count > len(named):
        named.append(Failure(None, "", may_retry=bool(counts.get("retriable"))))
    return named


def _failure(one: Any) -> Failure:  # Any: a JSON value
    if not isinstance(one, dict):
        return Failure(_place(one), str(one), may_retry=False)
    reason = one.get("reason") or one.get("message") or one.get("error") or ""
    return Failure(_place(one.get("index")), str(reason), may_retry=bool(one.get("retriable")))


def _place(value: Any) -> int | None:  # Any: a JSON value
    is_place = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_place else None


def _reaches(value: Any, least: int) -> bool:  # Any: a JSON value
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least


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
    if status == 407:
        return (
            "is behind a proxy that asks for credentials (HTTP 407)",
            "Give them in the proxy's address in the environment: http://user:password@host:port.",
        )
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
