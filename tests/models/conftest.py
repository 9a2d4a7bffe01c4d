"""Tests that train models with Keras, PyTorch and boosters; skipped where those are not here."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

FRAMEWORKS = ("jax", "keras", "lightgbm", "tensorflow", "tf_keras", "torch", "xgboost")

# Read by Keras when it is imported, which the tests do.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(autouse=True)
def _frameworks() -> None:
    """Skip where one is missing."""
    missing = [name for name in FRAMEWORKS if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; make test-models brings them")
