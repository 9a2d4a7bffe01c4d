"""Files below a folder, reached without ever following a symbolic link out of it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from exporter.errors import (
    CorruptArtifact,
    MissingArtifact,
    SourceUnavailable,
    UnsafeArtifact,
)

if TYPE_CHECKING:
    from pathlib import Path

# no file can be at such a path: it is not there, a part of it is a file, or a name is too long
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
# nothing is wrong with this file: the machine or the mount cannot serve it now
_OUT_OF_REACH = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT}
)


def list_files(real: Path) -> list[tuple[str, int]]:
    """List (relative path, size) of the regular files below a resolved path; links are left out.

    Shapes: one entry with path '' when the path is a file itself.
    Raises: MissingArtifact, CorruptArtifact; SourceUnavailable when the mount is away.
    """
    try:
        found = os.lstat(real)
        if stat.S_ISREG(found.st_mode):
            return [("", found.st_size)]
        if not stat.S_ISDIR(found.st_mode):
            raise CorruptArtifact(f"{real} is neither a file nor a folder.")
        out: list[tuple[str, int]] = []
        pending = [("", os.fspath(real))]
        while pending:
            prefix, folder = pending.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = f"{prefix}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((f"{name}/", entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        out.append((name, entry.stat(follow_symlinks=False).st_size))
    except OSError as error:
        raise _translated(error, real) from error
    return sorted(out)


def open_beneath(root: Path, real: Path, path: str) -> BinaryIO:
    """Open a regular file for reading, part by part from a resolved root, following no link.

    Raises: UnsafeArtifact, MissingArtifact, CorruptArtifact; SourceUnavailable when the mount is
    away.
    """
    if path and (path.startswith("/") or {"", ".", ".."} & set(path.split("/")) or "\x00" in path):
        raise UnsafeArtifact(f"{path!r} is not a path inside an artifact.")
    target = real / path if path else real
    parts = target.relative_to(root).parts
    descriptor = -1
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            kind = os.O_NONBLOCK if last else os.O_DIRECTORY
            below = os.open(
                part, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | kind, dir_fd=descriptor
            )
            os.close(descriptor)
            descriptor = below
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CorruptArtifact(f"{target} is not a regular file.")  # noqa: TRY301 - closed below
        return os.fdopen(descriptor, "rb")
    except (OSError, CorruptArtifact) as error:
        if descriptor >= 0:
            os.close(descriptor)
        if isinstance(error, CorruptArtifact):
            raise
        raise _translated(error, target) from error


def is_nothing_there(error: OSError) -> bool:
    """Tell whether an error means that no such path can be there, not that it cannot be read."""
    return error.errno in _NOTHING_THERE


def _translated(
    error: OSError, path: Path
) -> MissingArtifact | CorruptArtifact | SourceUnavailable:
    """Say what the system's error at a path means for the artifact, or for the whole source."""
    if is_nothing_there(error):
        return MissingArtifact(
            f"There is nothing at {path}.",
            hint="If the store was moved, map the recorded prefix in `artifacts.rewrite`.",
        )
    if error.errno in _OUT_OF_REACH:
        return SourceUnavailable(
            f"{path} cannot be reached now: {error.strerror}.", hint="The next cycle tries again."
        )
    return CorruptArtifact(
        f"{path} cannot be read: {error.strerror}.",
        hint="Let the user that runs the exporter read it."
        if error.errno in (errno.EACCES, errno.EPERM)
        else "Check the file and its disk.",
    )
