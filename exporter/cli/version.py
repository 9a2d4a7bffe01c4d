"""`version`."""

from __future__ import annotations

from exporter._version import __version__
from exporter.cli.output import print_json, print_line


def show_version(*, as_json: bool) -> int:
    """Print the version."""
    if as_json:
        print_json({"version": __version__})
    else:
        print_line(f"pipeline-exporter {__version__}")
    return 0
