"""What the distribution says of itself and what lies in its wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _built(source: Path, folder: Path, kind: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (file,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(_built(_ROOT, tmp_path_factory.mktemp("wheel"), "wheel"))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_string(wheel.read(name).decode())


def test_the_wheel_holds_the_package_and_its_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for folder in ("mappings", "config"):
        here = {
            f"exporter/_bundled/{path.relative_to(_ROOT).as_posix()}"
            for path in (_ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert here
        assert here <= names
    code = {
        path.relative_to(_ROOT).as_posix()
        for path in (_ROOT / "exporter").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert code <= names
    assert {"exporter/py.typed"} <= names


def test_the_wheel_claims_one_import_name_only(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"exporter"}


def test_the_wheel_says_who_may_install_it_and_under_what_terms(metadata: Message) -> None:
    assert metadata["Name"] == "pipeline-exporter"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert set(metadata["Requires-Python"].split(",")) == {">=3.11", "<3.14"}
    assert "pipeline-exporter" in metadata.get_payload()


def test_the_version_is_written_once(metadata: Message) -> None:
    text = (_ROOT / "exporter" / "_version.py").read_text(encoding="utf-8")
    match = re.search(r'__version__ = "([^"]+)"', text)
    assert match is not None
    assert metadata["Version"] == match[1]
    assert "version" not in _PROJECT


def test_the_core_is_light() -> None:
    names = {re.split(r"[<>=!\[ ]", line)[0] for line in _PROJECT["dependencies"]}
    too_heavy = {"torch", "tensorflow", "zenml", "ml-metadata", "psycopg", "pymysql", "dask", "ray"}
    assert names & too_heavy == set()
    extras = _PROJECT["optional-dependencies"]
    assert set(extras) >= {"postgres", "mysql", "keras", "sklearn", "torch"}


def test_every_dependency_is_locked_with_its_hashes() -> None:
    wanted = {re.split(r"[<>=!\[ ]", line)[0] for line in _PROJECT["dependencies"]}
    for name in ("runtime", "dev", "build", "ci", "models", "feast"):
        text = (_ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE | re.IGNORECASE)[1:]
        assert entries
        assert all("--hash=sha256:" in entry for entry in entries)
        assert "://" not in text
        assert "--index" not in text
        if name in {"runtime", "dev"}:
            locked = {entry.split("==")[0].split("[")[0].lower() for entry in entries}
            assert wanted <= locked


def test_every_extra_that_a_message_names_is_one() -> None:
    from exporter.materializers.protocol import _EXTRAS

    extras = _PROJECT["optional-dependencies"]
    assert set(_EXTRAS.values()) <= set(extras)
    for package in ("keras", "torch"):
        assert any(line.startswith(package) for line in extras[_EXTRAS[package]])


def test_the_frameworks_of_the_tests_are_pinned() -> None:
    def pins(name: str) -> dict[str, set[str]]:
        text = (_ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        found: dict[str, set[str]] = {}
        for line in text.splitlines():
            if match := re.match(r"([a-z0-9.-]+)==([^ ;]+)", line):
                found.setdefault(match[1], set()).add(match[2])
        return found

    assert set(pins("torch")) == {"torch"}
    models, dev = pins("models"), pins("dev")
    assert {"jax", "keras", "tensorflow"} <= set(models)
    assert all(models[name] == dev[name] for name in set(models) & set(dev))


def test_the_test_environment_has_the_versions_that_users_get() -> None:
    def pins(name: str) -> set[str]:
        text = (_ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        return {line.split(" \\")[0] for line in text.splitlines() if "==" in line}

    assert pins("runtime") <= pins("dev")
    assert pins("build") <= pins("dev")


def test_a_wheel_built_from_the_source_distribution_is_the_same(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    archive = _built(_ROOT, tmp_path / "sdist", "sdist")
    with tarfile.open(archive) as source:
        names = {name.split("/", 1)[1] for name in source.getnames() if "/" in name}
    # tarfile's filters are younger than Debian 12's Python 3.11.2; the archive is our own.
    shutil.unpack_archive(archive, tmp_path / "source")
    assert {"LICENSE", "README.md", "deploy/Dockerfile", "tests/conftest.py"} <= names
    (folder,) = (tmp_path / "source").iterdir()
    again = zipfile.ZipFile(_built(folder, tmp_path / "again", "wheel"))
    assert sorted(again.namelist()) == sorted(wheel.namelist())
