"""The peak of this program's memory."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_kib() -> int:
    """Give this program's own peak; `ru_maxrss` starts at that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
