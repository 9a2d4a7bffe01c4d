"""What a run shows of itself among its artifacts: its step graph, and a page about it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from exporter.drawing import draw_run, summary_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.hierarchy import RunSnapshot

PAGES_TAG = "exporter.pages"
GRAPH_PATH = "exporter/graph.svg"
SUMMARY_PATH = "exporter/summary.html"


def pages_of(run: RunSnapshot) -> dict[str, bytes]:
    """Give the pages of a run by their paths under its artifact root.

    Repeat: the same run gives the same bytes.
    """
    return {
        GRAPH_PATH: draw_run(run).encode("utf-8"),
        SUMMARY_PATH: summary_page(run).encode("utf-8"),
    }


def pages_tag(pages: Mapping[str, bytes]) -> str:
    """Spell which pages a run holds: each name and a hash of its bytes."""
    return " ".join(_spelled(path, content) for path, content in sorted(pages.items()))


def unsent_pages(pages: Mapping[str, bytes], tag: str) -> dict[str, bytes]:
    """Leave out the pages that the tag of a run says it holds."""
    held = set(tag.split(" "))
    return {path: content for path, content in pages.items() if _spelled(path, content) not in held}


def is_held_page(path: str, sha256: str, tag: str) -> bool:
    """Tell whether a file is the page of that name that the tag of its run says it holds."""
    return _named(path, sha256) in tag.split(" ")


def _spelled(path: str, content: bytes) -> str:
    return _named(path, hashlib.sha256(content).hexdigest())


def _named(path: str, sha256: str) -> str:
    return f"{path.rpartition('/')[2]}={sha256[:16]}"
