"""Materializers of other packages, found by entry point."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from support.fake_history import FakeArtifacts

from exporter.errors import ConfigError
from exporter.hierarchy import Artifact
from exporter.materializers import plugins
from exporter.materializers.choice import choose
from exporter.materializers.files import ArtifactFiles
from exporter.materializers.plain import BuiltinMaterializer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Install = Callable[..., None]

LINES = """
class Lines:
    def read(self, files, *, trusted=False):
        return files.read("data.txt").decode().splitlines()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Give a function that installs a distribution: its name, its module, its entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def _install(name: str, code: str, **points: str) -> None:
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8"
        )
        lines = "".join(f"{key.replace('__', '.')} = {value}\n" for key, value in points.items())
        (info / "entry_points.txt").write_text(
            f"[exporter.materializers]\n{lines}", encoding="utf-8"
        )
        plugins._registered.cache_clear()

    yield _install
    plugins._registered.cache_clear()


def files_of(materializer: str | None = None, data_type: str | None = None) -> ArtifactFiles:
    artifact = Artifact("1", "T", "/a", materializer=materializer, data_type=data_type)
    return ArtifactFiles(FakeArtifacts({"/a": {"data.txt": b"a\nb"}}), artifact)


@pytest.mark.parametrize(
    ("point", "files"),
    [
        ("LinesMaterializer", files_of("acme.steps.LinesMaterializer@zenml_0.5.7")),
        ("acme__steps__LinesMaterializer", files_of("acme.steps.LinesMaterializer")),
        ("acme__Lines", files_of(data_type="acme.Lines")),
    ],
)
def test_a_plug_in_reads_what_it_names(install: Install, point: str, files: ArtifactFiles) -> None:
    install("lines_plugin", LINES, **{point: "lines_plugin:Lines"})
    assert choose(files).read(files) == ["a", "b"]
    other = files_of("acme.Other", "acme.Other")
    assert isinstance(choose(other), BuiltinMaterializer)


def test_a_plug_in_comes_before_ours(install: Install) -> None:
    install("own_plugin", LINES, BuiltInMaterializer="own_plugin:Lines")
    found = files_of("zenml.materializers.built_in_materializer.BuiltInMaterializer@zenml_0.5.7")
    assert choose(found).read(found) == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import not_a_package", "ModuleNotFoundError: No module named 'not_a_package'"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("x = 1", "AttributeError"),
        ("class Lines:\n    def __init__(self, size): ...", "TypeError"),
        ("class Lines: ...", "is no materializer"),
    ],
)
def test_a_broken_plug_in_is_named_and_harms_nothing_else(
    install: Install, code: str, told: str, request: pytest.FixtureRequest
) -> None:
    name = f"broken_{abs(hash(request.node.name))}"
    install(name, code, BrokenMaterializer=f"{name}:Lines")
    install("sound_plugin", LINES, LinesMaterializer="sound_plugin:Lines")
    with pytest.raises(ConfigError, match=f"{name}:Lines' of {name}") as caught:
        choose(files_of("acme.BrokenMaterializer"))
    assert told in str(caught.value)
    assert "read(materializer=" in caught.value.hint
    fine = files_of("acme.LinesMaterializer")
    assert choose(fine).read(fine) == ["a", "b"]


def test_two_plug_ins_for_one_name_are_told(install: Install) -> None:
    install("first_plugin", LINES, LinesMaterializer="first_plugin:Lines")
    install("second_plugin", LINES, LinesMaterializer="second_plugin:Lines")
    with pytest.raises(ConfigError, match="first_plugin") as caught:
        choose(files_of("acme.LinesMaterializer"))
    assert "second_plugin" in caught.value.message
