"""What verifying is made of: differences of values, lines for people, one object with a list."""

from __future__ import annotations

import json

import pytest

from exporter.cli.difference_text import difference_text
from exporter.cli.output import JsonWithList
from exporter.mapping.mlflow.tables import DESCRIPTIONS
from exporter.mapping.value_diff import value_differences
from exporter.statistics import describing
from exporter.sync.verify_contents import RecentContents
from exporter.sync.verify_report import Difference, Kind


def test_equal_values_have_no_differences() -> None:
    value = {"steps": [{"name": "a", "end": None}], "n": 1}
    assert list(value_differences(value, json.loads(json.dumps(value)))) == []


def test_members_of_lists_are_known_by_name() -> None:
    left = {"steps": [{"name": "a", "status": "x"}, {"name": "b", "status": "x"}]}
    right = {"steps": [{"name": "b", "status": "y"}, {"name": "a", "status": "x"}]}
    assert list(value_differences(left, right)) == [("steps[b].status", "x", "y")]


def test_the_same_members_in_another_order_are_one_difference() -> None:
    left, right = [{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}]
    assert list(value_differences(left, right, "l")) == [("l", ["a", "b"], ["b", "a"])]


def test_what_only_one_side_has_stands_beside_nothing() -> None:
    assert list(value_differences({"a": 1}, {"b": 2})) == [("a", 1, None), ("b", None, 2)]


@pytest.mark.parametrize(
    ("kind", "name", "source", "sink", "line"),
    [
        ("param", "alpha", "0.5", "0.7", 'p / r / s: param "alpha": source "0.5", MLflow "0.7"'),
        ("param", "alpha", None, "1", 'p / r / s: param "alpha": source none, MLflow "1"'),
        ("run", "", "there", None, "p / r / s: not in MLflow."),
        ("run", "", "there", "deleted", "p / r / s: deleted in MLflow."),
        ("run", "", None, "there", "p / r / s: MLflow has a nested run that the source does not"),
        ("run", "copies", 1, 2, "p / r / s: MLflow has 2 runs of it."),
        ("experiment", "", "there", "deleted", "p / r / s: its experiment was deleted in MLflow."),
        (
            "file",
            "a/b",
            {"size": 1200, "sha256": "ab" * 32},
            None,
            'p / r / s: file "a/b": source 1,200 bytes abababababab, MLflow none',
        ),
    ],
)
def test_a_difference_is_a_line_for_people(
    kind: Kind, name: str, source: object, sink: object, line: str
) -> None:
    difference = Difference("k", "p", "r", "s", kind, name, source, sink)
    assert difference_text(difference, with_stack=False).startswith(line)
    assert difference_text(difference, with_stack=True).startswith("k / p")


@pytest.mark.parametrize("members", [[], [{"a": 1}], [{"a": 1}, {"b": ["x", "\n"]}]])
def test_a_list_printed_member_by_member_is_one_object(
    members: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = JsonWithList("differences")
    for member in members:
        shown.add(member)
    shown.end({"ok": not members})
    told = json.loads(capsys.readouterr().out)
    assert told == {"differences": members, "ok": not members}


def test_the_planned_descriptions_are_those_that_are_made() -> None:
    made = (
        describing.STATISTICS,
        describing.STATISTICS_JSON,
        describing.SCHEMA,
        describing.TABLE_SCHEMA,
        describing.REPORT,
    )
    assert made == DESCRIPTIONS


def test_contents_are_remembered_up_to_a_limit() -> None:
    recent = RecentContents()
    for number in range(9):
        recent.keep({str(number): "x" * 2**20})
    assert list(recent.recall([str(n) for n in range(9)])) == [str(n) for n in range(1, 9)]
