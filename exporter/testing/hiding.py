"""A package that is installed, made to look as if it were not."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Let importing a package fail, as it does where it is not installed; all is as before after.

    Modules that hold it already keep it: what is tested must import it when it reads.
    """
    names = {name for name in sys.modules if name == package or name.startswith(f"{package}.")}
    before = {name: sys.modules[name] for name in names}
    try:
        for name in {*names, package}:
            sys.modules[name] = None  # type: ignore[assignment]  # Python's sign for "may not be imported"
        yield
    finally:
        for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
            del sys.modules[name]
        sys.modules.update(before)
