"""Files as they are, and pickles, which execute code when they are loaded."""

from __future__ import annotations

import lzma
import pickle
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from exporter.errors import ConfigError, CorruptArtifact, UnsafeArtifact
from exporter.materializers.protocol import installing, parsing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.materializers.files import ArtifactFiles

PICKLE_FILES = ("artifact.pkl", "model")
PICKLE_SUFFIXES = (".pkl", ".pickle", ".dill")


class BytesMaterializer:
    """Reads any artifact as bytes. Nothing is parsed or executed: safe for every format."""

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> bytes | dict[str, bytes]:  # noqa: ARG002
        """Give the bytes of an artifact that is a file, else a dict from relative path to bytes."""
        if list(files.sizes) == [""]:
            return files.read("")
        return {path: files.read(path) for path in files.sizes}


class PickleMaterializer:
    """Reads what was pickled, when trusted: scikit-learn models, and what had no format."""

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: any Python object
        """Unpickle, which executes code that whoever wrote the file chose.

        Raises: UnsafeArtifact unless trusted; ConfigError when the object's package is not
        installed.
        """
        path = files.find(*PICKLE_FILES, suffixes=PICKLE_SUFFIXES)
        if path is None:
            raise nothing(files, "pickle")
        if not trusted:
            raise refused(files, "a pickle")
        raw = files.read(path)
        with unpickling(files):
            return pickle.loads(raw)  # noqa: S301 - the user said trusted=True, in their own process


def refused(files: ArtifactFiles, what: str) -> UnsafeArtifact:
    """Build the error for a format that executes code, saying why and how to go on."""
    return UnsafeArtifact(
        f"{files.described} is {what}: reading it would execute code stored in it.",
        hint="If you trust whoever wrote it, call output.read(trusted=True); "
        "output.read(materializer=BytesMaterializer) gives the bytes without executing anything.",
        artifact=files.artifact.id,
    )


def nothing(files: ArtifactFiles, what: str) -> CorruptArtifact:
    """Build the error for files that are of another format."""
    return CorruptArtifact(
        f"{files.described} holds no {what}.",
        hint="Choose the materializer that wrote it, or BytesMaterializer.",
        artifact=files.artifact.id,
    )


@contextmanager
def unpickling(files: ArtifactFiles) -> Iterator[None]:
    """Turn what unpickling raises into errors of ours.

    Raises: CorruptArtifact; ConfigError that names the package of the object, when it is not
    installed or has no longer what the object was made of.
    """
    also = (
        pickle.UnpicklingError,
        AssertionError,
        RuntimeError,
        lzma.LZMAError,
        struct.error,
        zlib.error,
    )
    try:
        with parsing(files, "pickle", *also):
            yield
    except ConfigError as error:
        package = str(error.context.get("package", ""))
        raise ConfigError(
            error.message,
            hint=f"It was written as {files.artifact.data_type or 'an unknown type'}. "
            f"{installing(package)}, in the version that wrote it if you can.",
            **error.context,
        ) from error
