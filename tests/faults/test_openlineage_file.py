"""What can go wrong with a file of events, and what stands in it afterwards."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lineage_outbox import opened_outbox

from exporter.errors import SinkUnavailable
from exporter.sinks.openlineage import FileDestination, deliver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.sinks.openlineage import Outcome


class Due(NamedTuple):
    seq: int
    lane: str
    body: bytes
    unit: str = ""
    ends_unit: bool = False


def due(*bodies: bytes) -> list[Due]:
    return [Due(seq, "lane", body) for seq, body in enumerate(bodies)]


def send(path: Path, events: Sequence[Due]) -> list[Outcome]:
    """Send by a destination of a new process, so to speak."""
    return list(FileDestination("events", path).send(events, halted=lambda: False))


ONE, TWO, THREE = b'{"n": 1}', b'{"n": 2}', b'{"n": 3}'


def test_events_are_lines_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "events.jsonl"
    outcomes = send(path, due(ONE, TWO))
    assert path.read_bytes() == ONE + b"\n" + TWO + b"\n"
    assert [(o.seq, o.action) for o in outcomes] == [(0, "ack"), (1, "ack")]


def test_a_group_is_one_write_that_reaches_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    path.touch()
    calls: list[str] = []
    write, sync = os.write, os.fsync

    def noted_write(descriptor: int, data: bytes) -> int:
        calls.append("write")
        return write(descriptor, data)

    def noted_sync(descriptor: int) -> None:
        calls.append("fsync")
        sync(descriptor)

    monkeypatch.setattr(os, "write", noted_write)
    monkeypatch.setattr(os, "fsync", noted_sync)
    sending = FileDestination("events", path).send(due(ONE, TWO), halted=lambda: False)
    calls.extend(outcome.action for outcome in sending)
    assert calls == ["write", "fsync", "ack", "ack"]


def test_what_was_written_but_not_noted_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    send(path, due(ONE, TWO))
    outcomes = send(path, due(ONE, TWO, THREE))
    assert path.read_bytes().split() == b" ".join((ONE, TWO, THREE)).split()
    assert len(outcomes) == 3


def test_an_event_that_comes_back_after_another_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for event in (ONE, TWO, ONE):
        send(path, due(event))
    assert path.read_bytes().splitlines() == [ONE, TWO, ONE]


@given(
    before=st.lists(st.sampled_from([ONE, TWO]), max_size=3),
    bodies=st.lists(st.integers(0, 10**6), min_size=1, max_size=6, unique=True),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_a_write_cut_off_at_any_byte_is_completed_without_a_doubled_line(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[bytes],
    bodies: list[int],
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    events = due(*(b'{"event": %d}' % number for number in bodies))
    earlier = b"".join(line + b"\n" for line in before)
    written = b"".join(event.body + b"\n" for event in events)
    cut = data.draw(st.integers(0, len(written)))
    path.write_bytes(earlier + written[:cut])
    send(path, events)
    assert path.read_bytes() == earlier + written


def test_a_foreign_unfinished_line_is_left_and_ended(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for foreign in (b"x" * 5, b"x" * 500):
        path.write_bytes(foreign)
        send(path, due(ONE))
        assert path.read_bytes() == foreign + b"\n" + ONE + b"\n"


def test_a_rotated_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    destination = FileDestination("events", path)
    list(destination.send(due(ONE), halted=lambda: False))
    path.rename(tmp_path / "events.jsonl.1")
    list(destination.send(due(TWO), halted=lambda: False))
    assert path.read_bytes() == TWO + b"\n"


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path, tmp_path / "file" / "events.jsonl"):
        with pytest.raises(SinkUnavailable, match="cannot write"):
            send(path, due(ONE))


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    send(path, due(ONE))
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < len(TWO):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(SinkUnavailable, match="No space left"):
            send(path, due(TWO, THREE))
    assert path.read_bytes() == ONE + b"\n"
    send(path, due(TWO, THREE))
    assert path.read_bytes().splitlines() == [ONE, TWO, THREE]


@pytest.mark.parametrize("cut_fails", [False, True], ids=["cut", "not cut"])
@pytest.mark.parametrize("first", [True, False], ids=["first group", "later group"])
def test_a_disk_that_fails_to_sync_leaves_no_line_and_later_no_double(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, first: bool, cut_fails: bool
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(ONE + b"\n")
    destination = FileDestination("events", path)
    if not first:
        path.write_bytes(b"")
        list(destination.send(due(ONE), halted=lambda: False))

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        if cut_fails:
            patch.setattr(os, "ftruncate", fails)
        for _ in range(2):
            with pytest.raises(SinkUnavailable, match="Input/output error"):
                list(destination.send(due(TWO, THREE), halted=lambda: False))
    lines = path.read_bytes().splitlines()
    assert lines == ([ONE, TWO, THREE] if cut_fails else [ONE])
    list(destination.send(due(TWO, THREE), halted=lambda: False))
    assert path.read_bytes().splitlines() == [ONE, TWO, THREE]


def test_a_new_file_whose_folder_does_not_sync_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "events.jsonl"
    sync = os.fsync

    def fails_for_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    destination = FileDestination("events", path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails_for_folders)
        with pytest.raises(SinkUnavailable, match="Input/output error"):
            list(destination.send(due(ONE), halted=lambda: False))
    assert not path.exists()
    list(destination.send(due(ONE), halted=lambda: False))
    assert path.read_bytes() == ONE + b"\n"


_KILLED = """
import os, sys
sys.path.insert(0, "tests")
from pathlib import Path
from support.lineage_outbox import opened_outbox, run_named
from exporter.sinks.openlineage import FileDestination, deliver

folder = Path(sys.argv[1])
with opened_outbox(folder, ttl_s=0.05) as outbox:
    outbox.queue([run_named(f"r{number}") for number in range(300)])
    acknowledge = outbox.ledger.outbox.acknowledge
    left = [int(sys.argv[2])]

    def killed_at(*arguments, **more):
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        left[0] -= 1
        acknowledge(*arguments, **more)

    outbox.ledger.outbox.acknowledge = killed_at
    deliver(outbox.ledger, outbox, FileDestination("events", folder / "events.jsonl"),
            clock=outbox.clock, stop=outbox.stop)
"""


@pytest.mark.parametrize("survived", [0, 1, 4, 5, 7])
def test_killed_between_writing_and_noting_the_file_ends_up_whole_and_without_doubles(
    tmp_path: Path, survived: int
) -> None:
    checkout = Path(__file__).resolve().parent.parent.parent
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path), str(survived)],
        check=False,
        cwd=checkout,
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    with opened_outbox(tmp_path) as outbox:
        expected = outbox.bodies()
        destination = FileDestination("events", tmp_path / "events.jsonl")
        deliver(outbox.ledger, outbox, destination, clock=outbox.clock, stop=outbox.stop)
        assert outbox.counts().pending == 0
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    assert len(lines) == len(set(lines)) == 1800
    assert set(expected) <= set(lines)
