"""The columns that a model takes, where its own file says them in text: XGBoost and LightGBM.

Only the beginning of the file is looked at, and nothing is executed. A model that was trained
without names has made-up ones (`Column_0`, `f0`), which say nothing and are left out.
Source: `feature_names` in the text format of LightGBM 4 and in `learner` of XGBoost 2 and 3's JSON,
https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.hierarchy import Artifact, Value

HEAD_BYTES = 1 << 20
"""How much of a model's file is worth reading."""

_LIGHTGBM = re.compile(rb"^feature_names=(.*)$", re.MULTILINE)
_XGBOOST = re.compile(rb'"feature_names"\s*:\s*(\[[^\]]*\])')
_MADE_UP = re.compile(r"(Column_|f)\d+")
_FILES = {
    "LightGBMBoosterMaterializer": "model.txt",
    "lightgbm": "model.txt",
    "XgboostBoosterMaterializer": "model.json",
    "xgboost": "model.json",
}


def feature_file(artifact: Artifact) -> str | None:
    """Name the file of a copied model that says which columns it takes; None where none does."""
    content = artifact.content
    if content is None or content.state != "copied":
        return None
    wrote = (artifact.materializer or "").partition("@")[0].rpartition(".")[2]
    package = (artifact.data_type or "").partition(".")[0]
    name = _FILES.get(wrote) or _FILES.get(package)
    return name if name is not None and any(f.path == name for f in content.files) else None


def feature_names(path: str, head: bytes) -> list[str] | None:
    """Read the names out of the beginning of such a file; None where there are none."""
    if path.endswith(".txt"):
        found = _LIGHTGBM.search(head)
        names = found[1].decode("utf-8", "replace").split() if found else []
    else:
        found = _XGBOOST.search(head)
        try:
            listed = json.loads(found[1]) if found else []
        except ValueError:
            return None
        names = [name for name in listed if isinstance(name, str)]
    if not names or all(_MADE_UP.fullmatch(name) for name in names):
        return None
    return names if len(set(names)) == len(names) else None


def columns_of(artifact: Artifact, read: Value) -> Sequence[dict[str, object]]:
    """Give MLflow's column schemas of a model whose names were read; such models take numbers."""
    if feature_file(artifact) is None or not isinstance(read, list):
        return ()
    return [{"name": name, "type": "double"} for name in read if isinstance(name, str)]
