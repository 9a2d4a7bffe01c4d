"""Whole runs in the order of their end, to a catalog that builds its graph from the order it sees.

The catalog is one that behaves as Marquez was seen to; what it answers in the end is compared with
what the runs say, whatever came in between.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes.marquez import FakeMarquez, running_catalog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from support.catalog_answers import answers_of, picture_of, upstream_of
from support.lineage_outbox import NAMING, LineageOutbox, datasets_of, opened_outbox
from support.lineage_story import by_end, day_of, events_of, story
from support.openlineage_server import Reply

from exporter.config.resources import load_mapping
from exporter.errors import SinkUnavailable
from exporter.hierarchy import Parameter, Port, run_key
from exporter.ledger import Ledger, OutboxMark
from exporter.ledger.schema import VERSION_TABLE
from exporter.mapping.openlineage import profile_from_yaml, run_events
from exporter.sinks.openlineage import HttpDestination, deliver
from exporter.sync.lineage_export import made_by, read_by

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from exporter.hierarchy import RunSnapshot
    from exporter.mapping.openlineage import LineageEvent
    from exporter.sinks.openlineage import DeliveryReport, Outcome
    from exporter.sinks.openlineage.destination import DueEvent

Json = dict[str, Any]  # Any: a parsed event

MARQUEZ = profile_from_yaml("marquez", load_mapping("catalogs/marquez"))


class Killed(BaseException):
    """The process ends here."""


class _Mortal(HttpDestination):
    """A destination whose process may die once so many events were answered, before it notes."""

    left: int | None = None

    def send(
        self, events: Sequence[DueEvent], *, halted: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        for outcome in super().send(events, halted=halted):
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Killed
            yield outcome


class Bench:
    """A ledger, a catalog, and a process that delivers from one to the other."""

    exact = False

    def __init__(self, outbox: LineageOutbox, catalog: FakeMarquez) -> None:
        self.outbox = outbox
        self.catalog = catalog

    def deliver(self, *, dies_after: int | None = None) -> DeliveryReport:
        """Deliver all that may leave; a process that dies does so after that many answers."""
        destination = _Mortal("events", self.catalog.url, profile=MARQUEZ, timeout_s=5)
        destination.left = dies_after
        try:
            return self._delivered(destination)
        finally:
            destination.close()

    def _delivered(self, destination: HttpDestination) -> DeliveryReport:
        return deliver(
            self.outbox.ledger,
            self.outbox,
            destination,
            clock=self.outbox.clock,
            stop=self.outbox.stop,
            order="runs",
            exact_links=self.exact,
        )

    def queue(self, runs: Sequence[RunSnapshot], *, stale: bool = False) -> int:
        marks = []
        for run in runs:
            events = run_events(run, NAMING, stale=stale)
            marks.append(_mark(run, events, exact=self.exact))
        self.outbox.record(list(runs))
        now = self.outbox.clock.now_ms()
        return self.outbox.ledger.outbox.enqueue(self.outbox.lease, marks, now)

    def refuse(self, run_id: str, *kinds: str) -> None:
        """Let the catalog refuse a run's events, of some kinds or of any."""

        def before(event: Json) -> Reply | None:
            is_meant = event["run"]["runId"] == run_id
            is_meant &= not kinds or event["eventType"] in kinds
            return Reply(422, b'{"errors":["no"]}') if is_meant else None

        self.catalog.before = before

    def told(self) -> list[str]:
        """Give `run eventType` of what the catalog took, pipelines' own events by their run."""
        return [
            f"{e['run']['facets']['pipelineExporter_run']['run']} {e['job']['name']} "
            f"{e['eventType']}"
            for e in self.catalog.state.events
        ]

    def runs_told(self) -> list[str]:
        """Give the runs in the order in which their pipelines' ends were taken."""
        told = [line.split() for line in self.told()]
        return [run for run, job, kind in told if "." not in job and kind != "START"]


def _mark(run: RunSnapshot, events: tuple[LineageEvent, ...], *, exact: bool) -> OutboxMark:
    told = events_of(run)
    return OutboxMark(
        "openlineage/events",
        run_key(run),
        "f",
        events,
        whole=True,
        datasets=datasets_of(events),
        makes=tuple(made for event in told for made in made_by(event)),
        reads=tuple(read for event in told for read in read_by(event)),
        exact=exact,
    )


@contextmanager
def opened_bench(folder: Path) -> Iterator[Bench]:
    with opened_outbox(folder) as outbox, running_catalog() as catalog:
        yield Bench(outbox, catalog)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with opened_bench(tmp_path) as opened:
        yield opened


def assert_right(bench: Bench, runs: Sequence[RunSnapshot]) -> None:
    """See that the catalog's answers are those of the runs, each in its order."""
    right = picture_of([events_of(run) for run in by_end(runs)])
    assert answers_of(bench.catalog.url, right) == right
    assert bench.catalog.together == set()
    assert "RUNNING" not in {state for _, state, *_ in right.runs.values()}


def test_a_backfill_queued_in_any_order_is_right(bench: Bench) -> None:
    runs = story()
    bench.queue([runs[i] for i in (3, 0, 4, 2, 1)])
    report = bench.deliver()
    assert (report.delivered, report.dead, report.retried) == (48, 0, 0)
    assert_right(bench, runs)
    assert bench.runs_told() == ["run_1", "run_2", "run_3", "run_4", "run_5"]
    deployed = next(
        e["run"]["runId"] for e in events_of(runs[0]) if e["job"]["name"] == "train.deployer"
    )
    assert len(upstream_of(bench.catalog.url, deployed)) == 4


def test_everything_sent_twice_is_right(bench: Bench, tmp_path: Path) -> None:
    runs = story()
    bench.queue(runs)
    bench.deliver()
    (tmp_path / "again").mkdir()
    with opened_outbox(tmp_path / "again") as anew:
        again = Bench(anew, bench.catalog)
        again.queue(runs[::-1])
        assert again.deliver().delivered == 48
    assert_right(bench, runs)


def test_the_same_again_sends_nothing(bench: Bench) -> None:
    bench.queue(story())
    bench.deliver()
    assert bench.queue(story()) == 0
    assert bench.deliver().delivered == 0


def test_a_run_that_was_interrupted_comes_again_from_its_first_event(bench: Bench) -> None:
    runs = story(days=2)
    bench.queue(runs)
    with pytest.raises(Killed):
        bench.deliver(dies_after=13)
    assert bench.outbox.counts().pending > 0
    before = len(bench.catalog.state.events)
    bench.deliver()
    assert bench.told()[before] == "run_2 train START"
    assert_right(bench, runs)


_REFUSALS = {
    "refused": Reply(422, b'{"errors":["job.facets.x must not be null"]}'),
    "failed on": Reply(500, b"oops", "text/plain"),
    "in trouble": Reply(503),
}


def _deliver_under(bench: Bench, data: st.DataObject, ids: list[str]) -> None:
    """Deliver to a catalog that takes some runs' events not, by a process that dies at times."""
    bad = set(data.draw(st.lists(st.sampled_from(ids), max_size=2)))
    reply = _REFUSALS[data.draw(st.sampled_from(sorted(_REFUSALS)))]
    bench.catalog.before = lambda event: reply if event["run"]["runId"] in bad else None
    stops = data.draw(st.lists(st.integers(0, 30), max_size=2))
    for stop in (*stops, None):
        with suppress(Killed, SinkUnavailable):
            bench.deliver(dies_after=stop)
        bench.outbox.clock.ms += 7_200_000
    bench.catalog.before = lambda _event: None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_killed_and_refused_anywhere_and_repaired_is_right(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    producer = story("train", days=3, fails_on=data.draw(st.sampled_from([0, 2, 3])))
    consumer = [day_of("serve", int(r.name[-1]), reads=r) for r in producer]
    consumer = [replace(run, end=(run.end or 0) + 60_000) for run in consumer]
    alone = story("other", days=2)
    runs = [*producer, *consumer, *alone]
    exact = data.draw(st.booleans())
    ids = sorted({e["run"]["runId"] for run in runs for e in events_of(run)})
    with opened_bench(tmp_path_factory.mktemp("killed")) as bench:
        bench.exact = exact
        order = data.draw(st.permutations(runs))
        bench.outbox.see(list(runs))
        while order:
            part = data.draw(st.integers(1, 4))
            bench.queue(order[:part])
            order = order[part:]
            _deliver_under(bench, data, ids)
        for _ in range(2):
            bench.outbox.ledger.dead.retry(bench.outbox.lease)
            bench.deliver()
            bench.outbox.clock.ms += 7_200_000
        counts = bench.outbox.counts()
        assert (counts.pending, counts.dead) == (0, 0)
        assert_right(bench, runs)


def test_pipelines_that_share_a_dataset_go_one_after_the_other(bench: Bench) -> None:
    producer = story("train", days=3, fails_on=0)
    consumer = [day_of("serve", day, reads=run) for day, run in enumerate(producer, 1)]
    consumer = [replace(run, end=(run.end or 0) + 60_000) for run in consumer]
    bench.catalog.before = lambda _event: Reply(delay_s=0.002)
    bench.queue([*consumer, *producer])
    bench.deliver()
    assert_right(bench, [*producer, *consumer])
    assert bench.runs_told() == ["run_1", "run_1", "run_2", "run_2", "run_3", "run_3"]


def test_pipelines_that_share_nothing_go_side_by_side_on_at_most_four_connections(
    bench: Bench,
) -> None:
    runs = [run for name in "abcdef" for run in story(name, days=1, fails_on=0)]
    under_way, most = Counter[str](), 0

    def before(event: Json) -> Reply:
        nonlocal most
        under_way[event["job"]["name"]] += 1
        most = max(most, len(bench.catalog._under_way))
        return Reply(delay_s=0.02)

    bench.catalog.before = before
    bench.queue(runs)
    bench.deliver()
    assert most == 4
    assert_right(bench, runs)


def test_a_late_run_is_followed_by_the_newest_of_its_pipeline(bench: Bench) -> None:
    runs = story(days=3, fails_on=0)
    bench.queue([runs[0], runs[2]])
    bench.deliver()
    bench.queue([runs[1]])
    bench.deliver()
    assert bench.runs_told() == ["run_1", "run_3", "run_2", "run_3"]
    assert_right(bench, runs)


def test_no_run_leaves_before_one_that_ended_earlier_and_is_still_to_come(bench: Bench) -> None:
    runs = story(days=3, fails_on=0)
    bench.outbox.see(runs)
    bench.queue([runs[0], runs[2]])
    assert bench.deliver().delivered == 10
    assert bench.runs_told() == ["run_1"]
    bench.queue([runs[1]])
    bench.deliver()
    assert bench.runs_told() == ["run_1", "run_2", "run_3"]


def test_a_run_that_yields_no_event_holds_nobody_back(bench: Bench) -> None:
    runs = story(days=2, fails_on=0)
    bench.outbox.see(runs)
    bench.queue([runs[1]])
    assert bench.deliver().delivered == 0
    ledger, sink = bench.outbox.ledger, "openlineage/events"
    key = next(p.key for p in ledger.units.pending("local_stack", sink, now=2**50, limit=9))
    ledger.units.fail(
        bench.outbox.lease, sink, key, error="no", kind="x", now=1, next_at=None, dead=True
    )
    assert bench.deliver().delivered == 10


def test_a_repaired_dead_letter_brings_its_run_again_and_then_the_newest(bench: Bench) -> None:
    runs = story(days=3, fails_on=0)
    bad = next(e for e in events_of(runs[1]) if e["job"]["name"] == "train.trainer")["run"]["runId"]
    bench.catalog.before = lambda event: (
        Reply(500, b'{"code":400,"message":"no"}') if event["run"]["runId"] == bad else None
    )
    bench.queue(runs)
    report = bench.deliver()
    assert report.dead == 1
    (letter,) = bench.outbox.dead()
    assert "no" in letter.error
    bench.catalog.before = lambda _event: None
    bench.outbox.ledger.dead.retry(bench.outbox.lease)
    bench.deliver()
    assert bench.runs_told()[-2:] == ["run_2", "run_3"]
    assert_right(bench, runs)
    assert bench.outbox.counts() == (0, bench.outbox.counts().delivered, 0)


def test_a_catalog_in_trouble_holds_the_lane_and_then_gets_the_run_from_its_start(
    bench: Bench,
) -> None:
    runs = story(days=2, fails_on=0)
    count = [0]

    def before(_event: Json) -> Reply | None:
        count[0] += 1
        return Reply(503) if count[0] in (4, 5) else None

    bench.catalog.before = before
    bench.queue(runs)
    assert bench.deliver().retried == 2
    assert_right(bench, runs)


def test_an_event_that_always_fails_is_given_up_after_three_tries_and_the_lane_goes_on(
    bench: Bench,
) -> None:
    runs = story(days=2, fails_on=0)
    bad = events_of(runs[0])[3]["run"]["runId"]
    bench.catalog.before = lambda event: (
        Reply(500, b"<html>", "text/plain") if event["run"]["runId"] == bad else None
    )
    bench.queue(runs)
    report = bench.deliver()
    assert report.dead == 1
    assert bench.runs_told() == ["run_1", "run_2"]
    # Of the first run the steps after the refused one wait for it; its own end was told.
    assert bench.outbox.counts().pending == 5


def _producer_and_reader(days: int) -> tuple[list[RunSnapshot], list[RunSnapshot]]:
    """Give the runs of a pipeline, and those of another that read the model of each, in turn."""
    producer = story("train", days=days, fails_on=0)
    readers = [day_of("serve", day, reads=run) for day, run in enumerate(producer, 1)]
    return producer, [replace(run, end=(run.end or 0) + 60_000) for run in readers]


def _run_id(run: RunSnapshot, job: str) -> str:
    return str(next(e["run"]["runId"] for e in events_of(run) if e["job"]["name"] == job))


def test_a_reader_of_what_was_refused_waits_with_it_and_the_lane_goes_on(bench: Bench) -> None:
    producer, readers = _producer_and_reader(2)
    bad = _run_id(producer[0], "train.trainer")
    bench.refuse(bad)
    bench.queue([*producer, *readers])
    assert bench.deliver().dead == 1
    assert bench.runs_told() == ["run_1", "run_1", "run_2", "run_2"]
    told = bench.told()
    assert "run_1 serve.importer START" not in told
    assert "run_2 serve.importer COMPLETE" in told
    # Of the producer five events wait, of its reader all but START and end.
    assert bench.outbox.counts().pending == 5 + 8
    bench.catalog.before = lambda _event: None
    bench.outbox.ledger.dead.retry(bench.outbox.lease)
    bench.deliver()
    assert_right(bench, [*producer, *readers])
    assert (bench.outbox.counts().pending, bench.outbox.counts().dead) == (0, 0)


def test_what_waited_for_a_dead_letter_leaves_when_that_is_dropped(bench: Bench) -> None:
    producer, readers = _producer_and_reader(1)
    bad = _run_id(producer[0], "train.trainer")
    bench.refuse(bad, "COMPLETE")
    bench.queue([*producer, *readers])
    bench.deliver()
    bench.outbox.ledger.dead.drop(bench.outbox.lease)
    bench.deliver()
    assert (bench.outbox.counts().pending, bench.outbox.counts().dead) == (0, 0)
    assert "run_1 serve.importer COMPLETE" in bench.told()


def test_a_reader_that_is_repaired_later_is_linked_to_what_it_read(bench: Bench) -> None:
    producer, readers = _producer_and_reader(3)
    bad = _run_id(readers[0], "serve.importer")
    bench.refuse(bad)
    bench.queue([*producer, *readers])
    assert bench.deliver().dead == 1
    bench.catalog.before = lambda _event: None
    bench.outbox.ledger.dead.retry(bench.outbox.lease)
    bench.deliver()
    assert_right(bench, [*producer, *readers])


@pytest.mark.parametrize("exact", [False, True])
def test_a_reader_repaired_with_an_older_maker_is_linked_to_what_it_read(
    bench: Bench, exact: bool
) -> None:
    bench.exact = exact
    producer, readers = _producer_and_reader(3)
    bad = {_run_id(producer[0], "train.evaluator"), _run_id(readers[1], "serve.importer")}
    bench.catalog.before = lambda event: Reply(422) if event["run"]["runId"] in bad else None
    bench.queue([*producer, *readers])
    bench.deliver()
    bench.catalog.before = lambda _event: None
    bench.outbox.ledger.dead.retry(bench.outbox.lease)
    bench.deliver()
    # The older model comes first, and the newest comes again only after the reader of the second.
    assert bench.runs_told()[-4:] == ["run_1", "run_2", "run_3", "run_3"]
    assert_right(bench, [*producer, *readers])


def test_bodies_kept_for_a_reader_are_dropped_when_it_is_held_whole(bench: Bench) -> None:
    producer, readers = _producer_and_reader(3)
    bad = _run_id(readers[0], "serve.importer")
    bench.refuse(bad)
    bench.queue([*producer, *readers])
    bench.deliver()

    def bodies() -> set[str]:
        with bench.outbox.ledger._database.read() as connection:
            query = "SELECT DISTINCT unit_key FROM outbox WHERE body IS NOT NULL"
            return {str(key) for (key,) in connection.exec_driver_sql(query)}

    kept = {run_key(run) for run in (*producer, readers[0], readers[2])}
    assert bodies() == kept
    bench.catalog.before = lambda _event: None
    bench.outbox.ledger.dead.retry(bench.outbox.lease)
    bench.deliver()
    assert bodies() == {run_key(producer[2]), run_key(readers[2])}


def test_the_newest_run_that_is_refused_when_it_comes_again_keeps_what_it_needs(
    bench: Bench,
) -> None:
    runs = story(days=4, fails_on=0)
    bench.queue([runs[0], runs[2]])
    bench.deliver()
    bad = _run_id(runs[2], "train.trainer")
    bench.refuse(bad)
    bench.queue([runs[1], runs[3]])
    assert bench.deliver().dead == 1
    bench.catalog.before = lambda _event: None
    bench.outbox.ledger.dead.retry(bench.outbox.lease)
    bench.deliver()
    assert_right(bench, runs)
    assert (bench.outbox.counts().pending, bench.outbox.counts().dead) == (0, 0)


def test_a_run_that_cannot_be_read_holds_nobody_back(bench: Bench) -> None:
    runs = story(days=2, fails_on=0)
    bench.outbox.see(runs)
    bench.queue([runs[1]])
    assert bench.deliver().delivered == 0
    ledger, lease = bench.outbox.ledger, bench.outbox.lease
    for error in ("broken", "broken otherwise"):
        ledger.units.fail_run(
            lease,
            "local_stack",
            runs[0].source_id,
            pipeline="train",
            run="run_1",
            error=error,
            kind="x",
            now=1,
        )
        assert bench.deliver().delivered == (10 if error == "broken" else 0)
        ledger.dead.drop(lease)


def test_a_run_whose_last_event_was_given_up_counts_as_the_newest(bench: Bench) -> None:
    runs = story(days=2, fails_on=0)
    bad = _run_id(runs[1], "train")
    bench.refuse(bad, "COMPLETE")
    bench.queue(runs)
    assert bench.deliver().dead == 1
    bench.outbox.ledger.dead.drop(bench.outbox.lease)
    bench.catalog.before = lambda _event: None
    assert bench.queue([_changed(runs[0])]) == 0
    assert bench.queue([_changed(runs[1])]) > 0
    with bench.outbox.ledger._database.read() as connection:
        query = "SELECT DISTINCT unit_key FROM outbox WHERE body IS NOT NULL"
        assert [key for (key,) in connection.exec_driver_sql(query)] == [run_key(runs[1])]


def test_a_correction_shows_nothing_again_for_it_has_no_inputs(bench: Bench) -> None:
    bench.exact = True
    producer, readers = _producer_and_reader(2)
    last = day_of("serve", 3, reads=producer[0])
    bench.queue([*producer, *readers, last])
    bench.deliver()
    before = len(bench.catalog.state.events)
    step = replace(last.steps[0], parameters=(Parameter("rate", "0.5"),))
    bench.queue([replace(last, steps=(step, *last.steps[1:]))])
    bench.deliver()
    told = bench.catalog.state.events[before:]
    assert "serve.importer" in [event["job"]["name"] for event in told]
    assert not [event for event in told if event["inputs"] or event["eventType"] == "START"]


def test_a_ledger_of_an_older_release_knows_the_newest_run_of_each_pipeline(
    bench: Bench, tmp_path: Path
) -> None:
    runs = story(days=3, fails_on=0)
    bench.queue([runs[0], runs[2]])
    bench.deliver()
    bench.outbox.ledger.leases.release(bench.outbox.lease)
    bench.outbox.ledger.close()
    url = f"sqlite:///{tmp_path}/state.db"
    engine = create_engine(url)
    with engine.begin() as connection:  # as revision 0002 left it
        for name in ("reads", "newest", "properties"):
            connection.exec_driver_sql(f"DROP TABLE {name}")
        connection.exec_driver_sql("DELETE FROM makers")
        connection.exec_driver_sql("ALTER TABLE makers DROP COLUMN exact")
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0002'")
    engine.dispose()
    with Ledger.open(url) as upgraded:
        anew = LineageOutbox(upgraded, upgraded.leases.acquire("test", 600))
        again = Bench(anew, bench.catalog)
        assert again.queue([runs[0], runs[2]]) == 0
        again.queue([runs[1]])
        again.deliver()
        assert again.runs_told() == ["run_1", "run_3", "run_2", "run_3"]
        assert_right(again, runs)


def _cached(run: RunSnapshot, earlier: RunSnapshot) -> RunSnapshot:
    """Give a run whose trainer was cached: it has the outputs of an earlier run."""
    step, done = run.steps[1], earlier.steps[1]
    instead = {
        old.artifact: new.artifact for old, new in zip(step.outputs, done.outputs, strict=True)
    }

    def put(ports: tuple[Port, ...]) -> tuple[Port, ...]:
        return tuple(
            port._replace(artifact=instead.get(port.artifact, port.artifact)) for port in ports
        )

    steps = tuple(
        replace(
            one,
            status="cached" if one is step else one.status,
            inputs=put(one.inputs),
            outputs=put(one.outputs),
        )
        for one in run.steps
    )
    known = {a.id: a for a in (*run.artifacts, *earlier.artifacts)}
    used = dict.fromkeys(p.artifact for one in steps for p in (*one.inputs, *one.outputs))
    return replace(run, steps=steps, artifacts=tuple(known[artifact] for artifact in used))


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "newest"])
def test_a_late_run_is_followed_by_the_newest_version_of_what_a_cached_step_made(
    bench: Bench, exact: bool
) -> None:
    bench.exact = exact
    runs = story(days=4, fails_on=0)
    runs[3] = _cached(runs[3], runs[2])
    last = _cached(day_of("train", 5), runs[2])
    bench.queue([runs[0], runs[2], runs[3]])
    bench.deliver()
    bench.queue([runs[1]])
    bench.deliver()
    assert bench.runs_told() == ["run_1", "run_3", "run_4", "run_2", "run_4"]
    assert_right(bench, runs)
    bench.queue([last])
    bench.deliver()
    assert_right(bench, [*runs, last])


def test_trouble_with_the_newest_version_after_a_late_run_is_made_good(bench: Bench) -> None:
    runs = story(days=4, fails_on=0)
    runs[3] = _cached(runs[3], runs[2])
    bench.queue([runs[0], runs[2], runs[3]])
    bench.deliver()
    bench.queue([runs[1]])
    again = _run_id(runs[2], "train.trainer")
    bench.catalog.before = lambda event: Reply(503) if event["run"]["runId"] == again else None
    with suppress(SinkUnavailable):
        bench.deliver()
    assert bench.outbox.counts().pending > 0
    bench.outbox.clock.ms += 7_200_000
    bench.catalog.before = lambda _event: None
    bench.deliver()
    assert bench.outbox.counts().pending == 0
    assert_right(bench, runs)


def _writes_table(run: RunSnapshot) -> RunSnapshot:
    """Give a run whose deployer writes a table outside."""
    deployer = replace(
        run.steps[3], parameters=(Parameter("output_table", "postgres://db/shop/public/t"),)
    )
    return replace(run, steps=(*run.steps[:3], deployer))


def test_a_late_run_is_followed_by_the_newest_of_each_pipeline_that_writes_what_it_writes(
    bench: Bench,
) -> None:
    one = [_writes_table(run) for run in story("one", days=3, fails_on=0)]
    other = [_writes_table(day_of("other", 4)), _writes_table(day_of("other", 5))]
    other[1] = replace(other[1], steps=other[1].steps[:3])
    bench.queue([one[0], one[2], *other])
    bench.deliver()
    bench.queue([one[1]])
    bench.deliver()
    assert_right(bench, [*one, *other])


def test_a_correction_of_a_correction_that_may_have_been_taken_is_the_newer_word(
    bench: Bench,
) -> None:
    runs = story(days=1, fails_on=0)
    bench.queue(runs)
    bench.deliver()
    first = _told_otherwise(runs[0], "first")
    bench.queue([first])
    with pytest.raises(Killed):
        bench.deliver(dies_after=0)
    bench.queue([_told_otherwise(runs[0], "second")])
    bench.deliver()
    told = [e for e in bench.catalog.state.events if e["job"]["name"] == "train"]
    assert [e["eventType"] for e in told] == ["START", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert told[-1]["job"]["facets"]["documentation"]["description"] == "second"
    times = [e["eventTime"] for e in told[1:]]
    assert times == sorted(set(times))


def _told_otherwise(run: RunSnapshot, docstring: str) -> RunSnapshot:
    return replace(run, pipeline=replace(run.pipeline, docstring=docstring))


@pytest.mark.parametrize("between", [False, True], ids=["still the newest", "others since"])
def test_a_run_that_was_given_up_and_ends_after_all_is_told_whole(
    bench: Bench, between: bool
) -> None:
    runs = story(days=2, fails_on=0)
    given_up = replace(
        runs[0],
        status="running",
        end=None,
        steps=tuple(
            replace(step, status="running", end=None, outputs=()) if place == 3 else step
            for place, step in enumerate(runs[0].steps)
        ),
    )
    bench.queue([given_up], stale=True)
    bench.deliver()
    if between:
        bench.queue([runs[1]])
        bench.deliver()
    ended = replace(runs[0], end=(runs[1].end or 0) + 3_600_000) if between else runs[0]
    bench.queue([ended])
    bench.deliver()
    assert bench.outbox.ledger.outbox.withheld("openlineage/events") == 0
    told = [runs[1], ended] if between else [ended]
    assert_right(bench, told)


def test_a_correction_at_the_end_of_time_leaves(bench: Bench) -> None:
    run = replace(story(days=1, fails_on=0)[0], end=10**16)
    bench.queue([run])
    bench.deliver()
    assert bench.queue([_changed(run)]) > 0
    bench.deliver()
    assert bench.outbox.counts().pending == 0


def _changed(run: RunSnapshot) -> RunSnapshot:
    return _told_otherwise(run, "Changed.")


def test_a_correction_of_the_newest_run_is_its_end_alone_a_millisecond_later(bench: Bench) -> None:
    runs = story(days=2, fails_on=0)
    bench.queue(runs)
    bench.deliver()
    before = len(bench.catalog.state.events)
    versions = {n: len(d.versions) for n, d in bench.catalog.state.names.items()}
    bench.queue([_changed(runs[1])])
    bench.deliver()
    (told,) = bench.catalog.state.events[before:]
    assert (told["eventType"], told["inputs"]) == ("COMPLETE", [])
    first = events_of(runs[1])[-1]
    assert told["eventTime"] > first["eventTime"]
    assert told["job"]["facets"]["documentation"]["description"] == "Changed."
    assert versions == {n: len(d.versions) for n, d in bench.catalog.state.names.items()}
    bench.queue([runs[1]])
    bench.deliver()
    assert bench.catalog.state.events[-1]["eventTime"] > told["eventTime"]


def test_a_correction_of_an_older_run_is_withheld_and_counted(bench: Bench) -> None:
    runs = story(days=2, fails_on=0)
    bench.queue(runs)
    bench.deliver()
    assert bench.queue([_changed(runs[0])]) == 0
    assert bench.outbox.ledger.outbox.withheld("openlineage/events") > 0
    assert bench.deliver().delivered == 0
    assert_right(bench, runs)


def test_runs_that_were_delivered_event_by_event_are_corrected_as_if_they_were_whole(
    bench: Bench,
) -> None:
    runs = story(days=2, fails_on=0)
    bench.outbox.queue(runs)
    destination = HttpDestination("events", bench.catalog.url, lanes=1)
    deliver(
        bench.outbox.ledger,
        bench.outbox,
        destination,
        clock=bench.outbox.clock,
        stop=bench.outbox.stop,
    )
    destination.close()
    assert bench.queue([_changed(runs[0])]) == 0
    assert bench.queue([_changed(runs[1])]) == 1
    bench.deliver()
    assert bench.catalog.state.events[-1]["inputs"] == []
    right = picture_of([events_of(run) for run in runs])
    assert answers_of(bench.catalog.url, right).current == right.current


def test_only_the_newest_run_of_each_pipeline_keeps_its_bodies(bench: Bench) -> None:
    bench.queue([run for name in ("a", "b") for run in story(name, days=4, fails_on=0)])
    bench.deliver()
    with bench.outbox.ledger._database.read() as connection:
        query = "SELECT COUNT(*), COUNT(body) FROM outbox"
        assert tuple(connection.exec_driver_sql(query).one()) == (80, 20)


@pytest.mark.parametrize("order", ["free", "runs"])
def test_a_start_is_answered_before_the_end_of_its_run_leaves(bench: Bench, order: str) -> None:
    bench.catalog.before = lambda _event: Reply(delay_s=0.003)
    runs = [run for name in "abc" for run in story(name, days=2)]
    bench.outbox.queue(runs, whole=order == "runs")
    destination = HttpDestination("events", bench.catalog.url, profile=MARQUEZ)
    deliver(
        bench.outbox.ledger,
        bench.outbox,
        destination,
        clock=bench.outbox.clock,
        stop=bench.outbox.stop,
        order="runs" if order == "runs" else "free",
    )
    destination.close()
    assert bench.catalog.together == set()
    seen: dict[str, list[str]] = {}
    for event in bench.catalog.state.events:
        seen.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert all(kinds[0] == "START" and len(kinds) == 2 for kinds in seen.values())


EXACT = replace(MARQUEZ, exact_links=True)


def _read_the_first(bench: Bench, days: int, *, exact: bool) -> list[RunSnapshot]:
    """Queue runs of a pipeline, and one of another that reads the model of the first; give all."""
    producer = story("train", days=days, fails_on=0)
    runs = [*producer, day_of("serve", 5, reads=producer[0])]
    bench.outbox.see(runs)
    marks = []
    for run in runs:
        events = run_events(run, NAMING)
        marks.append(_mark(run, events, exact=exact))
    bench.outbox.ledger.outbox.enqueue(bench.outbox.lease, marks, bench.outbox.clock.now_ms())
    return runs


def _deliver_exactly(bench: Bench, *, exact: bool = True) -> DeliveryReport:
    destination = HttpDestination("events", bench.catalog.url, profile=EXACT)
    try:
        return deliver(
            bench.outbox.ledger,
            bench.outbox,
            destination,
            clock=bench.outbox.clock,
            stop=bench.outbox.stop,
            order="runs",
            exact_links=exact,
        )
    finally:
        destination.close()


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "newest"])
def test_a_reader_of_an_older_version_is_linked_to_it_where_that_is_asked_for(
    bench: Bench, exact: bool
) -> None:
    runs = _read_the_first(bench, 3, exact=exact)
    report = _deliver_exactly(bench, exact=exact)
    assert (report.delivered, bench.outbox.counts().pending) == (40, 0)
    right = picture_of([events_of(run) for run in by_end(runs)])
    found = answers_of(bench.catalog.url, right)
    importer = events_of(runs[-1])[2]
    assert importer["job"]["name"] == "serve.importer"
    (links,) = found.links[importer["run"]["runId"]].values()
    trainers = [events_of(run)[4]["run"]["runId"] for run in runs[:-1]]
    assert links == {trainers[0] if exact else trainers[2]}
    right.links[importer["run"]["runId"]] = found.links[importer["run"]["runId"]]
    assert found == right
    assert len(bench.catalog.state.events) == (42 if exact else 40)


def test_trouble_while_an_older_version_is_shown_again_is_made_good(bench: Bench) -> None:
    runs = _read_the_first(bench, 2, exact=True)
    count = [0]

    def before(_event: Json) -> Reply | None:
        count[0] += 1
        return Reply(503) if count[0] in (23, 26) else None

    bench.catalog.before = before
    report = _deliver_exactly(bench)
    assert (report.retried, report.dead, bench.outbox.counts().pending) == (2, 0, 0)
    right = picture_of([events_of(run) for run in by_end(runs)])
    found = answers_of(bench.catalog.url, right)
    assert (found.current, found.versions, found.newest) == (
        right.current,
        right.versions,
        right.newest,
    )
    importer = events_of(runs[-1])[2]["run"]["runId"]
    assert found.links[importer] == {
        name: {events_of(runs[0])[4]["run"]["runId"]} for name in right.links[importer]
    }
