"""Logged models and the registry over MLflow's REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from exporter.sinks.mlflow.answers import AlreadyExists, MissingResource
from exporter.sinks.mlflow.models_api import FoundModel, FoundVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PAGE = 100
_MOST_VERSIONS = 1_000

JsonObject = dict[str, Any]  # Any: parsed JSON


class Ask(Protocol):
    """One request to the tracking API, `path` below `/api/2.0/mlflow/`."""

    def __call__(
        self, method: str, path: str, body: JsonObject | None = None, *, once: bool = False
    ) -> JsonObject:
        """Give the answer. Raises: as `TrackingApi`."""


class RestModels:
    """The logged models of a server. See `LoggedModelApi` for what each call promises."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def create(
        self,
        experiment_id: str,
        name: str,
        *,
        model_type: str,
        run_id: str,
        tags: Mapping[str, str],
        params: Sequence[tuple[str, str]],
    ) -> FoundModel:
        """Create a model; sent once, whatever happens."""
        body = {
            "experiment_id": experiment_id,
            "name": name,
            "model_type": model_type,
            "source_run_id": run_id,
            "tags": _pairs(tags.items()),
            "params": _pairs(params),
        }
        return _found_model(self._ask("POST", "logged-models", body, once=True)["model"])

    def log_params(self, model_id: str, params: Sequence[tuple[str, str]]) -> None:
        """Add parameters."""
        body = {"model_id": model_id, "params": _pairs(params)}
        self._ask("POST", f"{_model(model_id)}/params", body)

    def finish(self, model_id: str) -> None:
        """Make a model ready."""
        body = {"model_id": model_id, "status": "LOGGED_MODEL_READY"}
        self._ask("PATCH", _model(model_id), body)

    def link(self, run_id: str, model_id: str) -> None:
        """Make a model an output of a run; sent once."""
        body = {"run_id": run_id, "models": [{"model_id": model_id, "step": 0}]}
        self._ask("POST", "runs/outputs", body, once=True)

    def search(self, experiment_id: str, filter_text: str) -> Iterator[FoundModel]:
        """Give models, by pages."""
        body: JsonObject = {
            "experiment_ids": [experiment_id],
            "filter": filter_text,
            "max_results": _PAGE,
        }
        while True:
            page = self._ask("POST", "logged-models/search", body)
            yield from map(_found_model, page.get("models", []))
            if not page.get("next_page_token"):
                return
            body["page_token"] = page["next_page_token"]

    def get(self, model_id: str) -> FoundModel | None:
        """Give a model, deleted or not."""
        try:
            answer = self._ask("GET", f"{_model(model_id)}?allow_deleted=true")
        except MissingResource:
            return None
        return _found_model(answer["model"])

    def set_tags(self, model_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a model."""
        body = {"model_id": model_id, "tags": _pairs(tags.items())}
        self._ask("PATCH", f"{_model(model_id)}/tags", body)

    def delete(self, model_id: str) -> None:
        """Soft-delete a model."""
        try:
            self._ask("DELETE", _model(model_id), {"model_id": model_id})
        except MissingResource:
            return


class RestRegistry:
    """The registered models of a server. See `RegistryApi` for what each call promises."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def create(self, name: str) -> None:
        """Create a registered model."""
        try:
            self._ask("POST", "registered-models/create", {"name": name})
        except AlreadyExists:
            return

    def aliases(self, name: str) -> Mapping[str, str]:
        """Give alias → version of a registered model."""
        try:
            found = self._ask("GET", f"registered-models/get?{urlencode({'name': name})}")
        except MissingResource:
            return {}
        listed = found["registered_model"].get("aliases", [])
        return {item["alias"]: str(item["version"]) for item in listed}

    def versions(self, name: str, tag: str, value: str) -> Sequence[FoundVersion]:
        """Give the versions of a registered model that carry a tag."""
        query: JsonObject = {
            "filter": f"tags.`{tag}` = '{value}'",
            "max_results": _MOST_VERSIONS,
        }
        found: list[FoundVersion] = []
        while True:
            page = self._ask("GET", f"model-versions/search?{urlencode(query)}")
            found += map(_found_version, page.get("model_versions", []))
            if not page.get("next_page_token"):
                return [version for version in found if version.name == name]
            query["page_token"] = page["next_page_token"]

    def version(self, name: str, version: str) -> FoundVersion | None:
        """Give one version."""
        query = urlencode({"name": name, "version": version})
        try:
            return _found_version(self._ask("GET", f"model-versions/get?{query}")["model_version"])
        except MissingResource:
            return None

    def create_version(self, name: str, model: FoundModel, tags: Mapping[str, str]) -> FoundVersion:
        """Make a logged model a version; sent once."""
        body = {
            "name": name,
            "source": f"models:/{model.model_id}",
            "run_id": model.run_id,
            "model_id": model.model_id,
            "tags": _pairs(tags.items()),
        }
        answer = self._ask("POST", "model-versions/create", body, once=True)
        return _found_version(answer["model_version"])

    def delete_version(self, name: str, version: str) -> None:
        """Delete a version."""
        try:
            self._ask("DELETE", "model-versions/delete", {"name": name, "version": version})
        except MissingResource:
            return

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias point to a version."""
        body = {"name": name, "alias": alias, "version": version}
        self._ask("POST", "registered-models/alias", body)


def _model(model_id: str) -> str:
    return f"logged-models/{quote(model_id, safe='')}"


def _pairs(items: Any) -> list[dict[str, str]]:  # Any: any iterable of pairs
    return [{"key": key, "value": value} for key, value in items]


def _texts(items: Sequence[JsonObject]) -> dict[str, str]:
    return {item["key"]: item.get("value", "") for item in items}


def _found_model(value: JsonObject) -> FoundModel:
    info, data = value["info"], value.get("data", {})
    return FoundModel(
        model_id=info["model_id"],
        name=info.get("name", ""),
        status=str(info.get("status", "")).removeprefix("LOGGED_MODEL_"),
        run_id=info.get("source_run_id", ""),
        artifact_location=info.get("artifact_uri", ""),
        tags=_texts(info.get("tags", [])),
        params=_texts(data.get("params", [])),
        metrics=frozenset(metric["key"] for metric in data.get("metrics", [])),
    )


def _found_version(value: JsonObject) -> FoundVersion:
    return FoundVersion(
        value["name"],
        str(value["version"]),
        value.get("run_id", ""),
        _texts(value.get("tags", [])),
    )
