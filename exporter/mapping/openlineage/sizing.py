"""Making an event fit a catalog's limit: what says least about lineage goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exporter.mapping.openlineage.facets import Json

_FEWEST_FIELDS = 10
_NOTE_BYTES = 100  # what saying so adds
_PARAMETER_LENGTH = 200


def fitting(event: Json, limit: int, spell: Callable[[Json], bytes]) -> bytes:
    """Give the event's bytes within a limit, as far as leaving out can bring them.

    Order: statistics, figures of columns, the last columns of schemas, source code; then long
        values of parameters, and what the artifacts are besides their names. What was left out is
        named in `pipelineExporter_run`, where that facet is sent.
    Limits: an event that is too large even so is given as it is then.
    """
    body = spell(event)
    truncated: list[str] = []
    for what, leave_out in _STEPS:
        if len(body) <= limit:
            break
        if leave_out(event, len(body) - limit):
            truncated.append(what)
            _note(event, truncated)
            body = spell(event)
    return body


def _note(event: Json, truncated: list[str]) -> None:
    facets = event["run"]["facets"]
    if "pipelineExporter_run" in facets:
        said = {**facets["pipelineExporter_run"], "truncated": list(truncated)}
        event["run"]["facets"] = {**facets, "pipelineExporter_run": said}


def _facets(event: Json, key: str) -> Iterator[Json]:
    """Give the tables of facets of datasets in which there is a facet of that key."""
    for dataset in (*event["outputs"], *event["inputs"]):
        for holder in ("facets", "inputFacets"):
            if key in dataset.get(holder, {}):
                yield dataset[holder]


def _without_statistics(event: Json, _over: int) -> bool:
    holders = list(_facets(event, "pipelineExporter_statistics"))
    for facets in holders:
        del facets["pipelineExporter_statistics"]
    return bool(holders)


def _without_column_metrics(event: Json, _over: int) -> bool:
    holders = list(_facets(event, "dataQualityMetrics"))
    for facets in holders:
        facets["dataQualityMetrics"] = {**facets["dataQualityMetrics"], "columnMetrics": {}}
    return bool(holders)


def _without_schema_tails(event: Json, over: int) -> bool:
    """Cut the longest schemas first, each down to no fewer than ten columns."""
    cut = False
    over += _NOTE_BYTES
    holders = sorted(_facets(event, "schema"), key=_schema_size, reverse=True)
    for facets in holders:
        if over <= 0:
            break
        fields = [orjson.dumps(one) for one in orjson.loads(_fields(facets))]
        kept = len(fields)
        while over > 0 and kept > _FEWEST_FIELDS:
            kept -= 1
            over -= len(fields[kept]) + 1
            cut = True
        shown = orjson.Fragment(b"[%b]" % b",".join(fields[:kept]))
        facets["schema"] = {**facets["schema"], "fields": shown}
    return cut


def _schema_size(facets: Json) -> int:
    return len(_fields(facets))


def _fields(facets: Json) -> bytes:
    return orjson.dumps(facets["schema"]["fields"])


def _without_code(event: Json, _over: int) -> bool:
    facets = event["job"]["facets"]
    if "sourceCode" not in facets:
        return False
    kept = {key: facet for key, facet in facets.items() if key != "sourceCode"}
    event["job"] = {**event["job"], "facets": kept}
    return True


def _with_short_parameters(event: Json, _over: int) -> bool:
    facets = event["run"]["facets"]
    if "executionParameters" not in facets:
        return False
    listed = facets["executionParameters"]["parameters"]
    short = [{**one, "value": one["value"][:_PARAMETER_LENGTH]} for one in listed]
    if short == listed:
        return False
    changed = {**facets["executionParameters"], "parameters": short}
    event["run"]["facets"] = {**facets, "executionParameters": changed}
    return True


def _without_artifacts(event: Json, _over: int) -> bool:
    holders = [
        (facets, key)
        for key in ("pipelineExporter_artifact", "pipelineExporter_read", "pipelineExporter_model")
        for facets in _facets(event, key)
    ]
    for facets, key in holders:
        del facets[key]
    for dataset in event["inputs"]:
        if "inputFacets" in dataset and not dataset["inputFacets"]:
            del dataset["inputFacets"]
    return bool(holders)


_STEPS = (
    ("statistics", _without_statistics),
    ("columnMetrics", _without_column_metrics),
    ("schema", _without_schema_tails),
    ("sourceCode", _without_code),
    ("executionParameters", _with_short_parameters),
    ("artifacts", _without_artifacts),
)
