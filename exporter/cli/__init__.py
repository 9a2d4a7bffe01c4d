"""The command line: verbs, progress, exit codes.

It knows every layer below it; none knows it. Heavy parts are imported by the verb that needs them.
"""

from __future__ import annotations


def main() -> None:
    """Run `pipeline-exporter`; ends the process with the documented exit code."""
    from exporter.cli.start import run

    run()
