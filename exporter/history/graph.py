"""The drawing of a run, for notebooks and files."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.drawing import draw_run, summary_page
from exporter.errors import ConfigError

if TYPE_CHECKING:
    import os

    from exporter.hierarchy import RunSnapshot


class RunGraph:
    """The step graph of a run. A notebook shows it; `svg`, `html` and `save` are for all else.

    What it shows is the run as it was when `visualize` was called.
    """

    def __init__(self, record: RunSnapshot) -> None:
        self._record = record

    @cached_property
    def svg(self) -> str:
        """The graph as SVG: self-contained, light or dark as its viewer is."""
        return draw_run(self._record)

    @cached_property
    def html(self) -> str:
        """The summary page as HTML: the graph, steps, artifacts and facts of the run."""
        return summary_page(self._record)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the graph to a `.svg`, or the summary page to a `.html`; give the file's path.

        Repeat: the file is written anew.
        Raises: ConfigError for another ending, or a place where nothing can be written.
        """
        file = Path(path)
        made = {".svg": lambda: self.svg, ".html": lambda: self.html, ".htm": lambda: self.html}
        text = made.get(file.suffix.lower())
        if text is None:
            raise ConfigError(
                f"{file.name!r} is no name for a drawing.",
                hint="End it with .svg for the graph, with .html for the summary page.",
            )
        try:
            file.write_text(text(), encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{file} cannot be written: {error.strerror or error}.",
                hint="Name a file in a folder that exists and may be written to.",
            ) from error
        return file

    def __repr__(self) -> str:
        return f"RunGraph({self._record.name!r}, {len(self._record.steps)} steps)"

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg.strip()}</div>'
