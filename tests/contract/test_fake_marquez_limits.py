"""What the stand-in catalog refuses, how, and what a bad name does to everybody's reads.

As seen on Marquez 0.51.1. None of this is tried on a real one: what is broken there stays broken
until somebody mends the database.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from support.catalog_answers import get, graph_of, post_raw, status_of
from support.lineage_catalogs import FACET, Teller

if TYPE_CHECKING:
    from fakes.marquez import FakeMarquez

Json = dict[str, Any]  # Any: parts of events

NS = "zenml://acme/local"
BAD = "zenml://a b"
LONG = "x" * 1025


@pytest.fixture
def teller(marquez: FakeMarquez) -> Teller:
    return Teller(marquez.url, NS)


def body_of(teller: Teller, kind: str | None = "COMPLETE", **more: Any) -> bytes:
    return json.dumps(teller.event(kind, "job", "r", 5, **more)).encode()


def linked(namespace: str, name: str) -> Json:
    identifier = {"namespace": namespace, "name": name, "type": "LOCATION"}
    return {"name": "d", "facets": {"symlinks": {**FACET, "identifiers": [identifier]}}}


# --- names that break reads ---------------------------------------------------------------------


def _in(side: str, namespace: str) -> Json:
    return {side: [{"namespace": namespace, "name": "d"}]}


_POISONS: dict[str, tuple[str, Json, set[int], int, int, int]] = {
    # event type, what it says, POST, GET /namespaces, GET /jobs, GET of the job
    "output on start": ("START", _in("outputs", BAD), {201}, 500, 500, 500),
    "output on end": ("COMPLETE", _in("outputs", BAD), {400, 500}, 500, 500, 500),
    "symlink": ("COMPLETE", {"outputs": [linked(BAD, "k")]}, {201}, 500, 200, 500),
    "symlink without name": ("COMPLETE", {"outputs": [linked("s3://b", "")]}, {201}, 200, 200, 500),
    "job without namespace": ("START", {"namespace": ""}, {400}, 500, 500, 404),
    "job of a long namespace": ("START", {"namespace": LONG}, {400}, 500, 500, 404),
    "output without namespace": ("START", _in("outputs", ""), {400}, 500, 500, 500),
    "output of a long namespace": ("START", _in("outputs", LONG), {400}, 500, 500, 500),
    "input": ("COMPLETE", _in("inputs", BAD), {400}, 200, 200, 200),
}


@pytest.mark.parametrize("which", _POISONS)
def test_a_bad_namespace_breaks_reads_for_everybody_and_no_good_event_heals_them(
    teller: Teller, which: str
) -> None:
    kind, said, statuses, *reads = _POISONS[which]
    teller.whole("other", "o", 1, outputs=["good"])
    paths = ["/namespaces", "/jobs", f"{teller.base}/jobs/job"]
    assert [status_of(teller.url, path) for path in paths] == [200, 200, 404]
    assert teller.tell(kind, "job", "r", 0, **said) in statuses
    assert [status_of(teller.url, path) for path in paths] == reads
    assert status_of(teller.url, f"{teller.base}/jobs/other") == 200
    if reads[2] == 500:
        assert status_of(teller.url, f"/jobs/runs/{teller.id('r')}") == 500
        node = quote(f"job:{NS}:job", safe="")
        assert status_of(teller.url, f"/lineage?nodeId={node}") == 500
    if "namespace" not in said:
        teller.whole("job", "r2", 2, outputs=["good"])
        assert [status_of(teller.url, path) for path in paths] == reads


def test_a_job_without_name_breaks_the_list_of_jobs(teller: Teller) -> None:
    assert teller.tell("START", "", "r") == 400
    assert [status_of(teller.url, path) for path in ("/namespaces", "/jobs")] == [200, 500]


def test_only_the_page_that_holds_a_broken_job_fails(teller: Teller) -> None:
    for number in range(3):
        teller.tell("START", f"a{number}", f"a{number}")
    teller.tell("START", "b", "b", outputs=[{"namespace": BAD, "name": "d"}])
    assert status_of(teller.url, "/jobs?limit=3") == 200
    assert status_of(teller.url, "/jobs?limit=3&offset=3") == 500


def test_a_jobs_namespace_is_rewritten(teller: Teller) -> None:
    assert teller.tell("START", "job", "r", namespace="zenml://a b;c=d") == 201
    assert get(teller.url, f"/namespaces/{quote('zenml://a_b_c_d', safe='')}/jobs/job")
    assert status_of(teller.url, "/namespaces") == 200


def test_semicolon_and_equals_in_an_output_are_stored_as_underscores(teller: Teller) -> None:
    teller.whole("job", "r", 1, outputs=[{"namespace": "s3://a;b=c", "name": "d"}])
    (made,) = teller.run("r")["outputDatasetVersions"]
    assert made["datasetVersionId"]["namespace"] == "s3://a_b_c"


def test_a_refused_input_leaves_the_run_and_the_event(teller: Teller, marquez: FakeMarquez) -> None:
    teller.tell("START", "job", "r", 0)
    assert teller.tell("COMPLETE", "job", "r", 5, inputs=[{"namespace": BAD, "name": "d"}]) == 400
    assert teller.run("r")["state"] == "COMPLETED"
    assert len(marquez.state.events) == 2


def test_an_event_with_nul_fails_and_leaves_the_run_ended_without_outputs(teller: Teller) -> None:
    teller.tell("START", "job", "r", 0)
    assert teller.tell("COMPLETE", "job", "r", 5, outputs=["d"], run_facets={"a": "\0"}) == 500
    run = teller.run("r")
    assert (run["state"], run["outputDatasetVersions"]) == ("COMPLETED", [])


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"eventTime": NaN}', b"[]", b"7", b'{"run": []}', b'{"eventTime": "yesterday"}'],
    ids=["broken", "NaN", "array", "number", "run is a list", "no time"],
)
def test_what_cannot_be_read_is_an_error_500_that_says_400(teller: Teller, body: bytes) -> None:
    status, answer = post_raw(teller.url, body)
    assert (status, json.loads(answer)["code"]) == (500, 400)


@pytest.mark.parametrize(
    "facets",
    [{"documentation": "text"}, {"documentation": {**FACET, "description": ["a"]}}],
    ids=["text", "list"],
)
def test_a_facet_of_the_wrong_shape_is_an_error_500_that_says_400(
    teller: Teller, facets: Json
) -> None:
    status, answer = post_raw(teller.url, body_of(teller, job_facets=facets))
    assert (status, json.loads(answer)["code"]) == (500, 400)


def test_an_array_of_events_is_refused(teller: Teller) -> None:
    status, _ = post_raw(teller.url, b"[" + body_of(teller) + b"]")
    assert status == 500
    assert status_of(teller.url, f"/jobs/runs/{teller.id('r')}") == 404


_KIND = {"processingType": "BATCH", "integration": "ZENML"}


@pytest.mark.parametrize(
    ("facets", "status"),
    [
        ({"jobType": {**FACET, **_KIND, "jobType": "STEP"}}, 201),
        ({"jobType": {**FACET, **_KIND}}, 422),
        ({"sql": {"query": "SELECT 1"}}, 422),
        ({"documentation": {"_producer": "p:", "description": "a"}}, 422),
        ({"custom": {"a": 1}}, 201),
    ],
    ids=["job type", "no job type", "no producer", "no schema", "custom"],
)
def test_facets_it_knows_are_validated(teller: Teller, facets: Json, status: int) -> None:
    found, answer = post_raw(teller.url, body_of(teller, job_facets=facets))
    assert found == status
    if status == 422:
        assert json.loads(answer)["errors"]


@pytest.mark.parametrize("key", ["eventTime", "run", "job"])
def test_what_every_event_needs_is_validated(teller: Teller, key: str) -> None:
    event = teller.event("START", "job", "r")
    del event[key]
    assert teller.send(event) == 422


def test_no_type_of_event_is_an_error_where_the_run_has_facets(teller: Teller) -> None:
    assert teller.tell(None, "job", "r", run_facets={"own": {}}) == 500
    assert teller.tell(None, "job", "r") == 201
    assert teller.run("r")["state"] == "NEW"


def test_other_content_is_refused_and_other_paths_are_not_there(teller: Teller) -> None:
    assert post_raw(teller.url, body_of(teller), "text/plain")[0] == 415
    assert post_raw(f"{teller.url}/elsewhere", body_of(teller))[0] == 404


def test_what_is_taken_has_an_empty_answer_and_what_fails_a_web_page(teller: Teller) -> None:
    assert post_raw(teller.url, body_of(teller)) == (201, b"")
    for more in ({"inputs": [{"namespace": BAD, "name": "d"}]}, {"run_facets": {"a": "\0"}}):
        status, answer = post_raw(teller.url, body_of(teller, **more))
        assert f"HTTP ERROR {status}".encode() in answer


def test_a_zipped_event_is_taken(teller: Teller) -> None:
    body = gzip.compress(body_of(teller))
    assert post_raw(teller.url, body, Content_Encoding="gzip") == (201, b"")
    assert teller.run("r")["state"] == "COMPLETED"


# --- limits -------------------------------------------------------------------------------------


def _output(name: str = "d", **facets: Json) -> Json:
    told = {key: {**FACET, **value} for key, value in facets.items()}
    return {"outputs": [{"name": name, "facets": told}]}


def _long(length: int) -> str:
    return ("0123456789abcdef" * 200)[:length]


def _columns(length: int) -> Json:
    return {"fields": [{"name": "c" * length}]}


def _place(uri: str) -> Json:
    return _output(dataSource={"name": "s", "uri": uri})


def _code(length: int) -> Json:
    url = "https://" + "u" * (length - 8)
    return {"job_facets": {"sourceCodeLocation": {**FACET, "type": "git", "url": url}}}


_LIMITS: dict[str, tuple[Json, int]] = {
    "column of 255": (_output(schema=_columns(255)), 201),
    "column of 256": (_output(schema=_columns(256)), 500),
    "url of 255": (_code(255), 201),
    "url of 256": (_code(256), 500),
    "key of 255": ({"run_facets": {"k" * 255: {}}}, 201),
    "key of 256": ({"inputs": [{"name": "i", "inputFacets": {"k" * 256: {}}}]}, 500),
    "dataset of 2,000": (_output(_long(2_000)), 201),
    "dataset of 3,000": (_output(_long(3_000)), 500),
    "source of 2,000": (_output(dataSource={"name": _long(2_000), "uri": ""}), 201),
    "source of 3,000": (_output(dataSource={"name": _long(3_000), "uri": ""}), 500),
    "absolute path": (_place("/abs"), 201),
    "encoded space": (_place("file:///a%20b"), 201),
    "umlaut": (_place("s3://b/ü"), 201),
    "no uri": (_place(""), 201),
    "space": (_place("file:///a b"), 500),
    "backslash": (_place("file:///a\\b"), 500),
    "bracket": (_place("s3://b/[0]"), 500),
    "brace": (_place("s3://b/{0}"), 500),
    "lone surrogate": ({"run_facets": {"own": {"a": "\ud800"}}}, 201),
    "integer of 80 bits": ({"run_facets": {"own": {"a": 2**80}}}, 201),
    "nested columns": (_output(schema={"fields": [{"name": "a", "fields": [{"name": "b"}]}]}), 201),
    "columns twice": (_output(schema={"fields": [{"name": "a"}, {"name": "a"}]}), 201),
    "long description": (
        {"job_facets": {"documentation": {**FACET, "description": "d" * 20_000}}},
        201,
    ),
}


@pytest.mark.parametrize("which", _LIMITS)
def test_limits_are_where_they_were_seen(teller: Teller, which: str) -> None:
    said, status = _LIMITS[which]
    assert teller.tell("COMPLETE", "job", "r", 5, **said) == status


@pytest.mark.parametrize(("length", "status"), [(256, 201), (2_000, 500)])
def test_a_jobs_name_has_a_limit(teller: Teller, length: int, status: int) -> None:
    assert teller.tell("COMPLETE", _long(length), "r") == status


def test_a_time_without_zone_is_utc_and_an_offset_is_turned_into_it(teller: Teller) -> None:
    teller.send({**teller.event("START", "job", "r"), "eventTime": "2026-03-01T08:00:00"})
    assert teller.run("r")["startedAt"] == "2026-03-01T08:00:00Z"
    told = "2026-03-01T10:00:00.000123+02:00"
    teller.send({**teller.event("START", "job", "r"), "eventTime": told})
    assert teller.run("r")["startedAt"] == "2026-03-01T08:00:00.000123Z"


def test_a_run_id_may_be_any_text(teller: Teller) -> None:
    event = teller.event("START", "job", "r")
    event["run"]["runId"] = "no uuid"
    assert teller.send(event) == 201


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "name", "status"),
    [
        (NS, "training_pipeline.trainer.model", 200),
        ("zenml://host:8080/default", "plain", 200),
        ("zenml://prod/2nd", "x", 200),
        ("file", "/abs/path", 200),
        ("s3://bucket", "/key", 200),
        ("bigquery", "p.d.t", 200),
        ("inmemory://", "x", 200),
        ("zenml-prod", "2026_data", 200),
        (NS, " a b", 200),
        (NS, "ü模型", 200),
        (NS, "a:1#b?c&d+e;f\\g\"h'", 200),
        (NS, "../up", 200),
        (NS, "n" * 300, 200),
        (NS, "2026_data", 500),
        (NS, "50%_sample", 500),
        ("http://h:8080", "9x", 500),
        (NS, "//share/x", 500),
        ("arn:aws:s3", "x", 404),
    ],
)
def test_a_node_can_be_asked_for_by_all_names_but_some(
    teller: Teller, namespace: str, name: str, status: int
) -> None:
    dataset = {"namespace": namespace, "name": name, "facets": {}}
    teller.whole("maker", "m", 1, outputs=[dataset])
    path = f"/namespaces/{quote(namespace, safe='')}/datasets/{quote(name, safe='')}"
    assert get(teller.url, path)["name"] == name
    assert len(get(teller.url, f"{path}/versions")["versions"]) == 1
    node = quote(f"dataset:{namespace}:{name}", safe="")
    assert status_of(teller.url, f"/lineage?nodeId={node}") == status
    # As somebody's neighbour every name works.
    assert len(graph_of(teller.url, "job", (NS, "maker"))) == 2
