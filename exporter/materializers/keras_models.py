"""Models of Keras: `.keras` files, and the older HDF5 and SavedModel."""

from __future__ import annotations

import json
import os
import zipfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import ConfigError, UnsafeArtifact
from exporter.materializers.keras_safety import objection
from exporter.materializers.on_disk import on_disk
from exporter.materializers.protocol import installing, parsing
from exporter.materializers.raw import nothing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.materializers.files import ArtifactFiles

SAVED_MODEL = "saved_model.pb"
KERAS_SUFFIXES = (".keras",)
HDF5_SUFFIXES = (".h5", ".hdf5")

# Before it, weights could point at other files of the machine.
# Source: https://nvd.nist.gov/vuln/detail/CVE-2026-1669
_SAFE_VERSION = (3, 13, 2)
_BACKENDS = ("jax", "torch", "tensorflow")  # the quickest to start first
_RAISED = (RuntimeError, zipfile.BadZipFile)


class KerasModelMaterializer:
    """Reads a Keras model: a plain `.keras` file; when trusted any, and HDF5 and SavedModel.

    HDF5 is read by Keras 2 and 3. A SavedModel is read as a Keras model where tf_keras (Keras 2) is
    installed, and where only TensorFlow is, as the object that `tf.saved_model.load` gives.
    """

    def read(self, files: ArtifactFiles, *, trusted: bool = False) -> Any:  # Any: a Keras model
        """Give the model, compiled where a `.keras` file was; trusted, its code may be executed.

        Raises: CorruptArtifact; UnsafeArtifact unless trusted, for a `.keras` file that names other
        than plain layers of Keras and for the older formats; ConfigError when Keras is not
        installed.
        """
        path = files.find("model.keras", suffixes=KERAS_SUFFIXES)
        if path is not None:
            return _keras_file(files, path, trusted=trusted)
        folder = _saved_model_folder(files)
        if folder is not None:
            if not trusted:
                raise _refused(files, "a SavedModel, which is a program for TensorFlow")
            return _saved_model(files, folder)
        path = files.find("model.h5", "model.hdf5", suffixes=HDF5_SUFFIXES)
        if path is None:
            raise nothing(files, "Keras model")
        if not trusted:
            raise _refused(files, "a Keras model in HDF5, a format without a safe mode")
        with on_disk(files, {path: "model.h5"}) as copy, parsing(files, "Keras model", *_RAISED):
            # What such a file says of its compilation, Keras 3 often cannot read any more.
            return _keras().saving.load_model(copy / "model.h5", compile=False)


def _keras_file(files: ArtifactFiles, path: str, *, trusted: bool) -> Any:  # Any: a Keras model
    with on_disk(files, {path: "model.keras"}) as copy:
        with parsing(files, "Keras model", *_RAISED):
            reason = None if trusted else objection(copy / "model.keras")
        if reason is not None:
            raise _refused(files, f"a Keras model that {reason}")
        with parsing(files, "Keras model", *_RAISED):
            keras = _keras()
            version = tuple(int(part) for part in keras.__version__.split(".")[:3])
            if not trusted and version < _SAFE_VERSION:
                raise ConfigError(
                    f"Keras {keras.__version__} cannot read models of unknown origin safely.",
                    hint="Install Keras 3.13.2 or later, or call output.read(trusted=True) if you "
                    "trust whoever wrote it.",
                )
            return keras.saving.load_model(copy / "model.keras", safe_mode=not trusted)


def _saved_model_folder(files: ArtifactFiles) -> str | None:
    """Give the folder of the SavedModel nearest to the top: '' for the artifact itself."""
    folders = [
        path.removesuffix(SAVED_MODEL).rstrip("/")
        for path in files.sizes
        if path == SAVED_MODEL or path.endswith(f"/{SAVED_MODEL}")
    ]
    return min(folders, key=lambda folder: (folder.count("/"), folder), default=None)


def _saved_model(files: ArtifactFiles, folder: str) -> Any:  # Any: what TensorFlow makes of it
    start = f"{folder}/" if folder else ""
    wanted = {path: path.removeprefix(start) for path in files.sizes if path.startswith(start)}
    with on_disk(files, wanted) as copy:
        if find_spec("tensorflow") is None:
            raise ConfigError(
                f"{files.described} is a SavedModel, which needs TensorFlow; it is not installed.",
                hint="Install tensorflow, and tf_keras for the model as Keras 2 had it; or read "
                "the bytes: output.read(materializer=BytesMaterializer).",
                package="tensorflow",
            )
        import tensorflow as tf

        with parsing(files, "SavedModel", RuntimeError, tf.errors.OpError):
            if find_spec("tf_keras") is not None:
                import tf_keras

                return tf_keras.models.load_model(copy)
            return tf.saved_model.load(str(copy))


def _keras() -> Any:  # Any: a module without types here
    with _usable_backend():
        import keras

    return keras


@contextmanager
def _usable_backend() -> Iterator[None]:
    """Let Keras start on a backend that is installed, where the one configured is not.

    Keras asks for TensorFlow unless told otherwise. The environment is as before afterwards.
    """
    configured = os.environ.get("KERAS_BACKEND") or _configured_backend()
    is_here = configured.isidentifier() and find_spec(configured) is not None
    if is_here or find_spec("keras") is None:
        yield
        return
    here = [name for name in _BACKENDS if find_spec(name) is not None]
    if not here:
        raise ConfigError(
            "Keras has no backend here.",
            hint=f"{installing('keras')}, or install tensorflow, jax or torch beside Keras.",
            package="keras",
        )
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = here[0]
    try:
        yield
    finally:
        if before is None:
            del os.environ["KERAS_BACKEND"]
        else:
            os.environ["KERAS_BACKEND"] = before


def _configured_backend() -> str:
    """Give the backend that Keras' own file names, TensorFlow where there is none."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return str(json.loads((home / "keras.json").read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, LookupError, TypeError):
        return "tensorflow"


def _refused(files: ArtifactFiles, what: str) -> UnsafeArtifact:
    return UnsafeArtifact(
        f"{files.described} is {what}: reading it could execute code stored in it.",
        hint="If you trust whoever wrote it, call output.read(trusted=True); "
        "output.read(materializer=BytesMaterializer) gives its files without executing anything.",
        artifact=files.artifact.id,
    )
