"""Secrets in places and parameters never reach a catalog."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lineage_samples import training_run

from exporter.config import load_mapping
from exporter.hierarchy import Artifact, Parameter, Port, RunSnapshot, Value
from exporter.mapping.openlineage import naming_from_yaml, run_events
from exporter.mapping.openlineage.facets import parameter_text
from exporter.mapping.openlineage.secret_text import without_password, without_secrets

NAMING = naming_from_yaml(load_mapping("openlineage"))
WORD = "hunter2x"

HOLDING_A_SECRET = {
    "password": f"postgresql://me:{WORD}@h/shop/sales/orders",
    "password with a slash": f"postgresql://me:a/{WORD}@h/shop/sales/orders",
    "password with an at": f"snowflake://me:a@{WORD}@org-acct/A/B/C",
    "host alone": f"mongodb://me:{WORD}@h",
    "query": f"jdbc:postgresql://h/shop?user=me&password={WORD}&table=orders",
    "shared link": f"abfss://c@a.dfs.core.windows.net/x?sv=1&sig={WORD}",
    "signed link": f"s3://b/k?X-Amz-Security-Token={WORD}",
    "token": f"https://{WORD}@git.example/x/y",
    "connection string": f"Driver=x;Server=h;AccountKey={WORD};Database=d",
    "account key in front": f"AccountKey={WORD}==;EndpointSuffix=core.windows.net",
    "Oracle": f"jdbc:oracle:thin:scott/{WORD}@//db:1521/XE",
    "Oracle, a password with an at": f"jdbc:oracle:oci:scott/a@{WORD}@db:1521:XE",
    "password of a key": f"postgres://h/shop?sslpassword={WORD}",
    "keywords": f"host=h password={WORD} dbname=d",
}


def reading(uri: str) -> RunSnapshot:
    """Make a run that reads a place, as an artifact and as a parameter, and whose code is there."""
    run = training_run()
    step = replace(
        run.steps[0], inputs=(Port("data", "77"),), parameters=(Parameter("data", [uri]),)
    )
    return replace(
        run,
        facts=(*run.facts, Parameter("git_remote", uri)),
        steps=(step, *run.steps[1:]),
        artifacts=(*run.artifacts, Artifact("77", "DataArtifact", uri)),
    )


@pytest.mark.parametrize("uri", HOLDING_A_SECRET.values(), ids=HOLDING_A_SECRET)
def test_no_event_holds_a_secret_of_a_place(uri: str) -> None:
    events = run_events(reading(uri), NAMING)
    assert any(b"***" in event.body for event in events)
    assert all(WORD.encode() not in event.body for event in events)


@given(st.text("abc019/:%+-_.~!$", max_size=20) | st.text("abc019:@%+-_.~!$", max_size=20))
def test_no_password_of_any_spelling_is_shown(password: str) -> None:
    uri = f"postgresql://me:x{password}QQ@h/shop/sales/orders"
    assert all(b"QQ" not in event.body for event in run_events(reading(uri), NAMING))


@pytest.mark.parametrize(
    "text",
    [
        "hdfs://nn:8020/user/a@b/x",
        "kafka://b1:9093,b2:9093/topic@x",
        "postgresql://[::1]:5432/a@b",
        "abfss://box@acct.dfs.core.windows.net/x",
        "pad_token=<pad> sep_token=[SEP]",
        "s3://lake/day=1/x?design=1&partition_key=2",
        "learning_rate=0.1",
        "jdbc:oracle:thin:@//db:1521/XE",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_password(text) == text


def test_the_address_of_the_code_can_be_opened() -> None:
    run = reading("https://ci:hunter2x@git.example/acme/churn.git")
    body = run_events(run, NAMING)[0].body
    assert b'"url":"https://git.example/acme/churn.git"' in body


NESTED = {
    "value": {"db": [{"user": "me", "password": WORD}], "rate": 0.1},
    "text in a value": {"options": f'{{"password": "{WORD}"}}'},
    "connection string in a value": {"dsn": f"host=h password={WORD}"},
    "all below a name": {"credentials": {"user": "me", "x": [WORD, {"y": WORD}]}},
    "number": {"pwd": 4711_0815},
    "pairs": [{"name": "DB_PASSWORD", "value": WORD}, {"name": "RATE", "value": "0.1"}],
    "JSON": f'{{"db": {{"password": "{WORD}"}}, "rate": 0.1}}',
    "JSON with a quote": f'{{"password": "a\\"{WORD}"}}',
    "JSON in a list": f' [{{"credentials": {{"a": ["{WORD}"]}}}}]',
    "JSON in JSON": f'{{"a": "{{\\"password\\": \\"{WORD}\\"}}"}}',
    "JSON that is none": f'see {{"password": "{WORD}"}}',
    "JSON in text that is none": f'see {{\\"password\\": \\"{WORD}\\"}}',
    "Python": f"{{'password': '{WORD}', 'a': None}}",
    "Python, one in another": f"{{'a': \"{{'password': '{WORD}'}}\"}}",
    "YAML": f"rate: 0.1\ndb:\n  - password: {WORD}\n    user: me",
    "INI": f"[db]\npassword = {WORD}\n",
    "quoted": f"host=h password='{WORD} x' dbname=d",
    "braces": f"Server=h;Pwd={{{WORD};x}};Database=d",
    "command line": f"train --rate 0.1 --db-password {WORD} --epochs 3",
    "options": ["--rate=0.1", f"--api-key={WORD}"],
    "header": f"curl -H 'Authorization: Bearer {WORD}12'",
}


@pytest.mark.parametrize("value", NESTED.values(), ids=NESTED)
def test_no_event_holds_a_secret_that_is_named_inside_a_parameter(value: Value) -> None:
    run = training_run()
    step = replace(run.steps[0], parameters=(Parameter("options", value),))
    artifacts = tuple(
        replace(one, properties=(Parameter("options", value),)) for one in run.artifacts
    )
    shown = replace(
        run,
        steps=(step, *run.steps[1:]),
        artifacts=artifacts,
        facts=(*run.facts, Parameter("tags", value)),
    )
    events = run_events(shown, NAMING)
    assert any(b"***" in event.body for event in events)
    for word in (WORD, "47110815"):
        assert all(word.encode() not in event.body for event in events)


@pytest.mark.parametrize(
    "text",
    [
        '{"max_tokens": 5,"pad_token":"<pad>"}',
        '[1.0e5, {"tokenizer": "x", "primary_key": "id"}]',
        "{'key': 'a', 'tokens': ['b']}",
        "rate: 0.1\nnote: no token here",
        "--max-tokens 5 --tokenizer gpt2",
        "the bearer of news",
        "a = b and c == d",
        "[",
    ],
)
def test_a_parameter_without_a_secret_keeps_its_spelling(text: str) -> None:
    assert parameter_text(Parameter("options", text)) == text


def test_json_that_is_too_deep_to_be_read_is_still_masked() -> None:
    text = f'{"[" * 100_000}{{"password": "{WORD}"}}'
    assert WORD not in without_secrets(text)


@given(st.text("ab=:?&;{}[]\"'\\ \n-password", max_size=300))
def test_any_text_can_be_looked_through(text: str) -> None:
    assert isinstance(without_secrets(text), str)


@pytest.mark.parametrize("piece", ["a", "a=", '"a": ', "'a", '\\"', "--a ", "password=", "{", "x "])
def test_a_large_text_takes_no_time(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    began = time.process_time()
    without_secrets(text)
    assert time.process_time() - began < 5
