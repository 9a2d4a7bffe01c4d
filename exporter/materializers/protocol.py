"""What a materializer is, for those of this package and for a user's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from exporter.errors import ConfigError, CorruptArtifact, ExporterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.materializers.files import ArtifactFiles


@runtime_checkable
class Materializer(Protocol):
    """Turns the files of an artifact into a value.

    Write a class with this one method and hand it to `output.read(materializer=…)`, as a class
    without arguments or as an instance. `files` lists and opens the artifact's files under the
    stack's policy, `files.artifact` is what the store says of it. `trusted` says that the user
    vouches for the artifact: only then may the bytes be executed, which unpickling does.
    """

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: the user's value
        """Give the value.

        Raises: CorruptArtifact when the files are not of the format; UnsafeArtifact when they would
        be executed and `trusted` is not set; ConfigError when a package is missing.
        """


# The extra of this distribution that brings an importable package.
_EXTRAS = {
    "h5py": "keras",
    "joblib": "sklearn",
    "keras": "keras",
    "sklearn": "sklearn",
    "torch": "torch",
}


_PARSERS_RAISE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,  # parquet features that this pyarrow does not have
    OSError,
    RecursionError,
    SyntaxError,  # the header of a .npy file
    TypeError,
    ValueError,
)


@contextmanager
def parsing(files: ArtifactFiles, what: str, *also: type[Exception]) -> Iterator[None]:
    """Turn what parsers of hostile bytes raise into `CorruptArtifact`, naming the artifact.

    Bytes are fetched before, outside: a store out of reach is not a corrupt artifact. `also` are
    classes that the parser at hand raises beside those that all of them do.
    """
    caught = (*_PARSERS_RAISE, *also)
    try:
        yield
    except ExporterError:
        raise
    except ImportError as error:
        missing = error.name or str(error)
        raise ConfigError(
            f"Reading the {what} of {files.described} needs {missing!r}, which is not installed.",
            hint=f"{installing(missing)}, or read the bytes: "
            "output.read(materializer=BytesMaterializer).",
            package=missing,
        ) from error
    except caught as error:
        raise CorruptArtifact(
            f"{files.described} is no readable {what}: {type(error).__name__}: {error}",
            hint="Check the file, or read the bytes with materializer=BytesMaterializer.",
            artifact=files.artifact.id,
        ) from error


def installing(package: str) -> str:
    """Say how to install what provides an importable package."""
    extra = _EXTRAS.get(package.partition(".")[0])
    if extra is None:
        return f"Install what provides {package!r}"
    return f"Install it: pip install 'pipeline-exporter[{extra}]'"
