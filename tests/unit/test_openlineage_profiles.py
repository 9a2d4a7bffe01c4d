"""Profiles of catalogs: read strictly, and those that ship are valid."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.config.resources import load_mapping, mapping_names
from exporter.errors import ConfigError
from exporter.mapping.openlineage.profile import profile_from_yaml


def test_every_profile_that_ships_is_valid() -> None:
    names = mapping_names("catalogs")
    assert {"file", "generic", "marquez"} <= set(names)
    for name in names:
        assert profile_from_yaml(name, load_mapping(f"catalogs/{name}")).name == name


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"endpont": "x"}, "Did you mean 'endpoint'?"),
        ({"order": "newest"}, "Use free or runs."),
        ({"lanes": True}, "Use a number."),
        ({"lanes": -1}, "Use a number."),
        ({"lanes": 0}, "Use a number from 1 on."),
        ({"tries": 0}, "Use a number from 1 on."),
        ({"max_events": 0}, "Use a number from 1 on."),
        ({"facets_without": ["dataSorce"]}, "Did you mean 'dataSource'?"),
        ({"facets_without": ["jobType"]}, "These are always sent"),
        ({"exact_links": True}, "It needs `order: runs`"),
        ({"exact_links": True, "order": "runs", "own_facets": False}, "facets of our own"),
        (
            {"exact_links": True, "order": "runs", "facets_without": ["pipelineExporter_read"]},
            "facets of our own",
        ),
        ({"source_jobs": "yes"}, "Use true or false."),
        ({"accepts": [1]}, "Use a list"),
        ({"refusals": ["no"]}, "Use a list"),
        ({"namespaces": {"a": 1}}, "Use `name: value` lines."),
        ({"job_namespace": 3}, "See mappings/catalogs"),
    ],
)
def test_a_wrong_profile_is_named_with_what_to_write(mapping: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        profile_from_yaml("mine", mapping)
    assert "'mine'" in caught.value.message
    assert said in (caught.value.hint or "")
