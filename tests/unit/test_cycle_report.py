"""The report of a cycle stays small, whatever goes wrong."""

from __future__ import annotations

from exporter.sync.report import LISTED, StackReport


def test_errors_and_notes_are_listed_up_to_a_limit_and_counted_beyond() -> None:
    one, total = StackReport(), StackReport()
    for number in range(LISTED + 7):
        one.errors.append({"error": str(number)})
        one.notes.append({"note": "the same"})
    total.add(one)
    total.add(StackReport())
    shown = total.to_json()
    assert len(shown["errors"]) == LISTED + 1
    assert shown["errors"][-1] == {"error": "… and 7 more"}
    assert shown["notes"] == [{"note": "the same"}]
    assert not total.ok
