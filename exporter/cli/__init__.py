"""The command line: verbs, progress, exit codes.

It knows every layer below it; none knows it. Heavy parts are imported by the verb that needs them.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run `pipeline-exporter`; ends the process with the documented exit code."""
    from exporter.cli.signals import INTERRUPTED, heed_signals

    heed_signals(sys.argv[1:])
    try:
        from exporter.cli.start import run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()
