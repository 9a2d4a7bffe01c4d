"""A model that a step wrote, as an MLflow model: its files as they are, and what `MLmodel` says.

Files are told apart by what the store recorded and by their names; none is opened. Where MLflow
has a flavour whose `load_model` reads such files as they are, `MLmodel` names it. Loading then is
the user's act: most of these formats execute code.
Source: the `load_model` of each flavour in MLflow 3.17.2; the names of the files are ZenML's.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from exporter.mapping.mlflow.paths import safe_segment
from exporter.mapping.mlflow.text import (
    NAME_LENGTH,
    PARAM_LENGTH,
    TAG_LENGTH,
    clean_key,
    short_name,
    shorten,
    value_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exporter.hierarchy import Artifact, Parameter

MLMODEL = "MLmodel"
MODEL_TYPES = frozenset({"Model", "ModelArtifact", "PushedModel", "mlmd.Model"})
_REFUSED_IN_NAME = re.compile(r"[/:.%\"']")

Flavors = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One artifact as an MLflow model.

    `model_type` is the flavour whose `load_model` reads it, '' where none does. `flavors` is for
    `MLmodel`. `files` are (path in the artifact, path in the model's folder), `texts` files that
    are written beside them, without `MLmodel`. `signature` has the columns that the model takes, as
    the JSON text of an MLflow schema, '' where they are not known.
    """

    name: str
    model_type: str
    flavors: Flavors
    files: tuple[tuple[str, str], ...]
    texts: tuple[tuple[str, str], ...]
    tags: tuple[tuple[str, str], ...]
    params: tuple[tuple[str, str], ...]
    signature: str = ""

    @property
    def has_own(self) -> bool:
        """Whether the artifact brings its own `MLmodel`, which then is not written."""
        return any(target == MLMODEL for _, target in self.files)

    @property
    def renames(self) -> bool:
        """Whether a file lies elsewhere in the model's folder than below the artifact's own."""
        return any(path and target != _stored(path) for path, target in self.files)


class _Found(NamedTuple):
    """What a flavour needs: its name, what `MLmodel` says, the files it wants elsewhere or not."""

    model_type: str
    flavors: Flavors
    moved: Mapping[str, str] = {}
    left_out: frozenset[str] = frozenset()
    texts: tuple[tuple[str, str], ...] = ()


def plan_model(
    artifact: Artifact,
    *,
    name: str,
    parameters: Sequence[Parameter] = (),
    columns: Sequence[Mapping[str, object]] = (),
) -> ModelPlan | None:
    """Give the model that a copied artifact is; None when it is none, or its files are not here.

    `name` is what to call it, such as its port; `parameters` are those of the step that wrote it;
    `columns` are those that it takes, each with the `name` and `type` of MLflow's column schemas.
    """
    content = artifact.content
    if content is None or content.state != "copied" or not content.files:
        return None
    base = artifact.uri.rstrip("/").rpartition("/")[2] or "file"
    stored = {file.path: _stored(file.path or base) for file in content.files}
    found = next((f for rule in _RULES if (f := rule(artifact, stored)) is not None), None)
    if found is None:
        if artifact.type not in MODEL_TYPES:
            return None
        found = _Found("", {})
    beside: Counter[str] = Counter()  # the record holds all of this whole
    params: dict[str, str] = {}
    for parameter in parameters:
        key = clean_key(parameter.name, params)
        params[key] = shorten(value_text(parameter.value), PARAM_LENGTH, "", beside)
    return ModelPlan(
        short_name(_REFUSED_IN_NAME.sub("_", name) or "model", NAME_LENGTH, beside),
        found.model_type,
        found.flavors,
        tuple(
            (path, found.moved.get(path, target))
            for path, target in stored.items()
            if path not in found.left_out
        ),
        found.texts,
        _tags(artifact, beside),
        tuple(params.items()),
        json.dumps([{"required": True, **column} for column in columns]) if columns else "",
    )


def mlmodel_text(
    plan: ModelPlan,
    *,
    model_id: str,
    run_id: str,
    created: str,
    artifact_path: str | None = None,
    size: int | None = None,
) -> str:
    """Give the file `MLmodel` of a model, as YAML that is also JSON.

    `created` is `YYYY-MM-DD HH:MM:SS.ffffff` in UTC. It names no MLflow version: none wrote the
    files. Readers take any YAML, of which JSON is a part.
    """
    said: dict[str, object] = {
        "flavors": plan.flavors,
        "model_id": model_id,
        "model_uuid": model_id,
        "run_id": run_id,
        "utc_time_created": created,
    }
    if plan.signature:
        said["signature"] = {"inputs": plan.signature, "outputs": None, "params": None}
    if artifact_path is not None:
        said["artifact_path"] = artifact_path
    if size is not None:
        said["model_size_bytes"] = size
    return json.dumps(said, ensure_ascii=True, indent=2) + "\n"


def _tags(artifact: Artifact, beside: Counter[str]) -> tuple[tuple[str, str], ...]:
    tags = {
        "exporter.artifact": artifact.id,
        "exporter.type": artifact.type,
        "exporter.data_type": artifact.data_type,
        "exporter.materializer": artifact.materializer,
        "exporter.uri": artifact.uri,
    }
    return tuple((key, shorten(text, TAG_LENGTH, "", beside)) for key, text in tags.items() if text)


def _stored(path: str) -> str:
    return "/".join(safe_segment(part) for part in path.split("/"))


def _recorded(artifact: Artifact) -> str:
    """Give the bare class that wrote an artifact."""
    return (artifact.materializer or "").partition("@")[0].rpartition(".")[2]


def _is_of(artifact: Artifact, package: str, *classes: str) -> bool:
    """Tell whether the store says that an artifact is of a framework, by its class or data type."""
    return _recorded(artifact) in classes or (artifact.data_type or "").startswith(f"{package}.")


def _pyfunc(flavor: str, **more: object) -> dict[str, object]:
    return {"loader_module": f"mlflow.{flavor}", **more}


def _own(_: Artifact, stored: Mapping[str, str]) -> _Found | None:
    """Take a model that MLflow wrote as it is: its own `MLmodel` says how to read it."""
    return _Found("", {}) if MLMODEL in stored.values() else None


def _keras(_: Artifact, stored: Mapping[str, str]) -> _Found | None:
    """Say how MLflow reads a `.keras` file, whose suffix it adds itself."""
    named = [target for target in stored.values() if target.endswith(".keras")]
    if len(named) != 1:
        return None
    data = named[0].removesuffix(".keras")
    return _Found("keras", {"keras": {"data": data}, "python_function": _pyfunc("keras")})


def _saved_model(_: Artifact, stored: Mapping[str, str]) -> _Found | None:
    """Say how MLflow reads the SavedModel nearest to the top: ZenML writes there, TFX one below."""
    folders = [
        target.removesuffix("saved_model.pb").rstrip("/")
        for target in stored.values()
        if target == "saved_model.pb" or target.endswith("/saved_model.pb")
    ]
    if not folders:
        return None
    folder = min(folders, key=lambda each: (each.count("/"), each)) or "."
    said: dict[str, object] = {"saved_model_dir": folder, "model_type": "tf2-module"}
    return _Found("tensorflow", {"tensorflow": said, "python_function": _pyfunc("tensorflow")})


def _sklearn(artifact: Artifact, stored: Mapping[str, str]) -> _Found | None:
    """Say how MLflow reads scikit-learn: a pickle until ZenML 0.13, by cloudpickle since."""
    if not _is_of(artifact, "sklearn", "SklearnMaterializer"):
        return None
    for target in stored.values():
        if target in ("model", "artifact.pkl", "model.pkl"):
            kind = "cloudpickle" if target == "artifact.pkl" else "pickle"
            said: dict[str, object] = {"pickled_model": target, "serialization_format": kind}
            more = _pyfunc("sklearn", model_path=target, predict_fn="predict")
            return _Found("sklearn", {"sklearn": said, "python_function": more})
    return None


def _pytorch(_: Artifact, stored: Mapping[str, str]) -> _Found | None:
    """Say how MLflow reads a whole module: under a name of its own, beside what pickled it.

    The weights that ZenML writes beside it are in it, so they stay behind.
    """
    if "entire_model.pt" not in stored.values():
        return None
    whole = next(path for path, target in stored.items() if target == "entire_model.pt")
    said: dict[str, object] = {"model_data": "data", "pytorch_version": "unknown"}
    more = _pyfunc("pytorch", data="data", pickle_module_name="pickle")
    return _Found(
        "pytorch",
        {"pytorch": said, "python_function": more},
        {whole: "data/model.pth"},
        frozenset({path for path, target in stored.items() if target == "checkpoint.pt"}),
        (("data/pickle_module_info.txt", "pickle"),),
    )


def _xgboost(artifact: Artifact, stored: Mapping[str, str]) -> _Found | None:
    is_one = _is_of(artifact, "xgboost", "XgboostBoosterMaterializer")
    return _booster("xgboost", "xgboost.core.Booster", "model.json", stored) if is_one else None


def _lightgbm(artifact: Artifact, stored: Mapping[str, str]) -> _Found | None:
    is_one = _is_of(artifact, "lightgbm", "LightGBMBoosterMaterializer")
    return _booster("lightgbm", "lightgbm.basic.Booster", "model.txt", stored) if is_one else None


def _booster(flavor: str, model_class: str, name: str, stored: Mapping[str, str]) -> _Found | None:
    if name not in stored.values():
        return None
    said: dict[str, object] = {"data": name, "model_class": model_class}
    return _Found(flavor, {flavor: said, "python_function": _pyfunc(flavor, data=name)})


_RULES: tuple[Callable[[Artifact, Mapping[str, str]], _Found | None], ...] = (
    _own,
    _keras,
    _saved_model,
    _sklearn,
    _pytorch,
    _xgboost,
    _lightgbm,
)
