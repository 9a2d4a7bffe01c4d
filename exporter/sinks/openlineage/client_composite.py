"""Several senders as one, as the composite transport of openlineage-python has them.

There a child that fails is only a warning once another child took the event; here the event counts
as taken when every child took it, or the first one where it stops at the first success.
Source: `continue_on_failure` in https://openlineage.io/docs/client/python/configuration
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.sinks.openlineage.client_senders import Sender
    from exporter.sinks.openlineage.destination import DueEvent
    from exporter.sinks.openlineage.outcomes import Outcome


class CompositeSender:
    """Sends every event by all children, or by the first that takes it.

    Repeat: an event that one child did not take is sent to all of them again.
    """

    at_once = 1

    def __init__(self, senders: Sequence[Sender], *, all_of_them: bool) -> None:
        self._senders = list(senders)
        self._all = all_of_them

    def send(self, events: Sequence[DueEvent]) -> Iterator[Outcome]:
        """Send by each child in turn, also after one failed; the worst outcome counts.

        Raises: SinkUnavailable if a child is out of reach that is needed.
        """
        for event in events:
            told: list[Outcome] = []
            unavailable: SinkUnavailable | None = None
            for sender in self._senders:
                try:
                    told += sender.send([event])
                except SinkUnavailable as error:
                    unavailable = unavailable or error
                if not self._all and told and told[-1].action == "ack":
                    told, unavailable = told[-1:], None
                    break
            if unavailable is not None:
                raise unavailable
            yield min(told, key=lambda outcome: _WORST_FIRST.index(outcome.action))

    def check(self, timeout_s: float) -> str:
        """Ask every child."""
        return "; ".join(sender.check(timeout_s) for sender in self._senders)

    def close(self) -> None:
        """Close the children."""
        for sender in self._senders:
            sender.close()


_WORST_FIRST = ("retry", "dead", "ack")
