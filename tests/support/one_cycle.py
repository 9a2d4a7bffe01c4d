"""One cycle in a process of its own: `python -m support.one_cycle CONFIG GRACE_MS`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from exporter.config import load_settings
from exporter.errors import LeaseHeld
from exporter.sync.engine import Engine
from exporter.sync.report import CycleReport


def _once_free(engine: Engine) -> CycleReport:
    """Run the cycle as soon as the lease of a killed predecessor has run out."""
    while True:
        try:
            return engine.cycle()
        except LeaseHeld:
            time.sleep(0.1)


def one_cycle(config: Path, grace_ms: int) -> CycleReport:
    """Run the cycle in this process."""
    engine = Engine(load_settings(config), grace_ms=grace_ms, lease_ttl_s=1.0, migrate=True)
    return _once_free(engine)


def main() -> None:
    """Run the cycle and leave with its exit code."""
    report = one_cycle(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps(report.to_json()))
    sys.exit(report.exit_code)


if __name__ == "__main__":
    main()
