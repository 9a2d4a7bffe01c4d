"""Bad input: each gets one clear line and its exit code, and loses nothing."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import write_zenml_config
from support.here import Told
from support.openlineage_server import LineageServer, Reply
from support.zenml_stores import recorded_store

from exporter.ledger import migrate


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _missing(_: Path) -> None:
    pass


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _text(file: Path) -> None:
    file.write_text("dear diary, " * 50)


def _folder(file: Path) -> None:
    file.mkdir()


def _no_tables(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("DROP TABLE t")
    database.close()


def _schema(version: int) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        shutil.copyfile(recorded_store("zenml-0.5.7").database, file)
        with sqlite3.connect(file) as database:
            database.execute("UPDATE MLMDEnv SET schema_version = ?", (version,))
        database.close()

    return write


def _cut_short(file: Path) -> None:
    file.write_bytes(recorded_store("zenml-0.5.7").database.read_bytes()[:20_000])


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (_missing, 4, "There is no file"),
        (_empty, 2, "is an empty database"),
        (_text, 2, "is not a SQLite database"),
        (_folder, 2, "is a folder"),
        (_no_tables, 2, "is an empty database"),
        (_schema(5), 2, "older than this release reads"),
        (_schema(11), 2, "newer than this release reads"),
        (_cut_short, 2, "is damaged"),
    ],
    ids=["missing", "empty", "text", "folder", "no-tables", "too-old", "too-new", "damaged"],
)
def test_a_store_that_cannot_be_read_is_one_line(
    make: Callable[[Path], None], code: int, says: str, here: Path, told: Told
) -> None:
    store = here / "store.db"
    make(store)
    before = store.read_bytes() if store.is_file() else None
    write_zenml_config(here, source=f"mlmd+sqlite:///{store}")
    ended = told("run", "--json")
    assert ended.code == code, ended
    assert ended.err.count("\n") == 1
    assert says in ended.err
    assert ended.json["ok"] is False
    assert says in ended.json["errors"][0]["error"]
    assert (store.read_bytes() if store.is_file() else None) == before
    planned = told("plan", "--json")
    assert (planned.code, planned.json["ok"]) == (code, False)
    assert says in planned.json["errors"][0]["error"]


def test_of_several_stacks_one_broken_the_others_are_synced(here: Path, told: Told) -> None:
    file = write_zenml_config(here)
    more = f"  - {{key: broken, source: 'mlmd+sqlite:///{here}/gone.db'}}\nsinks:"
    file.write_text(file.read_text().replace("sinks:", more))
    ended = told("run", "--json")
    assert ended.code == 4
    assert ended.json["stacks"]["local_stack"]["units"]["written"] == 7
    assert ended.json["stacks"]["broken"]["errors"][0]["stack"] == "broken"
    assert "stack 'broken'" in ended.err


def test_an_mlflow_that_is_not_there_is_exit_4_and_holds_back_no_other_sink(
    here: Path, told: Told
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sinks = (
        f"{{mlflow: {{tracking_uri: 'http://127.0.0.1:{port}', token: open-sesame}},"
        " openlineage: [{name: events, url: events.jsonl}]}"
    )
    write_zenml_config(here, sinks=sinks)
    ended = told("run", "--json")
    assert ended.code == 4
    assert f"127.0.0.1:{port}" in ended.err
    assert "open-sesame" not in ended.err + ended.out
    assert ended.json["openlineage"]["delivered"] == 46
    assert ended.json["units"]["waiting"] == 7
    assert told("status", "--json").json["stacks"]["local_stack"]["sinks"]["mlflow"] == {
        "done": 0,
        "pending": 7,
    }


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("mlmd+sqlite", "mlmd+oracle", "write mlmd+<SQLAlchemy URL>"),
        ("mlmd+sqlite", "sqlite", "write mlmd+<SQLAlchemy URL>"),
        ("rewrite:", "rewrit:", "did you mean 'rewrite'"),
        ("repository: acme", "repository: ${NOT_SET}", "the environment has no NOT_SET"),
        ("repository: acme", "repository: {file: nowhere}", "cannot be read"),
        ("key: local_stack", 'key: ""', "at least one visible character"),
        ("stacks:", "stacks: [", "is not YAML"),
    ],
)
def test_a_mistake_in_the_configuration_is_told_with_its_place(
    old: str, new: str, says: str, here: Path, told: Told
) -> None:
    file = write_zenml_config(here)
    file.write_text(file.read_text().replace(old, new, 1))
    ended = told("run", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "ConfigError"), ended
    assert says in ended.err
    assert "exporter.yaml" in ended.err


@pytest.mark.parametrize("url", ["marquez:5000", "127.0.0.1:5000/api", "localhost:1"])
def test_a_server_without_its_scheme_is_not_taken_for_a_file(
    url: str, here: Path, told: Told
) -> None:
    write_zenml_config(here, sinks=f"{{openlineage: [{{name: events, url: '{url}'}}]}}")
    ended = told("run")
    assert ended.code == 2
    assert f"Write file:///… or http://{url}" in ended.err


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("exporter.yaml", "the configuration"),
        ("state.db", "state.url"),
        ("{store}", "the source of stack 'local_stack'"),
    ],
)
def test_events_are_not_written_into_what_is_something_else(
    url: str, what: str, here: Path, told: Told
) -> None:
    recorded = recorded_store("zenml-0.5.7")
    before = recorded.database.read_bytes()
    link = here / "link.jsonl"
    link.symlink_to(recorded.database)
    place = "link.jsonl" if url == "{store}" else url
    file = write_zenml_config(here, sinks=f"{{openlineage: [{{name: events, url: {place}}}]}}")
    file.write_text(file.read_text() + "state: {url: 'sqlite:///state.db'}\n")
    for verb in ("run", "doctor"):
        ended = told(verb)
        assert ended.code == 2
        assert f"sinks.openlineage[0].url: is the file of {what}" in ended.err + ended.out
    assert recorded.database.read_bytes() == before


def test_a_state_is_that_of_one_repository(here: Path, told: Told) -> None:
    sinks = "{openlineage: [{name: events, url: events.jsonl}]}"
    file = write_zenml_config(here, sinks=sinks)
    assert told("run").code == 0
    before = (here / "events.jsonl").read_bytes()
    file.write_text(file.read_text().replace("repository: acme", "repository: other", 1))
    verbs = ["run", "run --full --repair", "status", "dead list", "dead drop --all", "doctor"]
    for verb in verbs:
        ended = told(*verb.split())
        assert ended.code == 2, ended
        said = " ".join((ended.err + ended.out).split())
        assert "that of repository 'acme', and the configuration names 'other'" in said
        assert "Give the repository its name back" in said
    assert (here / "events.jsonl").read_bytes() == before
    file.write_text(file.read_text().replace("repository: other", "repository: acme", 1))
    assert told("run").code == 0


def test_artifacts_that_could_not_be_read_are_told_by_the_cycle_that_looked(
    here: Path, told: Told
) -> None:
    file = write_zenml_config(here, sinks="{openlineage: [{name: events, url: events.jsonl}]}")
    text = file.read_text()
    start, end = text.index("    artifacts:"), text.index("sinks:")
    file.write_text(text[:start] + text[end:])
    ended = told("run", "--json")
    assert ended.code == 0
    (note,) = ended.json["notes"]
    assert note["stack"] == "local_stack"
    assert "25 artifacts were not read" in note["note"]
    assert "artifacts.rewrite" in note["note"]


def test_a_flavour_that_does_not_exist_names_those_that_do(here: Path, told: Told) -> None:
    file = write_zenml_config(here)
    file.write_text(file.read_text().replace("  - key:", "  - flavour: zenml-0.4\n    key:"))
    ended = told("run", "--json")
    assert ended.code == 2
    assert "zenml-0.5" in ended.err


def test_artifacts_that_are_missing_corrupt_or_outside_complete_their_units(
    here: Path, told: Told
) -> None:
    recorded = recorded_store("zenml-0.5.7")
    store = recorded_store("zenml-0.5.7", here)
    shutil.copytree(recorded.folder, store.folder)
    importers = sorted(p for p in store.database.parent.glob("importer/*/*") if p.is_dir())
    shutil.rmtree(importers[0])
    (here / "exporter.yaml").write_text(
        f"repository: acme\n"
        f"stacks: [{{key: a, source: '{store.url}', artifacts: {{"
        f"rewrite: {{{store.recorded}/home: {store.folder}/home}}}}}}]\n"
        f"sinks: {{openlineage: [{{name: events, url: events.jsonl}}]}}\n"
    )
    shown = told("run", "--json").json
    assert (shown["ok"], shown["units"]["written"]) == (True, 7)
    assert (shown["artifacts"]["missing"], shown["artifacts"]["copied"]) == (1, 24)


def test_names_of_any_kind_come_through(here: Path, told: Told) -> None:
    store = here / "store.db"
    shutil.copyfile(recorded_store("zenml-0.5.7").database, store)
    odd = ["a'b\"c/d#e%f", "🎉 日本\u202e", "x" * 300, "esc\x1b[31mred\nline two"]
    with sqlite3.connect(store) as database:
        found = database.execute(
            "SELECT c.id FROM Context c JOIN Type t ON t.id = c.type_id"
            " WHERE t.name = 'pipeline' ORDER BY c.id"
        ).fetchall()
        for name, (context,) in zip(odd, found, strict=True):
            database.execute("UPDATE Context SET name = ? WHERE id = ?", (name, context))
    database.close()
    away = "{mlflow: {tracking_uri: 'http://127.0.0.1:9'}}"
    write_zenml_config(here, source=f"mlmd+sqlite:///{store}", sinks=away)
    shown = told("plan")
    assert shown.code == 0
    assert "🎉" in shown.out
    assert "\x1b[31m" not in shown.out
    write_zenml_config(here, source=f"mlmd+sqlite:///{store}")
    ended = told("run", "--json")
    assert (ended.code, ended.json["units"]["written"]) == (0, 7)
    events = [json.loads(line) for line in (here / "events.jsonl").read_text("utf-8").splitlines()]
    assert len(events) == 46


def test_events_a_catalog_refuses_are_dead_letters_that_can_be_retried_and_dropped(
    here: Path, told: Told, lineage_server: LineageServer
) -> None:
    body = b'{"message": "no\\nthanks, token open-sesame"}'
    lineage_server.answer = lambda event: (
        Reply(422, body) if event["job"]["name"].startswith("failing_pipeline") else Reply()
    )
    sinks = f"{{openlineage: [{{name: catalog, url: '{lineage_server.url}', token: open-sesame}}]}}"
    write_zenml_config(here, sinks=sinks)
    ended = told("run", "--json")
    assert (ended.code, ended.json["ok"]) == (1, False)
    refused = ended.json["openlineage"]["dead"]
    assert refused > 0

    listed = told("dead", "list", "--json")
    assert (listed.code, listed.json["ok"], len(listed.json["dead"])) == (1, False, refused)
    assert {"id", "stack", "sink", "pipeline", "run", "since", "error", "attempts"} <= set(
        listed.json["dead"][0]
    )
    shown = told("dead", "list")
    assert "open-sesame" not in shown.out + listed.out
    status = told("status", "--json")
    assert (status.code, status.json["dead_letters"]) == (1, refused)

    first = listed.json["dead"][0]["id"]
    assert told("dead", "drop", first, "--json").json == {"ok": True, "count": 1}
    unknown = told("dead", "drop", "999999", "--json")
    assert (unknown.code, unknown.json["error"]["kind"]) == (2, "ConfigError")
    assert told("dead", "retry").code == 2
    lineage_server.answer = lambda _event: Reply()
    assert told("dead", "retry", "--all", "--json").json == {"ok": True, "count": refused - 1}
    assert told("run").code == 0
    assert told("dead", "list", "--json").json == {"ok": True, "dead": []}


def test_events_that_a_catalog_puts_off_are_told_with_its_answer(
    here: Path, told: Told, lineage_server: LineageServer
) -> None:
    later = Reply(429, b"later, open-sesame", "text/plain", headers={"Retry-After": "3600"})
    lineage_server.answer = lambda event: (
        later if event["job"]["name"].startswith("failing_pipeline") else Reply()
    )
    sinks = f"{{openlineage: [{{name: catalog, url: '{lineage_server.url}', token: open-sesame}}]}}"
    write_zenml_config(here, sinks=sinks)
    ended = told("run", "--json")
    assert ended.code == 0
    (note,) = ended.json["notes"]
    assert note["sink"] == "openlineage/catalog"
    assert "events wait for their next try, after HTTP 429: later" in note["note"]
    status = told("status", "--json")
    assert status.json["openlineage"]["catalog"]["trouble"]["status"] == 429
    shown = told("status")
    assert "after HTTP 429: later" in shown.out
    assert "open-sesame" not in ended.out + ended.err + status.out + shown.out


def test_secrets_of_every_kind_stay_out_of_what_is_told(
    here: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ["p@ss word/1", "state-pass-2", "token-3-token"]
    monkeypatch.setenv("STORE_PASSWORD", "p%40ss%20word%2F1")
    (here / "token").write_text(secrets[2])
    (here / "exporter.yaml").write_text(
        "repository: acme\n"
        "stacks: [{key: a, source: 'mlmd+postgresql://u:${STORE_PASSWORD}@127.0.0.1:1/db'}]\n"
        "sinks: {mlflow: {tracking_uri: 'http://127.0.0.1:1', token: {file: token}}}\n"
        f"state: {{url: 'postgresql://u:{secrets[1]}@127.0.0.1:1/state'}}\n"
    )
    for words in (["doctor"], ["doctor", "--json"], ["run", "--json"], ["status"], ["plan"]):
        ended = told(*words)
        assert ended.code == 4, ended
        for secret in [*secrets, "p%40ss%20word%2F1"]:
            assert secret not in ended.out + ended.err, words


def test_an_older_ledger_is_refused_by_serve_and_brought_up_by_the_verb_for_it(
    here: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zenml_config(here)
    assert told("run").code == 0
    with sqlite3.connect(here / "exporter-state.db") as state:
        names = [row[0] for row in state.execute("SELECT name FROM sqlite_master")]
        version = next(name for name in names if "version" in name)
        head = state.execute(f"SELECT version_num FROM {version}").fetchone()[0]
        state.execute(f"UPDATE {version} SET version_num = 'an older one'")
    state.close()
    monkeypatch.setattr(migrate, "REVISIONS", ("an older one", head))
    for verb in ("serve", "status", "plan"):
        ended = told(verb)
        assert ended.code == 2
        assert "Run `pipeline-exporter state upgrade`" in ended.err
