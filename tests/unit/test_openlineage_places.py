"""Files, tables and topics have the names that all producers of OpenLineage give them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.naming import dataset as theirs
from support.lineage_samples import OWN_SCHEMAS, ROOT, failed_run, training_run
from support.strategies import odd_text

from exporter.errors import ConfigError
from exporter.hierarchy import Artifact, Parameter, Port
from exporter.mapping.openlineage import (
    CatalogProfile,
    LineageNaming,
    naming_from_yaml,
    run_events,
)
from exporter.mapping.openlineage.naming import clean_place
from exporter.mapping.openlineage.places import Place, Places, any_place
from exporter.mapping.openlineage.profile import ContentProfile
from exporter.sinks.openlineage import EventCheck

if TYPE_CHECKING:
    from exporter.hierarchy import RunSnapshot

NAMING = naming_from_yaml(yaml.safe_load((ROOT / "mappings" / "openlineage.yaml").read_text()))
PLACES = Places(NAMING.places)
KEEP = CatalogProfile("keep", first_digit="keep")
CHECK = EventCheck.of_folder(OWN_SCHEMAS)

Json = dict[str, Any]  # Any: a parsed event


@pytest.mark.parametrize(
    ("uri", "by_the_client"),
    [
        ("s3://lake/raw/iris.csv", theirs.S3("lake", "raw/iris.csv")),
        ("s3a://lake/raw/iris.csv", theirs.S3("lake", "raw/iris.csv")),
        ("s3n://lake/raw/", theirs.S3("lake", "raw")),
        ("gs://lake/raw/iris.csv", theirs.GCS("lake", "raw/iris.csv")),
        (
            "abfss://box@acct.dfs.core.windows.net/raw/x",
            theirs.ABFSS("box", "acct", "/raw/x"),
        ),
        (
            "wasbs://box@acct.dfs.core.windows.net/raw/x",
            theirs.WASBS("box", "acct", "raw/x"),
        ),
        ("hdfs://name:8020/raw/x", theirs.HDFS("name", "8020", "/raw/x")),
        ("dbfs://ws/raw/x", theirs.DBFS("ws", "/raw/x")),
        ("file:///srv/raw.csv", theirs.LocalFileSystem("/srv/raw.csv")),
        ("file:/srv/raw.csv", theirs.LocalFileSystem("/srv/raw.csv")),
        ("file://nas/srv/raw.csv", theirs.RemoteFileSystem("nas", "/srv/raw.csv")),
        ("bigquery:shop.sales.orders", theirs.BigQuery("shop", "sales", "orders")),
        ("bigquery://shop/sales/orders", theirs.BigQuery("shop", "sales", "orders")),
        ("bq://shop.sales.orders", theirs.BigQuery("shop", "sales", "orders")),
        (
            "postgres://h:5432/shop.sales.orders",
            theirs.Postgres("h", "5432", "shop", "sales", "orders"),
        ),
        (
            "postgresql+psycopg://me:pw@h/shop/sales/orders",
            theirs.Postgres("h", "5432", "shop", "sales", "orders"),
        ),
        ("postgresql://h/shop/orders", theirs.Postgres("h", "5432", "shop", "public", "orders")),
        (
            "jdbc:postgresql://h:6432/shop?currentSchema=sales&table=orders",
            theirs.Postgres("h", "6432", "shop", "sales", "orders"),
        ),
        (
            "postgresql://h/shop#sales.orders",
            theirs.Postgres("h", "5432", "shop", "sales", "orders"),
        ),
        (
            "postgresql://c1.abc123.eu-west-1.redshift.amazonaws.com:5439/shop/sales/orders",
            theirs.Redshift("c1", "eu-west-1", "5439", "shop", "sales", "orders"),
        ),
        (
            "redshift+psycopg2://c1.abc123.eu-west-1.redshift.amazonaws.com/shop.sales.orders",
            theirs.Redshift("c1", "eu-west-1", "5439", "shop", "sales", "orders"),
        ),
        ("mysql+pymysql://u:p@h/shop/orders", theirs.MySQL("h", "3306", "shop", "orders")),
        ("mysql://h:3307/shop?table=orders", theirs.MySQL("h", "3307", "shop", "orders")),
        (
            "snowflake://me:pw@org-acct/SHOP/SALES?table=ORDERS",
            theirs.Snowflake("org", "acct", "SHOP", "SALES", "ORDERS"),
        ),
        (
            "snowflake://org-acct.snowflakecomputing.com/SHOP.SALES.ORDERS",
            theirs.Snowflake("org", "acct", "SHOP", "SALES", "ORDERS"),
        ),
        (
            "azurekusto://c1.kusto.windows.net/shop/orders",
            theirs.AzureDataExplorer("c1", "shop", "orders"),
        ),
        ("azurecosmos://h/dbs/shop/colls/orders", theirs.AzureCosmosDB("h", "shop", "orders")),
        (
            "pubsub:topic:shop:orders",
            theirs.PubSubNaming(theirs.PubSubResourceType.TOPIC, "shop", "orders"),
        ),
        (
            "pubsub://projects/shop/topics/orders.v1",
            theirs.PubSubNaming(theirs.PubSubResourceType.TOPIC, "shop", "orders.v1"),
        ),
        (
            "pubsub://projects/shop/subscriptions/orders",
            theirs.PubSubNaming(theirs.PubSubResourceType.SUBSCRIPTION, "shop", "orders"),
        ),
        ("trino://h:8443/hive/sales/orders", theirs.Trino("h", "8443", "hive", "sales", "orders")),
        ("hive://h:10000/sales.orders", theirs.Hive("h", "10000", "sales", "orders")),
        ("sqlserver://h/sales/orders", theirs.AzureSynapse("h", "1433", "sales", "orders")),
        ("oracle://h/svc/sales/orders", theirs.Oracle("h", "1521", "svc", "sales", "orders")),
        ("teradata://h/shop/orders", theirs.Teradata("h", "1025", "shop", "orders")),
        ("cassandra://h/shop/orders", theirs.Cassandra("h", "9042", "shop", "orders")),
        ("crate://h/shop/sales/orders", theirs.CrateDB("h", "5432", "shop", "sales", "orders")),
        ("db2://h/shop/sales/orders", theirs.DB2("h", "50000", "shop", "sales", "orders")),
        ("oceanbase://h/shop/orders", theirs.OceanBase("h", "2881", "shop", "orders")),
        (
            "awsathena://athena.eu-west-1.amazonaws.com/sales/orders",
            theirs.Athena("eu-west-1", "AwsDataCatalog", "sales", "orders"),
        ),
        (
            "arn:aws:glue:eu-west-1:123456789012:table/sales/orders",
            theirs.AWSGlue("eu-west-1", "123456789012", "sales", "orders"),
        ),
        ("kafka://b1:9092/orders.v1", theirs.Kafka("b1", "9092", "orders.v1")),
        ("kafka://b1:9093,b2:9093/orders", theirs.Kafka("b1", "9093", "orders")),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_uri_has_the_name_that_the_public_client_gives(uri: str, by_the_client: Any) -> None:
    place = PLACES.named(uri)
    assert place is not None
    assert (place.namespace, place.name) == (
        by_the_client.get_namespace(),
        by_the_client.get_name(),
    )
    assert clean_place(place, ContentProfile()) == (place.namespace, place.name)


@pytest.mark.parametrize(
    ("host", "account"),
    [
        ("org-acct", "org-acct"),
        ("org-acct-eu.snowflakecomputing.com", "org-acct-eu"),
        ("xy12345", "xy12345.us-west-1.aws"),
        ("xy12345.eu-west-1", "xy12345.eu-west-1.aws"),
        ("xy12345.west-europe.azure", "xy12345.west-europe.azure"),
        ("xy12345.snowflakecomputing.com", "xy12345.us-west-1.aws"),
        ("xy12345.eu-west-1.snowflakecomputing.com", "xy12345.eu-west-1.aws"),
        ("xy12345.us-central1.gcp.snowflakecomputing.com", "xy12345.us-central1.gcp"),
    ],
)
def test_a_snowflake_account_is_named_as_dbt_and_airflow_report_it(host: str, account: str) -> None:
    # https://github.com/OpenLineage/OpenLineage, openlineage.common.provider.snowflake
    place = PLACES.named(f"snowflake://me:pw@{host}/SHOP/MARTS/ORDERS")
    assert place == Place(f"snowflake://{account}", "SHOP.MARTS.ORDERS", "TABLE")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("mssql+pyodbc://u:p@h/shop/sales/orders", "shop.sales.orders"),
        ("mssql://h:1433/shop?table=orders", "shop.dbo.orders"),
    ],
)
def test_a_table_of_sql_server_has_its_database(uri: str, name: str) -> None:
    # https://docs.cloud.google.com/dataplex/docs/openlineage-mapping
    assert PLACES.named(uri) == Place("mssql://h:1433", name, "TABLE")


def test_unity_catalog_is_named_as_the_specification_says() -> None:
    for uri in ("unitycatalog://ws.example/main.sales.orders", "uc://ws.example/main/sales/orders"):
        assert PLACES.named(uri) == Place("unitycatalog://ws.example", "main.sales.orders", "TABLE")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "orders",
        "/srv/raw.csv",
        "http://host/page",
        "postgresql://h/shop",
        "snowflake://org-acct/SHOP/SALES",
        "mysql://h",
        "mysql://h/a/b/c/d",
        "s3://lake",
        "s3://lake/",
        "kafka://b1:9092",
        "git@host:repo",
        "C:\\data\\x.csv",
        "s3://" + "x" * 5_000,
    ],
    ids=lambda uri: uri[:30] or "empty",
)
def test_what_names_no_dataset_is_none(uri: str) -> None:
    assert PLACES.named(uri) is None


@given(odd_text(), st.sampled_from(["s3", "file", "postgresql", "bigquery", "kafka", "zzz", ""]))
def test_no_text_breaks_a_rule(text: str, scheme: str) -> None:
    for uri in (
        text,
        f"{scheme}:{text}",
        f"{scheme}://{text}",
        f"{scheme}://h/{text}?{text}#{text}",
    ):
        for place in (PLACES.named(uri), any_place(uri)):
            if place is not None:
                namespace, name = clean_place(place, KEEP.content)
                assert 0 < len(name) <= 255
                assert 0 < len(namespace) <= 1024
                assert all(c.isascii() and (c.isalnum() or c in ":/_-.@+") for c in namespace)


@given(odd_text(), odd_text())
def test_different_places_never_share_a_name(one: str, other: str) -> None:
    for profile in (ContentProfile(), KEEP.content):
        first, second = (clean_place(Place("file", text), profile)[1] for text in (one, other))
        assert (first == second) == (one == other)


def test_a_first_digit_stays_where_the_catalog_takes_it() -> None:
    place = Place("s3://lake", "2026/orders.parquet")
    assert clean_place(place, KEEP.content)[1] == "2026/orders.parquet"
    assert clean_place(place, ContentProfile())[1].startswith("_2026/orders.parquet-")


def terminal(run: RunSnapshot, step: str, profile: Any = KEEP) -> Json:  # Any: a profile
    for event in run_events(run, NAMING, profile):
        CHECK.check(event.body)
        body: Json = json.loads(event.body)
        if body["job"]["name"].endswith(f".{step}") and event.event_type != "START":
            return body
    raise AssertionError(step)


def with_parameters(run: RunSnapshot, *parameters: Parameter) -> RunSnapshot:
    return replace(run, steps=(replace(run.steps[0], parameters=parameters), *run.steps[1:]))


def names(datasets: list[Json]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def test_parameters_name_what_a_step_reads_and_writes_outside() -> None:
    run = with_parameters(
        training_run(),
        Parameter("source", "postgresql://me:secret@db/shop/sales/orders"),
        Parameter(
            "options", {"raw": ["s3a://lake/raw/a.csv", "no place"], "output": "s3://lake/o"}
        ),
        Parameter("target_table", "bigquery:shop.sales.features"),
        Parameter("path", "/srv/plain/path"),
        Parameter("note", "see http://wiki/x"),
    )
    event = terminal(run, "importer")
    assert names(event["inputs"]) == [
        ("postgres://db:5432", "shop.sales.orders"),
        ("s3://lake", "raw/a.csv"),
    ]
    outside = [d for d in event["outputs"] if d["namespace"] in ("s3://lake", "bigquery")]
    assert names(outside) == [("s3://lake", "o"), ("bigquery", "shop.sales.features")]
    assert outside[1]["facets"]["datasetType"]["datasetType"] == "TABLE"
    assert "secret" not in json.dumps(event)
    read = event["inputs"][0]["inputFacets"]["pipelineExporter_read"]
    assert read["parameters"] == [
        {"key": "source", "value": "postgresql://me:***@db/shop/sales/orders"}
    ]


def test_a_database_and_a_table_in_two_parameters_are_one_dataset() -> None:
    run = with_parameters(
        training_run(),
        Parameter("db", "postgresql://db/shop"),
        Parameter("table", "sales.orders"),
    )
    assert names(terminal(run, "importer")["inputs"]) == [
        ("postgres://db:5432", "shop.sales.orders")
    ]


def test_the_paths_of_tfx_components_are_files() -> None:
    run = with_parameters(
        training_run(),
        Parameter("input_base", "/data/raw"),
        Parameter("push_destination", {"filesystem": {"base_directory": "/srv/models"}}),
    )
    event = terminal(run, "importer")
    assert names(event["inputs"]) == [("file", "/data/raw")]
    assert names(event["outputs"])[-1] == ("file", "/srv/models")


def test_a_failed_step_claims_its_outside_outputs_by_name_only_or_not_at_all() -> None:
    run = failed_run()
    trainer = replace(run.steps[2], parameters=(Parameter("export_to", "s3://lake/model"),))
    run = replace(run, steps=(*run.steps[:2], trainer))
    last = terminal(run, "trainer")["outputs"][-1]
    assert (last["namespace"], last["name"], last["facets"]) == ("s3://lake", "model", {})
    none = CatalogProfile("none", failed_outputs="none")
    assert terminal(run, "trainer", none)["outputs"] == []


def test_a_parameter_that_is_ignored_names_nothing() -> None:
    naming = replace(NAMING, parameters=replace(NAMING.parameters, ignored=("cache*",)))
    run = with_parameters(training_run(), Parameter("cache_dir", "s3://lake/cache"))
    for event in run_events(run, naming):
        assert b's3://lake"' not in event.body


# Datasets as other producers report them, written by the naming specification's own tables:
# https://openlineage.io/docs/spec/naming
DBT = {"namespace": "postgres://warehouse:5432", "name": "shop.marts.orders"}
SPARK = {"namespace": "s3://lake", "name": "features/orders"}
AIRFLOW = {"namespace": "bigquery", "name": "shop.ml.training_set"}
SNOWFLAKE_DBT = {"namespace": "snowflake://org-acct", "name": "SHOP.MARTS.ORDERS"}
SPARK_HDFS = {"namespace": "hdfs://name:8020", "name": "/warehouse/orders"}


@pytest.mark.parametrize(
    ("uri", "reported"),
    [
        ("postgresql://loader@warehouse/shop/marts/orders", DBT),
        ("s3a://lake/features/orders/", SPARK),
        ("bq://shop/ml/training_set", AIRFLOW),
        ("snowflake://u:p@org-acct/SHOP/MARTS?table=ORDERS&warehouse=w", SNOWFLAKE_DBT),
        ("hdfs://name:8020/warehouse/orders", SPARK_HDFS),
    ],
    ids=["dbt", "spark", "airflow", "dbt-snowflake", "spark-hdfs"],
)
def test_our_graph_joins_that_of_another_producer(uri: str, reported: Json) -> None:
    their_event = {
        "eventType": "COMPLETE",
        "job": {"namespace": "elsewhere", "name": "build"},
        "inputs": [],
        "outputs": [{**reported, "facets": {}}],
    }
    by_parameter = terminal(with_parameters(training_run(), Parameter("data", uri)), "importer")
    given_in = Artifact("77", "DataArtifact", uri)
    run = training_run()
    step = replace(run.steps[0], inputs=(Port("data", "77"),))
    by_artifact = terminal(
        replace(run, steps=(step, *run.steps[1:]), artifacts=(*run.artifacts, given_in)), "importer"
    )
    for ours in (by_parameter, by_artifact):
        assert names(ours["inputs"]) == names(their_event["outputs"])  # type: ignore[arg-type]  # JSON


def test_one_place_that_is_artifact_and_parameter_is_one_input() -> None:
    uri = "s3://lake/raw"
    run = with_parameters(training_run(), Parameter("data", uri))
    step = replace(run.steps[0], inputs=(Port("data", "77"),))
    artifact = Artifact("77", "DataArtifact", uri)
    event = terminal(
        replace(run, steps=(step, *run.steps[1:]), artifacts=(*run.artifacts, artifact)), "importer"
    )
    (one,) = event["inputs"]
    read = one["inputFacets"]["pipelineExporter_read"]
    assert (read["count"], len(read["parameters"])) == (1, 1)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"places": {}}, "not a list"),
        ({"places": ["x"]}, "Rule 1"),
        ({"places": [{"schemas": []}]}, "schemes"),
        ({"places": [{"schemes": "s3"}]}, "list of names"),
        ({"places": [{"schemes": ["s3"]}]}, "lacks"),
        ({"places": [{"schemes": ["s3"], "namespace": "a b", "name": "x"}]}, "refuse"),
        ({"places": [{"schemes": ["s3"], "namespace": "x", "name": "{table}"}]}, "table"),
        ({"places": [{"schemes": ["s3"], "namespace": "x", "name": "{path!r}"}]}, "path"),
        ({"places": [{"schemes": ["s3"], "namespace": "x", "name": "{"}]}, "template"),
        ({"places": [{"schemes": ["s3"], "namespace": "x", "name": "x", "type": "y"}]}, "type"),
        ({"places": [{"schemes": ["s3"], "namespace": 1, "name": "x"}]}, "text"),
        (
            {"places": [{"schemes": ["s3"], "namespace": "x", "name": "x", "defaults": [1]}]},
            "defaults",
        ),
        ({"places": [{"schemes": ["s3"], "namespace": "x", "name": "x", "host": "{a"}]}, "host"),
        (
            {"places": [{"schemes": ["s3"], "namespace": "x", "name": "x", "host": "{a}.{a}"}]},
            "twice",
        ),
        ({"facts": []}, "table"),
        ({"facts": {"comit": []}}, "commit"),
        ({"facts": {"commit": "git_sha"}}, "list of names"),
        ({"parameters": {"paths": [1]}}, "list of names"),
        ({"statistics": "yes"}, "true or false"),
        ({"source_code": "git@host"}, "source_code"),
    ],
    ids=range(20),
)
def test_a_wrong_rule_is_said(raw: Json, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        naming_from_yaml(raw)
    assert said in f"{caught.value} {caught.value.hint}"


def test_without_rules_a_file_or_object_still_has_its_place() -> None:
    assert LineageNaming().places == ()
    assert any_place("s3://bucket/raw/") == Place("s3://bucket", "raw")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://lake/part#1.csv", "part#1.csv"),
        ("gs://lake/day?x=1", "day?x=1"),
        ("abfss://box@acct.dfs.core.windows.net/a#b", "/a#b"),
        ("hdfs://name:8020/a?b#c", "/a?b#c"),
        ("file:///data/q?x=1", "/data/q?x=1"),
        ("oss://lake/part#1.csv", "part#1.csv"),
        ("s3://lake/raw.csv?versionId=3sL4kqtJ", "raw.csv"),
        ("gs://lake/raw.csv#1360887697105000", "raw.csv"),
        ("wasbs://box@acct.blob.core.windows.net/a?sv=2020&sig=abc", "a"),
        ("https://web.example/raw.csv?x=1#top", "raw.csv"),
        ("postgres://h/db?sslmode=require", "db"),
    ],
)
def test_what_names_an_object_is_in_its_name_and_no_query(uri: str, name: str) -> None:
    place = PLACES.named(uri) or any_place(uri)
    assert place is not None
    assert place.name == name


def test_a_rule_may_look_at_segments_of_the_path() -> None:
    rule = {"schemes": ["x"], "path": "{area}/*/{name}", "namespace": "x", "name": "{area}.{name}"}
    places = Places(naming_from_yaml({"places": [rule]}).places)
    assert places.named("x://h/a/b/c.d") == Place("x", "a.c.d")
    assert places.named("x://h/a/c") is None


@pytest.mark.parametrize("path", ["{a}/{a}", "{A}", "a b"])
def test_a_path_that_is_none_is_a_mistake_in_the_rule(path: str) -> None:
    rule = {"schemes": ["x"], "path": path, "namespace": "x", "name": "{path}"}
    with pytest.raises(ConfigError, match="Rule 1 of places"):
        naming_from_yaml({"places": [rule]})
