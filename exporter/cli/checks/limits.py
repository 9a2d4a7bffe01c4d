"""What checks must not do: wait for ever, or leave anything behind."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def done_in_time(work: Callable[[], None], seconds: float) -> bool:
    """Do the work in a thread; False where it still goes on after the time, and then it is left.

    Raises: what the work raises.
    """
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
            raised.append(error)

    thread = threading.Thread(target=run, name="check", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return False
    if raised:
        raise raised[0]
    return True


def can_hold_files(folder: Path) -> bool:
    """Tell whether files can be made in a folder; permissions say less, as those of /proc do."""
    if not folder.is_dir():
        return False
    with suppress(OSError, AttributeError):  # a file without a name, where there is such a thing
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600))
        return True
    probe = folder / f".pipeline-exporter-{secrets.token_hex(4)}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True
