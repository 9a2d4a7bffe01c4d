"""Secrets in places and parameters never reach a catalog."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lineage_samples import training_run

from exporter.config import load_mapping
from exporter.hierarchy import Artifact, Parameter, Port, RunSnapshot
from exporter.mapping.openlineage import naming_from_yaml, run_events
from exporter.mapping.openlineage.text import without_password

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
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_password(text) == text


def test_the_address_of_the_code_can_be_opened() -> None:
    run = reading("https://ci:hunter2x@git.example/acme/churn.git")
    body = run_events(run, NAMING)[0].body
    assert b'"url":"https://git.example/acme/churn.git"' in body
