"""Verifying takes no more memory for a longer history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_GROWTH_KIB = 64 * 1024  # a page of MLflow's runs is not full before


def _run(*words: str) -> str:
    path = os.pathsep.join([str(_ROOT), str(_ROOT / "tests")])
    ended = subprocess.run(
        [sys.executable, "-m", "support.verify_peak", *words],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _peak(folder: Path, runs: int) -> int:
    _run(str(folder), str(runs), "fill")
    told: dict[str, Any] = json.loads(_run(str(folder), str(runs)))
    assert told["runs"] == runs
    assert told["errors"] == []
    return int(told["kib"])


@pytest.mark.slow
def test_the_peak_of_a_thousand_runs_is_that_of_two_hundred(tmp_path: Path) -> None:
    assert _peak(tmp_path, 1_000) - _peak(tmp_path, 200) < _GROWTH_KIB
