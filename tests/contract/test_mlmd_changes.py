"""Which change to a store is seen by which sign: the header, ids and times, a second look."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.generator import COMPLETE, RUNNING, GeneratedStore, WrittenRun

from exporter.hierarchy import RunSnapshot, canonical_bytes, run_to_value
from exporter.sources.mlmd import MlmdHistory, open_mlmd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from exporter.sources.mlmd import FlavourProfile

Cursor = dict[str, Any]  # Any: JSON


class Watched:
    """A generated store, the history that reads it, and what was seen last."""

    def __init__(
        self, folder: Path, profiles: Mapping[str, FlavourProfile], schema: int = 8
    ) -> None:
        self.store = GeneratedStore(folder / "metadata.db", schema=schema)
        self.runs = self.store.fill(24)
        self.store.now += 86_400_000
        self.latest = self.store.chain("pipeline_0", "latest")
        self.store.flush()
        self.history: MlmdHistory = open_mlmd(
            self.store.url, repository="acme", stack="local", profiles=profiles
        )
        self.cursor: Cursor = {}
        self.known = self.read_everything()

    def read_everything(self) -> dict[str, bytes]:
        changes = self.history.changes(None)
        self.cursor = json.loads(json.dumps(changes.cursor))
        assert changes.full
        assert not changes.untouched
        return self.values([i for ids in changes.source_ids for i in ids])

    def values(self, ids: list[str]) -> dict[str, bytes]:
        runs = [run for run in self.history.runs(ids) if isinstance(run, RunSnapshot)]
        return {run.source_id: canonical_bytes(run_to_value(run)) for run in runs}

    def seen(self, *, header: bool = False) -> set[str]:
        """Give the runs that the feed names; without the header's shortcut unless asked."""
        cursor = json.loads(json.dumps(self.cursor))
        if not header:
            cursor["header"] = None
        changes = self.history.changes(cursor)
        assert not changes.full
        return {i for ids in changes.source_ids for i in ids}

    def untouched(self) -> bool:
        return self.history.changes(self.cursor).untouched

    def rescanned(self) -> set[str]:
        """Give the runs whose value differs when all known ones are read again, and those gone."""
        now = self.values(list(self.known))
        return {i for i in self.known if now.get(i) != self.known[i]}

    def close(self) -> None:
        self.history.close()
        self.store.close()


@pytest.fixture(params=[6, 8, 10])
def watched(
    tmp_path: Path, request: pytest.FixtureRequest, mlmd_profiles: Mapping[str, FlavourProfile]
) -> Iterator[Watched]:
    made = Watched(tmp_path, mlmd_profiles, schema=request.param)
    yield made
    made.close()


def test_an_unchanged_store_is_untouched_and_names_no_run(watched: Watched) -> None:
    assert watched.untouched()
    assert watched.seen() == set()


def test_every_commit_moves_the_header(watched: Watched) -> None:
    watched.store.sql("UPDATE Type SET description = 'x' WHERE id = 1")
    watched.store.flush()
    assert not watched.untouched()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ExecutionProperty SET string_value = '7.5' WHERE execution_id = {e} AND name = 'C'",
        "UPDATE Artifact SET uri = '/elsewhere' WHERE id = {a}",
        "UPDATE Context SET name = 'renamed' WHERE id = {r}",
        (
            "UPDATE EventPath SET step_key = 'renamed' WHERE step_key = 'data' AND event_id IN "
            "(SELECT id FROM Event WHERE execution_id = {e})"
        ),
        "UPDATE Type SET name = '__main__.renamed' WHERE name = '__main__.trainer'",
        "INSERT INTO ParentContext (context_id, parent_context_id) VALUES ({r}, {p})",
    ],
)
def test_values_changed_behind_the_softwares_back_are_found_by_reading_again(
    watched: Watched, change: str
) -> None:
    old = watched.runs[3]
    step = old.steps[2]
    watched.store.sql(
        change.format(e=step.execution, a=step.outputs["output"], r=old.run, p=old.pipeline)
    )
    watched.store.flush()
    assert not watched.untouched()
    assert old.source_id in watched.rescanned()


def test_a_changed_value_whose_time_moved_is_named(watched: Watched) -> None:
    old = watched.runs[3]
    watched.store.change_parameter(old.steps[2].execution, "C", "7.5")
    assert watched.seen() == {old.source_id}
    assert watched.rescanned() == {old.source_id}


def test_an_artifact_whose_time_moved_names_every_run_that_shows_it(watched: Watched) -> None:
    artifact = watched.runs[0].steps[0].outputs["train"]
    watched.store.now += 1_000
    watched.store.sql(
        "UPDATE Artifact SET state = 5, last_update_time_since_epoch = ? WHERE id = ?",
        watched.store.now,
        artifact,
    )
    watched.store.flush()
    seen = watched.seen()
    assert watched.runs[0].source_id in seen
    assert seen == watched.rescanned()
    assert len(seen) > 1  # the runs that took it from the cache


def test_an_event_added_to_an_old_run_is_named_though_no_time_moves(watched: Watched) -> None:
    old = watched.runs[1]
    watched.store.late_input(old.steps[4].execution, old.steps[0].outputs["test"], "late")
    assert watched.seen() == {old.source_id}
    assert watched.rescanned() == {old.source_id}


def test_an_association_added_to_an_old_run_is_named(watched: Watched) -> None:
    old, other = watched.runs[2], watched.runs[6]
    watched.store.associate(old.run, other.steps[2].execution)
    watched.store.flush()
    assert old.source_id in watched.seen()
    assert old.source_id in watched.rescanned()


def test_a_context_whose_time_moved_names_its_runs(watched: Watched) -> None:
    old = watched.runs[5]
    watched.store.now += 1_000
    watched.store.property("Context", old.run, "note", "late")
    watched.store.sql(
        "UPDATE Context SET last_update_time_since_epoch = ? WHERE id = ?",
        watched.store.now,
        old.run,
    )
    watched.store.flush()
    assert watched.seen() == {old.source_id}
    assert watched.rescanned() == {old.source_id}


def test_a_new_run_is_named(watched: Watched) -> None:
    new = watched.store.chain("pipeline_1", "new")
    watched.store.flush()
    assert watched.seen() == {new.source_id}
    assert watched.seen(header=True) == {new.source_id}


def test_a_run_of_a_new_pipeline_without_steps_is_named_by_its_parent(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    watched = Watched(tmp_path, mlmd_profiles, schema=10)
    store = watched.store
    pipeline, run = store.context("pipeline", "p"), store.context("pipeline_run", "r")
    store.insert("ParentContext", context_id=run, parent_context_id=pipeline)
    store.flush()
    assert watched.seen() == {f"{pipeline}:{run}"}
    (read,) = watched.history.runs([f"{pipeline}:{run}"])
    assert isinstance(read, RunSnapshot)
    assert (read.status, read.steps, read.end) == ("unknown", (), None)
    assert read.start == store.now
    watched.close()


def test_a_running_step_is_named_when_it_ends(watched: Watched) -> None:
    going = watched.store.chain("pipeline_1", "going", state=RUNNING)
    watched.store.flush()
    watched.known = watched.read_everything()
    assert watched.seen() == set()
    watched.store.finish(going.steps[-1])
    assert watched.seen() == {going.source_id}
    (run,) = watched.history.runs([going.source_id])
    assert isinstance(run, RunSnapshot)
    assert run.status == "completed"
    assert run.end == watched.store.now


def test_a_deleted_step_is_found_by_reading_again_and_at_once_when_recent(watched: Watched) -> None:
    old = watched.runs[3]
    watched.store.remove_step(old.steps[4].execution)
    assert old.source_id in watched.rescanned()
    watched.known = watched.read_everything()
    # of the newest run; an event in the middle, so that the largest ids stay
    watched.store.sql("DELETE FROM Execution WHERE id = ?", watched.latest.steps[1].execution)
    watched.store.flush()
    assert watched.latest.source_id in watched.seen()


def test_a_deleted_run_is_left_out(watched: Watched) -> None:
    old = watched.runs[3]
    for step in old.steps:
        watched.store.remove_step(step.execution)
    watched.store.sql("DELETE FROM Context WHERE id = ?", old.run)
    watched.store.flush()
    assert old.source_id in watched.rescanned()
    assert list(watched.history.runs([old.source_id])) == []


def test_a_low_id_that_commits_late_is_named(watched: Watched) -> None:
    reserved = watched.store.reserve("Event")
    watched.store.chain("pipeline_1", "meanwhile")
    watched.store.flush()
    watched.known = watched.read_everything()
    old = watched.runs[1]
    artifact = old.steps[0].outputs["test"]
    watched.store.late_input(old.steps[4].execution, artifact, "late", identity=reserved)
    assert watched.seen() == {old.source_id}
    assert watched.rescanned() == {old.source_id}


def test_a_writer_whose_clock_is_behind_is_seen_among_recent_rows(watched: Watched) -> None:
    watched.store.now -= 300_000
    watched.store.sql(
        "UPDATE Execution SET last_known_state = 4, last_update_time_since_epoch = ? WHERE id = ?",
        watched.store.now,
        watched.latest.steps[4].execution,
    )
    watched.store.flush()
    assert watched.seen() == {watched.latest.source_id}


def test_a_writer_whose_clock_is_a_day_behind_is_named_by_its_ids(watched: Watched) -> None:
    watched.store.now -= 2 * 86_400_000
    new = watched.store.chain("pipeline_1", "behind")
    watched.store.flush()
    assert watched.seen() == {new.source_id}


def test_the_cursor_covers_nothing_that_happened_after_the_walk_began(watched: Watched) -> None:
    changes = watched.history.changes(None)
    meanwhile = watched.store.chain("pipeline_1", "meanwhile")
    watched.store.flush()
    walked = {i for ids in changes.source_ids for i in ids}
    watched.cursor = json.loads(json.dumps(changes.cursor))
    assert watched.seen(header=True) == {meanwhile.source_id}
    assert walked >= set(watched.known)


def test_a_store_that_went_back_is_read_whole(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    watched = Watched(tmp_path, mlmd_profiles)
    for step in watched.latest.steps:
        watched.store.remove_step(step.execution)
    changes = watched.history.changes(watched.cursor)
    assert changes.full
    watched.close()


def test_many_rows_of_one_time_bound_the_cursor(
    tmp_path: Path, mlmd_profiles: Mapping[str, FlavourProfile]
) -> None:
    watched = Watched(tmp_path, mlmd_profiles)
    watched.store.fill(900, prefix="dense", gap_s=0.0)
    watched.store.sql("UPDATE Execution SET last_update_time_since_epoch = ?", watched.store.now)
    watched.store.flush()
    watched.known = watched.read_everything()
    assert watched.seen() == set()
    new = watched.store.chain("pipeline_1", "new")
    watched.store.flush()
    assert watched.seen() == {new.source_id}
    watched.close()


def test_all_runs_are_named_once_and_oldest_first(watched: Watched) -> None:
    changes = watched.history.changes(None)
    ids = [i for page in changes.source_ids for i in page]
    assert len(ids) == len(set(ids)) == 25
    contexts = [int(i.partition(":")[2]) for i in ids]
    assert contexts == sorted(contexts)


def test_a_run_name_shared_by_two_pipelines_is_two_units(watched: Watched) -> None:
    made: Callable[[str], WrittenRun] = lambda name: watched.store.chain(name, "same")  # noqa: E731
    first, second = made("pipeline_0"), made("pipeline_1")
    watched.store.flush()
    assert first.run == second.run
    assert watched.seen() == {first.source_id, second.source_id}
    one, two = watched.history.runs([first.source_id, second.source_id])
    assert isinstance(one, RunSnapshot)
    assert isinstance(two, RunSnapshot)
    assert [s.source_id for s in one.steps] == [str(s.execution) for s in first.steps]
    assert [s.source_id for s in two.steps] == [str(s.execution) for s in second.steps]
    assert (one.name, two.name) == ("same", "same")
    assert {s.status for s in one.steps} == {"completed"}
    assert COMPLETE == 3
