"""The end of a run told again, so that a catalog takes it for the newer word.

Source: of two events of one run and type Marquez keeps the facets of the one with the later time,
and at equal times either; an input mentioned again is linked again, to the newest version
(https://github.com/MarquezProject/marquez/issues/2733), so a correction has none: the run keeps
those that were told first.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

import orjson


class Revised(Protocol):
    """An event with the number of its revision."""

    @property
    def body(self) -> bytes:
        """What was to be sent at first."""

    @property
    def revision(self) -> int:
        """How often its end was corrected."""

    @property
    def corrects(self) -> bool:
        """Whether the run is held, so that only its end is told again."""


def body_of(event: Revised) -> bytes:
    """Give what is sent: the body itself, or its correction, a millisecond later per revision."""
    if not event.revision and not event.corrects:
        return event.body
    told = orjson.loads(event.body)
    moment = datetime.fromisoformat(told["eventTime"])
    later = timedelta(milliseconds=event.revision)
    moment = min(moment, datetime.max.replace(tzinfo=moment.tzinfo) - later) + later
    told["eventTime"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if event.corrects:
        told["inputs"] = []
    return orjson.dumps(told)
