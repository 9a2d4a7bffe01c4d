"""Tables for people, as wide as there is room for; no word of them is broken."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from io import StringIO
from typing import TYPE_CHECKING

from exporter.cli.output import one_line, print_lines, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PIPED_WIDTH = 100
_LONGEST_WORD = 40  # a longer one may be broken
_CELL_FRAME = 3  # the line before a cell and the blanks around it


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Draw a table on stdout, as wide as the terminal or as COLUMNS says.

    Where neither is known it is 100 columns wide, or wider where words want it. What does not fit
    without breaking words is listed instead, row by row.
    """
    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    drawn = list(zip(columns, *cells, strict=True))
    needs = [max(map(_longest_word, column)) for column in drawn]
    needed = sum(needs) + _CELL_FRAME * len(columns) + 1
    room = room_for_tables() or max(_PIPED_WIDTH, needed)
    heading = printable(title)
    if needed > room:
        print_lines([heading, *_listed(columns, cells, room)])
        return
    widths = _shared_out(needs, [max(map(_width, column)) for column in drawn], room)
    print_lines([_bold(heading), *_drawn(columns, cells, widths, room)])


def room_for_tables() -> int | None:
    """Give how many columns there are: what COLUMNS says, or the terminal has; None if unknown."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def is_plain() -> bool:
    """Tell whether no escape codes are wanted: off a terminal, and where NO_COLOR is set."""
    return not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))


def _drawn(
    columns: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int], room: int
) -> list[str]:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    draws_lines = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    table = Table(
        header_style="" if is_plain() else "bold", box=box.HEAVY_HEAD if draws_lines else box.ASCII
    )
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, overflow="fold", width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    out = StringIO()
    Console(file=out, width=room, force_terminal=not is_plain()).print(table)
    return out.getvalue().splitlines()


def _shared_out(needs: Sequence[int], wants: Sequence[int], room: int) -> list[int]:
    """Give each column what it needs, and the rest to those that want more, by how little."""
    widths = list(needs)
    left = room - sum(needs) - _CELL_FRAME * len(needs) - 1
    by_want = sorted(range(len(widths)), key=lambda place: wants[place] - widths[place])
    for number, place in enumerate(by_want):
        more = min(wants[place] - widths[place], left // (len(by_want) - number))
        widths[place] += more
        left -= more
    return widths


def _listed(columns: Sequence[str], cells: Sequence[Sequence[str]], room: int) -> list[str]:
    """Spell each row as `column value` pairs, as many on a line as fit."""
    lines: list[str] = []
    for row in cells:
        line = ""
        for column, cell in zip(columns, row, strict=True):
            pair = f"{column} {cell}" if cell else ""
            if pair and line and _width(f"{line}; {pair}") > room:
                lines.append(line)
                line = ""
            if pair:
                line = f"{line}; {pair}" if line else f"  {pair}" if column != columns[0] else pair
        lines.append(line)
    return [
        part
        for line in lines
        for part in textwrap.wrap(
            line,
            room,
            subsequent_indent="    ",
            drop_whitespace=True,
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]


def _longest_word(text: str) -> int:
    return min(_LONGEST_WORD, max(map(_width, text.split()), default=1))


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _bold(text: str) -> str:
    return text if is_plain() or not text else f"\x1b[1m{text}\x1b[0m"
