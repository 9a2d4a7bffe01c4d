"""What `make` takes for a Python, and the one line it says where there is none that will do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]

_STUB = """#!/bin/sh
case "$*" in
    *version_info*) echo {version} ;;
    *ensurepip*) exit {without_venv} ;;
    "-m venv --clear "*) mkdir -p "$4/bin" && echo {version} > "$4/bin/python" ;;
esac
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a folder to be the whole PATH, with what a recipe needs and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "make", "mkdir"):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not here")
        (folder / name).symlink_to(found)
    return folder


def _python(path: Path, name: str, version: str, *, venv: bool = True) -> None:
    stub = path / name
    text = _STUB.format(version=version, without_venv=0 if venv else 1)
    stub.write_text(text, encoding="utf-8")
    stub.chmod(0o755)


def _make(path: Path) -> tuple[int, str, str]:
    """Let make choose; give its exit code, the version chosen and what it said."""
    environment = path.parent / "venv"
    target = f"{environment}/bin/python"
    done = subprocess.run(
        ["make", "--no-print-directory", "-C", str(_ROOT), f"VENV={environment}", target],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    chosen = Path(target)
    version = chosen.read_text(encoding="utf-8").strip() if chosen.exists() else ""
    return done.returncode, version, done.stderr


def test_the_newest_python_that_fits_is_taken(path: Path) -> None:
    for version in ("3.10", "3.11", "3.12", "3.14"):
        _python(path, f"python{version}", version)
    _python(path, "python3", "3.14")
    assert _make(path)[:2] == (0, "3.12")


def test_a_name_that_does_not_run_is_passed_over(path: Path) -> None:
    (path / "python3.13").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    (path / "python3.13").chmod(0o755)
    _python(path, "python3.12", "3.12", venv=False)
    _python(path, "python3", "3.11")
    assert _make(path)[:2] == (0, "3.11")


def _only_line(told: str) -> str:
    """Give the line before make's own closing one."""
    lines = told.strip().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("make: ***")
    return lines[0]


def test_a_python_without_venv_is_told_in_one_line(path: Path) -> None:
    _python(path, "python3", "3.11", venv=False)
    code, version, told = _make(path)
    assert (code != 0, version) == (True, "")
    assert "python3 has no venv" in _only_line(told)
    assert "apt-get install python3-venv" in told


def test_a_python_too_old_is_told_in_one_line(path: Path) -> None:
    _python(path, "python3", "3.9")
    code, version, told = _make(path)
    assert (code != 0, version) == (True, "")
    assert "No Python 3.11, 3.12 or 3.13 found (python3 is 3.9)" in _only_line(told)


def test_no_python_at_all_is_told_in_one_line(path: Path) -> None:
    code, version, told = _make(path)
    assert (code != 0, version) == (True, "")
    assert _only_line(told).startswith("No Python found: install Python 3.11")
