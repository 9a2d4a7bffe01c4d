"""Where an artifact's copied files are kept."""

from __future__ import annotations

from typing import NamedTuple


class Home(NamedTuple):
    """The nested run that holds an artifact's files, by step key, and the path in that run.

    The path is under the run's artifact root: that of the file itself where the artifact is one
    file, else of its folder.
    """

    step_key: str
    path: str
