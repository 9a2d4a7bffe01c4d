"""Sinks that are down, wrong, emptied or new: nothing is lost, and all of them converge."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from support.command import run_command, running_command, wait_until
from support.generator import GeneratedStore
from support.mlflow_emptied import forget_everything
from support.mlflow_faults import Reply as Scripted
from support.mlflow_faults import error_reply, scripted_server, try_again_at_once
from support.mlflow_server import empty_database, free_port, running_mlflow

from exporter.errors import SinkTransient, SinkUnavailable
from exporter.sinks.mlflow import MlflowSink
from exporter.sinks.mlflow.rest import RestApi
from exporter.sinks.mlflow.writer import UnitWriter
from exporter.sync.mlflow_export import mlflow_sink_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.sync_site import Site

    from exporter.mapping.mlflow import UnitPlan
    from exporter.sinks.mlflow import Applied


class OwnMlflow:
    """A server that a test may stop, start again and empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._running = ExitStack()
        self.url = f"http://127.0.0.1:{self._port}"
        self.database = folder / "mlflow.db"

    def start(self) -> None:
        """Start the server, with what it held."""
        self._running.enter_context(running_mlflow(self._folder, port=self._port))

    def stop(self) -> None:
        """Stop the server."""
        self._running.close()


@pytest.fixture(scope="module")
def own_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMlflow]:
    server = OwnMlflow(tmp_path_factory.mktemp("own"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def store(tmp_path: Path, site: Site) -> Path:
    """Give a store of eight runs in two pipelines, configured as the site's stack."""
    path = tmp_path / "store.db"
    with GeneratedStore(path) as made:
        made.fill(8, pipelines=2)
    site.add_stack(path)
    return path


def test_an_unreachable_mlflow_holds_back_nobody_and_is_caught_up_with(
    site: Site, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store
    try_again_at_once(monkeypatch)
    sound, site.tracking_uri = site.tracking_uri, f"http://127.0.0.1:{free_port()}"
    down = site.cycle()
    shown = down.to_json()
    assert down.exit_code == 4
    assert shown["units"] == {"written": 0, "unchanged": 0, "waiting": 8, "dead": 0}
    assert shown["openlineage"]["delivered"] == len(site.told()) > 0
    site.tracking_uri = sound
    up = site.cycle().to_json()
    assert up["units"] == {"written": 8, "unchanged": 0, "waiting": 0, "dead": 0}
    assert up["openlineage"]["queued"] == 0


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (error_reply(401), "credentials"),
        (
            Scripted(200, b"<html>hello</html>", (("Content-Type", "text/html"),)),
            "as an MLflow server",
        ),
        (Scripted(404, b"not here", (("Content-Type", "text/plain"),)), "as an MLflow server"),
    ],
)
def test_a_wrong_address_or_credentials_say_so_in_one_line(
    site: Site, store: Path, reply: Scripted, words: str
) -> None:
    del store
    with scripted_server(reply) as server:
        site.tracking_uri = server.url
        ended = run_command("run", "--config", site.config_file(), "--json")
    assert ended.code == 4
    (error,) = ended.json["errors"]
    assert words in (error["error"] if words != "credentials" else error["error"].lower() + words)
    assert "\n" not in error["error"]
    assert ended.json["units"]["waiting"] == 8


def test_a_server_that_goes_away_in_mid_run_is_completed_when_it_is_back(
    site: Site, store: Path, own_mlflow: OwnMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store
    try_again_at_once(monkeypatch)
    site.cycle()
    whole = site.held()
    forget_everything(own_mlflow.database)
    site.tracking_uri = own_mlflow.url
    site.state = f"sqlite:///{site.folder / 'other-state.db'}"
    watch = Thread(target=_stop_at, args=(own_mlflow, 12))
    watch.start()
    broken = site.cycle()
    watch.join()
    assert broken.exit_code == 4
    assert 0 < broken.to_json()["units"]["waiting"] <= 8
    site.clock.wait(60)  # what failed on the way waits for a while
    own_mlflow.start()
    assert site.cycle().exit_code == 0
    assert site.held() == whole
    site.cycle()
    assert site.cycle().to_json()["mlflow"]["requests"] == 0


def test_what_was_written_before_mlflow_went_away_is_counted(
    site: Site, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store
    site.threads = 1
    applied = MlflowSink.apply
    whole: list[str] = []

    def until_three(sink: MlflowSink, plan: UnitPlan, *args: Any, **more: Any) -> Applied:
        if len(whole) == 3:
            raise SinkUnavailable("MLflow cannot be reached: connection refused.")
        done = applied(sink, plan, *args, **more)
        whole.append(plan.unit)
        return done

    with monkeypatch.context() as patched:
        patched.setattr(MlflowSink, "apply", until_three)
        broken = site.cycle()
    assert broken.exit_code == 4
    assert broken.to_json()["units"] == {"written": 3, "unchanged": 0, "waiting": 5, "dead": 0}
    assert site.cycle().to_json()["units"]["written"] == 5


def test_an_mlflow_that_was_emptied_is_filled_again_where_there_is_work(
    site: Site, store: Path, own_mlflow: OwnMlflow
) -> None:
    forget_everything(own_mlflow.database)
    site.tracking_uri = own_mlflow.url
    site.cycle()
    assert site.cycle().to_json()["mlflow"]["requests"] == 0
    api = site.api()
    pipelines = [f"{site.repository}/local/pipeline_{number}" for number in range(2)]
    ours = [found.experiment_id for name in pipelines if (found := api.experiment_by_name(name))]
    forget_everything(own_mlflow.database)
    strangers = api.create_experiment("somebody's", {})
    assert strangers is not None
    assert strangers in ours  # has the id that ours had before
    with GeneratedStore(store) as made:
        made.now += 10_000_000
        made.chain("pipeline_0", "late", steps=2)
    report = site.cycle()
    assert (report.exit_code, report.to_json()["units"]["dead"]) == (0, 0)
    notes = [note["note"] for note in report.to_json()["notes"]]
    assert sum("no longer has the experiment" in note for note in notes) == 2
    assert len(site.parents()) == 9
    assert list(api.search(strangers, "")) == []
    site.cycle()
    assert site.cycle().to_json()["mlflow"]["requests"] == 0
    api.close()


def test_a_hanging_mlflow_does_not_hold_back_a_stop(site: Site, store: Path) -> None:
    del store
    with scripted_server(Scripted(after_s=120)) as server:
        site.tracking_uri = server.url
        words = ("run", "--config", site.config_file(), "--json")
        path = {"PYTHONPATH": os.pathsep.join(sys.path)}
        with running_command(*words, env=path, module="support.impatient") as process:
            wait_until(lambda: bool(server.asked), what="a request")
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=40)
    assert process.returncode == 4
    (error,) = json.loads(out)["errors"]
    assert "in the time left after the signal to stop" in error["error"]
    assert json.loads(out)["units"]["waiting"] == 8


def test_without_any_sink_there_is_nothing_to_do_and_it_says_so(site: Site, store: Path) -> None:
    del store
    values = {**site.values(), "sinks": {}}
    file = site.folder / "no-sinks.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    ended = run_command("run", "--config", file)
    assert ended.code == 2
    assert "names no sink" in ended.err
    assert "sinks.mlflow.tracking_uri" in ended.err


def test_a_half_written_run_whose_source_vanished_is_ended_and_tagged(
    site: Site, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def killed(_self: object, _run: object, run_id: str) -> None:
            raise SinkTransient("the process was killed", run=run_id)

        patched.setattr(UnitWriter, "fill", killed)
        site.cycle()
    assert site.parents() == {} or all(run.status == "RUNNING" for run in site.parents().values())
    with GeneratedStore(store) as made:
        executions = [
            int(row[0])
            for row in made.sql(
                "SELECT a.execution_id FROM Association a JOIN Context c ON c.id = a.context_id "
                "WHERE c.name = 'run_1'"
            )
        ]
        for execution in executions:
            made.remove_step(execution)
        made.sql("DELETE FROM Context WHERE name = 'run_1'")
    site.clock.wait(60)
    assert site.cycle(full=True).exit_code == 0
    gone = [run for run in site.runs() if "exporter.gone" in run.tags]
    assert {run.tags["exporter.run"] for run in gone} == {"run_1"}
    assert {run.status for run in gone} == {"KILLED"}
    assert not [run for run in site.runs() if run.status == "RUNNING"]


def _stop_at(server: OwnMlflow, runs: int) -> None:
    """Stop a server as soon as it holds so many runs."""
    with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True, timeout=30)) as held:
        while held.execute("SELECT COUNT(*) FROM runs").fetchone()[0] < runs:
            time.sleep(0.01)
    server.stop()


def test_a_lost_ledger_is_rebuilt_from_what_mlflow_holds(site: Site, store: Path) -> None:
    del store
    site.cycle()
    whole, ids = site.held(), {run.run_id for run in site.runs()}
    (site.folder / "state.db").unlink()
    report = site.cycle().to_json()
    assert (report["mlflow"]["runs_created"], report["mlflow"]["runs_updated"]) == (0, 0)
    assert report["units"] == {"written": 0, "unchanged": 8, "waiting": 0, "dead": 0}
    assert site.held() == whole
    assert {run.run_id for run in site.runs()} == ids
    assert site.cycle().to_json()["mlflow"]["requests"] == 0


def test_a_run_deleted_in_mlflow_stays_deleted_until_a_repair(site: Site, store: Path) -> None:
    site.cycle()
    whole = site.held()
    victim = site.parents()["run_1"]
    api = site.api()
    api.delete_run(victim.run_id)
    with GeneratedStore(store) as made:
        query = (
            "SELECT MAX(a.execution_id) FROM Association a JOIN Context c ON c.id = a.context_id "
            "WHERE c.name = 'run_1'"
        )
        step = int(made.sql(query)[0][0])
        made.now += 1_000_000
        made.change_parameter(step, "seed", "8")
    report = site.cycle()
    assert report.exit_code == 0
    assert "was deleted in MLflow" in report.to_json()["notes"][0]["note"]
    assert report.to_json()["units"] == {"written": 0, "unchanged": 8, "waiting": 0, "dead": 0}
    assert "run_1" not in site.parents()
    repaired = site.cycle(repair=True).to_json()
    assert repaired["ok"]
    assert "run_1" in site.parents()
    assert {name: len(runs) for name, runs in site.held().items()} == {
        name: len(runs) for name, runs in whole.items()
    }
    api.close()


def test_an_experiment_deleted_in_mlflow_stays_deleted_until_a_repair(
    site: Site, store: Path
) -> None:
    site.cycle()
    whole = site.held()
    api = site.api()
    experiment = api.experiment_by_name(f"{site.repository}/local/pipeline_0")
    assert experiment is not None
    api._post("experiments/delete", {"experiment_id": experiment.experiment_id})
    with GeneratedStore(store) as made:
        made.now += 10_000_000
        made.chain("pipeline_0", "late", steps=2)
    report = site.cycle()
    assert (report.exit_code, report.to_json()["units"]["dead"]) == (0, 0)
    assert report.to_json()["notes"]
    assert list(site.held()) == [f"{site.repository}/local/pipeline_1"]
    site.cycle(repair=True)
    assert "late" in site.parents()
    assert sorted(site.held()) == sorted(whole)
    api.close()


def test_a_new_destination_and_a_new_tracking_server_get_everything(
    site: Site, store: Path, tmp_path: Path
) -> None:
    del store
    first = site.cycle().to_json()
    whole = site.held()
    site.destinations = [
        {"name": "events", "url": f"file://{site.events}"},
        {"name": "second", "url": f"file://{site.folder / 'second.jsonl'}"},
    ]
    second = site.cycle().to_json()["openlineage"]["destinations"]
    assert second["events"]["queued"] == 0
    assert second["second"]["delivered"] == first["openlineage"]["delivered"]
    assert sorted((site.folder / "second.jsonl").read_bytes().splitlines()) == sorted(
        site.events.read_bytes().splitlines()
    )
    site.tracking_uri = empty_database(tmp_path)
    moved = site.cycle().to_json()
    assert moved["errors"] == []
    assert moved["mlflow"]["runs_created"] == first["mlflow"]["runs_created"]
    assert moved["openlineage"]["queued"] == 0
    assert whole


def test_a_broken_stack_stops_no_other(site: Site, store: Path, tmp_path: Path) -> None:
    del store
    (tmp_path / "broken.db").write_bytes(b"this is no database, whatever its name says" * 100)
    site.add_stack(tmp_path / "broken.db", "broken")
    site.add_stack(tmp_path / "absent.db", "absent")
    report = site.cycle()
    shown = report.to_json()
    assert report.exit_code == 4
    assert shown["stacks"]["local"]["units"]["written"] == 8
    assert sorted(error["stack"] for error in shown["errors"]) == ["absent", "broken"]
    assert not (tmp_path / "absent.db").exists()
    site.stacks.pop()
    assert site.cycle().exit_code == 2


def test_a_run_the_reader_stumbles_over_is_a_dead_letter_and_comes_back_by_retry(
    site: Site, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store
    from exporter.sources.mlmd import MlmdHistory

    genuine = MlmdHistory.runs
    poisoned: list[str] = []

    def stumbling(self: MlmdHistory, source_ids: object) -> object:
        found = genuine(self, source_ids)  # type: ignore[arg-type]  # handed on
        poisoned[:] = poisoned or [found[3].source_id]
        if any(run.source_id == poisoned[0] for run in found):
            raise KeyError("never seen before")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(MlmdHistory, "runs", stumbling)
        report = site.cycle()
        assert report.exit_code == 1
        assert report.to_json()["units"] == {"written": 7, "unchanged": 0, "waiting": 0, "dead": 1}
        assert site.cycle().exit_code == 0  # it is told once
    ended = run_command("dead", "retry", "--all", "--config", site.config_file())
    assert ended.code == 0
    report = site.cycle()
    assert report.to_json()["units"] == {"written": 1, "unchanged": 7, "waiting": 0, "dead": 0}


def test_a_unit_that_relies_on_copies_of_one_that_failed_is_not_done(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "files"
    with GeneratedStore(tmp_path / "store.db") as made:
        first = made.chain("train", "run_1", steps=3)
        made.now += 60_000
        made.chain("train", "run_2", steps=3, reuse=first)
        made.flush()
        uris = [str(uri) for (uri,) in made.sql("SELECT uri FROM Artifact")]
    for uri in uris:
        folder = files / uri.removeprefix("/data/generated").lstrip("/")
        folder.mkdir(parents=True)
        (folder / "data.json").write_text("1")
    site.add_stack(tmp_path / "store.db", roots=[files], rewrite={"/data/generated": files})
    genuine = MlflowSink.apply

    def failing(self: MlflowSink, plan: UnitPlan, *rest: object, **more: object) -> Applied:
        if plan.parent.name == "run_1":
            raise SinkTransient("Busy.")
        return genuine(self, plan, *rest, **more)  # type: ignore[arg-type]  # handed on

    with monkeypatch.context() as patch:
        patch.setattr(MlflowSink, "apply", failing)
        report = site.cycle()
    assert report.exit_code == 1
    keys = {run.key for run in site.runs()}
    with site.ledger() as ledger:
        sink = mlflow_sink_name(site.tracking_uri or "")
        homes = ledger.bindings.homes(sink, "local", [str(n) for n in range(1, 20)])
    assert homes
    assert {home.step_key for home in homes.values()} <= keys
    assert report.to_json()["units"] == {"written": 1, "unchanged": 0, "waiting": 1, "dead": 0}
    site.clock.wait(60)
    report = site.cycle()
    assert report.exit_code == 0
    assert report.to_json()["units"] == {"written": 1, "unchanged": 1, "waiting": 0, "dead": 0}


def test_an_artifact_store_that_takes_no_pages_is_told_once_and_tried_once_more(
    site: Site, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store

    def full(_: RestApi, root: str, path: str, *rest: object) -> None:
        raise SinkTransient(f"{root}/{path} was not taken: no room {len(rest)}.")

    with monkeypatch.context() as patched:
        patched.setattr(RestApi, "put_file", full)
        first = site.cycle().to_json()
    assert first["units"] == {"written": 8, "unchanged": 0, "waiting": 0, "dead": 0}
    (note,) = [note for note in first["notes"] if "no room" in note["note"]]
    assert "`pages: false`" in note["note"]
    tagged = [run.tags["exporter.pages"] for run in site.parents().values()]
    assert tagged == [""] * 8
    site.cycle()
    assert all(run.tags["exporter.pages"] for run in site.parents().values())
    site.held()
    assert site.cycle().to_json()["mlflow"]["requests"] == 0
