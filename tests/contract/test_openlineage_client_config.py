"""What a user has configured for openlineage-python is found as the client finds it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openlineage.client import OpenLineageClient
from openlineage.client.transport import TransportFactory
from support.client_transports import RECORDING
from support.command import Ended, run_command, write_zenml_config
from support.here import Told
from support.lineage_outbox import run_named
from support.openlineage_server import LineageServer

from exporter.config import OpenLineageSettings, settings_from
from exporter.config.masking import tree_secrets
from exporter.errors import ConfigError, SinkUnavailable
from exporter.mapping.openlineage import LineageNaming, run_events
from exporter.sinks.openlineage.client_config import ClientConfig, client_config
from exporter.sinks.openlineage.client_senders import StandIn
from exporter.sinks.openlineage.client_transport import open_transport

Json = dict[str, Any]  # Any: parsed YAML and JSON


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder and from an empty home, without OpenLineage's variables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.startswith("OPENLINEAGE"):
            monkeypatch.delenv(name)
    return tmp_path


def wanted(config: str = "auto", **values: object) -> OpenLineageSettings:
    return OpenLineageSettings.model_validate(
        {"name": "theirs", "openlineage_config": config, **values}
    )


def found(variables: Mapping[str, str] | None = None, config: str = "auto") -> ClientConfig:
    return client_config(wanted(config), variables or {})


def write(path: Path, tree: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


# Found as the client finds it


class _Taking(TransportFactory):
    """Takes what the client would make a transport of."""

    def __init__(self) -> None:
        self.taken: Json = {}

    def create(self, config: Json | None = None) -> Any:
        self.taken = dict(config or {})
        return _Nothing()


class _Nothing:
    kind = "noop"


def by_the_client(variables: Mapping[str, str]) -> Json:
    """Give the configuration that the client itself would hand to its factory."""
    factory = _Taking()
    with patch.dict(os.environ, variables):
        OpenLineageClient(factory=factory)
    return factory.taken


_KINDS = st.sampled_from(["kafka", "http", "async_http", "composite", "console"])
_YAML = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"type": _KINDS},
        optional={
            "url": st.just("http://yaml"),
            "config": st.dictionaries(st.sampled_from(["a", "b"]), st.integers()),
            "transports": st.just({"mine": {"type": "console"}}),
            "continue_on_failure": st.booleans(),
        },
    ),
)
_VARIABLES = st.fixed_dictionaries(
    {},
    optional={
        "OPENLINEAGE_URL": st.just("http://url"),
        "OPENLINEAGE_API_KEY": st.just("open-sesame"),
        "OPENLINEAGE_ENDPOINT": st.just("in/here"),
        "OPENLINEAGE__TRANSPORT__TYPE": _KINDS,
        "OPENLINEAGE__TRANSPORT__URL": st.just("http://env"),
        "OPENLINEAGE__TRANSPORT__CONFIG__C": st.sampled_from(["1", "true", "text", '{"d": [2]}']),
        "OPENLINEAGE__TRANSPORT__CONFIG": st.just('{"b": 7}'),
        "OPENLINEAGE__TRANSPORT__TRANSPORTS__OTHER__TYPE": st.just("noop"),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(tree=_YAML, variables=_VARIABLES)
def test_files_and_variables_are_read_as_the_client_reads_them(
    tree: Json | None, variables: dict[str, str]
) -> None:
    file = Path("openlineage.yml")
    file.unlink(missing_ok=True)
    if tree is not None:
        write(file, {"transport": tree})
    theirs = by_the_client(variables)
    if theirs:
        assert found(variables).transport == theirs


def test_the_places_of_the_file_are_the_clients(here: Path) -> None:
    home = write(here / "home/.openlineage/openlineage.yml", {"transport": {"type": "noop"}})
    assert found() == ClientConfig({"type": "noop"}, str(home))
    local = write(here / "openlineage.yml", {"transport": {"type": "console"}})
    assert found() == ClientConfig({"type": "console"}, str(local))
    named = write(here / "named.yml", {"transport": {"type": "kafka"}})
    assert found({"OPENLINEAGE_CONFIG": str(named)}) == ClientConfig({"type": "kafka"}, str(named))
    assert found({"OPENLINEAGE_CONFIG": "gone.yml"}).transport == {"type": "console"}
    assert found(config=str(named)).transport == {"type": "kafka"}


def test_no_variable_is_written() -> None:
    before = dict(os.environ)
    variables = {"OPENLINEAGE_URL": "http://url", "OPENLINEAGE_API_KEY": "open-sesame"}
    assert found(variables).transport == {
        "type": "http",
        "url": "http://url",
        "auth": {"type": "api_key", "apiKey": "open-sesame"},
    }
    assert (dict(os.environ), len(variables)) == (before, 2)


def test_what_the_settings_write_out_is_taken_as_it_is(here: Path) -> None:
    write(here / "openlineage.yml", {"transport": {"type": "console", "more": 1}})
    transport = {"type": "kafka", "topic": "lineage", "config": {"a.b": "c"}}
    values = {"name": "mine", "transport": transport}
    config = client_config(OpenLineageSettings.model_validate(values), {"OPENLINEAGE_URL": "x"})
    assert config.transport == transport


# What is wrong


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, "No transport is configured"),
        ({"transport": "kafka"}, "is no section"),
        ({"transport": {}}, "No transport is configured"),
        ([1], "no YAML mapping"),
        ("a: [", "is not YAML"),
    ],
    ids=["empty", "text", "no type", "a list", "broken"],
)
def test_a_file_that_names_no_transport_is_an_error(here: Path, tree: object, said: str) -> None:
    if isinstance(tree, str):
        (here / "openlineage.yml").write_text(tree)
    else:
        write(here / "openlineage.yml", tree)
    with pytest.raises(ConfigError) as caught:
        found()
    assert said in caught.value.message


def test_nothing_at_all_is_an_error_and_not_a_console() -> None:
    with pytest.raises(ConfigError) as caught:
        found()
    assert "No openlineage.yml was found" in caught.value.message


def test_a_named_file_that_is_not_there_is_an_error(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file .*gone\.yml"):
        found(config=str(here / "gone.yml"))


def test_variables_that_contradict_each_other_are_an_error() -> None:
    variables = {
        "OPENLINEAGE__TRANSPORT__CONFIG__A__B": "1",
        "OPENLINEAGE__TRANSPORT__CONFIG__A": "2",
    }
    theirs = {"OPENLINEAGE__TRANSPORT__TYPE": "kafka", **variables}
    assert found(theirs).transport["config"] == {"a": 2}
    with pytest.raises(ConfigError, match="another OPENLINEAGE__ variable"):
        found({"OPENLINEAGE__TRANSPORT__x": "1", "OPENLINEAGE__TRANSPORT__X__Y": "1"})


@pytest.mark.parametrize("value", ["true", " TRUE "])
def test_switched_off_events_wait(value: str) -> None:
    with pytest.raises(SinkUnavailable, match="switched off by OPENLINEAGE_DISABLED"):
        found({"OPENLINEAGE_DISABLED": value, "OPENLINEAGE_URL": "http://url"})


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ({"name": "a"}, "no way there is named"),
        ({"name": "a", "url": "http://x", "transport": {"type": "kafka"}}, "exclude each other"),
        ({"name": "a", "transport": {"topic": "x"}}, "needs its `type`"),
        ({"name": "a", "transport": "kafka"}, "is a section"),
        ({"name": "a", "transport": {"type": "kafka"}, "token": "open-sesame"}, "token belongs to"),
        ({"name": "a", "openlineage_config": ""}, "write `auto`"),
        ({"name": "a", "url": "http://x", "catalog": "marqez"}, "did you mean 'marquez'"),
    ],
    ids=["none", "two", "no type", "text", "token", "empty", "catalog"],
)
def test_settings_that_cannot_be_are_told(destination: Json, said: str) -> None:
    stacks = [{"key": "k", "source": "mlmd+sqlite:///store.db"}]
    values = {"repository": "r", "stacks": stacks, "sinks": {"openlineage": [destination]}}
    with pytest.raises(ConfigError) as caught:
        settings_from(values)
    assert said in caught.value.message
    assert "open-sesame" not in caught.value.message


# Secrets


_KAFKA = {
    "type": "kafka",
    "topic": "lineage",
    "config": {
        "bootstrap.servers": "kafka:9092",
        "sasl.username": "exporter",
        "sasl.password": "open-sesame",
        "ssl.key.pem": "-----KEY",
        "ssl.ca.location": "/etc/ca.pem",
    },
    "custom_headers": {"X-Any": "header-value"},
    "auth": {"apiKey": "the-api-key", "tokenEndpoint": "https://user:in-the-url@host/token"},
    "messageKey": "key-of-messages",
}


def test_the_secrets_of_a_transport_are_known_by_the_names_of_its_settings() -> None:
    assert set(tree_secrets(_KAFKA)) == {
        "open-sesame",
        "-----KEY",
        "header-value",
        "the-api-key",
        "in-the-url",
        base64.b64encode(b"user:in-the-url").decode(),
    }


def test_the_secrets_of_a_transport_are_never_shown() -> None:
    stacks = [{"key": "k", "source": "mlmd+sqlite:///store.db"}]
    sinks = {"openlineage": [{"name": "topic", "transport": _KAFKA}]}
    settings = settings_from({"repository": "r", "stacks": stacks, "sinks": sinks})
    shown = repr(settings) + settings.model_dump_json()
    for secret in tree_secrets(_KAFKA):
        assert secret not in shown
        assert secret in settings.secrets()
    assert "kafka:9092" in settings.model_dump_json()


def test_a_secret_of_a_transport_may_come_from_a_file_or_a_variable(here: Path) -> None:
    (here / "password").write_text("open-sesame\n")
    config = {"sasl.password": {"file": "password"}, "sasl.username": "${KAFKA_USER}"}
    transport = {"type": "kafka", "topic": "lineage", "config": config}
    stacks = [{"key": "k", "source": "mlmd+sqlite:///store.db"}]
    sinks = {"openlineage": [{"name": "topic", "transport": transport}]}
    values = {"repository": "r", "stacks": stacks, "sinks": sinks}
    read = settings_from(values, environ={"KAFKA_USER": "exporter"})
    (destination,) = read.sinks.openlineage
    assert destination.transport is not None
    assert destination.transport["config"] == {
        "sasl.password": "open-sesame",
        "sasl.username": "exporter",
    }


# Filters


def events(name: str = "r1") -> Iterator[StandIn]:
    for seq, event in enumerate(run_events(run_named(name), LineageNaming())):
        yield StandIn(seq, "a", event.body)


def test_jobs_that_a_filter_leaves_out_are_not_sent(here: Path) -> None:
    filters = [
        {"type": "exact", "match": "train_pipeline"},
        {"type": "regex", "regex": r".*\.imp"},
    ]
    transport = {"type": RECORDING, "path": str(here / "out")}
    write(here / "openlineage.yml", {"transport": transport, "filters": filters})
    destination = open_transport(wanted())
    outcomes = list(destination.send(list(events()), halted=lambda: False))
    assert {outcome.action for outcome in outcomes} == {"ack"}
    assert len(outcomes) == 6
    sent = [json.loads(line)["job"]["name"] for line in (here / "out").read_text().splitlines()]
    assert sent == ["train_pipeline.trainer"] * 2


@pytest.mark.parametrize(
    "filters", [[{"type": "regex", "regex": "("}], [{"match": "x"}]], ids=["regex", "no type"]
)
def test_a_filter_that_is_none_is_an_error(here: Path, filters: list[Json]) -> None:
    write(here / "openlineage.yml", {"transport": {"type": "noop"}, "filters": filters})
    with pytest.raises(ConfigError, match="A filter"):
        open_transport(wanted())


# Through the command


_SINKS = "{openlineage: [{name: theirs, openlineage_config: auto}]}"


def test_the_command_sends_where_openlineage_yml_says(
    here: Path, lineage_server: LineageServer
) -> None:
    http = {"type": "http", "url": lineage_server.url, "auth": {"type": "api_key"}}
    write(here / "openlineage.yml", {"transport": http})
    write_zenml_config(here, sinks=_SINKS)
    key = {"OPENLINEAGE__TRANSPORT__AUTH__APIKEY": "open-sesame"}
    ended = run_command("run", "--json", cwd=here, env=key)
    assert ended.code == 0, ended
    assert len(lineage_server.seen) == ended.json["openlineage"]["delivered"] == 46
    assert {s.headers["Authorization"] for s in lineage_server.seen} == {"Bearer open-sesame"}


@pytest.mark.parametrize("way", ["openlineage_config", "url"])
def test_the_command_keeps_events_while_openlineage_is_switched_off(
    here: Path, lineage_server: LineageServer, way: str
) -> None:
    by_url = f'{{openlineage: [{{name: events, url: "{lineage_server.url}"}}]}}'
    write_zenml_config(here, sinks=by_url if way == "url" else _SINKS)
    variables = {"OPENLINEAGE_URL": lineage_server.url, "OPENLINEAGE_DISABLED": "true"}
    ended = run_command("run", "--json", cwd=here, env=variables)
    assert (ended.code, ended.json["openlineage"]["pending"]) == (4, 46)
    variables.pop("OPENLINEAGE_DISABLED")
    ended = run_command("run", "--json", cwd=here, env=variables)
    assert (ended.code, ended.json["openlineage"]["pending"]) == (0, 0)
    assert len(lineage_server.seen) == 46


def doctor(told: Told, here: Path, sinks: str, *, code: int) -> list[Json]:
    write_zenml_config(here, sinks=sinks)
    ended: Ended = told("doctor", "--json")
    assert ended.code == code, ended.out
    return [check for check in ended.json["checks"] if check["part"].startswith("openlineage ")]


def test_doctor_asks_where_openlineage_yml_leads(
    here: Path, told: Told, lineage_server: LineageServer
) -> None:
    tree = {"transport": {"type": "http", "url": lineage_server.url}, "tags": {"job": {"a": "b"}}}
    write(here / "openlineage.yml", tree)
    fine, warning = doctor(told, here, _SINKS, code=0)
    assert f"{lineage_server.url}/api/v1/lineage takes events" in fine["message"]
    assert "`tags`" in warning["message"]
    assert lineage_server.seen == []


def test_doctor_tells_a_topic_and_a_broker_that_is_not_there(here: Path, told: Told) -> None:
    pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    kafka = "{type: kafka, topic: lineage, config: {bootstrap.servers: '127.0.0.1:1'}}"
    sinks = f"{{openlineage: [{{name: topic, transport: {kafka}, timeout: 1s}}]}}"
    (problem,) = doctor(told, here, sinks, code=4)
    assert "Kafka topic 'lineage'" in problem["message"]


def test_doctor_tells_what_is_at_a_broker(
    here: Path, told: Told, request: pytest.FixtureRequest
) -> None:
    broker = request.getfixturevalue("kafka_broker")
    kafka = f"{{type: kafka, topic: lineage, config: {{bootstrap.servers: '{broker.address}'}}}}"
    sinks = f"{{openlineage: [{{name: topic, catalog: kafka, transport: {kafka}}}]}}"
    (fine,) = doctor(told, here, sinks, code=0)
    assert "1 broker; the topic 'lineage' is not there yet" in fine["message"]
    assert run_command("run", cwd=here).code == 0
    (fine,) = doctor(told, here, sinks, code=0)
    assert "1 broker, topic 'lineage'" in fine["message"]


@pytest.mark.parametrize("verb", ["doctor", "run"])
def test_a_catalog_that_a_url_does_not_reach_is_a_mistake(
    verb: str, here: Path, told: Told
) -> None:
    sinks = "{openlineage: [{name: topic, catalog: kafka, url: 'http://127.0.0.1:1'}]}"
    write_zenml_config(here, sinks=sinks)
    ended = told(verb)
    assert ended.code == 2
    assert "sinks.openlineage[0].catalog: is not reached by a url" in ended.err + ended.out
