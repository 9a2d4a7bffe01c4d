"""A run as OpenLineage events. Pure: it knows records and the specification, no transport.

`run_events` gives what should be sent for one pipeline run, as finished bytes. The same run,
naming, profile and details give the same bytes on every machine.

Source: https://openlineage.io/docs/spec/object-model and the JSON schemas under
    https://openlineage.io/spec.
"""

from exporter.mapping.openlineage.events import LineageEvent, RunDetails, run_events
from exporter.mapping.openlineage.naming import LineageNaming, naming_from_yaml
from exporter.mapping.openlineage.profile import (
    CatalogProfile,
    ContentProfile,
    profile_from_yaml,
)
from exporter.mapping.openlineage.source_jobs import announced
from exporter.mapping.openlineage.tables import LineageTable, lineage_table

__all__ = [
    "CatalogProfile",
    "ContentProfile",
    "LineageEvent",
    "LineageNaming",
    "LineageTable",
    "RunDetails",
    "announced",
    "lineage_table",
    "naming_from_yaml",
    "profile_from_yaml",
    "run_events",
]
