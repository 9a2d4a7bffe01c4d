"""Draws a run: its step graph as SVG, and a page about it as HTML.

Pure: a record in, text out. It knows nothing of where the text goes, nor of clocks: what still runs
has a start and no duration.
"""

from exporter.drawing.summary import summary_page
from exporter.drawing.svg import draw_run

__all__ = ["draw_run", "summary_page"]
