"""Artifact roots that no tracking server serves: folders and buckets, by MLflow's own drivers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from exporter.errors import SinkError, SinkTransient
from exporter.sinks.mlflow.answers import MissingResource

if TYPE_CHECKING:
    from collections.abc import Generator

_BLOCK = 1 << 20


def store_file(artifact_uri: str, path: str, file: BinaryIO) -> None:
    """Store a file under an artifact root; MLflow takes it from a local copy.

    Raises: SinkTransient where a driver for the root is missing, and for what the store raises.
    """
    repository = _repository(artifact_uri)
    folder, _, name = path.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="pipeline-exporter-") as scratch:
        local = Path(scratch) / name
        with local.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        try:
            repository.log_artifact(str(local), folder or None)
        except ImportError as error:
            raise _no_driver(artifact_uri, error) from error
        except Exception as error:
            raise SinkTransient(
                str(_failure(error, artifact_uri, "did not take a file"))
            ) from error


def fetch_file(artifact_uri: str, path: str) -> bytes:
    """Read a small file from under an artifact root.

    Raises: as `store_file`; MissingResource where the store says that there is no such file.
    """
    repository = _repository(artifact_uri)
    with tempfile.TemporaryDirectory(prefix="pipeline-exporter-") as scratch:
        try:
            return Path(repository.download_artifacts(path, scratch)).read_bytes()
        except ImportError as error:
            raise _no_driver(artifact_uri, error) from error
        except Exception as error:
            raise _failure(error, artifact_uri, f"did not give {path}") from error


def read_foreign(artifact_uri: str, path: str) -> Generator[bytes]:
    """Give a file block by block; MLflow brings it here first, unless it lies in a folder.

    Raises: as `fetch_file`.
    """
    repository = _repository(artifact_uri)
    is_folder = hasattr(repository, "artifact_dir")
    with tempfile.TemporaryDirectory(prefix="pipeline-exporter-") as scratch:
        try:
            local = repository.download_artifacts(path, None if is_folder else scratch)
            file = Path(local).open("rb")  # noqa: SIM115 - closed below, where reading cannot blame the store
        except ImportError as error:
            raise _no_driver(artifact_uri, error) from error
        except Exception as error:
            raise _failure(error, artifact_uri, f"did not give {path}") from error
        with file:
            while block := file.read(_BLOCK):
                yield block


def list_foreign(artifact_uri: str, folder: str) -> dict[str, int | None]:
    """Give the files in a folder under an artifact root: name → size. Raises: as `fetch_file`."""
    repository = _repository(artifact_uri)
    try:
        found = repository.list_artifacts(folder or None)
    except ImportError as error:
        raise _no_driver(artifact_uri, error) from error
    except Exception as error:
        raise _failure(error, artifact_uri, f"did not list {folder or 'its root'}") from error
    return {f.path.rpartition("/")[2]: f.file_size for f in found if not f.is_dir}


def _repository(artifact_uri: str) -> Any:  # Any: its methods have no annotations
    from mlflow.store.artifact.artifact_repository_registry import (
        get_artifact_repository,
    )

    try:
        return get_artifact_repository(artifact_uri)
    except (ImportError, _mlflow_error()) as error:
        raise _no_driver(artifact_uri, error) from error
    except Exception as error:
        raise _failure(error, artifact_uri, "cannot be reached from here") from error


def _no_driver(artifact_uri: str, error: Exception) -> SinkTransient:
    """Say what is missing: only units of experiments with this root wait for it."""
    return SinkTransient(
        f"The artifact store {_root(artifact_uri)} cannot be reached from here: {error}",
        hint="Install the driver MLflow names, or let the server proxy artifacts.",
    )


def _failure(error: Exception, artifact_uri: str, what: str) -> SinkError:
    """Say what any failure of a driver means: botocore, google-auth, azure share no base class.

    Their messages may hold signed URLs, so of classes that are not known only the name is shown.
    """
    known = isinstance(error, (OSError, _mlflow_error()))
    shown = f"The artifact store {_root(artifact_uri)} {what}: "
    shown += str(error) if known else type(error).__name__
    missing = isinstance(error, FileNotFoundError) or (
        # So says MLflow's own driver for folders, in an OSError without a number.
        isinstance(error, OSError) and str(error).startswith("No such file or directory")
    )
    code = getattr(error, "error_code", "")
    if missing or code == "RESOURCE_DOES_NOT_EXIST":
        return MissingResource(shown)
    return SinkTransient(shown)


def _mlflow_error() -> type[Exception]:
    from mlflow.exceptions import MlflowException

    return MlflowException


def _root(artifact_uri: str) -> str:
    """Give scheme and host of a root without user and password."""
    scheme, separator, rest = artifact_uri.partition("://")
    if not separator:
        return "folder"
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"
