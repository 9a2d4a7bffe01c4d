"""Tables at any width: no word is broken, and nothing is sent that nobody wants."""

from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli.tables import print_table

_COLUMNS = ("experiment", "run", "start", "params")
_ROW = ("acme/stack/train_pipeline", "run_1", "2026-11-23T12:34:03.093Z", 12)


class _Terminal(StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def _shown(
    width: int | None, rows: list[tuple[object, ...]], *, out: StringIO | None = None
) -> str:
    stream = out or StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        patch.delenv("COLUMNS", raising=False)
        if width is not None:
            patch.setenv("COLUMNS", str(width))
        print_table("a title", _COLUMNS, rows)
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_word_is_broken_and_no_line_ends_in_blanks(width: int) -> None:
    shown = _shown(width, [_ROW, _ROW])
    for word in map(str, (*_COLUMNS, *_ROW)):
        assert word in shown
    for line in shown.splitlines():
        assert len(line) <= width
        assert line == line.rstrip()
    assert shown.startswith("a title\n")


def test_where_no_width_is_known_a_table_is_as_wide_as_its_words() -> None:
    wide = tuple(f"{word}{'x' * 15}" for word in _ROW)
    lines = _shown(None, [wide]).splitlines()
    assert len({len(line) for line in lines[1:]}) == 1
    assert any(all(word in line for word in wide) for line in lines)
    assert max(map(len, _shown(None, [("many words " * 30, "b", "c", 1)]).splitlines())) <= 100


@given(
    st.integers(20, 150),
    st.lists(st.tuples(*[st.text(st.characters(codec="ascii"), max_size=60)] * 4), max_size=3),
)
def test_any_table_fits(width: int, rows: list[tuple[object, ...]]) -> None:
    words = [word for row in rows for cell in row for word in str(cell).split()]
    longest = max(map(len, [*words, *_COLUMNS]), default=0)
    shown = _shown(width, rows)
    if longest * 4 < width:
        assert all(len(line) <= width for line in shown.splitlines())


def test_no_color_means_no_escape_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1m" in _shown(100, [_ROW], out=_Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in _shown(100, [_ROW], out=_Terminal())
