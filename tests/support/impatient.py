"""The command with a shorter patience after a signal to stop: `python -m support.impatient`."""

from __future__ import annotations

from exporter.cli import main
from exporter.sync import engine

if __name__ == "__main__":
    engine._PATIENCE_S = 2.0
    main()
