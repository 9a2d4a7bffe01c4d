"""Delivery of OpenLineage events: it knows destinations and the outbox, not what events say.

An event enters the outbox only after `EventCheck` passed it. `deliver` empties one destination's
outbox; a `Destination` takes events and says of each what became of it.
"""

from exporter.sinks.openlineage.check import SCHEMA_FOLDER, EventCheck
from exporter.sinks.openlineage.delivery import SINK_PREFIX, DeliveryReport, deliver
from exporter.sinks.openlineage.destination import (
    Destination,
    DestinationSettings,
    open_destination,
)
from exporter.sinks.openlineage.file import FileDestination
from exporter.sinks.openlineage.http import HttpDestination
from exporter.sinks.openlineage.outcomes import Outcome

__all__ = [
    "SCHEMA_FOLDER",
    "SINK_PREFIX",
    "DeliveryReport",
    "Destination",
    "DestinationSettings",
    "EventCheck",
    "FileDestination",
    "HttpDestination",
    "Outcome",
    "deliver",
    "open_destination",
]
