"""Which software wrote a run: decided per run, since one store may hold several.

Source: the context types and property names in ZenML 0.5 to 0.23 (zenml-io/zenml), TFX
(`tfx/dsl`) and Kubeflow Pipelines (`backend/src/v2/metadata`, `backend/metadata_writer`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.sources.mlmd.page import Page, Unit

ZENML_05, ZENML_06, ZENML_20 = "zenml-0.5", "zenml-0.6", "zenml-0.20"
TFX, OLD_TFX, KFP_1, KFP_2 = "tfx", "tfx-0", "kfp-v1", "kfp-v2"

# run context types of software whose runs are named but not read
FOREIGN_RUN_TYPES = {"system.PipelineRun": KFP_2, "KfpRun": KFP_1, "run": OLD_TFX}
FOREIGN_PIPELINE_TYPES = frozenset({"system.Pipeline"})
OLD_TFX_WITNESS = "component_run"

_MATERIALIZER = frozenset({"materializer", "materializers"})
_EARLY_CONTEXTS = frozenset({"stack", "pipeline_requirements"})
_PIN = "@zenml_"


def flavour_of(page: Page, unit: Unit, store: str) -> str:
    """Name a run's flavour; `store` is what the store looks like, for runs that show nothing."""
    names = page.names
    foreign = FOREIGN_RUN_TYPES.get(names.type_name(page.contexts[unit.run].type_id))
    if foreign is not None:
        return foreign
    members = page.members(unit)
    beside = {c for i in members for c in page.beside.get(i, ())} if page.beside else set()
    kinds = {names.type_name(page.contexts[c].type_id) for c in beside}
    if "zenml" in kinds:
        return ZENML_20 if _has_step_configuration(page, beside) else ZENML_06
    if kinds & _EARLY_CONTEXTS:
        return ZENML_06
    if (
        _has_zenml_property(page, members)
        or _has_materializer(page, members)
        or any(name.startswith("zenml.") for name in _types(page, members))
    ):
        return ZENML_06 if _is_pinned_later(page, members) else ZENML_05
    if any(name.startswith("tfx.") for name in _types(page, members)):
        return TFX
    return TFX if any(page.events.get(i) for i in members) else store


def flavour_of_store(type_names: Iterable[str], property_names: Iterable[str]) -> str:
    """Name what most of a store looks like, by its types alone."""
    types = set(type_names)
    if "zenml" in types or types & _EARLY_CONTEXTS:
        return ZENML_06
    if any(name.startswith("zenml.") for name in types) or _MATERIALIZER & set(property_names):
        return ZENML_05
    return TFX


def _has_step_configuration(page: Page, contexts: Iterable[int]) -> bool:
    return any(
        row[1] == "step_configuration"
        for c in contexts
        if page.names.type_name(page.contexts[c].type_id) == "zenml"
        for row in page.context_properties.get(c, ())
    )


def _types(page: Page, members: Iterable[int]) -> set[str]:
    return {page.names.type_name(page.executions[i][1]) for i in members if i in page.executions}


def _has_zenml_property(page: Page, members: Iterable[int]) -> bool:
    return any(
        row[2] and row[1].startswith("zenml-")
        for i in members
        for row in page.execution_properties.get(i, ())
    )


def _has_materializer(page: Page, members: Iterable[int]) -> bool:
    return any(
        row[1] in _MATERIALIZER
        for i in members
        for _, artifact, _ in page.events.get(i, ())
        for row in page.artifact_properties.get(artifact, ())
    )


def _is_pinned_later(page: Page, members: Iterable[int]) -> bool:
    """Tell whether an artifact the run itself wrote is pinned to a ZenML after 0.5."""
    if page.later_pins is None:
        page.later_pins = {
            artifact
            for artifact, rows in page.artifact_properties.items()
            for row in rows
            if row[1] == "materializer" and row[5] and _later(row[5])
        }
    if not page.later_pins:
        return False
    own = set(members)
    return any(
        artifact in page.later_pins and page.producers.get(artifact) in own
        for i in own
        for _, artifact, _ in page.events.get(i, ())
    )


def _later(materializer: str) -> bool:
    _, mark, version = materializer.rpartition(_PIN)
    return bool(mark) and not version.startswith("0.5.")
