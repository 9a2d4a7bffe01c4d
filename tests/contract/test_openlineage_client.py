"""The public client as an oracle: its classes say the same as our plain values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openlineage.client.serde import Serde
from support.lineage_samples import failed_run, rich_run, training_run

from benchmarks.lineage_by_client import by_the_client, standard_part
from exporter.hierarchy import RunSnapshot
from exporter.mapping.openlineage import (
    CatalogProfile,
    LineageNaming,
    RunDetails,
    profile_from_yaml,
    run_events,
)

NAMING = LineageNaming()
APART = CatalogProfile("apart", input_facets="apart")

# The client knows a later version of this facet than the specification's repository has; what it
# added is not sent.
_LATER = "1-0-1/DataQualityMetricsDatasetFacet"


@pytest.mark.parametrize(
    ("run", "details"),
    [(training_run(), RunDetails()), (failed_run(), RunDetails()), rich_run()],
    ids=["completed", "failed", "rich"],
)
def test_the_clients_classes_serialise_to_the_same_event(
    run: RunSnapshot, details: RunDetails
) -> None:
    for event in run_events(run, NAMING, APART, details=details):
        body = json.loads(event.body)
        theirs = json.loads(
            Serde.to_json(by_the_client(body)).replace(_LATER, _LATER.replace("1-0-1", "1-0-0"))
        )
        assert without_empty(theirs) == without_empty(standard_part(body))


def test_the_rich_run_has_every_standard_facet_that_we_send() -> None:
    run, details = rich_run()
    found: set[str] = set()
    for event in run_events(run, NAMING, APART, details=details):
        body = standard_part(json.loads(event.body))
        for holder in (body["run"], body["job"], *body["inputs"], *body["outputs"]):
            for key in ("facets", "outputFacets"):
                found |= set(holder.get(key, {}))
    assert found == {
        "processing_engine", "parent", "executionParameters", "nominalTime", "tags",
        "jobDependencies", "jobType", "documentation", "sourceCodeLocation", "sourceCode",
        "ownership", "version", "datasetType", "dataSource", "symlinks", "storage", "schema",
        "dataQualityMetrics", "lifecycleStateChange", "outputStatistics",
    }  # fmt: skip


def test_every_facet_that_we_send_can_be_left_out_by_its_name() -> None:
    run, details = rich_run()
    found: set[str] = set()
    for event in run_events(run, NAMING, APART, details=details):
        body = json.loads(event.body)
        for holder in (body["run"], body["job"], *body["inputs"], *body["outputs"]):
            for key in ("facets", "inputFacets", "outputFacets"):
                found |= set(holder.get(key, {}))
    may_go = sorted(found - {"processing_engine", "parent", "jobType", "errorMessage"})
    profile_from_yaml("mine", {"facets_without": may_go})


def without_empty(value: Any) -> Any:  # Any: JSON
    """Leave out what is empty: the client spells it out here and there, and it says nothing."""
    if isinstance(value, list):
        return [without_empty(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: without_empty(item) for key, item in value.items() if item not in ({}, [])}
