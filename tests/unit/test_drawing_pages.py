"""Step graphs and summary pages: valid, safe with any name, the same every time, and complete."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pages import Page
from support.samples import START, shards_run, train_run
from support.strategies import NASTY, runs

from exporter.drawing import draw_run, summary_page
from exporter.drawing.graph import MOST_EDGES, edges_of
from exporter.drawing.looks import look_of
from exporter.drawing.text import duration, label, width_of
from exporter.hierarchy import Content, PipelineRecord, Port, RunSnapshot, Step

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (*NASTY, "</svg>", '"/><svg onload="x">', "]]>", "&lt;", "\u2067right\u2069", "</title>")
_PAGE = (
    "html head meta title style body main h1 h2 p div span b bdi i wbr table thead tbody tr th td"
)
_DRAWING = "svg g rect circle path text desc"
ALLOWED = {*_PAGE.split(), *_DRAWING.split()}


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg.encode("utf-8"))  # noqa: S314 - our own text


def boxes(root: ET.Element) -> list[ET.Element]:
    return [g for g in root.iter(f"{SVG}g") if g.find(f"{SVG}rect") is not None]


def edges(root: ET.Element) -> list[ET.Element]:
    return [path for path in root.iter(f"{SVG}path") if "edge" in path.get("class", "")]


def check_safe(text: str) -> None:
    seen = Page(text)
    assert {tag for tag, _ in seen.tags} <= ALLOWED
    for _, attributes in seen.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in {"src", "href", "xlink:href", "style"}
            assert "//" not in (value or "") or name == "xmlns"
    assert "<script" not in text
    assert not re.search(r"url\(|@import", text)
    text.encode("utf-8")


def check(run: RunSnapshot) -> None:
    svg, page = draw_run(run), summary_page(run)
    root = parsed(svg)
    assert root.get("role") == "img"
    assert (root[0].tag, root[1].tag) == (f"{SVG}title", f"{SVG}desc")
    assert len(boxes(root)) == len(run.steps)
    assert len(edges(root)) == len(edges_of(run))
    for text in (svg, page):
        check_safe(text)
    assert summary_page(run) == page
    assert draw_run(run) == svg


def step(name: str, *parents: int, **more: object) -> Step:
    made = Step(name, name, name, "completed", start=START, end=START + 2_300, parents=parents)
    return replace(made, **more)  # type: ignore[arg-type]  # fields of a step


def run_of(*steps: Step, name: str = "run_1") -> RunSnapshot:
    return replace(train_run(), name=name, steps=steps, artifacts=())


@given(runs())
@settings(max_examples=60, deadline=None)
def test_any_run_is_drawn_whole_valid_and_safe(run: RunSnapshot) -> None:
    check(run)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    run = replace(
        run_of(
            step(name, entrypoint=name, status=name),
            step("other", 0, inputs=(Port(name, "1", parent=0),)),
            name=name,
        ),
        pipeline=PipelineRecord(name, 0, "1", docstring=name),
        artifacts=(replace(train_run().artifacts[0], id="1", uri=name, type=name),),
    )
    check(run)
    assert "\u202e" not in draw_run(run)
    assert "\u2067" not in draw_run(run)


@given(
    st.lists(
        st.tuples(st.integers(-3, 12), st.integers(0, 9), st.booleans()), max_size=40, unique=True
    )
)
@settings(deadline=None)
def test_edges_join_steps_that_are_there_each_pair_once(
    links: list[tuple[int, int, bool]],
) -> None:
    steps = []
    for place in range(10):
        mine = [(source, handed) for source, target, handed in links if target == place]
        ports = tuple(Port(f"in{s}", "1", parent=s) for s, handed in mine if handed)
        steps.append(step(f"s{place}", *(s for s, handed in mine if not handed), inputs=ports))
    run = run_of(*steps)
    found = {(edge.source, edge.target) for edge in edges_of(run)}
    assert len(found) == len(edges_of(run))
    assert found == {(s, t) for s, t, _ in links if 0 <= s < 10 and s != t}
    assert len(edges(parsed(draw_run(run)))) == len(found)


@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_any_number_of_steps_is_drawn(count: int) -> None:
    run = run_of(*(step(f"step_{at}", *([at - 1] if at else [])) for at in range(count)))
    check(run)
    assert ("This run has no steps." in draw_run(run)) == (count == 0)


def test_a_cycle_is_drawn_with_a_dashed_edge_back() -> None:
    root = parsed(draw_run(run_of(step("a", 1), step("b", 0))))
    assert [edge.get("class") for edge in edges(root)] == ["edge only", "edge only"]
    assert len(boxes(root)) == 2


def test_every_attempt_has_its_own_box_which_says_which_it_is() -> None:
    words = [
        text.text for box in boxes(parsed(draw_run(train_run()))) for text in box.iter(f"{SVG}text")
    ]
    assert words.count("trainer") == 2
    assert any("attempt 2" in (word or "") for word in words)
    assert "trainer → trainer (tried again)" in draw_run(train_run())


@pytest.mark.parametrize(
    "status", ["completed", "cached", "failed", "running", "cancelled", "skipped", "no such word"]
)
def test_a_status_shows_as_a_word_and_a_shape_besides_its_colour(status: str) -> None:
    root = parsed(draw_run(run_of(step("a", status=status))))
    (box,) = boxes(root)
    assert box.get("class") == look_of(status).kind
    signs = [path.get("d") for path in box.iter(f"{SVG}path")]
    assert signs == [look_of(status).sign]
    assert any((text.text or "").startswith(status) for text in box.iter(f"{SVG}text"))


def test_kinds_of_status_have_shapes_of_their_own() -> None:
    words = ("completed", "cached", "failed", "running", "pending", "cancelled", "skipped", "?")
    assert len({look_of(word).sign for word in words}) == len(words)


def test_a_long_name_is_cut_in_its_box_and_whole_in_the_title() -> None:
    name = "prepare_" * 30
    (box,) = boxes(parsed(draw_run(run_of(step(name)))))
    shown = box.findtext(f"{SVG}text") or ""
    assert shown.endswith("…")
    assert len(shown) < 40
    assert (box.findtext(f"{SVG}title") or "").startswith(name)


def test_a_run_that_goes_on_shows_its_steps_so_far() -> None:
    run = replace(
        run_of(step("done"), step("now", 0, status="running", end=None)), status="running", end=None
    )
    check(run)
    assert "running" in draw_run(run)
    assert "<span>duration</span>" in summary_page(run)


def test_more_edges_than_can_be_looked_at_are_counted_instead() -> None:
    steps = [step(f"s{at}", *range(at)) for at in range(100)]
    svg = draw_run(run_of(*steps))
    assert len(edges(parsed(svg))) == MOST_EDGES
    assert f"{4_950 - MOST_EDGES} more edges are not drawn." in svg


def test_a_summary_says_what_ran_and_what_became_of_every_artifact() -> None:
    run = train_run()
    filled = tuple(replace(a, content=Content("copied", "x", 2_048)) for a in run.artifacts)
    words = Page(summary_page(replace(run, artifacts=filled))).words
    for said in ("train_pipeline", "run_1", "importer", "attempt 2", "copied", "2.0 KiB"):
        assert said in words
    assert "Trains a model." in words
    assert "git_sha" in words
    assert "abc123" in words
    assert all(artifact.uri in words for artifact in run.artifacts)


def test_a_port_that_holds_a_list_is_listed_once() -> None:
    assert "× 3" in Page(summary_page(shards_run())).words


def test_the_same_run_gives_the_same_bytes_in_every_process() -> None:
    code = (
        "import hashlib, sys; sys.path.insert(0, 'tests')\n"
        "from support.samples import train_run\n"
        "from exporter.drawing import draw_run, summary_page\n"
        "text = draw_run(train_run()) + summary_page(train_run())\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("0", "1")
    }
    assert len(digests) == 1


def test_durations_are_written_as_people_say_them() -> None:
    lasting = (0, 999, 1_000, 59_990, 60_000, 3_599_999, 90_000_000)
    assert [duration(0, ms) for ms in lasting] == [
        "0 ms",
        "999 ms",
        "1.0 s",
        "59.9 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 d 1 h",
    ]
    assert duration(None, 1) == duration(1, None) == duration(2, 1) == ""


@given(st.text(max_size=300), st.integers(4, 30))
def test_a_label_keeps_to_its_width_and_its_line(text: str, width: int) -> None:
    shown = label(text.replace("&", ""), width)
    assert "\n" not in shown
    assert width_of(re.sub(r"&#?\w+;", "x", shown)) <= width + 0.01 or "&" in shown
