"""A run as OpenLineage events. Pure: it knows records and the specification, no transport.

`run_events` gives what should be sent for one pipeline run, as finished bytes. The same run and
naming give the same bytes on every machine.

Source: https://openlineage.io/docs/spec/object-model and the JSON schemas under
    https://openlineage.io/spec.
"""

from exporter.mapping.openlineage.events import LineageEvent, run_events
from exporter.mapping.openlineage.naming import LineageNaming, naming_from_yaml
from exporter.mapping.openlineage.profile import CatalogProfile, profile_from_yaml

__all__ = [
    "CatalogProfile",
    "LineageEvent",
    "LineageNaming",
    "naming_from_yaml",
    "profile_from_yaml",
    "run_events",
]
