"""Which profile a destination gets, and what is said of a name that has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import catalog_names, load_settings, profile_of
from exporter.errors import ConfigError


def settings_of(folder: Path, **destination: Any) -> Any:  # Any: values of a configuration
    written = {
        "repository": "acme",
        "stacks": [{"key": "local", "source": "mlmd+sqlite:////srv/metadata.db"}],
        "sinks": {"openlineage": [{"name": "one", **destination}]},
    }
    if (folder / "mappings").is_dir():
        written["mappings"] = "mappings"
    file = folder / "exporter.yaml"
    file.write_text(yaml.safe_dump(written), encoding="utf-8")
    return load_settings(file, environ={})


@pytest.mark.parametrize(
    ("destination", "name"),
    [
        ({"url": "file:///srv/events.jsonl"}, "file"),
        ({"url": "http://catalog:5000"}, "generic"),
        ({"url": "http://catalog:5000", "catalog": "marquez"}, "marquez"),
        ({"url": "https://gms/openapi/openlineage", "catalog": "datahub"}, "datahub"),
    ],
    ids=["file", "http", "marquez", "datahub"],
)
def test_a_destination_has_the_profile_it_names_or_that_of_its_kind(
    tmp_path: Path, destination: dict[str, str], name: str
) -> None:
    settings = settings_of(tmp_path, **destination)
    assert profile_of(settings.sinks.openlineage[0]).name == name


def test_every_catalog_of_the_documentation_has_a_profile() -> None:
    assert set(catalog_names()) == {
        "atlan", "datadog", "datahub", "dataplex", "datazone", "feast", "file", "generic", "kafka",
        "marquez", "openmetadata",
    }  # fmt: skip


def test_a_name_without_a_profile_is_said_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, url="http://catalog:5000", catalog="markez")
    said = str(caught.value)
    assert "sinks.openlineage[0].catalog" in said
    assert "did you mean 'marquez'?" in said
    assert "exporter.yaml:" in said


def test_a_name_like_no_other_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="atlan, datadog, datahub"):
        settings_of(tmp_path, url="http://catalog:5000", catalog="zzz")


def test_a_profile_of_the_users_own_is_found_and_wins(tmp_path: Path) -> None:
    catalogs = tmp_path / "mappings" / "catalogs"
    catalogs.mkdir(parents=True)
    (catalogs / "mine.yaml").write_text("max_bytes: 7\n")
    (catalogs / "marquez.yaml").write_text("lanes: 1\n")
    for name, lanes, limit in (("mine", 8, 7), ("marquez", 1, 0)):
        settings = settings_of(tmp_path, url="http://catalog:5000", catalog=name)
        profile = profile_of(settings.sinks.openlineage[0], settings.mappings_folder)
        assert (profile.lanes, profile.max_bytes) == (lanes, limit)


def test_a_name_that_leaves_the_folder_is_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no profile"):
        settings_of(tmp_path, url="http://catalog:5000", catalog="../openlineage")
