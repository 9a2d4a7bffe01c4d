"""`demo`: from nothing to a local MLflow and a file of events, and again with nothing to do."""

from __future__ import annotations

import socket
from pathlib import Path

from support.command import run_command

from exporter.cli.local_mlflow import free_port


def test_the_demo_brings_a_history_over_and_then_finds_nothing_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "the demo"
    ended = run_command("demo", "--folder", folder, "--json", timeout_s=400)
    assert ended.code == 0, ended
    shown = ended.json
    assert set(shown) == {"ok", "first", "second", "open", "events"}
    assert shown["ok"] is True
    assert shown["first"]["units"]["written"] == shown["first"]["source"]["runs"] == 7
    assert shown["first"]["artifacts"]["copied"] == 25
    assert shown["second"]["units"] == {"written": 0, "unchanged": 7, "waiting": 0, "dead": 0}
    assert set(shown["second"]["mlflow"].values()) == {0}
    assert "mlflow server" in shown["open"]
    assert len(Path(shown["events"]).read_bytes().splitlines()) == 46
    status = run_command("status", "-c", folder / "exporter.yaml", "--json")
    assert status.json["stacks"]["local_stack"]["sinks"]["mlflow"] == {"done": 7, "pending": 0}


def test_a_file_is_no_folder_to_work_in(tmp_path: Path) -> None:
    file = tmp_path / "demo"
    file.write_text("mine")
    ended = run_command("demo", "--folder", file)
    assert (ended.code, file.read_text()) == (2, "mine")
    assert f"{file} is a file" in ended.err


def test_the_port_offered_is_one_that_is_free() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.create_server(("127.0.0.1", wanted)):
        assert free_port(wanted) != wanted


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "thesis.tex").write_text("chapter 1")
    ended = run_command("demo", "--folder", tmp_path)
    assert ended.code == 2
    assert "no earlier demo made it" in ended.err
    assert (tmp_path / "thesis.tex").read_text() == "chapter 1"
